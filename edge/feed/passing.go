package feed

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
)

// eventUserLeft ends what is remembered of a user's transient events.
const eventUserLeft = "user.left"

// passing holds a feed's newest transient events: of a user and event only the
// newest, so that a connection which lags gets the newest instead of all. Cursors
// remember the version that they have seen. It is not safe for concurrent use.
type passing struct {
	maxEntries, maxBytes int
	bytes                int
	version              uint64
	// entries are in order of version, oldest first.
	entries []passed
}

type passed struct {
	version     uint64
	event, user string
	at          time.Time
	frame       wire.Frame
	gone        bool // The user has left since.
}

// add remembers an event. An event without a user replaces nothing.
func (p *passing) add(event, user string, frame wire.Frame, now time.Time) {
	p.version++
	if user != "" {
		p.drop(func(_ int, e passed) bool { return e.user == user && e.event == event })
	}
	p.entries = append(p.entries, passed{version: p.version, event: event, user: user, at: now, frame: frame})
	p.bytes += frame.Size()
	over := 0
	for bytes := p.bytes; len(p.entries)-over > 1 && (len(p.entries)-over > p.maxEntries || bytes > p.maxBytes); over++ {
		bytes -= p.entries[over].frame.Size()
	}
	p.drop(func(i int, _ passed) bool { return i < over })
}

// drop forgets entries.
func (p *passing) drop(which func(i int, e passed) bool) {
	i := -1
	p.entries = slices.DeleteFunc(p.entries, func(e passed) bool {
		i++
		gone := which(i, e)
		if gone {
			p.bytes -= e.frame.Size()
		}
		return gone
	})
}

// forget keeps what a user who left had done from newcomers. Who was there before
// still gets it.
func (p *passing) forget(user string) {
	for i := range p.entries {
		if user != "" && p.entries[i].user == user {
			p.entries[i].gone = true
		}
	}
}

// after appends the frames of events with a version above seen.
func (p *passing) after(dst []wire.Frame, seen uint64) []wire.Frame {
	i := len(p.entries)
	for i > 0 && p.entries[i-1].version > seen {
		i--
	}
	for ; i < len(p.entries); i++ {
		dst = append(dst, p.entries[i].frame)
	}
	return dst
}

// present appends the last event of each kind of every user who did something
// since: what a newcomer needs to see the room as it is.
func (p *passing) present(dst []wire.Frame, since time.Time) []wire.Frame {
	for _, e := range p.entries {
		if e.user != "" && !e.gone && e.at.After(since) {
			dst = append(dst, e.frame)
		}
	}
	return dst
}

// userOf is the user_id of a payload, empty where there is none.
func userOf(data []byte) string {
	var fields struct {
		UserID string `json:"user_id"`
	}
	if json.Unmarshal(data, &fields) != nil {
		return ""
	}
	return fields.UserID
}
