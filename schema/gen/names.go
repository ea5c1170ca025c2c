package gen

import (
	"strings"

	"github.com/bodhisattva/indranet/schema"
)

// initialisms are words that Go writes in capitals.
var initialisms = map[string]string{"id": "ID", "ids": "IDs", "ms": "MS"}

// goName turns "workflow.stage_completed" into "WorkflowStageCompleted".
func goName(name string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '.' || r == '_' }) {
		if upper, ok := initialisms[word]; ok {
			b.WriteString(upper)
			continue
		}
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// goPackage is the name of a service's package.
func goPackage(service schema.Service) string {
	return strings.ReplaceAll(string(service), "-", "")
}

// goServices are the constants of package schema.
var goServices = map[schema.Service]string{
	schema.Mahavishnu:   "schema.Mahavishnu",
	schema.Dhruva:       "schema.Dhruva",
	schema.Excalidraw:   "schema.Excalidraw",
	schema.Fastblocks:   "schema.Fastblocks",
	schema.Akosha:       "schema.Akosha",
	schema.Crackerjack:  "schema.Crackerjack",
	schema.SessionBuddy: "schema.SessionBuddy",
}

// serviceTitles say what each service is about.
var serviceTitles = map[schema.Service]string{
	schema.Mahavishnu:   "orchestration of workflows",
	schema.Dhruva:       "distribution of adapters",
	schema.Excalidraw:   "collaboration on diagrams",
	schema.Fastblocks:   "updates of user interfaces",
	schema.Akosha:       "analytics",
	schema.Crackerjack:  "quality of code",
	schema.SessionBuddy: "sessions and their knowledge",
}
