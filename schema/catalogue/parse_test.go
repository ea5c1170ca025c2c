package catalogue_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

func TestParseWritesTheFirstSpelling(t *testing.T) {
	for _, tc := range []struct {
		what          string
		service       schema.Service
		event         string
		payload, want string
		channel       string
	}{
		{"white space goes, order and extras stay", schema.Mahavishnu, "workflow.completed",
			" { \"z\" : [ 1 , { \"a b\" : null } ],\n\"workflow_id\":\"42\", \"result\" : \"ok \" }\t", `{"z":[1,{"a b":null}],"workflow_id":"42","result":"ok "}`, "workflow:42"},
		{"an older spelling", schema.Fastblocks, "page.rendered",
			`{"page_id":"p","duration":12}`, `{"page_id":"p","duration_ms":12}`, "page:p"},
		{"both spellings that agree", schema.Fastblocks, "page.rendered",
			`{"duration":12,"page_id":"p","duration_ms":12}`, `{"page_id":"p","duration_ms":12}`, "page:p"},
		{"null is missing", schema.Dhruva, "adapter.activated",
			`{"adapter_id":"a","config":null,"repo":"r","version":"1","occurred_at":null}`, `{"adapter_id":"a","repo":"r","version":"1"}`, "adapter:a"},
		{"null gives way to an older spelling", schema.Fastblocks, "page.rendered",
			`{"duration_ms":null,"duration":3,"page_id":"p"}`, `{"duration_ms":3,"page_id":"p"}`, "page:p"},
		{"null is a value", schema.Fastblocks, "state.changed",
			`{"component_id":"c","state_path":"","old_value":null,"value":null}`, `{"component_id":"c","path":"","old_value":null,"new_value":null}`, "component:c"},
		{"an object is spread", schema.Dhruva, "registry.updated",
			`{"registry_version":"1","changes":{"added":["a"],"by":"ada"},"z":1}`, `{"version":"1","added":["a"],"by":"ada","z":1}`, "registry"},
		{"an object is spread into what agrees", schema.Dhruva, "registry.updated",
			`{"version":"1","added":["a"],"changes":{"added":["a"],"removed":null}}`, `{"version":"1","added":["a"]}`, "registry"},
		{"nothing to spread", schema.Dhruva, "registry.updated", `{"changes":null,"version":"1"}`, `{"version":"1"}`, "registry"},
		{"only what a member is called is special", schema.Excalidraw, "element.updated",
			`{"diagram_id":"d","element_id":"e","changes":{"a":1}}`, `{"diagram_id":"d","element_id":"e","changes":{"a":1}}`, "diagram:d"},
		{"one of two", schema.Mahavishnu, "pool.status_changed", `{"pool_id":"p","status":{}}`, `{"pool_id":"p","status":{}}`, "pool:p"},
		{"the service is not sent on", schema.Dhruva, "system.events",
			`{"service":"dhruva","level":"info","n":1}`, `{"level":"info","n":1}`, "global"},
		{"nor by its other name", schema.Excalidraw, "system.events", `{"service":"excalidraw-mcp"}`, `{}`, "global"},
		{"the service is known", schema.Dhruva, "system.events", `{}`, `{}`, "global"},
		{"when it happened", schema.SessionBuddy, "session.closed",
			`{"session_id":"s","occurred_at":"2026-11-22T10:15:00.25+01:00"}`, `{"session_id":"s","occurred_at":"2026-11-22T10:15:00.25+01:00"}`, "sessions"},
		{"an escaped key is the key", schema.SessionBuddy, "session.closed",
			`{"session\u005fid":"\u0073","é\"":1}`, `{"session_id":"\u0073","é\"":1}`, "sessions"},
		{"text that may be empty", schema.Mahavishnu, "workflow.failed", `{"workflow_id":"w","error":""}`, `{"workflow_id":"w","error":""}`, "workflow:w"},
		{"an id of any script", schema.Mahavishnu, "workflow.failed",
			`{"workflow_id":"\ud83c\udfa8 \/東京","error":"x"}`, `{"workflow_id":"\ud83c\udfa8 \/東京","error":"x"}`, "workflow:🎨 /東京"},
		{"nothing selected", schema.Excalidraw, "selection.changed",
			`{"room_id":"r","user_id":"u","selections":[]}`, `{"room_id":"r","user_id":"u","element_ids":[]}`, "collaboration:r"},
		{"numbers as they were", schema.Excalidraw, "cursor.moved",
			`{"room_id":"r","user_id":"u","x":-0.0,"y":1E+2}`, `{"room_id":"r","user_id":"u","x":-0.0,"y":1E+2}`, "collaboration:r"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			c := catalogue.Default()
			event, err := c.Parse(tc.service, tc.event, []byte(tc.payload))
			if err != nil {
				t.Fatal(err)
			}
			payload, err := json.Marshal(event)
			if err != nil || string(payload) != tc.want {
				t.Errorf("payload %s, %v\nwant    %s", payload, err, tc.want)
			}
			if home, err := event.EventChannel(); err != nil || home.String() != tc.channel {
				t.Errorf("channel %q, %v", home, err)
			}
			row, _ := c.Event(tc.service, tc.event)
			agree(t, decode(t, row, payload), event)
		})
	}
}

