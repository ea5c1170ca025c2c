//go:build unix

package client

import (
	"encoding/json"
	"time"

	"github.com/bodhisattva/indranet/bench/chaos/check"
)

// subscription is one channel of a client, over all of its connections. Its owner is
// the client's goroutine.
type subscription struct {
	channel string
	// edge is where the client is connected.
	edge string
	// from is where it begins: "start", "now", or an object with last or time.
	from any

	history check.History
	// started is true once there was an ack; pos and epoch are what to resume with.
	started bool
	pos     uint64
	epoch   string
	// lastID is the id of the event at pos, empty where there is none.
	lastID string
	// begun is where the subscription began, the last time that it did, and delivered
	// the last position of an event since then.
	begun, delivered uint64

	// Of the connection: attached after the ack, caughtUp after the first caught_up.
	attached, caughtUp bool
	// pending is the id of the request that has no answer yet, empty without one.
	pending string
	// asked is the position that the pending subscribe named, under its epoch.
	asked   uint64
	under   string
	resumes bool
}

// entry is what to subscribe with. The id is said now and then.
func (s *subscription) entry(withID bool) entry {
	s.resumes, s.asked, s.under = s.started, s.pos, s.epoch
	if !s.started {
		return entry{s.channel, s.from}
	}
	at := since{Seq: s.pos, Epoch: s.epoch}
	if withID {
		at.ID = s.lastID
	}
	return entry{s.channel, at}
}

func (s *subscription) note(n check.Note) {
	n.Before, n.From = len(s.history.Deliveries), s.edge
	s.history.Notes = append(s.history.Notes, n)
}

// ack takes the answer to a subscribe.
func (s *subscription) ack(a *answer, at time.Duration) error {
	if a.Seq == nil || a.Recovered == nil || a.Epoch == "" {
		return broken("the ack of %s lacks seq, recovered or epoch", s.channel)
	}
	s.note(check.Note{
		Kind: check.Subscribed, At: at, Seq: *a.Seq, Epoch: a.Epoch, Recovered: *a.Recovered, Reason: a.Reason,
		Resumed: s.resumes, Asked: s.asked, Under: s.under, Start: s.from == "start",
	})
	s.restart(a, !s.resumes || !*a.Recovered)
	return nil
}

// reset takes an ack that the subscription starts anew.
func (s *subscription) reset(a *answer, at time.Duration) error {
	if a.Seq == nil {
		return broken("the reset of %s lacks seq", s.channel)
	}
	s.note(check.Note{Kind: check.Reset, At: at, Seq: *a.Seq, Epoch: a.Epoch, Reason: a.Reason, Asked: s.pos})
	s.restart(a, true)
	return nil
}

func (s *subscription) restart(a *answer, anew bool) {
	if anew {
		s.begun, s.delivered = *a.Seq, 0
	}
	s.history.Passing.Begin()
	if *a.Seq != s.pos {
		s.lastID = ""
	}
	s.started, s.attached, s.caughtUp = true, true, false
	s.pos, s.epoch = *a.Seq, a.Epoch
}

// told takes a position.
func (s *subscription) told(seq uint64, at time.Duration) {
	s.note(check.Note{Kind: check.Told, At: at, Seq: seq})
	if seq > s.pos {
		s.pos, s.lastID = seq, ""
	}
}

// event takes a durable event.
func (s *subscription) event(id string, d check.Delivery) {
	s.history.Deliveries = append(s.history.Deliveries, d)
	s.delivered = max(s.delivered, d.Seq)
	if d.Seq > s.pos {
		s.pos, s.lastID = d.Seq, id
	}
}

// transient is the event that is never stored, of which there are some in this program.
const transient = "cursor.moved"

// passing takes a transient event.
func (s *subscription) passing(f *frame) error {
	var p payload
	switch {
	case f.Seq != nil:
		return broken("a %s of %s with seq", transient, f.Room)
	case json.Unmarshal(f.Data, &p) != nil || !check.Selects(s.channel, p.channel()):
		return broken("a %s of %s with data that nobody published", transient, f.Room)
	}
	s.history.Passing.Come(p.UserID, uint64(p.X))
	return nil
}

// reached reports whether the subscription has what is there up to its goal.
func (s *subscription) reached(g Goal) bool {
	return s.started && s.epoch == g.Epoch && (s.delivered >= g.Seq || s.begun >= g.Seq || g.Seq == 0)
}
