package feed

import (
	"net"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
)

// Place says where a cursor stands after Next.
type Place uint8

const (
	// AtHead: everything that the feed knows has been handed out. The feed's
	// sinks are told when there is more.
	AtHead Place = iota
	// Ready: the budget was used up; call Next again.
	Ready
	// Behind: what comes next must be read from the log. Call Feed.Fetch, hand
	// the page to Take, and call Next again.
	Behind
	// Lost: the log's epoch changed. Call Restart with what the client is told.
	Lost
)

// Cursor is a subscription's place in a feed. It belongs to one caller at a time.
type Cursor struct {
	feed *Feed
	// pos: everything of the feed up to it has been handed out or precedes the
	// subscription.
	pos uint64
	// last is the position the client knows: of the last event handed out, or
	// where the subscription began.
	last uint64
	// generation is the feed's when the cursor was set.
	generation uint64
	// page is what was read from the log and not handed out yet.
	// fresh is true until its first frame was.
	page    []wire.Frame
	fresh   bool
	through uint64
	// seen is the version of the newest transient event handed out; newcomer is
	// true until the present ones have been.
	seen     uint64
	newcomer bool
	scratch  []wire.Frame
}

// NewCursor returns a cursor that hands out what follows position pos.
func (f *Feed) NewCursor(pos uint64) *Cursor {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return &Cursor{feed: f, pos: pos, last: pos, generation: f.generation, newcomer: true}
}

// Pos is the position up to which everything was handed out.
func (c *Cursor) Pos() uint64 { return c.pos }

// Next appends the bytes of what follows, about budget bytes and at least one
// event where there is one, and says where the cursor then stands. The bytes are
// shared and read-only. count is the number of events.
func (c *Cursor) Next(dst net.Buffers, budget int) (_ net.Buffers, count int, place Place) {
	start := len(dst)
	if len(c.page) > 0 || c.through > c.pos {
		dst, budget, count = c.nextOfPage(dst, budget)
		if budget <= 0 {
			return dst, count, Ready
		}
	}
	f := c.feed
	// The head is read before the ring: an event is in the ring before the head
	// reaches it, so nothing up to this head can be missing from the ring.
	head := f.Head()
	f.mu.RLock()
	defer f.mu.RUnlock()
	if c.generation != f.generation {
		return dst[:start], 0, Lost
	}
	if f.durable != nil {
		if c.pos < f.ring.base {
			return dst, count, Behind
		}
		for _, frame := range f.ring.after(c.pos) {
			if budget <= 0 {
				return dst, count, Ready
			}
			dst = c.hand(dst, frame, f.target.View)
			budget -= frame.Size()
			count++
		}
		c.pos = max(c.pos, head)
	}
	return dst, count, AtHead
}

// Passing appends the transient events that were not handed out yet; the first time
// those that show the users who are present. It is for a cursor at the head, after
// the client was told so. count is the number of events.
func (c *Cursor) Passing(dst net.Buffers) (_ net.Buffers, count int) {
	f := c.feed
	if !f.target.Transient {
		return dst, 0
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if c.newcomer {
		c.scratch = f.passing.present(c.scratch[:0], time.Now().Add(-f.set.cfg.PresentFor))
		c.newcomer = false
	} else if c.seen != f.passing.version {
		c.scratch = f.passing.after(c.scratch[:0], c.seen)
	}
	c.seen = f.passing.version
	for _, frame := range c.scratch {
		dst = append(dst, frame.Head, frame.Body)
	}
	count = len(c.scratch)
	clear(c.scratch)
	c.scratch = c.scratch[:0]
	return dst, count
}

func (c *Cursor) nextOfPage(dst net.Buffers, budget int) (net.Buffers, int, int) {
	n := 0
	for n < len(c.page) && budget > 0 {
		dst = c.hand(dst, c.page[n], n == 0 && c.fresh || c.feed.target.View)
		budget -= c.page[n].Size()
		n++
	}
	c.page, c.fresh = c.page[n:], false
	if len(c.page) == 0 {
		c.page, c.pos = nil, max(c.pos, c.through)
	}
	return dst, budget, n
}

// hand appends one durable event. A loose frame is one that was encoded without
// knowing the event before it (the first of a page, and of a view's feed): its prev
// may lie above what this client knows and is set right here. The others keep the
// chain of the log, so that a client would see a hole if ever there were one.
func (c *Cursor) hand(dst net.Buffers, frame wire.Frame, loose bool) net.Buffers {
	if loose && frame.Prev > c.last {
		frame = frame.WithPrev(c.feed.room, c.last)
	}
	c.pos, c.last = frame.Seq, frame.Seq
	if frame.Body == nil {
		return append(dst, frame.Head)
	}
	return append(dst, frame.Head, frame.Body)
}

// Take gives the cursor a page that Fetch delivered for its position.
func (c *Cursor) Take(p Page) {
	c.page, c.through, c.fresh = p.Frames, p.Through, true
}

// Restart moves the cursor to pos after it was Lost, or its position expired.
func (c *Cursor) Restart(pos uint64) {
	c.feed.mu.RLock()
	defer c.feed.mu.RUnlock()
	c.pos, c.last, c.page, c.through = pos, pos, nil, 0
	c.generation = c.feed.generation
}

// Known is a position up to which the client has everything of the feed, once it
// has received what was handed out: the feed's head where nothing else is left.
func (c *Cursor) Known() uint64 {
	if c.feed.durable == nil || len(c.page) > 0 || c.through > c.pos {
		return c.pos
	}
	head := c.feed.Head() // Before the ring: see Next.
	c.feed.mu.RLock()
	defer c.feed.mu.RUnlock()
	if c.generation == c.feed.generation && c.pos >= c.feed.ring.base && len(c.feed.ring.after(c.pos)) == 0 {
		c.pos = max(c.pos, head)
	}
	return c.pos
}
