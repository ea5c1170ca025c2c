package gen

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	spec "github.com/asyncapi/spec-json-schemas/v6"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// decodeJSON reads JSON the way that the validator wants it.
func decodeJSON(t testing.TB, text []byte) any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// noNetwork is a loader for a compiler that must find everything in what it was given.
type noNetwork struct{}

func (noNetwork) Load(url string) (any, error) {
	return nil, errors.New("nothing is loaded from " + url)
}

// compile makes a validator that also checks formats.
func compile(t testing.TB, url string, document any) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.UseLoader(noNetwork{})
	c.AssertFormat()
	if err := c.AddResource(url, document); err != nil {
		t.Fatal(err)
	}
	validator, err := c.Compile(url)
	if err != nil {
		t.Fatal(err)
	}
	return validator
}

func TestJSONSchemasTakeExamplesAndWantEveryRequiredField(t *testing.T) {
	for _, row := range catalogue.Default().Rows() {
		t.Run(string(row.Service)+"/"+row.Name, func(t *testing.T) {
			document := decodeJSON(t, readFile(t, "jsonschema/"+string(row.Service)+"/"+row.Name+".json"))
			if dialect := document.(map[string]any)["$schema"]; dialect != draft {
				t.Errorf("dialect %v", dialect)
			}
			validator := compile(t, document.(map[string]any)["$id"].(string), document)
			example := func() map[string]any { return decodeJSON(t, []byte(row.Example)).(map[string]any) }
			valid := func(payload any) bool { return validator.Validate(payload) == nil }

			if err := validator.Validate(example()); err != nil {
				t.Errorf("the example: %v", err)
			}
			open := example()
			open["some_other_field"] = []any{"x"}
			open[catalogue.OccurredAt] = "2026-11-22T10:15:00Z"
			if !valid(open) {
				t.Error("a field that the catalogue does not name is refused")
			}
			open[catalogue.OccurredAt] = "yesterday"
			if valid(open) {
				t.Error("any text passes for a time")
			}
			if valid([]any{}) {
				t.Error("an array passes")
			}
			for i := range row.Fields {
				field := &row.Fields[i]
				if field.NotSent {
					continue
				}
				without := example()
				delete(without, field.Name)
				if valid(without) == field.Required {
					t.Errorf("without %s: valid %v, required %v", field.Name, valid(without), field.Required)
				}
				mistyped := example()
				mistyped[field.Name] = true
				if valid(mistyped) != (field.Type == catalogue.Any) {
					t.Errorf("a boolean %s: valid %v", field.Name, valid(mistyped))
				}
				mistyped[field.Name] = nil
				if valid(mistyped) != field.Nullable {
					t.Errorf("a null %s: valid %v", field.Name, valid(mistyped))
				}
				if field.Name != row.Home.Field {
					continue
				}
				for _, id := range []string{"", schema.AllID, "a\x00", "a\u0085", strings.Repeat("x", schema.MaxChannelID+1)} {
					wrong := example()
					wrong[field.Name] = id
					if valid(wrong) {
						t.Errorf("%s may be %q", field.Name, id)
					}
				}
			}
			if len(row.AnyOf) > 0 {
				none := example()
				for _, name := range row.AnyOf {
					delete(none, name)
				}
				if valid(none) {
					t.Errorf("none of %q is needed", row.AnyOf)
				}
			}
		})
	}
}

// TestJSONSchemasTakeWhatIsPublished wants no payload that the catalogue lets
// through to surprise a reader who trusts the schemas.
func TestJSONSchemasTakeWhatIsPublished(t *testing.T) {
	c := catalogue.Default()
	for _, tc := range []struct {
		service schema.Service
		event   string
		payload string
	}{
		{schema.Fastblocks, "page.rendered", `{"page_id":"größe/東京 *","duration":1e3,"component_count":null}`},
		{schema.Fastblocks, "state.changed", `{"component_id":"c","state_path":"","old_value":null,"value":null}`},
		{schema.Dhruva, "registry.updated", `{"registry_version":"1","changes":{"added":[],"by":null}}`},
		{schema.Mahavishnu, "pool.status_changed", `{"pool_id":"p","status":{}}`},
		{schema.Excalidraw, "system.events", `{"service":"excalidraw","anything":{}}`},
	} {
		event, err := c.Parse(tc.service, tc.event, []byte(tc.payload))
		if err != nil {
			t.Fatal(err)
		}
		document := decodeJSON(t, readFile(t, "jsonschema/"+string(tc.service)+"/"+tc.event+".json"))
		validator := compile(t, document.(map[string]any)["$id"].(string), document)
		if err := validator.Validate(decodeJSON(t, event.(*catalogue.Parsed).Payload())); err != nil {
			t.Errorf("%s %s: %v", tc.event, tc.payload, err)
		}
	}
}

