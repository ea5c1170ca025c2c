package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"

	"github.com/bodhisattva/indranet/schema"
)

// sectionOwners are the sections that only one service has.
var sectionOwners = map[string]schema.Service{
	"pools":         schema.Mahavishnu,
	"adapters":      schema.Mahavishnu,
	"sessions":      schema.SessionBuddy,
	"memory":        schema.SessionBuddy,
	"qc":            schema.Crackerjack,
	"analytics":     schema.Akosha,
	"distribution":  schema.Dhruva,
	"collaboration": schema.Excalidraw,
	"ui":            schema.Fastblocks,
}

// clue is something in a file that tells whose it is.
type clue struct {
	service schema.Service
	at      Position
	what    string
}

// identify tells which service a file of one service is for. What it says itself, as
// "service", counts alone; else all clues must agree.
func (w *walker) identify(root *yaml.Node, entries []entry, own layer) (schema.Service, bool) {
	for _, e := range entries {
		if e.name != "service" {
			continue
		}
		it, _, ok := w.item(e.value, e.name)
		if !ok {
			return "", false
		}
		if it.list {
			w.add(it.at, e.name, "is a list, should be the name of a service")
			return "", false
		}
		service, err := schema.ParseService(it.values[0].text)
		if err != nil {
			w.add(it.at, e.name, "%s is not a service (known: %s)", it.values[0].show(), serviceNames())
			return "", false
		}
		return service, true
	}
	clues := w.clues(entries, own)
	if len(clues) == 0 && own.broken("websocket.port", "server_name") {
		return "", false // These could have told.
	}
	if len(clues) == 0 {
		w.add(w.at(root), "", `cannot be told which service it is for: no port, section or server_name tells; write "service: NAME" (%s)`, serviceNames())
		return "", false
	}
	for _, other := range clues[1:] {
		if other.service != clues[0].service {
			w.add(other.at, "", `%s is that of %s, but %s in line %d that of %s; write "service: NAME" to say which service the file is for`,
				other.what, other.service, clues[0].what, clues[0].at.Line, clues[0].service)
			return "", false
		}
	}
	return clues[0].service, true
}

// clues finds what tells the service.
func (w *walker) clues(entries []entry, own layer) []clue {
	var list []clue
	if port, set := own["websocket.port"]; set && !port.broken {
		for _, service := range schema.Services() {
			if port.value == service.Port() {
				list = append(list, clue{service, port.at, fmt.Sprintf("the port %d", port.value)})
			}
		}
	}
	for _, e := range entries {
		if service, ok := sectionOwners[e.name]; ok {
			list = append(list, clue{service, w.at(e.key), "the section " + e.name})
		}
		if e.name != "websocket" || e.value.Kind != yaml.MappingNode {
			continue
		}
		for i := 0; i+1 < len(e.value.Content); i += 2 {
			switch k := e.value.Content[i]; k.Value {
			case "collaboration":
				list = append(list, clue{schema.Excalidraw, w.at(k), "the section websocket.collaboration"})
			case "hot_reload":
				list = append(list, clue{schema.Fastblocks, w.at(k), "the section websocket.hot_reload"})
			}
		}
	}
	if name, set := own["server_name"]; set && !name.broken {
		if service, ok := serviceInName(name.value.(string)); ok {
			list = append(list, clue{service, name.at, "the server_name"})
		}
	}
	return list
}

// serviceInName finds the one service that a name for people names, as in
// "Session-Buddy Manager".
func serviceInName(name string) (schema.Service, bool) {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-'
	})
	var found []schema.Service
	for _, service := range schema.Services() {
		if slices.ContainsFunc(words, func(word string) bool {
			named, err := schema.ParseService(word)
			return err == nil && named == service
		}) {
			found = append(found, service)
		}
	}
	if len(found) != 1 {
		return "", false
	}
	return found[0], true
}

func serviceNames() string {
	names := make([]string, 0, len(schema.Services()))
	for _, s := range schema.Services() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}
