package feed

import (
	"math"
	"net"
	"sort"
	"sync/atomic"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
)

// Place says where a cursor stands after Next.
type Place uint8

const (
	// AtHead means that everything that the feed knows has been handed out. The feed's
	// sinks are told when there is more.
	AtHead Place = iota
	// Ready means that the budget was used up; call Next again.
	Ready
	// Behind means that what comes next must be read from the log; see Wants.
	Behind
	// Lost means that the cursor can't go on, see Why. Call Restart with what the client is
	// told.
	Lost
)

// Cursor is a subscription's place in a feed. It belongs to one caller at a time, but
// for Close. It holds at most two pages: the one that is handed out and the one behind
// it.
type Cursor struct {
	feed   *Feed
	closed atomic.Bool
	// pos: everything of the feed up to it has been handed out or precedes the
	// subscription.
	pos uint64
	// last is the position the client knows: of the last event handed out, or
	// where the subscription began.
	last uint64
	// handed is true once last is an event that was handed out.
	handed bool
	// generation is the feed's when the cursor was set.
	generation uint64

	// frames are what is left of the page that is handed out, which reaches up to
	// through; fresh is true before the first of them.
	frames  []wire.Frame
	fresh   bool
	through uint64
	// inHand is the size of that page, as long as anything of it is left, in bytes.
	inHand int
	// next is the page behind it, once it has come.
	next *Page
	// asked is true while a page is on its way; serial tells it from one that was
	// asked for before a Restart.
	asked  bool
	serial uint64
	wanted int // The bytes that were asked for.
	// bytes bounds the next page: small at first, so that the first events come
	// soon and a slow reader holds little, and twice as much with every page.
	bytes int
	// lost says why the cursor can't go on, and in which generation it can.
	lost Page

	// seen is the version of the newest transient event handed out; newcomer is
	// true until the present ones have been.
	seen     uint64
	newcomer bool
	scratch  []wire.Frame
}

// NewCursor returns a cursor that hands out what follows a start that Begin found.
func (f *Feed) NewCursor(start Start) *Cursor {
	return &Cursor{feed: f, pos: start.Pos, last: start.Pos, generation: start.generation, newcomer: true}
}

// Pos is the position up to which everything was handed out.
func (c *Cursor) Pos() uint64 { return c.pos }

// Next appends the bytes of what follows, about budget bytes and at least one
// event where there is one, and says where the cursor then stands. The bytes are
// shared and read-only. count is the number of events.
func (c *Cursor) Next(dst net.Buffers, budget int) (_ net.Buffers, count int, place Place) {
	for c.turn() {
		if budget <= 0 {
			return dst, count, Ready
		}
		var n int
		dst, budget, n = c.ofPage(dst, budget)
		count += n
	}
	f := c.feed
	// The head is read before the ring: an event is in the ring before the head
	// reaches it, so nothing up to this head can be missing from the ring.
	head := f.Head()
	f.mu.RLock()
	defer f.mu.RUnlock()
	switch {
	case c.generation != f.generation:
		known, _ := f.set.Known()
		if known.Epoch != f.epoch {
			return dst, count, Behind // It is being opened under a newer one, and notified then.
		}
		c.lost = Page{Reason: wire.EpochChanged, First: known.First, epoch: f.epoch, generation: f.generation}
		return dst, count, Lost
	case c.lost.Reason != "":
		return dst, count, Lost
	case f.durable == nil:
		return dst, count, AtHead
	case c.pos < f.ring.base:
		return dst, count, Behind
	}
	for _, frame := range f.ring.after(c.pos) {
		if budget <= 0 {
			return dst, count, Ready
		}
		dst = c.hand(dst, frame, f.target.View || f.ring.loose && frame.Seq == f.ring.frames[0].Seq)
		budget -= frame.Size()
		count++
	}
	c.pos = max(c.pos, head)
	return dst, count, AtHead
}

// turn moves on to the next page where the one in hand is used up, and reports
// whether there is something to hand out.
func (c *Cursor) turn() bool {
	for len(c.frames) == 0 {
		c.pos, c.frames, c.inHand = max(c.pos, c.through), nil, 0
		if c.next == nil {
			return false
		}
		page := *c.next
		c.next = nil
		if page.Reason != "" {
			c.lost = page
			return false
		}
		// The ring may have served what the page holds while it was on its way.
		i := sort.Search(len(page.Frames), func(i int) bool { return page.Frames[i].Seq > c.pos })
		c.frames, c.through, c.fresh, c.inHand = page.Frames[i:], page.Through, true, page.size
	}
	return true
}

