package gen

import (
	"encoding/json"
	"strings"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// draft is the dialect of the JSON Schemas.
const draft = "https://json-schema.org/draft/2020-12/schema"

// noControls matches text without control characters. The ends of the ranges are
// the characters themselves, which every regular expression engine understands.
const noControls = "^[^\x00-\x1f\x7f-\u009f]*$"

// schemaFile is the JSON Schema of an event's payload as readers get it.
func schemaFile(row *catalogue.Row) ([]byte, error) {
	return document(append(object{
		{"$schema", draft},
		{"$id", "urn:indranet:" + string(row.Service) + ":" + row.Name},
	}, payloadSchema(row)...))
}

// payloadSchema describes a payload with the keywords that the drafts since 7 and
// AsyncAPI have in common. Fields that it does not name are allowed.
func payloadSchema(row *catalogue.Row) object {
	var properties object
	required := []string{}
	for i := range row.Fields {
		field := &row.Fields[i]
		if field.NotSent {
			continue
		}
		properties = append(properties, member{field.Name, fieldSchema(field, field.Name == row.Home.Field)})
		if field.Required {
			required = append(required, field.Name)
		}
	}
	properties = append(properties, member{catalogue.OccurredAt, fieldSchema(row.Field(catalogue.OccurredAt), false)})
	described := object{
		{"title", row.Name},
		{"description", row.Doc + " " + whereTo(row)},
		{"type", "object"},
		{"properties", properties},
		{"required", required},
	}
	if len(row.AnyOf) > 0 {
		var choices []object
		for _, name := range row.AnyOf {
			choices = append(choices, object{{"required", []string{name}}})
		}
		described = append(described, member{"anyOf", choices})
	}
	return append(described, member{"examples", []json.RawMessage{json.RawMessage(row.Example)}})
}

// whereTo says to which channel an event goes and whether it is kept.
func whereTo(row *catalogue.Row) string {
	if row.Transient {
		return "Published to " + row.Home.String() + ", delivered live and never stored."
	}
	return "Published to " + row.Home.String() + " and stored."
}

func fieldSchema(field *catalogue.Field, isHome bool) object {
	described := object{{"description", readerDoc(field)}}
	add := func(key string, value any) { described = append(described, member{key, value}) }
	switch field.Type {
	case catalogue.String:
		add("type", "string")
		switch {
		case isHome:
			add("minLength", 1)
			add("maxLength", schema.MaxChannelID)
			add("pattern", noControls)
			add("not", object{{"const", schema.AllID}})
		case len(field.Enum) > 0:
			add("enum", field.Enum)
		case field.Required && !field.MayBeEmpty:
			add("minLength", 1)
		}
	case catalogue.Time:
		add("type", "string")
		add("format", "date-time")
	case catalogue.Strings:
		add("type", "array")
		add("items", object{{"type", "string"}})
	case catalogue.Any:
		if !field.Nullable {
			add("type", []string{"object", "array", "string", "number", "boolean"})
		}
	default:
		add("type", string(field.Type))
	}
	return described
}

// readerDoc is a field's sentence with the spellings that publishers may use.
func readerDoc(field *catalogue.Field) string {
	if len(field.Aliases) == 0 {
		return field.Doc
	}
	return field.Doc + " Publishers may also spell it " + strings.Join(field.Aliases, " or ") + "."
}
