package feed

import (
	"context"
	"slices"
	"sort"
	"sync"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
)

// Page is what the log holds after a position.
type Page struct {
	// Frames are the feed's events after the position, up to Through.
	Frames []wire.Frame
	// Through: no other event of the feed lies between the position and it.
	Through uint64
	// Reason, where not empty, says that the position can't be resumed; the log
	// begins at First.
	Reason wire.Reason
	First  uint64

	size int // Of Frames, in bytes.
}

// part is what of the page lies behind a position, cut to about bytes.
func (p Page) part(after uint64, bytes int) Page {
	i := sort.Search(len(p.Frames), func(i int) bool { return p.Frames[i].Seq > after })
	p.Frames, p.size = p.Frames[i:], 0
	for n, frame := range p.Frames {
		if p.size >= bytes {
			// A copy: the whole page must not be kept for its beginning.
			p.Frames, p.Through = slices.Clone(p.Frames[:n]), p.Frames[n-1].Seq
			break
		}
		p.size += frame.Size()
	}
	return p
}

// fetch is one cursor that waits for a page.
type fetch struct {
	feed *Feed
	Want
	done func(Page)
}

// reads is the queue of cursors that wait for the log.
type reads struct {
	// slots bounds the reads in flight, whoever makes them.
	slots chan struct{}

	// Guarded by mu.
	mu      sync.Mutex
	waiting []fetch
	workers int
	// reading holds the feeds that a worker reads for: one at a time each.
	reading map[*Feed]bool
}

// next picks the cursor that waits longest and whose feed nobody reads for.
// The read is as large as the largest that the feed's cursors want. Who has gone is
// forgotten.
func (r *reads) next() (first fetch, ok bool) {
	r.waiting = slices.DeleteFunc(r.waiting, func(w fetch) bool { return w.cursor != nil && w.cursor.closed.Load() })
	for _, w := range r.waiting {
		switch {
		case !ok && !r.reading[w.feed]:
			r.reading[w.feed] = true
			first, ok = w, true
		case ok && w.feed == first.feed:
			first.bytes = max(first.bytes, w.bytes)
		}
	}
	return first, ok
}

// Fetch reads what a cursor wants, and calls done from another goroutine.
// Cursors of one feed that wait at the same time are served by one read where it
// reaches them. done is not called any more once the set is closed.
func (f *Feed) Fetch(want Want, done func(Page)) {
	s := f.set
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads.mu.Lock()
	defer s.reads.mu.Unlock()
	s.reads.waiting = append(s.reads.waiting, fetch{f, want, done})
	if s.reads.workers < cap(s.reads.slots) && s.goWork(s.fetchAll) {
		s.reads.workers++
	}
}