func TestAsyncAPIDocumentIsWhatTheSpecificationWants(t *testing.T) {
	official, err := spec.Get("3.1.0")
	if err != nil || official == nil {
		t.Fatalf("the official schema: %d bytes, %v", len(official), err)
	}
	validator := compile(t, "http://asyncapi.com/definitions/3.1.0/asyncapi.json", decodeJSON(t, official))
	document := decodeJSON(t, readFile(t, "asyncapi.json"))
	if err := validator.Validate(document); err != nil {
		t.Errorf("the document: %#v", err)
	}
	// The validator tells good from bad, also far down.
	for _, spoil := range []func(map[string]any){
		func(d map[string]any) { d["asyncapi"] = "2.6.0" },
		func(d map[string]any) {
			d["operations"].(map[string]any)["request"].(map[string]any)["action"] = "shout"
		},
		func(d map[string]any) { delete(d["servers"].(map[string]any)["dhruva"].(map[string]any), "protocol") },
		func(d map[string]any) {
			d["channels"].(map[string]any)["dhruva.adapter"].(map[string]any)["address"] = 7
		},
	} {
		bad := decodeJSON(t, readFile(t, "asyncapi.json")).(map[string]any)
		spoil(bad)
		if validator.Validate(bad) == nil {
			t.Error("a spoilt document passes")
		}
	}
}

func TestAsyncAPIDocumentIsWhole(t *testing.T) {
	document := decodeJSON(t, readFile(t, "asyncapi.json")).(map[string]any)
	part := func(path ...string) map[string]any {
		node := document
		for _, key := range path {
			next, ok := node[key].(map[string]any)
			if !ok {
				t.Fatalf("there is no %q", path)
			}
			node = next
		}
		return node
	}
	var refs func(node any)
	refs = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			if pointer, ok := node["$ref"].(string); ok {
				part(strings.Split(strings.TrimPrefix(pointer, "#/"), "/")...)
			}
			for _, value := range node {
				refs(value)
			}
		case []any:
			for _, value := range node {
				refs(value)
			}
		}
	}
	refs(document)

	if n := len(part("servers")); n != 7 {
		t.Errorf("%d servers", n)
	}
	c := catalogue.Default()
	reached := make(map[string]bool)
	for key, value := range part("channels") {
		channel := value.(map[string]any)
		address := channel["address"].(string)
		if key == "connection" {
			continue
		}
		service, _, _ := strings.Cut(key, ".")
		id := address
		for _, name := range slices.Sorted(maps.Keys(parameters(channel))) {
			if !strings.Contains(address, "{"+name+"}") {
				t.Errorf("%s has a parameter %s", address, name)
			}
			id = strings.ReplaceAll(id, "{"+name+"}", "x")
		}
		name, err := schema.ParseChannel(id)
		if err != nil || strings.ContainsAny(id, "{}") {
			t.Errorf("%s: %q, %v", key, id, err)
			continue
		}
		if _, err := c.Lookup(schema.Service(service), name); err != nil {
			t.Errorf("%s cannot be subscribed to: %v", key, err)
		}
		for event := range channel["messages"].(map[string]any) {
			if _, err := c.Event(schema.Service(service), event); err != nil {
				t.Errorf("%s: %v", key, err)
			}
			reached[service+" "+event] = true
		}
	}
	if len(reached) != 53 {
		t.Errorf("%d (service, event) pairs have a channel, want 53", len(reached))
	}
}

func parameters(channel map[string]any) map[string]any {
	list, _ := channel["parameters"].(map[string]any)
	return list
}

// TestAsyncAPIMessagesTakeTheirExamples compiles the payload of every message, the
// frame with the event in it, and validates the example frame.
func TestAsyncAPIMessagesTakeTheirExamples(t *testing.T) {
	var document map[string]any
	if err := json.Unmarshal(readFile(t, "asyncapi.json"), &document); err != nil {
		t.Fatal(err)
	}
	components := decodeJSON(t, readFile(t, "asyncapi.json")).(map[string]any)["components"].(map[string]any)
	count := 0
	for key, value := range components["messages"].(map[string]any) {
		message := value.(map[string]any)
		whole := map[string]any{
			"$schema":    draft,
			"components": components,
			"$ref":       "#/components/messages/" + key + "/payload",
		}
		validator := compile(t, "urn:indranet:asyncapi", whole)
		examples, _ := message["examples"].([]any)
		for _, example := range examples {
			frame := example.(map[string]any)["payload"].(map[string]any)
			if err := validator.Validate(frame); err != nil {
				t.Errorf("%s: %v", key, err)
			}
			count++
			for _, name := range []string{"room", "id", "data"} {
				spoilt := maps.Clone(frame)
				delete(spoilt, name)
				if validator.Validate(spoilt) == nil {
					t.Errorf("%s passes without %s", key, name)
				}
			}
		}
	}
	if count != 53 {
		t.Errorf("%d examples, want 53", count)
	}
}
