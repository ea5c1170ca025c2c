package feed

import (
	"container/list"
	"sync"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// Sink is told that feeds have news. There is one a shard of connections. Grew is
// called once for each piece of news, whatever the number of subscribers behind
// it; it must not block and must not call back into the feed.
type Sink interface {
	Grew(f *Feed)
}

// Feed is what an edge holds of one channel or view while somebody listens.
// All methods are safe for concurrent use.
type Feed struct {
	// Static after construction.
	set    *Set
	target catalogue.Target
	room   string
	// durable and transient are the sources that the feed reads; either is nil
	// where such events cannot appear.
	durable, transient *source

	// Guarded by Set.mu.
	users     int
	maker     string // The client that was the first to want it.
	idleSince time.Time
	idle      *list.Element // Its place among the lingering; nil while it has users.

	// Guarded by mu.
	mu    sync.RWMutex
	sinks map[Sink]int
	ring  ring
	// epoch is the one that ring and generation belong to, empty before the feed's
	// source has started; generation counts its changes.
	epoch      string
	generation uint64
	passing    passing
}

// Target is what the feed was opened for.
func (f *Feed) Target() catalogue.Target { return f.target }

// Room is the channel's name as clients know it.
func (f *Feed) Room() string { return f.room }

// Join makes the sink hear of news. Each Join needs a Leave.
func (f *Feed) Join(s Sink) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sinks[s]++
}

// Leave undoes one Join.
func (f *Feed) Leave(s Sink) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sinks[s]--; f.sinks[s] <= 0 {
		delete(f.sinks, s)
	}
}

// Release gives back what Set.Open returned. The feed lingers for a while.
func (f *Feed) Release() { f.set.release(f) }

// Head is the position up to which everything of the feed is known: delivered
// events are at or below it, and no other event of the feed is. It is 0 for a
// purely transient feed.
func (f *Feed) Head() uint64 {
	if f.durable == nil {
		return 0
	}
	return f.durable.head.Load()
}

// notify tells every sink. The caller holds f.mu in any mode.
func (f *Feed) notify() {
	for s := range f.sinks {
		s.Grew(f)
	}
}

// append adds the next durable event. body is nil for a feed of one channel.
func (f *Feed) append(m Message, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.Seq <= f.ring.last() && planted != plantNoDedup || planted == plantRingHole && m.Seq%50 == 0 {
		return // A view that selects an event for two reasons.
	}
	f.ring.append(f.frame(m, f.ring.last(), body))
	if m.Event == eventUserLeft {
		f.passing.forget(userOf(m.Data))
	}
	f.notify()
}

// frame encodes a durable event for this feed.
func (f *Feed) frame(m Message, prev uint64, body []byte) wire.Frame {
	if body != nil {
		return wire.NewFrame(f.room, m.Seq, prev, body)
	}
	event, data := presentable(m)
	return wire.NewWholeFrame(f.room, m.Seq, prev, event, m.ID, m.Time, data)
}

// pass adds a transient event.
func (f *Feed) pass(m Message, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passing.add(m.Event, userOf(m.Data), wire.NewFrame(f.room, 0, 0, body), time.Now())
	f.notify()
}
