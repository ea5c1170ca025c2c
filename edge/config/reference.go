package config

import (
	"maps"
	"slices"
	"strings"
)

// writer writes YAML in the order of the keys.
type writer struct {
	strings.Builder
	// open are the names of the sections that are open.
	sections []string
	// comments of keys and sections are written, with initial values instead of a target's.
	documented bool
	about      map[string]string
}

func (w *writer) indent() string { return strings.Repeat("  ", len(w.sections)) }

func (w *writer) open(name string) {
	w.WriteString(w.indent() + name + ":\n")
	w.sections = append(w.sections, name)
}

func (w *writer) close() { w.sections = w.sections[:len(w.sections)-1] }

// keys writes all keys of a target, which may be nil when documented.
func (w *writer) keys(list []*key, target any) {
	outer := len(w.sections)
	for _, k := range list {
		parts := strings.Split(k.path, ".")
		sections := parts[:len(parts)-1]
		// Close what the key is not in, open what it is in.
		same := 0
		for same < len(sections) && outer+same < len(w.sections) && w.sections[outer+same] == sections[same] {
			same++
		}
		w.sections = w.sections[:outer+same]
		for i := same; i < len(sections); i++ {
			if w.documented {
				if i == same {
					w.WriteString("\n")
				}
				w.comment(w.about[strings.Join(sections[:i+1], ".")])
			}
			w.open(sections[i])
		}
		value := ""
		if w.documented {
			value = k.document(w)
		} else {
			value = k.show(target)
		}
		w.WriteString(w.indent() + leaf(k.path) + ": " + value + "\n")
	}
	w.sections = w.sections[:outer]
}

// document writes the comment of a key and returns the value to show.
func (k *key) document(w *writer) string {
	value := k.normal
	if k.initial != "" {
		value = k.initial
	}
	normal := k.normal
	if k.rule != "" {
		normal = k.rule
	}
	if len(w.sections) == 0 {
		w.WriteString("\n")
	}
	w.comment(k.about)
	w.comment("Default: " + normal + ".")
	w.comment("Value: " + k.kind + ".")
	return value
}

// comment writes sentences as comment lines.
func (w *writer) comment(text string) {
	prefix := w.indent() + "#"
	line := prefix
	for word := range strings.FieldsSeq(text) {
		if line != prefix && len(line)+1+len(word) > 96 {
			w.WriteString(line + "\n")
			line = prefix
		}
		line += " " + word
	}
	if line != prefix {
		w.WriteString(line + "\n")
	}
}

// Reference returns the reference file: every key with its documentation, default, type
// and limits. Loaded, it makes the same configuration as a file that names nothing but
// the service mahavishnu.
func Reference() string {
	var w writer
	w.documented = true
	w.WriteString(referenceHead)
	w.about = edgeSections
	w.keys(edgeKeys, nil)

	w.WriteString("\n")
	w.comment("Keys for all services, beneath what each service says itself. Every key of a service may stand here but websocket.port.")
	w.WriteString("defaults: {}\n\n")
	w.comment("The services that the edge serves: mahavishnu, dhruva, excalidraw (also excalidraw-mcp), fastblocks, akosha, crackerjack, session-buddy. A service is served as soon as its name is here; every key of it may be left out.")
	w.open("services")
	w.open("mahavishnu")
	w.about = serviceSections
	w.keys(serviceKeys, nil)
	w.close()
	w.close()

	w.WriteString("\n")
	w.comment("A file of one service has the keys of the service at its top, and may have those of the edge too. If no port, section or server_name tells which service it is:")
	w.WriteString("#\n#   service: mahavishnu\n#\n")
	w.comment("Of a service's own program, and accepted without a look: " + strings.Join(ignoredPaths, ", ") + ". Another place for a key:")
	w.WriteString("#\n")
	for _, other := range slices.Sorted(maps.Keys(otherNames)) {
		w.WriteString("#   " + other + " for " + otherNames[other] + "\n")
	}
	return w.String()
}

const referenceHead = `# Every key of an edge's configuration, each with its default. Generated from
# edge/config/keys_*.go by: go test ./edge/config -update
#
# Copy what you change, and leave the rest out. Times are seconds or have a unit (20, 1.5s,
# 5m, 24h), sizes are bytes or have one (65536, 64KiB, 10 MB). ${NAME} and ${NAME:-default}
# stand for environment variables, $${ for a plain ${; a variable that is not set and has no
# default is an error. Check a file with: indranet check-config -c FILE
`
