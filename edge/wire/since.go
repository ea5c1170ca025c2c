package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// SinceKind tells the five forms of since apart.
type SinceKind uint8

// The forms of since.
const (
	// SinceNow delivers what is stored from now on. It is the default.
	SinceNow SinceKind = iota
	// SinceStart delivers everything that the log still holds.
	SinceStart
	// SinceSeq resumes after a position.
	SinceSeq
	// SinceLast delivers the newest N events, then what follows.
	SinceLast
	// SinceTime delivers from the first event stored at or after a time.
	SinceTime
)

// MaxLast bounds N of {"last":N}.
const MaxLast = 100_000

// Since says where a subscription begins.
type Since struct {
	Kind SinceKind
	// Seq is the position of SinceSeq: the client has everything up to it.
	Seq uint64
	// Epoch is the incarnation of the log that Seq belongs to. Empty means that
	// the client does not say.
	Epoch string
	// ID is the id of the event at Seq, empty where the client does not say.
	ID string
	// Last is the number of events of SinceLast, 1 to MaxLast.
	Last int
	// Time is the moment of SinceTime.
	Time time.Time
}

// ParseSince reads the JSON of since. Absent (nil) or null means SinceNow. The
// refusal has the code INVALID_REQUEST and says which forms there are.
func ParseSince(raw json.RawMessage) (Since, *Error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return Since{}, nil
	}
	switch raw[0] {
	case '"':
		var word string
		if err := json.Unmarshal(raw, &word); err == nil {
			switch word {
			case "now":
				return Since{}, nil
			case "start":
				return Since{Kind: SinceStart}, nil
			}
		}
		return Since{}, Errorf(InvalidRequest, `since: the words are "start" and "now"`)
	case '{':
		return parseSinceObject(raw)
	}
	return Since{}, Errorf(InvalidRequest, `since: must be "start", "now" or an object with seq, last or time`)
}

func parseSinceObject(raw []byte) (Since, *Error) {
	f, ok := fields(raw, "seq", "last", "time", "epoch", "id")
	if !ok {
		return Since{}, Errorf(InvalidRequest, "since: is not an object")
	}
	seq, last, text, epoch, id := f[0], f[1], f[2], f[3], f[4]
	given := 0
	for _, field := range f[:3] {
		if len(field) > 0 {
			given++
		}
	}
	if given != 1 {
		return Since{}, Errorf(InvalidRequest, "since: needs exactly one of seq, last, time")
	}
	switch {
	case len(seq) > 0:
		return sinceSeq(seq, epoch, id)
	case len(last) > 0:
		n, ok := whole(last)
		if !ok || n < 1 || n > MaxLast {
			return Since{}, Errorf(InvalidRequest, "since: last must be a whole number from 1 to %d", MaxLast)
		}
		return Since{Kind: SinceLast, Last: int(n)}, nil
	}
	return sinceTime(text)
}

// sinceTime reads a time, strictly: time.Parse takes an hour of one digit, and a comma
// for the point.
func sinceTime(raw json.RawMessage) (Since, *Error) {
	var text string
	if raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
		return Since{}, Errorf(InvalidRequest, "since: time must be RFC 3339 text")
	}
	moment, err := time.Parse(time.RFC3339Nano, text)
	// In UTC: an offset may lead out of what a timestamp can say.
	moment = moment.UTC()
	if err != nil || text[len("2006-01-02T15")] != ':' || strings.Contains(text, ",") || moment.Year() < 1970 || moment.Year() > 9999 {
		return Since{}, Errorf(InvalidRequest, "since: time must be RFC 3339, for example 2026-01-02T15:04:05Z, from 1970 on")
	}
	return Since{Kind: SinceTime, Time: moment}, nil
}

// whole reads a number without sign, fraction and exponent, at most MaxSeq.
func whole(raw json.RawMessage) (uint64, bool) {
	n, err := strconv.ParseUint(string(raw), 10, 64)
	return n, err == nil && n <= MaxSeq
}

func sinceSeq(number, epoch, id json.RawMessage) (Since, *Error) {
	since := Since{Kind: SinceSeq}
	var ok bool
	if since.Seq, ok = whole(number); !ok {
		return Since{}, Errorf(InvalidRequest, "since: seq must be a whole number from 0 to %d", uint64(MaxSeq))
	}
	if len(epoch) > 0 && json.Unmarshal(epoch, &since.Epoch) != nil {
		return Since{}, Errorf(InvalidRequest, "since: epoch must be text")
	}
	if len(id) > 0 && json.Unmarshal(id, &since.ID) != nil {
		return Since{}, Errorf(InvalidRequest, "since: id must be text")
	}
	return since, nil
}

// MaxSeq is the largest position: what every JSON reader can hold exactly.
const MaxSeq = 1<<53 - 1
