package feed

import (
	"context"
	"slices"
	"sort"

	"golang.org/x/sync/errgroup"

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

	size       int    // Of Frames, in bytes.
	generation uint64 // The feed's that it belongs to.
	epoch      string // Of the log that begins at First.
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

// tryPage makes one read. known is false where the answer may lack something.
func (s *Set) tryPage(ctx context.Context, f *Feed, want Want, leader bool) (page Page, known bool, err error) {
	after := want.after
	f.mu.RLock()
	generation, base, last, loose := f.generation, f.ring.base, f.ring.baseLast, f.ring.loose
	page.generation, page.epoch = want.generation, f.epoch
	f.mu.RUnlock()
	if base <= after || generation != want.generation {
		page.Through = after // The ring reaches back by now, or the cursor is Lost anyway.
		return page, true, nil
	}
	e := encoder{feed: f, prev: after}
	r, err := s.readAfter(ctx, f.query(Query{Bytes: want.bytes, Leader: leader}), after, e.add)
	if err != nil {
		return page, false, err
	}
	if !r.of(page.epoch) {
		return page, false, nil // The feed is being opened under the new one.
	}
	if r.first > 0 {
		s.Stats.Expired.Add(1)
		page.Reason, page.First = wire.PositionExpired, r.first
		return page, true, nil
	}
	if r.hole {
		return page, false, nil
	}
	if loose {
		last = base
	}
	through, err := s.reaches(ctx, f, r, base, last, leader || loose)
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
		return Page{Through: after, generation: generation}, true, nil // The cursor is Lost anyway.
	case planted == plantStale:
		page.Through = max(r.end, f.ring.base)
	case through == after:
		return page, false, nil
	default:
		page.Through = through
	}
	if page.Through >= f.ring.base {
		upTo := sort.Search(len(page.Frames), func(i int) bool { return page.Frames[i].Seq > f.ring.base })
		f.ring.backfill(page.Frames[:upTo], after, r.before, r.exact || f.target.View)
		// A cursor that found itself Behind just now wants no page any more.
		f.notify()
	}
	return page, true, nil
}

// reaches is the position up to which a read brought all that there is: that of its
// last message, or base if nothing lies between, where the ring of the feed began
// before the read. A replica that lags ends too early: the last position before the
// ring, where it is known, tells; else, if asked to, a replica must show that it looked
// as far and found nothing behind.
func (s *Set) reaches(ctx context.Context, f *Feed, r reading, base, last uint64, ask bool) (through uint64, err error) {
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
	// hole is true where a message is missing that the leader has: the replica lags,
	// has dropped its front before the leader did, or lost it.
	hole bool
	// before is the last event at or before the position, where exact.
	before uint64
	exact  bool
	// epoch is the leader's, empty where it was not asked.
	epoch string
}

// of reports whether what was read is of the log of an epoch, as far as is known.
func (r *reading) of(epoch string) bool { return r.epoch == "" || r.epoch == epoch }

// readAfter makes one read of what q names from a position on, and proves
// that nothing was trimmed between the position and the end of what it brings. The log
// may lose its front between two messages of an answer, so the proof comes after the
// read, and every replica drops its front by itself. Positions of a whole service are
// contiguous. For a channel the leader is asked for the log's oldest position; and the
// replica had everything if it had an event at the position itself, where the read
// begins, or if the leader knows the same next one. What each is given counts only
// where first and hole are not set.
func (s *Set) readAfter(ctx context.Context, q Query, after uint64, each func(Message)) (r reading, err error) {
	if !s.Serving() {
		return r, ErrUnavailable
	}
	if q.Count == 0 {
		q.Count = s.cfg.PageFrames
	}
	q.From, q.Count = max(after, 1), q.Count+1
	n, contiguous := uint64(0), true
	next, behind := uint64(0), uint64(0) // The first message, and the one behind a hole.
	r.before, r.end = after, after
	tally := tallyOf(ctx)
	take := func(m Message) {
		n++
		tally.add(m)
		if m.Seq == after {
			r.exact = true
			return
		}
		if next == 0 {
			next = m.Seq
		}
		if contiguous && m.Seq != r.end+1 {
			contiguous, behind = false, m.Seq
		}
		r.end = m.Seq
		each(m)
	}
	r.more, err = s.log.Read(ctx, q, take)
	if err == nil && r.more && r.exact && r.end == after {
		// The event at the position is as large as what was asked for. What follows may
		// come from another replica, which has to prove that it lacks nothing.
		r.exact, q.From = false, after+1
		r.more, err = s.log.Read(ctx, q, take)
	}
	if err != nil {
		return r, unavailable(err)
	}
	s.Stats.Reads.Add(1)
	s.Stats.ReadEvents.Add(n)
	if contiguous && r.end > after && (q.Channel.IsZero() || r.exact) {
		return r, nil
	}
	var st State
	same := true
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		st, err = s.askState(ctx)
		return err
	})
	if !q.Channel.IsZero() && !q.Leader && !r.exact && next != after+1 {
		both.Go(func() error {
			of, err := s.nextOf(ctx, q.Channel, after)
			same = of == next
			return err
		})
	}
	if err := both.Wait(); err != nil {
		return r, err
	}
	r.epoch = st.Epoch
	switch {
	case st.Last < r.end:
		return r, errShort
	case st.First > after+1:
		r.first = st.First
	case q.Channel.IsZero() && !contiguous && q.Leader:
		// The leader has the hole too: nobody can give what was there. Readers are
		// told, as of a front that is gone.
		r.first = behind
	case q.Channel.IsZero():
		r.hole = !contiguous
	case !same && planted != plantStale:
		r.hole = true
	case st.First == after+1:
		r.before, r.exact = 0, true
	}
	return r, nil
}

// nextOf is the position of the first event of a channel after a position, as the
// leader says; 0 for none.
func (s *Set) nextOf(ctx context.Context, channel schema.Channel, after uint64) (next uint64, err error) {
	q := Query{Channel: channel, From: after + 1, Count: 1, Bytes: 1, Leader: true}
	_, err = s.log.Read(ctx, q, func(m Message) { next = m.Seq })
	if err != nil {
		return 0, unavailable(err)
	}
	return next, nil
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
