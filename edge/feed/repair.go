package feed

import (
	"context"
	"sync"
)

// repairs is the queue of sources that miss something. One worker reads the log
// for them, in a slot of its own, so that no storm of readers delays a repair.
type repairs struct {
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
			s.repair.mu.Lock()
			if len(s.repair.waiting) == 0 {
				s.repair.waiting = nil
				s.repair.mu.Unlock()
				break
			}
			src := s.repair.waiting[0]
			s.repair.waiting = s.repair.waiting[1:]
			s.repair.mu.Unlock()
			if !s.repairOne(src) {
				return
			}
		}
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
			r, err = s.readAfter(ctx, src.key.channel, head, s.cfg.PageBytes, leader, func(m Message) { list = append(list, m) })
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
