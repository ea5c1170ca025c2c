package feed

import (
	"context"
	"sort"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

const (
	// scanFrom is how many channels must miss something for one read of the whole
	// service to be cheaper than a read of each: a message of a scan costs about 100
	// times what a message costs that a read of one channel passes over.
	scanFrom = 100
	// scanDistance is how far back a scan for pages goes, in positions: nobody who is
	// near the head waits for those who are far from it.
	scanDistance = 1 << 16
	// scanBytes bounds the messages that a scan for pages takes, about, in bytes.
	scanBytes = 16 << 20
)

// scan reads the whole service after a position, page by page, until it has got to
// a position, page says that it is enough, or an answer is not certain. It returns the
// position up to which each has seen everything when page was called.
func (s *Set) scan(after, to uint64, urgent bool, each func(Message), page func() (more bool)) uint64 {
	s.Stats.Scans.Add(1)
	for after < to {
		var r reading
		read := func(ctx context.Context) (err error) {
			r, err = s.readAfter(ctx, Query{Bytes: s.cfg.PageBytes, Urgent: urgent}, after, each)
			return err
		}
		var err error
		if urgent {
			err = s.call(read)
		} else {
			err = s.slot(s.ctx, read)
		}
		if err != nil || r.first > 0 || r.hole || r.end == after {
			return after
		}
		after = r.end
		if !page() {
			return after
		}
	}
	return after
}

// scanRepairs gives each of the sources what it misses. What it leaves undone, for
// whatever reason, is done one by one.
func (s *Set) scanRepairs(batch []patient) {
	type place struct {
		src        *source
		life, head uint64
		list       []Message
	}
	places := make(map[schema.Channel]*place, len(batch))
	after, to := ^uint64(0), uint64(0)
	for _, waiting := range batch {
		src := waiting.src
		src.mu.Lock()
		p := &place{src: src, life: src.life, head: src.head.Load()}
		if src.open && src.target > p.head {
			places[src.key.channel] = p // The zero Channel for the views.
			after, to = min(after, p.head), max(to, src.target)
		}
		src.mu.Unlock()
	}
	var touched []*place
	give := func(p *place, m Message) {
		if p == nil || m.Seq <= p.head {
			return
		}
		if len(p.list) == 0 {
			touched = append(touched, p)
		}
		p.list = append(p.list, m)
	}
	s.scan(after, to, true, func(m Message) {
		give(places[m.Channel], m)
		if whole := places[schema.Channel{}]; !m.Channel.IsZero() {
			give(whole, m)
		}
	}, func() bool {
		for _, p := range touched {
			p.src.repaired(p.life, p.head, p.list)
			p.head, p.list = p.list[len(p.list)-1].Seq, nil
		}
		touched = touched[:0]
		return true
	})
}

// scanned is a line that a scan reads for.
type scanned struct {
	line *line
	want Want
	// base is where the ring of the feed begins; epoch is the feed's.
	base    uint64
	epoch   string
	encoder encoder
	size    int
	// exact is true where the event at the position itself is one of the feed.
	exact bool
}

// full reports whether the page is as large as was wanted.
func (l *scanned) full() bool { return l.size >= l.want.bytes }

// gather takes the lines of channels for which one scan is cheaper than a read of each,
// nil if they are less than so many. The caller must return them with serve or leave.
func (r *reads) gather(now time.Time, many int) []*scanned {
	if len(r.order) < many || now.Before(r.scanAfter) {
		return nil
	}
	var list []*scanned
	for _, l := range r.order {
		if l.reading || l.feed.target.View || l.rest.After(now) {
			continue
		}
		l.forget()
		if one := l.first(); one != nil {
			list = append(list, one)
		}
	}
	if len(list) < many {
		return nil
	}
	for _, one := range list {
		one.line.reading = true
	}
	return list
}

// first is the page that begins where the furthest back of the waiting cursors stands;
// nil if it is too far back, or no page is needed.
func (l *line) first() *scanned {
	f := l.feed
	f.mu.RLock()
	defer f.mu.RUnlock()
	one := &scanned{line: l, base: f.ring.base, epoch: f.epoch}
	found := false
	for _, w := range l.waiting {
		if w.generation != f.generation || w.after >= one.base || one.base-w.after > scanDistance {
			continue
		}
		bytes := max(one.want.bytes, w.bytes)
		if !found || w.after < one.want.after {
			one.want = w.Want
		}
		one.want.bytes, found = bytes, true
	}
	if !found {
		return nil
	}
	one.encoder = encoder{feed: f, prev: one.want.after}
	return one
}

// scanPages reads the whole service once for many lines.
func (s *Set) scanPages(list []*scanned) {
	places := make(map[schema.Channel]*scanned, len(list))
	after, to, taken := ^uint64(0), uint64(0), 0
	for _, one := range list {
		places[one.line.feed.target.Channel] = one
		after, to = min(after, one.want.after), max(to, one.base)
	}
	start := after
	end := s.scan(after, to, false, func(m Message) {
		taken += len(m.Data)
		one := places[m.Channel]
		switch {
		case one == nil || m.Seq < one.want.after || m.Seq > one.base || one.full():
		case m.Seq == one.want.after:
			one.exact = true
		default:
			one.encoder.add(m)
			one.size += one.encoder.frames[len(one.encoder.frames)-1].Size()
		}
	}, func() bool { return taken < scanBytes })
	if end == start {
		// It does not work: the front is going, or NATS is away.
		s.reads.mu.Lock()
		s.reads.scanAfter = time.Now().Add(time.Second)
		s.reads.mu.Unlock()
	}
	for _, one := range list {
		if page, ok := one.page(end); ok {
			s.serve(one.line, one.want, page)
		} else {
			s.leaveLine(one.line)
		}
	}
}

// page is what a scan that got to end has brought; false if nothing.
func (l *scanned) page(end uint64) (Page, bool) {
	f := l.line.feed
	frames := l.encoder.frames
	// What came after the last certain page is not believed.
	frames = frames[:sort.Search(len(frames), func(i int) bool { return frames[i].Seq > end })]
	page := Page{Frames: frames, Through: min(end, l.base), generation: l.want.generation, epoch: l.epoch}
	if l.full() && len(frames) > 0 && len(frames) == len(l.encoder.frames) {
		page.Through = frames[len(frames)-1].Seq
	}
	if page.Through <= l.want.after {
		return Page{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.generation != l.want.generation {
		return Page{Through: l.want.after, generation: l.want.generation}, true // The cursor is Lost anyway.
	}
	if page.Through >= f.ring.base {
		upTo := sort.Search(len(frames), func(i int) bool { return frames[i].Seq > f.ring.base })
		f.ring.backfill(frames[:upTo], l.want.after, l.want.after, l.exact)
		f.notify()
	}
	return page, true
}

// leaveLine lets others read for a line.
func (s *Set) leaveLine(l *line) {
	s.reads.mu.Lock()
	defer s.reads.mu.Unlock()
	l.reading = false
}
