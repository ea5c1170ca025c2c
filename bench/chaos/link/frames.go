//go:build unix

package link

import (
	"bytes"
	"strconv"
)

// fate is what becomes of a message.
type fate uint8

const (
	pass fate = iota
	drop
	twice
)

// frames divides what a NATS server sends into whole protocol frames, so that a
// message can be taken out without the receiver noticing. It belongs to one goroutine.
type frames struct {
	// decide says what becomes of a message of a subject.
	decide func(subject []byte) fate
	// buf holds the beginning of a frame whose end has not come.
	buf []byte
}

var crlf = []byte("\r\n")

// filter takes what was read and appends to dst what may go on.
func (f *frames) filter(dst, p []byte) []byte {
	f.buf = append(f.buf, p...)
	rest := f.buf
	for {
		n, subject := frame(rest)
		if n == 0 {
			break
		}
		fate := pass
		if subject != nil {
			fate = f.decide(subject)
		}
		if fate != drop {
			dst = append(dst, rest[:n]...)
		}
		if fate == twice {
			dst = append(dst, rest[:n]...)
		}
		rest = rest[n:]
	}
	f.buf = append(f.buf[:0], rest...)
	return dst
}

// frame is the length of the whole frame at the beginning of p, 0 if it is not
// complete, and the subject where it is a message.
func frame(p []byte) (length int, subject []byte) {
	end := bytes.Index(p, crlf)
	if end < 0 {
		return 0, nil
	}
	line := end + len(crlf)
	fields := bytes.Fields(p[:end])
	if len(fields) < 4 || string(fields[0]) != "MSG" && string(fields[0]) != "HMSG" {
		return line, nil
	}
	size, err := strconv.Atoi(string(fields[len(fields)-1]))
	if err != nil || size < 0 {
		return line, nil
	}
	if length = line + size + len(crlf); length > len(p) {
		return 0, nil
	}
	return length, fields[1]
}