func (c *Cursor) ofPage(dst net.Buffers, budget int) (net.Buffers, int, int) {
	n := 0
	for n < len(c.frames) && budget > 0 {
		dst = c.hand(dst, c.frames[n], n == 0 && c.fresh || c.feed.target.View)
		budget -= c.frames[n].Size()
		n++
	}
	c.frames, c.fresh = c.frames[n:], false
	return dst, budget, n
}

// hand appends one durable event. A loose frame is one that was encoded without
// knowing the event before it (the first of a page, and of a view's feed): its prev
// may lie above what this client knows and is set right here. The others keep the
// chain of the log, so that a client would see a hole if ever there were one.
// A prev of 0 says that all earlier ones are gone: of the log, but this client has them.
func (c *Cursor) hand(dst net.Buffers, frame wire.Frame, loose bool) net.Buffers {
	if loose && frame.Prev > c.last || c.handed && frame.Prev == 0 {
		frame = frame.WithPrev(c.feed.room, c.last)
	}
	c.pos, c.last, c.handed = frame.Seq, frame.Seq, true
	if frame.Body == nil {
		return append(dst, frame.Head)
	}
	return append(dst, frame.Head, frame.Body)
}

// Want is a page of the log that a cursor needs.
type Want struct {
	cursor     *Cursor
	after      uint64
	bytes      int
	serial     uint64
	generation uint64 // The feed's that after belongs to.
}

// FirstPage bounds the first page of a cursor that reads the log, in bytes; the
// following ones are up to Config.PageBytes.
const FirstPage = 64 << 10

// Wants reports whether a page of the log must be read for the cursor now: because
// it is Behind, or will be when its page is sent. The caller passes what it wants
// to Feed.Fetch, and the page with it to Take.
func (c *Cursor) Wants() (want Want, ok bool) { return c.WantsWithin(math.MaxInt) }

// WantsWithin is Wants with a bound on the size of the page, in bytes, that a single
// event may exceed.
func (c *Cursor) WantsWithin(room int) (want Want, ok bool) {
	if !c.Reads() {
		return Want{}, false
	}
	c.bytes = min(max(2*c.bytes, FirstPage), c.feed.set.cfg.PageBytes, room)
	c.asked, c.wanted = true, c.bytes
	c.serial++
	return Want{c, max(c.pos, c.through), c.bytes, c.serial, c.generation}, true
}

// Reads reports whether Wants would want a page.
func (c *Cursor) Reads() bool {
	if c.asked || c.next != nil || c.lost.Reason != "" || c.feed.durable == nil {
		return false
	}
	c.feed.mu.RLock()
	defer c.feed.mu.RUnlock()
	if max(c.pos, c.through) >= c.feed.ring.base || c.generation != c.feed.generation {
		c.bytes = 0
		return false
	}
	return true
}

// Take gives the cursor a page that Fetch delivered.
func (c *Cursor) Take(want Want, p Page) {
	if want.serial == c.serial && c.asked {
		c.asked, c.wanted, c.next = false, 0, &p
		c.turn() // Where nothing is left in hand, the page behind this one is wanted now.
	}
}

// Holds is the size of the pages that the cursor holds and waits for, in bytes.
func (c *Cursor) Holds() int {
	n := c.inHand + c.wanted
	if c.next != nil {
		n += c.next.size
	}
	return n
}

// Close says that the cursor is not used any more: no page is read for it. It may be
// called while others use it.
func (c *Cursor) Close() { c.closed.Store(true) }

// Why says why the cursor is Lost, and where it can go on: at the oldest position, or
// as far back as a view reads.
func (c *Cursor) Why() Start {
	return c.feed.bound(Start{
		Pos: c.lost.First - 1, Epoch: c.lost.epoch, First: c.lost.First, Reason: c.lost.Reason, generation: c.lost.generation,
	})
}

// Restart moves a Lost cursor to where Why said. Where the epoch has changed since, it
// is Lost again.
func (c *Cursor) Restart(start Start) {
	c.pos, c.last, c.handed, c.generation = start.Pos, start.Pos, false, start.generation
	c.frames, c.through, c.next, c.asked, c.lost = nil, 0, nil, false, Page{}
	c.inHand, c.wanted = 0, 0
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

// Known is a position up to which the client has everything of the feed, once it
// has received what was handed out: the feed's head where nothing else is left.
func (c *Cursor) Known() uint64 {
	if c.feed.durable == nil || len(c.frames) > 0 || c.through > c.pos || c.next != nil {
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
