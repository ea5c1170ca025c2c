package feed

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// reads is the queue of cursors that wait for the log.
type reads struct {
	// slots bounds the reads in flight, whoever makes them.
	slots chan struct{}
	// kick wakes a worker that waits for time to pass; it holds one token.
	kick chan struct{}

	// Guarded by mu.
	mu      sync.Mutex
	lines   map[*Feed]*line
	order   []*line // All lines; whose turn is next comes first.
	workers int
	closed  bool
	// scanAfter is when a scan may be tried again.
	scanAfter time.Time
}

// line is the cursors that wait for pages of one feed.
type line struct {
	// Static after construction.
	feed *Feed

	// Guarded by reads.mu.
	waiting []fetch
	reading bool // A worker reads for it: one at a time.
	// attempts counts the reads in a row that brought nothing certain; the next one
	// comes after rest, so that one feed that cannot be read does not stop others.
	attempts int
	rest     time.Time
}

// fetch is one cursor that waits for a page.
type fetch struct {
	Want
	done func(Page)
	// attempts counts the reads for it that brought nothing certain.
	attempts int
}

// add puts a cursor into the line of its feed. The caller holds mu.
func (r *reads) add(f *Feed, w fetch) {
	l := r.lines[f]
	if l == nil {
		l = &line{feed: f}
		r.lines[f] = l
		r.order = append(r.order, l)
	}
	if len(l.waiting) == cap(l.waiting) { // Before it grows.
		l.forget()
	}
	l.waiting = append(l.waiting, w)
}

// forget drops the cursors that have gone. The caller holds reads.mu.
func (l *line) forget() {
	l.waiting = slices.DeleteFunc(l.waiting, func(w fetch) bool { return w.cursor != nil && w.cursor.closed.Load() })
}

// next picks what is read now: for the cursor that comes first in the line whose turn
// it is, as much as the largest that the others want. Where all lines rest, wait
// is how long; it is 0 where nothing is left to do. Cursors that have gone are
// forgotten.
func (r *reads) next(now time.Time) (l *line, want fetch, wait time.Duration) {
	for i := 0; i < len(r.order); i++ {
		one := r.order[i]
		if one.reading {
			continue
		}
		one.forget()
		if len(one.waiting) == 0 {
			delete(r.lines, one.feed)
			r.order = slices.Delete(r.order, i, i+1)
			i--
			continue
		}
		if rest := one.rest.Sub(now); rest > 0 {
			if wait == 0 || rest < wait {
				wait = rest
			}
			continue
		}
		want = one.waiting[0]
		for _, w := range one.waiting[1:] {
			want.bytes = max(want.bytes, w.bytes)
		}
		one.reading = true
		// Others first, the next time.
		r.order = append(slices.Delete(r.order, i, i+1), one)
		return one, want, 0
	}
	return nil, fetch{}, wait
}

// Fetch reads what a cursor wants, and calls done from another goroutine.
// Cursors of one feed that wait at the same time are served by one read where it
// reaches them. done is not called any more once the cursor or the set is closed.
func (f *Feed) Fetch(want Want, done func(Page)) {
	s := f.set
	s.reads.mu.Lock()
	defer s.reads.mu.Unlock()
	if s.reads.closed {
		return
	}
	s.reads.add(f, fetch{Want: want, done: done})
	if s.reads.workers < cap(s.reads.slots) {
		s.reads.workers++
		s.wg.Go(s.fetchAll)
	}
	select {
	case s.reads.kick <- struct{}{}:
	default:
	}
}

func (s *Set) fetchAll() {
	for {
		s.reads.mu.Lock()
		if list := s.reads.gather(time.Now(), s.cfg.scanFrom); list != nil {
			s.reads.mu.Unlock()
			s.scanPages(list)
			if s.ctx.Err() != nil {
				return
			}
			continue
		}
		l, want, wait := s.reads.next(time.Now())
		if l == nil && wait == 0 {
			// What still waits is for feeds that another worker reads for.
			s.reads.workers--
			s.reads.mu.Unlock()
			return
		}
		s.reads.mu.Unlock()
		if l == nil {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-s.reads.kick:
			case <-s.ctx.Done():
			}
			timer.Stop()
			if s.ctx.Err() != nil {
				return
			}
			continue
		}
		select {
		case s.reads.slots <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		s.readFor(l, want)
	}
}

// readFor makes one read for a line and gives back its slot.
func (s *Set) readFor(l *line, want fetch) {
	start := time.Now()
	var page Page
	known := false
	err := s.call(func(ctx context.Context) (err error) {
		page, known, err = s.tryPage(ctx, l.feed, want.Want, want.attempts >= leaderAfter)
		return err
	})
	<-s.reads.slots
	if err == nil && known {
		s.serve(l, want.Want, page)
		return
	}
	if err == nil {
		s.Stats.Stale.Add(1)
	}
	s.reads.mu.Lock()
	defer s.reads.mu.Unlock()
	// What took long and brought nothing rests as long.
	l.rest = time.Now().Add(max(backoff(l.attempts), time.Since(start)))
	l.attempts++
	l.reading = false
	// Other positions of the feed may be readable.
	i := slices.IndexFunc(l.waiting, func(w fetch) bool { return w.cursor == want.cursor && w.serial == want.serial })
	if i >= 0 {
		last := l.waiting[i]
		if err == nil {
			last.attempts++ // Else it is not the replica's fault: no need for the leader.
		}
		l.waiting = append(slices.Delete(l.waiting, i, i+1), last)
	}
}

// serve hands the page to every waiting cursor of the feed that it reaches.
func (s *Set) serve(l *line, want Want, page Page) {
	var served []fetch
	s.reads.mu.Lock()
	l.reading, l.attempts = false, 0
	l.waiting = slices.DeleteFunc(l.waiting, func(w fetch) bool {
		reached := w.generation == want.generation && (w.after == want.after ||
			page.Reason == "" && w.after > want.after && w.after < page.Through)
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

// backoff is how long to wait after attempt n of something that failed, 5 ms to 1.5 s.
func backoff(n int) time.Duration {
	d := min(5*time.Millisecond<<min(n, 8), time.Second)
	return d + time.Duration(rand.Int64N(int64(d)/2+1))
}