func TestParseNamesEveryBadField(t *testing.T) {
	for _, tc := range []struct {
		service schema.Service
		event   string
		payload string
		want    string
	}{
		{schema.Mahavishnu, "worker.status_changed", `{}`, "worker_id is required; status is required; pool_id is required"},
		{schema.Mahavishnu, "worker.status_changed", `{"worker_id":"","status":"gone","pool_id":7}`,
			"worker_id may not be empty; status must be one of idle, busy, error, offline; pool_id must be a string"},
		{schema.Mahavishnu, "worker.status_changed", `{"worker_id":"w","status":"idle","pool_id":"*"}`, `pool_id may not be "*"`},
		{schema.Mahavishnu, "worker.status_changed", `{"worker_id":"w","status":"idle","pool_id":""}`, `pool_id may not be empty`},
		{schema.Mahavishnu, "worker.status_changed", `{"worker_id":"w","status":"idle","pool_id":"\u0007"}`, `pool_id holds a control character`},
		{schema.Mahavishnu, "worker.status_changed", `{"worker_id":"w","status":"idle","pool_id":"` + strings.Repeat("é", 101) + `"}`, `pool_id is longer than 200 bytes`},
		{schema.Mahavishnu, "pool.status_changed", `{"pool_id":"p"}`, "metrics or status is required"},
		{schema.Mahavishnu, "pool.status_changed", `{"pool_id":"p","metrics":null}`, "metrics or status is required"},
		{schema.Mahavishnu, "pool.status_changed", `{"pool_id":"p","metrics":[]}`, "metrics must be an object"},
		{schema.Mahavishnu, "workflow.completed", `{"workflow_id":"w","result":null}`, "result is required"},
		{schema.Fastblocks, "state.changed", `{"component_id":"c","path":"p"}`, "new_value is required"},
		{schema.Fastblocks, "state.changed", `{"component_id":"c","path":"p","value":1,"new_value":null}`, "new_value differs from the one spelled value"},
		{schema.Fastblocks, "page.rendered", `{"page_id":"p","duration":"12","component_count":1.5}`, "duration_ms must be a number; component_count must be an integer"},
		{schema.Fastblocks, "page.rendered", `{"page_id":"p","duration":1,"component_count":9223372036854775808}`, "component_count must be an integer"},
		{schema.Fastblocks, "hot_reload.triggered", `{"file_path":"f","components":["a",null]}`, "affected_components must be an array of strings"},
		{schema.Fastblocks, "hot_reload.triggered", `{"file_path":"f","components":"a"}`, "affected_components must be an array of strings"},
		{schema.Dhruva, "registry.updated", `{"version":"1","changes":[]}`, "changes must be an object"},
		{schema.Dhruva, "registry.updated", `{"version":"1","changes":{"version":"2"}}`, "version differs from the one in changes"},
		{schema.Dhruva, "registry.updated", `{"version":"1","x":1,"changes":{"x":2,"added":{}}}`, "payload differs from the one in changes; added must be an array of strings"},
		{schema.Dhruva, "registry.updated", `{"version":"1","changes":{"changes":{}}}`, "changes may not hold itself"},
		{schema.Dhruva, "system.events", `{"service":"akosha","message":1}`, "service names another service than dhruva; message must be a string"},
		{schema.Dhruva, "adapter.activated", `{"adapter_id":"a","repo":"r","version":"1","Adapter_ID":"b","OCCURRED_at":1}`,
			"adapter_id is spelled with other capitals; occurred_at is spelled with other capitals"},
		{schema.Dhruva, "adapter.activated", `{"adapter_id":"a","repo":"r","version":"1","occurred_at":"yesterday"}`, "occurred_at must be a time as RFC 3339 writes it"},
		{schema.Dhruva, "adapter.activated", `{"adapter_id":"a","repo":"r","version":"1","occurred_at":1700000000}`, "occurred_at must be a string"},
	} {
		event, err := catalogue.Default().Parse(tc.service, tc.event, []byte(tc.payload))
		var invalid *schema.InvalidError
		if event != nil || !errors.As(err, &invalid) || !errors.Is(err, schema.ErrInvalid) {
			t.Errorf("%s %s: %v, %v", tc.event, tc.payload, event, err)
			continue
		}
		if want := "invalid event " + tc.event + ": " + tc.want; err.Error() != want {
			t.Errorf("%s\ngot  %s\nwant %s", tc.payload, err, want)
		}
	}
}

