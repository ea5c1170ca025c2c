package directget

import (
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// Headers that the server adds.
const (
	hdrStream  = "Nats-Stream"
	hdrSubject = "Nats-Subject"
	hdrSeq     = "Nats-Sequence"
	hdrTime    = "Nats-Time-Stamp"
	hdrPrev    = "Nats-Last-Sequence"
	hdrPending = "Nats-Num-Pending"
	hdrUpTo    = "Nats-UpTo-Sequence"
)

// Last returns the last value of a header, "" if it has none. Of the headers that
// begin with "Nats-" the server appends its own behind whatever a publisher sent, so
// only the last value can be trusted. The key is matched as it is written.
func Last(h nats.Header, key string) string {
	if values := h[key]; len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

// number is the last value of a header as a number, 0 if it is none.
func number(h nats.Header, key string) uint64 {
	n, err := strconv.ParseUint(Last(h, key), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// fill makes m the message that the server answered with.
func (m *Message) fill(in *nats.Msg) error {
	h := in.Header
	m.Subject = Last(h, hdrSubject)
	m.Seq = number(h, hdrSeq)
	m.Prev = number(h, hdrPrev)
	m.Header = h
	m.Data = in.Data
	if m.Subject == "" || m.Seq == 0 {
		return fmt.Errorf("%w: an answer without a subject or a sequence", ErrLoad)
	}
	var err error
	if m.Time, err = time.Parse(time.RFC3339Nano, Last(h, hdrTime)); err != nil {
		return fmt.Errorf("%w: an answer without a time", ErrLoad)
	}
	return nil
}
