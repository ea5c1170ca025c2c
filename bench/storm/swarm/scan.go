//go:build linux

package swarm

import (
	"bytes"
	"strconv"
)

// envelope is what a client reads of a message.
type envelope struct {
	kind, event, room []byte
	seq, prev         uint64
	hasSeq, hasPrev   bool
	data              []byte
}

// parse reads the envelope of a message. It stops as soon as it knows where a durable
// event stands: the payload of events is not looked at. ok is false where the bytes
// are not such a message as far as they were read.
func (e *envelope) parse(text []byte) (ok bool) {
	*e = envelope{}
	f := fields{rest: text}
	for f.next() {
		switch string(f.key) {
		case "type":
			e.kind = unquote(f.value)
		case "event":
			e.event = unquote(f.value)
		case "room":
			e.room = unquote(f.value)
		case "seq":
			e.seq, e.hasSeq = number(f.value)
		case "prev":
			e.prev, e.hasPrev = number(f.value)
		case "data":
			e.data = f.value
		}
		if e.hasSeq && e.hasPrev && e.room != nil && string(e.kind) == "event" {
			return true
		}
	}
	return f.ended && e.kind != nil
}

// place is what acks say in their data.
type place struct {
	seq       uint64
	hasSeq    bool
	epoch     []byte
	recovered bool
}

func (p *place) parse(data []byte) (ok bool) {
	*p = place{}
	f := fields{rest: data}
	for f.next() {
		switch string(f.key) {
		case "seq":
			p.seq, p.hasSeq = number(f.value)
		case "epoch":
			p.epoch = unquote(f.value)
		case "recovered":
			p.recovered = string(f.value) == "true"
		}
	}
	return f.ended
}

// fields walks the members of a JSON object. Key and value are the bytes of the last
// one; ended is true once the object was whole.
type fields struct {
	rest       []byte
	key, value []byte
	begun      bool
	ended      bool
}

func (f *fields) next() bool {
	f.rest = skipSpace(f.rest)
	if len(f.rest) == 0 {
		return false
	}
	switch c := f.rest[0]; {
	case !f.begun && c == '{':
		f.begun = true
	case f.begun && f.key != nil && c == ',':
	case f.begun && f.key != nil && c == '}':
		f.ended = true
		return false
	default:
		return false
	}
	f.rest = skipSpace(f.rest[1:])
	if f.key == nil && len(f.rest) > 0 && f.rest[0] == '}' {
		f.ended = true
		return false
	}
	n := stringLen(f.rest)
	if n == 0 {
		return false
	}
	f.key = f.rest[1 : n-1 : n-1]
	f.rest = skipSpace(f.rest[n:])
	if len(f.rest) == 0 || f.rest[0] != ':' {
		return false
	}
	f.rest = skipSpace(f.rest[1:])
	n = valueLen(f.rest)
	if n == 0 {
		return false
	}
	f.value, f.rest = f.rest[:n:n], f.rest[n:]
	return true
}

func skipSpace(text []byte) []byte {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\n' || text[0] == '\t' || text[0] == '\r') {
		text = text[1:]
	}
	return text
}

// stringLen is the length of the JSON string that text begins with, 0 for none.
func stringLen(text []byte) int {
	if len(text) == 0 || text[0] != '"' {
		return 0
	}
	for i := 1; ; {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			return 0
		}
		i += n + 1
		backslashes := 0
		for text[i-2-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return i
		}
	}
}

// valueLen is the length of the JSON value that text begins with, 0 for none. It
// looks at what it must to find the end, not whether all before it is right.
func valueLen(text []byte) int {
	if len(text) == 0 {
		return 0
	}
	switch text[0] {
	case '"':
		return stringLen(text)
	case '{', '[':
		return nestedLen(text)
	}
	for i, c := range text {
		switch c {
		case ',', '}', ']', ' ', '\n', '\t', '\r':
			return i
		}
	}
	return len(text)
}

func nestedLen(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			n := stringLen(text[i:])
			if n == 0 {
				return 0
			}
			i += n - 1
		}
	}
	return 0
}

// unquote returns what stands between the quotes; nil where text is no string. What is
// compared with it needs no escapes.
func unquote(text []byte) []byte {
	if len(text) < 2 || text[0] != '"' {
		return nil
	}
	return text[1 : len(text)-1]
}

func number(text []byte) (n uint64, ok bool) {
	if len(text) == 0 || len(text) > 19 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// sentKey is the key in payloads under which a publisher says when it sent the event.
const sentKey = `"sent_ns":`

// sentAt finds when an event was sent; 0 where it does not say.
func sentAt(text []byte) int64 {
	i := bytes.Index(text, []byte(sentKey))
	if i < 0 {
		return 0
	}
	text = text[i+len(sentKey):]
	n := 0
	for n < len(text) && '0' <= text[n] && text[n] <= '9' {
		n++
	}
	at, err := strconv.ParseInt(string(text[:n]), 10, 64)
	if err != nil {
		return 0
	}
	return at
}
