//go:build linux

package good

import (
	"bytes"
	"encoding/json"

	"github.com/bodhisattva/indranet/bench/attack/stage"
)

// The beginning of an event as it usually comes.
const (
	eventHead = `{"type":"event","room":"`
	seqKey    = `","seq":`
	prevKey   = `,"prev":`
)

// scanEvent reads an event that is spelled as usual, without all that reading JSON
// costs: most of what comes is events, and who measures must not need much. ok is false
// for everything else, which takes the long way.
func scanEvent(text []byte) (m message, b stage.Body, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte(eventHead))
	if !ok {
		return m, b, false
	}
	room, rest, ok := bytes.Cut(rest, []byte(seqKey))
	if !ok || bytes.ContainsAny(room, `"\\`) {
		return m, b, false
	}
	m.Type, m.Room = "event", string(room)
	if m.Seq, rest, ok = digits(rest); !ok {
		return m, b, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(prevKey)); !ok {
		return m, b, false
	}
	if m.Prev, rest, ok = digits(rest); !ok || m.Seq == 0 {
		return m, b, false
	}
	b, ok = scanBody(rest)
	return m, b, ok
}

// scanBody finds what the publisher wrote.
func scanBody(text []byte) (b stage.Body, ok bool) {
	_, mark, ok := bytes.Cut(text, []byte(`"mark":"`))
	end := bytes.IndexByte(mark, '"')
	if !ok || end < 0 {
		return b, false
	}
	b.Mark = string(mark[:end])
	var numbers [3]uint64
	for i, key := range []string{`"c":`, `"n":`, `"sent_ns":`} {
		_, after, found := bytes.Cut(text, []byte(key))
		if !found {
			return b, false
		}
		if numbers[i], _, ok = digits(after); !ok {
			return b, false
		}
	}
	b.C, b.N, b.SentNS = int(numbers[0]), numbers[1], int64(numbers[2])
	return b, true
}

// digits reads a number of at most 18 digits.
func digits(text []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(text) && '0' <= text[i] && text[i] <= '9'; i++ {
		n = n*10 + uint64(text[i]-'0')
	}
	return n, text[i:], i > 0 && i <= 18
}

// parseEvent reads an event that is spelled in any way. ok is false where it is none
// that the publisher wrote.
func (m *message) parseEvent() (b stage.Body, ok bool) {
	raw := m.Data.Result
	if raw == nil {
		raw = m.Data.Metrics
	}
	return b, raw != nil && json.Unmarshal(raw, &b) == nil
}
