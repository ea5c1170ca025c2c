package request

import (
	"net"
	"time"

	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
)

// subscription is one channel of one connection.
type subscription struct {
	// Static after construction.
	session *Session
	feed    *feed.Feed
	channel schema.Channel

	// Guarded by Shard.mu.
	index int

	// Guarded by Session.markMu.
	marked bool

	// Guarded by Session.mu.
	cursor *feed.Cursor
	// reading is true until the cursor reached the head, and again when it fell
	// behind the ring: caught_up is due at the next head.
	reading bool
	// caughtUp is true once caught_up was sent: from then on the client applies
	// positions without a room to this subscription.
	caughtUp bool
	// ready is true while the subscription waits for its turn in Session.ready.
	ready bool
	// attached is true once the answer was queued: nothing is sent before it.
	attached bool
	closed   bool
	// pages is what the cursor holds of pages, as counted in Session.pages; hungry is
	// true while it waits in Session.hungry.
	pages  int
	hungry bool
}

// state is how list_channels calls it.
func (sub *subscription) state() string {
	if sub.reading {
		return "reading"
	}
	return "live"
}

// fill appends what is ready, and reports whether there is more right away. The
// caller holds Session.mu.
func (sub *subscription) fill(dst net.Buffers, budget int, now time.Time) (_ net.Buffers, events int, more bool) {
	if !sub.attached || sub.closed {
		return dst, 0, false
	}
	dst, events, place := sub.cursor.Next(dst, budget)
	switch place {
	case feed.Ready:
		more = true
	case feed.Behind:
		sub.reading = true
	case feed.Lost:
		dst, more = sub.reset(dst, now), true
	case feed.AtHead:
		if sub.reading {
			sub.reading, sub.caughtUp = false, true
			dst = append(dst, wire.CaughtUp(now, sub.feed.Room(), sub.seq(sub.cursor.Pos())))
		}
		var passed int
		dst, passed = sub.cursor.Passing(dst)
		events += passed
	}
	return dst, events, more
}

// reset starts the subscription anew at the oldest position and says why.
func (sub *subscription) reset(dst net.Buffers, now time.Time) net.Buffers {
	start := sub.cursor.Why()
	sub.cursor.Restart(start)
	sub.reading, sub.caughtUp = true, false
	recovered := false
	sub.session.server.Stats.Resets.Add(1)
	sub.session.position = 0 // What was told belongs to another log, perhaps.
	return append(dst, wire.Reset(now, wire.Subscribed{
		Channel: sub.feed.Room(), Epoch: start.Epoch, Seq: sub.seq(start.Pos),
		Recovered: &recovered, Reason: start.Reason, FirstSeq: &start.First,
	}))
}

// seq is a position as it is shown: absent for a purely transient channel.
func (sub *subscription) seq(pos uint64) *uint64 {
	if !sub.feed.Target().Durable {
		return nil
	}
	return &pos
}