func TestParseRefusesWhatReadersCouldUnderstandDifferently(t *testing.T) {
	ok := `"session_id":"s"`
	deep := func(n int) string {
		return `{` + ok + `,"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	many := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(`,"` + strings.Repeat("k", b.Len()%7) + string(rune('a'+b.Len()%23)) + `":1`)
		}
		return b.String()
	}
	for payload, want := range map[string]string{
		``:                                       "payload must be a JSON object (at byte 0)",
		`  `:                                     "payload must be a JSON object (at byte 2)",
		`null`:                                   "payload must be a JSON object",
		`["session_id"]`:                         "payload must be a JSON object",
		`{`:                                      "payload is not valid JSON",
		`{` + ok:                                 "payload is not valid JSON",
		`{` + ok + `,}`:                          "payload is not valid JSON",
		`{` + ok + `}}`:                          "payload holds something after the JSON object",
		`{` + ok + `} {}`:                        "payload holds something after the JSON object",
		`{` + ok + "}\x00":                       "payload holds something after the JSON object",
		`{"session_id" "s"}`:                     "payload is not valid JSON",
		`{session_id:"s"}`:                       "payload is not valid JSON",
		`{'session_id':'s'}`:                     "payload is not valid JSON",
		`{` + ok + `,"x":tru}`:                   "payload is not valid JSON",
		`{` + ok + `,"x":01}`:                    "payload is not valid JSON",
		`{` + ok + `,"x":1.}`:                    "payload is not valid JSON",
		`{` + ok + `,"x":-}`:                     "payload is not valid JSON",
		`{` + ok + `,"x":NaN}`:                   "payload is not valid JSON",
		`{` + ok + `,"x":[1 2]}`:                 "payload is not valid JSON",
		`{` + ok + `,"x":"\x"}`:                  "payload is not valid JSON",
		`{` + ok + `,"x":"\u12g4"}`:              "payload is not valid JSON",
		`{` + ok + ",\"x\":\"\n\"}":              "payload is not valid JSON",
		`{` + ok + ",\"x\":\"\xff\"}":            "payload is not valid UTF-8",
		`{` + ok + `,"x":"\ud800"}`:              "payload holds half a surrogate pair",
		`{` + ok + `,"x":"\ud800\ud800"}`:        "payload holds half a surrogate pair",
		`{` + ok + `,"x":"\udc00\ud800"}`:        "payload holds half a surrogate pair",
		`{` + ok + `,"x":1e400}`:                 "payload holds a number that is out of range",
		`{` + ok + `,"session_id":"s"}`:          "payload gives a key twice",
		`{` + ok + `,"session\u005fid":"t"}`:     "payload gives a key twice",
		`{` + ok + `,"x":[{"a":1,"b":2,"a":1}]}`: "payload gives a key twice",
		`{` + ok + many(100) + `}`:               "payload gives a key twice",
		deep(64):                                 "payload nests deeper than 64 levels",
		deep(100_000):                            "payload nests deeper than 64 levels",
	} {
		_, err := catalogue.Default().Parse(schema.SessionBuddy, "session.closed", []byte(payload))
		if !errors.Is(err, schema.ErrInvalid) || !strings.HasPrefix(err.Error(), "invalid event session.closed: "+want) {
			t.Errorf("%.60q: %v, want %q", payload, err, want)
		}
	}
	for _, payload := range []string{deep(63), `{` + ok + `,"x":"\\ud800\ud83c\udfa8"}`, `{` + ok + `,"x":-0.5e-7}`} {
		if _, err := catalogue.Default().Parse(schema.SessionBuddy, "session.closed", []byte(payload)); err != nil {
			t.Errorf("%.60q: %v", payload, err)
		}
	}
}

func TestParseBoundsThePayload(t *testing.T) {
	c := catalogue.Default()
	fill := func(head string, size int) []byte {
		tail := `"}`
		return []byte(head + strings.Repeat("x", size-len(head)-len(tail)) + tail)
	}
	head := `{"page_id":"p","duration_ms":1,"x":"`
	if _, err := c.Parse(schema.Fastblocks, "page.rendered", fill(head, schema.MaxPayload)); err != nil {
		t.Errorf("the largest payload: %v", err)
	}
	for _, payload := range [][]byte{
		fill(head, schema.MaxPayload+1),
		fill(`{"page_id":"p","duration":1,"x":"`, schema.MaxPayload), // grows by its first spelling
	} {
		if _, err := c.Parse(schema.Fastblocks, "page.rendered", payload); !errors.Is(err, schema.ErrTooLarge) || errors.Is(err, schema.ErrInvalid) {
			t.Errorf("one byte more: %v", err)
		}
	}
}

// TestBothWaysAgreeOnEveryRequiredField leaves out, empties and mistypes each field
// of each row, in JSON, and wants the struct to judge what it can say alike.
func TestBothWaysAgreeOnEveryRequiredField(t *testing.T) {
	c := catalogue.Default()
	for _, row := range c.Rows() {
		for _, field := range row.Fields {
			with := func(value string) []byte {
				var fields map[string]json.RawMessage
				if err := json.Unmarshal([]byte(row.Example), &fields); err != nil {
					t.Fatal(err)
				}
				delete(fields, field.Name)
				if value != "" {
					fields[field.Name] = json.RawMessage(value)
				}
				payload, err := json.Marshal(fields)
				if err != nil {
					t.Fatal(err)
				}
				return payload
			}
			names := func(err error) bool {
				var invalid *schema.InvalidError
				return errors.As(err, &invalid) && slices.ContainsFunc(invalid.Fields, func(f schema.FieldError) bool { return f.Field == field.Name })
			}
			_, err := c.Parse(row.Service, row.Name, with(""))
			if names(err) != field.Required {
				t.Errorf("%s without %s: %v", row.Name, field.Name, err)
			}
			tellable := field.Type == catalogue.Object || field.Type == catalogue.Strings || field.Type == catalogue.Any && !field.Nullable ||
				field.Type == catalogue.String && !field.MayBeEmpty
			if structErr := decode(t, &row, with("")).Validate(); tellable && !field.NotSent && names(structErr) != field.Required {
				t.Errorf("%T without %s: %v", structErr, field.Name, structErr)
			}
			if field.Type != catalogue.Any {
				if _, err := c.Parse(row.Service, row.Name, with("true")); !names(err) {
					t.Errorf("%s with a mistyped %s: %v", row.Name, field.Name, err)
				}
			}
			if field.Type == catalogue.String && !field.NotSent {
				_, err := c.Parse(row.Service, row.Name, with(`""`))
				structErr := decode(t, &row, with(`""`)).Validate()
				if wantErr := field.Required && !field.MayBeEmpty; names(err) != wantErr || names(structErr) != wantErr {
					t.Errorf("%s with an empty %s: %v and %v", row.Name, field.Name, err, structErr)
				}
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	c := catalogue.Default()
	for _, name := range []string{"adapter.activated", "registry.updated"} {
		row, _ := c.Event(schema.Dhruva, name)
		payload := []byte(row.Example)
		b.Run("event="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Parse(schema.Dhruva, name, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
