package wire

import (
	"encoding/binary"
	"encoding/json"
	"strconv"
	"time"
)

// MaxMessage bounds every outbound message, in bytes: older Python clients refuse
// longer ones.
const MaxMessage = 1_000_000

// TimeFormat is how timestamps are written: RFC 3339, UTC, microseconds.
const TimeFormat = "2006-01-02T15:04:05.000000Z"

// Frame is one event, ready to be written to any number of connections: Head,
// then Body. It is read-only for ever after it was made.
type Frame struct {
	// Seq is the event's position and Prev the position of the subscription's
	// previous event. Both are 0 for a transient event.
	Seq, Prev uint64
	// Head begins with the header of the WebSocket frame.
	Head []byte
	// Body is shared by all channels that deliver the event; nil where Head
	// holds everything.
	Body []byte
}

// Size is the number of bytes on the wire.
func (f Frame) Size() int { return len(f.Head) + len(f.Body) }

// JSON appends the message without the WebSocket header, as it stands in a
// history response.
func (f Frame) JSON(dst []byte) []byte {
	dst = append(dst, f.Head[headerSize(f.Head):]...)
	return append(dst, f.Body...)
}

// AppendBody appends the part of an event's message that is the same on every
// channel: from the event's name to the closing brace. data must be a JSON
// object; it is copied as it is.
func AppendBody(dst []byte, event, id string, stored time.Time, data []byte) []byte {
	dst = append(dst, `"event":`...)
	dst = appendString(dst, event)
	if id != "" {
		dst = append(dst, `,"id":`...)
		dst = appendString(dst, id)
	}
	dst = append(dst, `,"timestamp":"`...)
	dst = stored.UTC().AppendFormat(dst, TimeFormat)
	dst = append(dst, `","data":`...)
	dst = append(dst, data...)
	return append(dst, '}')
}

// NewFrame joins a body to the head of one channel. The bytes of body are shared,
// not copied. seq 0 makes the frame of a transient event.
func NewFrame(room string, seq, prev uint64, body []byte) Frame {
	head := make([]byte, maxHeader, maxHeader+len(room)+96)
	head = appendHead(head, room, seq, prev)
	start := putHeader(head, len(head)-maxHeader+len(body))
	return Frame{Seq: seq, Prev: prev, Head: head[start:], Body: body}
}

// NewWholeFrame is NewFrame with everything in one piece of memory: what a feed
// of a single channel keeps.
func NewWholeFrame(room string, seq, prev uint64, event, id string, stored time.Time, data []byte) Frame {
	buf := make([]byte, maxHeader, maxHeader+len(room)+len(event)+len(id)+len(data)+176)
	buf = appendHead(buf, room, seq, prev)
	buf = AppendBody(buf, event, id, stored, data)
	start := putHeader(buf, len(buf)-maxHeader)
	return Frame{Seq: seq, Prev: prev, Head: buf[start:]}
}

func appendHead(dst []byte, room string, seq, prev uint64) []byte {
	dst = append(dst, `{"type":"event","room":`...)
	dst = appendString(dst, room)
	if seq > 0 {
		dst = append(dst, `,"seq":`...)
		dst = strconv.AppendUint(dst, seq, 10)
		dst = append(dst, `,"prev":`...)
		dst = strconv.AppendUint(dst, prev, 10)
	}
	return append(dst, ',')
}

// maxHeader is the longest header of an unmasked WebSocket frame.
const maxHeader = 10

// putHeader writes the header of an unmasked final text frame of n bytes so that
// it ends at buf[maxHeader], and returns where it begins.
func putHeader(buf []byte, n int) int {
	const finalText = 0x81
	switch {
	case n < 126:
		buf[8], buf[9] = finalText, byte(n)
		return 8
	case n <= 0xFFFF:
		buf[6], buf[7] = finalText, 126
		binary.BigEndian.PutUint16(buf[8:], uint16(n))
		return 6
	}
	buf[0], buf[1] = finalText, 127
	binary.BigEndian.PutUint64(buf[2:], uint64(n))
	return 0
}

func headerSize(frame []byte) int {
	switch frame[1] {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

// TextFrame returns message as a WebSocket frame of its own.
func TextFrame(message []byte) []byte {
	buf := make([]byte, maxHeader, maxHeader+len(message))
	start := putHeader(buf, len(message))
	return append(buf, message...)[start:]
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7F {
			quoted, err := json.Marshal(s)
			if err != nil {
				return append(dst, `""`...) // json.Marshal of a string cannot fail.
			}
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// WithPrev returns the frame with another prev. Both parts keep the bytes of f
// where they can.
func (f Frame) WithPrev(room string, prev uint64) Frame {
	old := headerSize(f.Head)
	was := len(appendHead(nil, room, f.Seq, f.Prev))
	rest := f.Head[old+was:] // The body, where the frame is in one piece.
	head := make([]byte, maxHeader, maxHeader+len(room)+96+len(rest))
	head = appendHead(head, room, f.Seq, prev)
	head = append(head, rest...)
	start := putHeader(head, len(head)-maxHeader+len(f.Body))
	return Frame{Seq: f.Seq, Prev: prev, Head: head[start:], Body: f.Body}
}