func (s *Set) fetchAll() {
	for {
		s.reads.mu.Lock()
		first, ok := s.reads.next()
		if !ok {
			// What still waits is for feeds that another worker reads for.
			s.reads.workers--
			s.reads.mu.Unlock()
			return
		}
		s.reads.mu.Unlock()
		select {
		case s.reads.slots <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		page, ok := s.readPage(first.feed, first.Want)
		<-s.reads.slots
		if !ok {
			return
		}
		s.serve(first, page)
	}
}

// serve hands the page to every waiting cursor of the feed that it reaches.
func (s *Set) serve(first fetch, page Page) {
	var served []fetch
	s.reads.mu.Lock()
	delete(s.reads.reading, first.feed)
	s.reads.waiting = slices.DeleteFunc(s.reads.waiting, func(w fetch) bool {
		reached := w.feed == first.feed && (w.after == first.after ||
			page.Reason == "" && w.after > first.after && w.after < page.Through)
		if reached {
			served = append(served, w)
		}
		return reached
	})
	s.reads.mu.Unlock()
	if len(served) > 1 {
		s.Stats.Shared.Add(uint64(len(served) - 1))
	}
	for _, w := range served {
		w.done(page.part(w.after, w.bytes))
	}
}

// readPage reads until it knows what the log holds after a position. It reports
// whether the set still lives.
func (s *Set) readPage(f *Feed, want Want) (Page, bool) {
	for attempt := 0; ; attempt++ {
		var page Page
		known := false
		err := s.call(func(ctx context.Context) (err error) {
			page, known, err = s.tryPage(ctx, f, want, attempt >= leaderAfter)
			return err
		})
		if err == nil && known {
			return page, true
		}
		if err == nil {
			s.Stats.Stale.Add(1)
		}
		if !s.pause(attempt) {
			return Page{}, false
		}
	}
}

// tryPage makes one read. known is false where the answer may lack something.
func (s *Set) tryPage(ctx context.Context, f *Feed, want Want, leader bool) (page Page, known bool, err error) {
	after := want.after
	f.mu.RLock()
	generation, base := f.generation, f.ring.base
	f.mu.RUnlock()
	if base <= after {
		return Page{Through: after}, true, nil // The ring reaches back by now.
	}
	e := encoder{feed: f, prev: after}
	r, err := s.readAfter(ctx, f.query(Query{Bytes: want.bytes, Leader: leader}), after, e.add)
	if err != nil {
		return page, false, err
	}
	if r.first > 0 {
		s.Stats.Expired.Add(1)
		return Page{Reason: wire.PositionExpired, First: r.first}, true, nil
	}
	if r.hole {
		return page, false, nil
	}
	through, err := s.reaches(ctx, f, r, leader)
	if err != nil {
		return page, false, err
	}
	page.Frames = e.frames
	if len(e.frames) > 0 && r.exact && !f.target.View {
		e.frames[0] = e.frames[0].WithPrev(f.room, r.before)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.generation != generation:
		return Page{Through: after}, true, nil // The cursor is Lost anyway.
	case planted == plantStale:
		page.Through = max(r.end, f.ring.base)
	case through == after:
		return page, false, nil
	default:
		page.Through = through
	}
	if page.Through >= f.ring.base && (r.exact || f.target.View) {
		upTo := sort.Search(len(page.Frames), func(i int) bool { return page.Frames[i].Seq > f.ring.base })
		f.ring.backfill(page.Frames[:upTo], after, r.before)
	}
	return page, true, nil
}

// reaches is the position up to which a read brought all that there is: that of its
// last message, or where the ring of the feed begins if nothing lies between. A
// replica that lags ends too early: the last position before the ring, where it is
// known, tells; else, if asked to, a replica must show that it looked as far and
// found nothing behind.
func (s *Set) reaches(ctx context.Context, f *Feed, r reading, ask bool) (through uint64, err error) {
	f.mu.RLock()
	base, last := f.ring.base, f.ring.baseLast
	f.mu.RUnlock()
	switch {
	case r.end >= base || f.target.View || r.more:
		return r.end, nil
	case r.end >= last:
		return base, nil
	case !ask:
		return r.end, nil
	}
	tails, checked, err := s.log.Tails(ctx, []schema.Channel{f.target.Channel}, r.end, 0)
	switch {
	case err != nil:
		return 0, unavailable(err)
	case checked >= base && len(tails) == 0:
		return base, nil
	}
	return r.end, nil
}

// reading is what is known of a read after a position.
type reading struct {
	more bool
	// end is the position of the last message, or the position read after.
	end uint64
	// first, where not 0, says that the log no longer holds everything after the
	// position, but does from there on.
	first uint64
	// hole is true where a whole service was read and a message is missing: the
	// replica lags or lost it.
	hole bool
	// before is the last event at or before the position, where exact.
	before uint64
	exact  bool
}

// readAfter makes one read of what q names from a position on, and proves that nothing was trimmed between the position and the end of
// what it brings. The log may lose its front between two messages of an answer, so
// the proof comes after the read: positions of a whole service are contiguous; for a
// channel the leader is asked for the log's oldest position. The read begins at the
// position itself: an event there is the one before what follows. What each is given
// counts only where first and hole are not set.
func (s *Set) readAfter(ctx context.Context, q Query, after uint64, each func(Message)) (r reading, err error) {
	q.From, q.Count = max(after, 1), s.cfg.PageFrames+1
	n, contiguous, behind := uint64(0), true, uint64(0)
	r.before, r.end = after, after
	r.more, err = s.log.Read(ctx, q, func(m Message) {
		n++
		if m.Seq == after {
			r.exact = true
			return
		}
		if contiguous && m.Seq != r.end+1 {
			contiguous, behind = false, m.Seq
		}
		r.end = m.Seq
		each(m)
	})
	if err != nil {
		return r, unavailable(err)
	}
	s.Stats.Reads.Add(1)
	s.Stats.ReadEvents.Add(n)
	if q.Channel.IsZero() && contiguous && r.end > after {
		return r, nil
	}
	st, err := s.askState(ctx)
	if err != nil {
		return r, err
	}
	switch {
	case st.First > after+1:
		r.first = st.First
	case q.Channel.IsZero() && !contiguous && q.Leader:
		// The leader has the hole too: nobody can give what was there. Readers are
		// told, as of a front that is gone.
		r.first = behind
	case q.Channel.IsZero():
		r.hole = !contiguous
	case st.First == after+1:
		r.before, r.exact = 0, true
	}
	return r, nil
}

// encoder makes frames of the messages of a feed's source.
type encoder struct {
	feed   *Feed
	prev   uint64
	frames []wire.Frame
	names  []string
}

func (e *encoder) add(m Message) {
	if !e.feed.selects(&e.names, m) {
		return
	}
	var body []byte
	if e.feed.target.View {
		body = encodeBody(m)
	}
	e.frames = append(e.frames, e.feed.frame(m, e.prev, body))
	e.prev = m.Seq
}

// selects reports whether a message of the feed's source is one of the feed.
// scratch is memory for the names of views.
func (f *Feed) selects(scratch *[]string, m Message) bool {
	if !f.target.View {
		return true
	}
	if m.Channel.IsZero() {
		return false // Nobody can publish on such a subject but past the SDK.
	}
	*scratch = f.set.cat.Views((*scratch)[:0], f.set.service, m.Event, m.Channel, m.Data)
	return slices.Contains(*scratch, f.room)
}
