package feed

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
)

// Undeliverable is the name under which a stored message is delivered that is no
// event: somebody wrote it past the SDK. It keeps its position, so that the
// sequence has no hole; its payload says what is wrong and nothing else.
const Undeliverable = "system.undeliverable"

// presentable returns the event's name and payload as they may be sent.
func presentable(m Message) (event string, data []byte) {
	switch {
	case m.Event == "" || len(m.Event) > schema.MaxEventID || !utf8.ValidString(m.Event):
		return Undeliverable, []byte(`{"reason":"no_event_name"}`)
	case len(m.Data) > schema.MaxPayload:
		return Undeliverable, []byte(`{"reason":"too_large"}`)
	}
	data = bytes.TrimSpace(m.Data)
	if len(data) == 0 || data[0] != '{' || !utf8.Valid(data) || !json.Valid(data) {
		return Undeliverable, []byte(`{"reason":"not_a_json_object"}`)
	}
	return m.Event, data
}

// encodeBody encodes what is the same on every channel.
func encodeBody(m Message) []byte {
	event, data := presentable(m)
	size := len(event) + len(m.ID) + len(data) + 80
	return wire.AppendBody(make([]byte, 0, size), event, m.ID, m.Time, data)
}
