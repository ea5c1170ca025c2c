//go:build linux

package swarm

import (
	"encoding/json"
	"testing"
)

func TestEnvelopeIsReadInAnyOrder(t *testing.T) {
	for _, c := range []struct {
		text      string
		kind      string
		seq, prev uint64
		hasSeq    bool
	}{
		{`{"type":"event","room":"workflow:1","seq":7,"prev":3,"event":"x","data":{"seq":99}}`, "event", 7, 3, true},
		{` { "data" : {"seq":99, "a":"}\"{"} , "prev":3,"seq" :7 ,"room":"r", "type" : "event" } `, "event", 7, 3, true},
		{`{"type":"event","event":"welcome","data":{"limits":{"a":[1,"]",{}]}}}`, "event", 0, 0, false},
		{`{"type":"pong","data":{"seq":5}}`, "pong", 0, 0, false},
		{`{"type":"ack","event":"caught_up","room":"a\\","data":{"seq":5}}`, "ack", 0, 0, false},
	} {
		var e envelope
		if !e.parse([]byte(c.text)) {
			t.Errorf("%s: not read", c.text)
		}
		if string(e.kind) != c.kind || e.seq != c.seq || e.prev != c.prev || e.hasSeq != c.hasSeq {
			t.Errorf("%s: %+v", c.text, e)
		}
	}
	for _, text := range []string{``, `{`, `[]`, `{}`, `{"type"}`, `{"type":"event"`, `{"type":"event","data":{"a":"}`, `{"type":"event" "seq":1}`, `{,"type":"event"}`} {
		var e envelope
		if e.parse([]byte(text)) {
			t.Errorf("%s: read as %+v", text, e)
		}
	}
}

func TestSentIsFoundInThePayload(t *testing.T) {
	for text, want := range map[string]int64{
		`{"data":{"result":{"sent_ns":123456,"text":"x"}}}`: 123456,
		`{"data":{}}`:            0,
		`{"data":{"sent_ns":}`:   0,
		`{"data":{"sent_ns":17`:  17,
		`{"data":{"sent_ns":-17`: 0,
	} {
		if got := sentAt([]byte(text)); got != want {
			t.Errorf("%s: %d", text, got)
		}
	}
}

// FuzzFieldsAgreeWithEncodingJSON: what encoding/json takes as an object is walked whole, with the
// same values.
func FuzzFieldsAgreeWithEncodingJSON(f *testing.F) {
	f.Add([]byte(`{"type":"event","room":"w:\"1","seq":7,"data":{"a":[1,{"b":"]}"}],"c":null}}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"a":"\\","b":-1.5e3 , "c" : true}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := map[string]string{}
		w := fields{rest: text}
		for w.next() {
			got[string(w.key)] = string(w.value)
		}
		var want map[string]json.RawMessage
		if json.Unmarshal(text, &want) != nil || want == nil {
			return // It must only not panic.
		}
		if !w.ended {
			t.Fatalf("not walked to the end: %q", text)
		}
		for key, value := range want {
			// A key with escapes or broken UTF-8 is another string here.
			if value, ok := got[key], string(value); ok != "" && value != "" && ok != value {
				t.Errorf("%q: %q, not %q", key, got[key], value)
			}
		}
	})
}
