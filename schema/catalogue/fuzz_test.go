package catalogue_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// FuzzParse wants every accepted payload to mean the same to every reader: it is
// what encoding/json reads, the SDK's struct takes it and finds it valid, and
// parsing the result again changes nothing.
func FuzzParse(f *testing.F) {
	c := catalogue.Default()
	rows := c.Rows()
	for i, row := range rows {
		f.Add(uint8(i), []byte(row.Example))
	}
	registry := uint8(slices.IndexFunc(rows, func(r catalogue.Row) bool { return r.Name == "registry.updated" }))
	f.Add(registry, []byte(`{"registry_version":"1","changes":{"added":["a"],"version":"1","z":null}}`))
	state := uint8(slices.IndexFunc(rows, func(r catalogue.Row) bool { return r.Name == "state.changed" }))
	f.Add(state, []byte(`{"component_id":"c","state_path":"","value":null,"occurred_at":"2026-01-02T03:04:05Z"}`))
	f.Add(uint8(0), []byte(`{"workflow_id":"\ud83c\udfa8","adapter":"a","prompt":"","Prompt":1e400,"x":[[],{}]}`))
	f.Fuzz(func(t *testing.T, index uint8, payload []byte) {
		row := rows[int(index)%len(rows)]
		event, err := c.Parse(row.Service, row.Name, payload)
		if err != nil {
			if !errors.Is(err, schema.ErrInvalid) && !errors.Is(err, schema.ErrTooLarge) {
				t.Fatalf("error %v", err)
			}
			if !utf8.ValidString(err.Error()) || len(err.Error()) > 4096 {
				t.Fatalf("the error is not fit to show: %q", err)
			}
			return
		}
		if !json.Valid(payload) {
			t.Fatalf("accepted what is not JSON: %q", payload)
		}
		normal := event.(*catalogue.Parsed).Payload()
		var compact bytes.Buffer
		if err := json.Compact(&compact, normal); err != nil || !bytes.Equal(compact.Bytes(), normal) {
			t.Fatalf("%q is not compact JSON: %v", normal, err)
		}
		again, err := c.Parse(row.Service, row.Name, normal)
		if err != nil || !bytes.Equal(again.(*catalogue.Parsed).Payload(), normal) {
			t.Fatalf("%q is no fixed point: %v", normal, err)
		}
		agree(t, decode(t, &row, normal), event)
		home, _ := event.EventChannel()
		for _, name := range c.Views(nil, row.Service, row.Name, home, normal) {
			view, err := schema.ParseChannel(name)
			if err != nil {
				t.Fatalf("view %q: %v", name, err)
			}
			if target, err := c.Lookup(row.Service, view); err != nil || !target.View {
				t.Fatalf("view %q: %+v, %v", name, target, err)
			}
		}
	})
}

// FuzzViews feeds what may stand in a stream: any bytes under any name.
func FuzzViews(f *testing.F) {
	f.Add("element.added", "d1", []byte(`{"element_id":"e1"}`))
	f.Add("element.added", "a/b%2F", []byte(`{"x":[{"element_id":1}],"element_id":"e\/1"}`))
	f.Add("element.added", "d", []byte(`{"element_id":"`))
	f.Add("cursor.moved", "", []byte(`{"\`))
	f.Add("element.added", "", []byte(`{"element_id":"e1"}`)) // Written past the SDK.
	c := catalogue.Default()
	f.Fuzz(func(t *testing.T, event, id string, payload []byte) {
		home, err := schema.NewChannel("diagram", id)
		if err != nil {
			return
		}
		views := c.Views(nil, schema.Excalidraw, event, home, payload)
		for _, name := range views {
			view, err := schema.ParseChannel(name)
			if err != nil {
				t.Fatalf("view %q: %v", name, err)
			}
			if _, err := c.Lookup(schema.Excalidraw, view); err != nil {
				t.Fatalf("view %q: %v", name, err)
			}
		}
		// Where the payload is one that could have been published, the names hold
		// what encoding/json reads from it.
		parsed, err := c.Parse(schema.Excalidraw, "element.deleted", payload)
		if err != nil || event != "element.deleted" {
			return
		}
		var fields struct {
			ElementID string `json:"element_id"`
		}
		if err := json.Unmarshal(parsed.(*catalogue.Parsed).Payload(), &fields); err != nil {
			t.Fatal(err)
		}
		want, err := schema.NewHomeChannel("element", fields.ElementID)
		if err == nil && !bytes.ContainsRune([]byte(fields.ElementID), '/') && !slices.Contains(views, want.String()) {
			t.Fatalf("%q is not in %q", views, want)
		}
	})
}
