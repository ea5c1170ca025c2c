package feed

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

// sourceKey names a source: a channel, or the whole service for the zero
// Channel; its durable events or its transient ones.
type sourceKey struct {
	channel   schema.Channel
	transient bool
}

// source is one live subscription and, for durable events, what has been made of
// it so far. It serves the feed of its channel or, for the whole service, the
// feeds of all views.
type source struct {
	// Static after construction.
	set *Set
	key sourceKey

	// Guarded by Set.mu.
	watch Watch
	// checks counts the tail checks since the source opened; due is the next.
	checks int
	due    time.Time

	// opened is closed when the source has opened.
	opened chan struct{}

	// head: everything of the source up to it has been given to the feeds. It is
	// written under mu and read without.
	head atomic.Uint64

	// Guarded by mu. Live messages, repairs and checks all come through here.
	mu   sync.Mutex
	open bool
	// doubt is until when live messages are not taken for what they seem, after the
	// epoch changed: one of the old epoch may still be on its way.
	doubt time.Time
	// life counts starts and stops: an answer of the log that was asked for in
	// another life says nothing about this one.
	life    uint64
	epoch   string
	changes int    // The number of the epoch, see Set.delivered.
	target  uint64 // The newest position that is known to exist.
	// queued is true while the source waits for a repair or is being repaired.
	queued bool
	feeds  map[string]*Feed
	names  []string
	// early are the newest live messages that came while something before them was
	// missing: a busy source would have to read them, and then those that come meanwhile.
	early      []Message
	earlyBytes int
}

// whole reports whether the source reads a whole service.
func (s *source) whole() bool { return s.key.channel.IsZero() }

// receive takes a live message. It is called by the one goroutine of the live path.
func (s *source) receive(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key.transient {
		s.pass(m)
		return
	}
	if s.whole() {
		m.Prev = m.Seq - 1 // Positions of a whole service are contiguous.
	}
	switch next := track(s.head.Load(), m.Seq, m.Prev); {
	case s.open && (planted == plantNoChain && next == stepRepair || planted == plantNoDedup && next == stepDrop):
		s.deliver(m)
	case next == stepDrop:
		s.set.Stats.Dropped.Add(1)
	case !s.open || next == stepRepair || s.doubtful() || !s.set.Serving():
		if s.open && !s.queued {
			s.set.Stats.ChainRepairs.Add(1)
		}
		if s.open && !s.doubtful() {
			s.keep(m)
		}
		s.raise(m.Seq)
	default:
		s.deliver(m)
	}
}

// doubtful reports whether a live message may be one of an older epoch: then it only
// says that there may be something to read. The caller holds s.mu.
func (s *source) doubtful() bool {
	if s.doubt.IsZero() || time.Now().Before(s.doubt) {
		return !s.doubt.IsZero()
	}
	s.doubt = time.Time{}
	return false
}

// keep remembers a live message that came too early. The caller holds s.mu.
func (s *source) keep(m Message) {
	if s.earlyBytes += len(m.Data); len(s.early) >= maxEarly || s.earlyBytes > maxEarlyBytes {
		s.early, s.earlyBytes = nil, len(m.Data) // The log has them.
	}
	s.early = append(s.early, m)
}

// Bounds of the live messages that a source keeps during a repair.
const (
	maxEarly      = 1000
	maxEarlyBytes = 1 << 20
)

// doubtFor is how long a live message may be on its way.
const doubtFor = 10 * time.Second

// raise notes that position seq exists, and asks for a repair if it is missing.
// The caller holds s.mu.
func (s *source) raise(seq uint64) {
	s.target = max(s.target, seq)
	if s.open && s.target > s.head.Load() && !s.queued {
		s.queued = true
		s.set.queueRepair(s)
	}
}

// deliver gives the next durable event to the feeds. The caller holds s.mu.
func (s *source) deliver(m Message) {
	s.set.Stats.Delivered.Add(1)
	if !s.whole() {
		body := s.set.bodies.shared(s.changes, m)
		for _, f := range s.feeds {
			f.append(m, body)
		}
	} else if !m.Channel.IsZero() {
		var body []byte
		s.names = s.set.cat.Views(s.names[:0], s.set.service, m.Event, m.Channel, m.Data)
		for _, name := range s.names {
			if f := s.feeds[name]; f != nil {
				if body == nil {
					body = s.set.bodies.encode(s.changes, m)
				}
				f.append(m, body)
			}
		}
	}
	// The head comes last: see Cursor.Next.
	s.head.Store(m.Seq)
	s.target = max(s.target, m.Seq)
	s.set.delivered(s.changes, m.Seq)
}

// pass gives a transient event to the feeds. The caller holds s.mu.
func (s *source) pass(m Message) {
	s.set.Stats.Passed.Add(1)
	body := encodeBody(m)
	if !s.whole() {
		for _, f := range s.feeds {
			f.pass(m, body)
		}
		return
	}
	s.names = s.set.cat.Views(s.names[:0], s.set.service, m.Event, m.Channel, m.Data)
	for _, name := range s.names {
		if f := s.feeds[name]; f != nil && f.target.Transient {
			f.pass(m, body)
		}
	}
}

// now is where the source stands, for a question to the log.
func (s *source) now() (life, head uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life, s.head.Load()
}

// advance moves the head to a position up to which a check found nothing new.
func (s *source) advance(life, from, to uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open && s.life == life && s.head.Load() >= from && s.target <= s.head.Load() && to > s.head.Load() {
		s.head.Store(to)
		s.target = max(s.target, to)
	}
}

// join adds a feed. A view that joins a running source begins at its head. The
// caller holds Set.mu.
func (s *source) join(f *Feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeds[f.room] = f
	if s.open && !s.key.transient {
		head := s.head.Load()
		f.mu.Lock()
		f.ring.reset(head, head, true)
		f.epoch = s.epoch
		f.mu.Unlock()
	}
}

// leave removes a feed and reports whether it was the last one. The caller holds
// Set.mu.
func (s *source) leave(f *Feed) (empty bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.feeds, f.room)
	return len(s.feeds) == 0
}

// start makes the source serve from position head of an epoch on; last is the position of
// the last event at or before head, 0 for none, where that is known.
func (s *source) start(head, last uint64, known bool, epoch string, changes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The head comes first: a cursor that finds its feed under the new epoch must
	// not find the head of the old one.
	s.head.Store(head)
	for _, f := range s.feeds {
		if s.key.transient {
			continue
		}
		f.mu.Lock()
		if s.whole() {
			last, known = head, true
		}
		f.ring.reset(head, last, known)
		if f.epoch != "" && f.epoch != epoch {
			f.generation++
		}
		f.epoch = epoch
		f.mu.Unlock()
	}
	if changes > 0 {
		s.doubt = time.Now().Add(doubtFor)
	}
	s.open, s.epoch, s.changes = true, epoch, changes
	s.life++
	s.raise(s.target)
	for _, f := range s.feeds {
		f.mu.RLock()
		f.notify()
		f.mu.RUnlock()
	}
}

// stop makes the source drop what it gets until it is started again.
func (s *source) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open, s.target, s.early, s.earlyBytes = false, 0, nil, 0
	s.life++
}
