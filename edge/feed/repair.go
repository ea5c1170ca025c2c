package feed

import (
	"context"
	"sync"

	"github.com/bodhisattva/indranet/schema"
)

// repairs is the queue of sources that miss something. One worker reads the log
// for them, in a slot of its own, so that no storm of readers delays a repair.
type repairs struct {
	// gate is held while many sources are queued that shall be repaired together. It
	// is locked before any source's mu.
	gate sync.Mutex

	// Guarded by mu.
	mu      sync.Mutex
	waiting []*source
	// token wakes the worker; it holds one.
	token chan struct{}
}

// queueRepair is called with a source's mu held, and takes no lock of the set.
func (s *Set) queueRepair(src *source) {
	s.repair.mu.Lock()
	s.repair.waiting = append(s.repair.waiting, src)
	s.repair.mu.Unlock()
	select {
	case s.repair.token <- struct{}{}:
	default:
	}
}

func (s *Set) repairAll() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.repair.token:
		}
		for {
			batch := s.repair.take()
			if len(batch) == 0 {
				break
			}
			if len(batch) > 1 {
				s.scan(batch)
			}
			for _, src := range batch {
				if !s.repairOne(src) {
					return
				}
			}
		}
	}
}

// take takes what is repaired next: the first that waits, or all if they are many.
func (r *repairs) take() []*source {
	r.gate.Lock()
	defer r.gate.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.waiting), 1)
	if len(r.waiting) >= scanFrom {
		n = len(r.waiting)
	}
	batch := r.waiting[:n]
	if r.waiting = r.waiting[n:]; len(r.waiting) == 0 {
		r.waiting = nil
	}
	return batch
}

// scanFrom is how many channels must miss something for one read of the whole
// service to be cheaper than a read of each: a message of a scan costs about 100
// times what a message costs that a read of one channel passes over.
const scanFrom = 100

// scan reads the whole service from where the first of the sources stands, and gives
// each what it misses. What it leaves undone, for whatever reason, is done one by one.
func (s *Set) scan(batch []*source) {
	type place struct {
		src        *source
		life, head uint64
		list       []Message
	}
	places := make(map[schema.Channel]*place, len(batch))
	after, to := ^uint64(0), uint64(0)
	for _, src := range batch {
		src.mu.Lock()
		p := &place{src: src, life: src.life, head: src.head.Load()}
		if src.open && src.target > p.head {
			places[src.key.channel] = p // The zero Channel for the views.
			after, to = min(after, p.head), max(to, src.target)
		}
		src.mu.Unlock()
	}
	s.Stats.Scans.Add(1)
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
	for after < to {
		var r reading
		err := s.call(func(ctx context.Context) (err error) {
			touched = touched[:0]
			r, err = s.readAfter(ctx, Query{Bytes: s.cfg.PageBytes, Urgent: true}, after, func(m Message) {
				give(places[m.Channel], m)
				if whole := places[schema.Channel{}]; !m.Channel.IsZero() {
					give(whole, m)
				}
			})
			return err
		})
		if err != nil || r.first > 0 || r.hole || r.end == after {
			return
		}
		for _, p := range touched {
			p.src.repaired(p.life, p.head, p.list)
			p.head, p.list = p.list[len(p.list)-1].Seq, nil
		}
		after = r.end
	}
}

// repairOne reads what a source misses until it has reached its target. It
// reports whether the set still lives.
func (s *Set) repairOne(src *source) bool {
	for attempt := 0; ; {
		src.mu.Lock()
		life, head, target := src.life, src.head.Load(), src.target
		if !src.open || head >= target {
			src.queued = false
			src.mu.Unlock()
			return true
		}
		src.mu.Unlock()
		leader := attempt >= leaderAfter
		var r reading
		var list []Message
		err := s.call(func(ctx context.Context) (err error) {
			q := Query{Channel: src.key.channel, Bytes: s.cfg.PageBytes, Leader: leader, Urgent: true}
			r, err = s.readAfter(ctx, q, head, func(m Message) { list = append(list, m) })
			return err
		})
		switch {
		case err != nil:
			attempt = max(attempt, 1) // Not the replica's fault: no need for the leader.
		case r.first > 0:
			src.skip(life, head, r.first-1)
			attempt = 0
			continue
		case len(list) > 0 && !r.hole:
			attempt = 0
			src.repaired(life, head, list)
			continue
		case leader, planted == plantStale:
			// The leader has nothing there: what announced the target was no
			// event of the source.
			src.retract(life, head)
			continue
		default:
			s.Stats.Stale.Add(1)
			attempt++
		}
		if !s.pause(attempt) {
			return false
		}
	}
}

// leaderAfter is how many stale answers make a read go to the leader.
const leaderAfter = 5

// repaired gives the source what the log held after head.
func (s *source) repaired(life, head uint64, list []Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open || s.life != life || s.head.Load() != head {
		return // Started anew meanwhile.
	}
	for _, m := range list {
		s.deliver(m)
	}
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
		f.ring.reset(to, 0)
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
