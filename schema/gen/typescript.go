package gen

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"text/template"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

//go:embed events.ts.tmpl
var typescriptText string

var typescriptTemplate = template.Must(template.New("typescript").Parse(typescriptText))

// tsEvent is the type of one payload.
type tsEvent struct {
	Name, Type, Doc, Frame string
	Fields                 []tsField
	// Open says that fields of any name are part of the type.
	Open bool
}

type tsField struct{ Name, Type, Doc string }

// tsService is the union of a service's events.
type tsService struct {
	Name, Type string
	Events     []tsEvent
}

// typescript writes the types of what clients of the edge receive.
func typescript(rows []catalogue.Row) ([]byte, error) {
	var data struct {
		Events   []tsEvent
		Services []tsService
	}
	seen := make(map[string]bool)
	for _, service := range schema.Services() {
		group := tsService{Name: string(service), Type: goName(strings.ReplaceAll(string(service), "-", "_")) + "Event"}
		for i := range rows {
			if rows[i].Service != service {
				continue
			}
			event := tsEventOf(&rows[i])
			group.Events = append(group.Events, event)
			if !seen[event.Name] {
				data.Events = append(data.Events, event)
				seen[event.Name] = true
			}
		}
		data.Services = append(data.Services, group)
	}
	var out bytes.Buffer
	err := typescriptTemplate.Execute(&out, data)
	return out.Bytes(), err
}

func tsEventOf(row *catalogue.Row) tsEvent {
	event := tsEvent{Name: row.Name, Type: goName(row.Name), Doc: row.Doc + " " + whereTo(row), Frame: "DurableEvent"}
	if row.Transient {
		event.Frame = "TransientEvent"
	}
	event.Open = row.Name == catalogue.SystemEvents
	for i := range row.Fields {
		field := &row.Fields[i]
		if field.NotSent {
			continue
		}
		name := field.Name
		if !field.Required {
			name += "?"
		}
		event.Fields = append(event.Fields, tsField{name, tsType(field), field.Doc})
	}
	return event
}

func tsType(field *catalogue.Field) string {
	switch field.Type {
	case catalogue.Number, catalogue.Integer:
		return "number"
	case catalogue.Object:
		return "JsonObject"
	case catalogue.Strings:
		return "string[]"
	case catalogue.Any:
		if field.Nullable {
			return "Json"
		}
		return "Exclude<Json, null>"
	}
	if len(field.Enum) == 0 {
		return "string"
	}
	var values []string
	for _, value := range field.Enum {
		values = append(values, fmt.Sprintf("%q", value))
	}
	return strings.Join(values, " | ")
}
