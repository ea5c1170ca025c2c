package feed

import (
	"context"
	"slices"
	"sync"
	"time"
)

// repairs is the queue of sources that miss something. One worker reads the log
// for them, in a slot of its own, so that no storm of readers delays a repair.
type repairs struct {
	// gate is held while many sources are queued that shall be repaired together. It
	// is locked before any source's mu.
	gate sync.Mutex

	// Guarded by mu.
	mu      sync.Mutex
	waiting []patient
	// token wakes the worker; it holds one.
	token chan struct{}
}

// patient is a source that waits for its repair.
type patient struct {
	src *source
	// attempts counts the reads in a row that brought nothing; the next one comes
	// after rest, so that one source that cannot be read does not stop others.
	attempts int
	rest     time.Time
}

// queueRepair is called with a source's mu held, and takes no lock of the set.
func (s *Set) queueRepair(src *source) { s.repair.add(patient{src: src}) }

func (r *repairs) add(p patient) {
	r.mu.Lock()
	r.waiting = append(r.waiting, p)
	r.mu.Unlock()
	select {
	case r.token <- struct{}{}:
	default:
	}
}

// take takes what is repaired next: the first that does not rest, or all such if they
// are at least so many. Where all rest, wait is how long; it is 0 where none is left.
func (r *repairs) take(now time.Time, many int) (batch []patient, wait time.Duration) {
	r.gate.Lock()
	defer r.gate.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	ready := 0
	for _, p := range r.waiting {
		if rest := p.rest.Sub(now); rest <= 0 {
			ready++
		} else if wait == 0 || rest < wait {
			wait = rest
		}
	}
	if ready == 0 {
		return nil, wait
	}
	if ready < many {
		ready = 1
	}
	left := r.waiting[:0]
	for _, p := range r.waiting {
		if len(batch) < ready && !p.rest.After(now) {
			batch = append(batch, p)
		} else {
			left = append(left, p)
		}
	}
	clear(r.waiting[len(left):])
	r.waiting = left
	return batch, 0
}

func (s *Set) repairAll() {
	for {
		batch, wait := s.repair.take(time.Now(), s.cfg.scanFrom)
		if len(batch) == 0 {
			if wait == 0 {
				wait = time.Hour
			}
			timer := time.NewTimer(wait)
			select {
			case <-s.ctx.Done():
			case <-s.repair.token:
			case <-timer.C:
			}
			timer.Stop()
			if s.ctx.Err() != nil {
				return
			}
			continue
		}
		if len(batch) > 1 {
			s.scanRepairs(batch)
		}
		for _, p := range batch {
			s.repairOne(p)
		}
	}
}

// repairOne reads what a source misses until it has reached its target. Where a read
// brings nothing, the source waits for another turn.
func (s *Set) repairOne(p patient) {
	src := p.src
	for s.ctx.Err() == nil {
		src.mu.Lock()
		life, epoch, head, target := src.life, src.epoch, src.head.Load(), src.target
		if !src.open || head >= target {
			src.queued = false
			src.mu.Unlock()
			return
		}
		src.mu.Unlock()
		start := time.Now()
		q := Query{Channel: src.key.channel, Bytes: s.cfg.PageBytes, Leader: p.attempts >= leaderAfter, Urgent: true}
		var r reading
		var list []Message
		err := s.call(func(ctx context.Context) (err error) {
			r, err = s.readAfter(ctx, q, head, func(m Message) { list = append(list, m) })
			return err
		})
		switch {
		case err != nil, !r.of(epoch):
		case r.first > 0:
			src.skip(life, head, r.first-1)
			p.attempts = 0
			continue
		case len(list) > 0 && !r.hole:
			if src.repaired(life, head, list) {
				p.attempts, p.rest = 0, time.Time{}
				s.repair.add(p) // Others first: a busy source may never be done.
				return
			}
			continue
		case q.Leader, planted == plantStale:
			// The leader has nothing there: what announced the target was no
			// event of the source. Where that was an error, a comparison tells.
			src.retract(life, head)
			continue
		default:
			s.Stats.Stale.Add(1)
		}
		p.rest = time.Now().Add(max(backoff(p.attempts), time.Since(start)))
		p.attempts++
		if err != nil {
			p.attempts = min(p.attempts, leaderAfter-1) // Not the replica's fault: no need for the leader.
		}
		s.repair.add(p)
		return
	}
}

// leaderAfter is how many stale answers make a read go to the leader.
const leaderAfter = 5

// repaired gives the source what the log held after head, and what came too early for it.
// It reports whether still more is missing.
func (s *source) repaired(life, head uint64, list []Message) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open || s.life != life || s.head.Load() != head {
		return false // Started anew meanwhile.
	}
	for _, m := range list {
		s.deliver(m)
	}
	s.early = slices.DeleteFunc(s.early, func(m Message) bool {
		switch track(s.head.Load(), m.Seq, m.Prev) {
		case stepAppend:
			s.deliver(m)
		case stepRepair:
			return false
		}
		return true
	})
	if more = s.target > s.head.Load(); !more {
		s.early, s.earlyBytes = nil, 0
	}
	return more
}

// skip moves the source over what the log lost between head and to. Cursors that
// stand before it find out by themselves that their position expired.
func (s *source) skip(life, head, to uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open || s.life != life || s.head.Load() != head {
		return
	}
	for _, f := range s.feeds {
		f.mu.Lock()
		f.ring.reset(to, 0, false)
		f.notify()
		f.mu.Unlock()
	}
	s.head.Store(to)
	s.target = max(s.target, to)
}

// retract takes back a target that the leader does not know.
func (s *source) retract(life, head uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == life && s.head.Load() == head {
		s.target = head
	}
}
