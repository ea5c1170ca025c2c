package feed

import (
	"context"
	"time"
)

// grace is how long a live message may be on its way after the log showed it.
const grace = 50 * time.Millisecond

// check compares sources with the log. What a replica says it looked at moves the
// heads of quiet sources, so that positions advance without events.
func (s *Set) check(due []*source) {
	ahead, err := s.compare(due)
	if len(ahead) > 0 && s.wait(grace) {
		s.repair.gate.Lock()
		for src, f := range ahead {
			src.exists(f.life, f.seq)
		}
		s.repair.gate.Unlock()
	}
	if err != nil {
		s.logger.Debug("a comparison with the log did not happen", "service", s.service, "error", err)
		s.mu.Lock()
		for _, src := range due {
			src.due = time.Now().Add(500 * time.Millisecond)
		}
		s.mu.Unlock()
	}
}

// found is a position that a comparison showed to a source in one of its lives.
type found struct{ life, seq uint64 }

// compare finds the sources that miss something.
func (s *Set) compare(due []*source) (ahead map[*source]found, err error) {
	lives, heads := make(map[*source]uint64, len(due)), make(map[*source]uint64, len(due))
	var channels []*source
	for _, src := range due {
		lives[src], heads[src] = src.now()
		if !src.whole() {
			channels = append(channels, src)
		}
	}
	ahead = map[*source]found{}
	var quiet []lookup
	for len(channels) > 0 && err == nil {
		part := channels[:chunk(channels)]
		channels = channels[len(part):]
		since := heads[part[0]]
		for _, src := range part {
			since = min(since, heads[src])
		}
		err = s.call(func(ctx context.Context) error {
			l, err := s.lookup(ctx, part, since)
			quiet = append(quiet, l)
			return err
		})
	}
	// The leader comes last: what was looked at must not have lost its front before.
	var st State
	if err == nil {
		err = s.call(func(ctx context.Context) (err error) {
			st, err = s.askState(ctx)
			return err
		})
	}
	if err != nil {
		return ahead, err
	}
	for _, src := range due {
		switch {
		case src.whole() && st.Last > heads[src]:
			ahead[src] = found{lives[src], st.Last}
		case st.First > heads[src]+1:
			ahead[src] = found{lives[src], st.First - 1} // What is gone may have been its own.
		}
	}
	for _, l := range quiet {
		for _, src := range l.sources {
			if last := l.last[src.key.channel]; last > src.head.Load() {
				ahead[src] = found{lives[src], last}
			}
			if _, misses := ahead[src]; !misses {
				src.advance(lives[src], heads[src], l.checked)
			}
		}
	}
	return ahead, nil
}

// exists notes what a comparison found: the source has an event at seq, and it did
// not come by itself.
func (s *source) exists(life, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open || s.life != life || seq <= max(s.head.Load(), s.target) {
		return
	}
	s.set.Stats.TailRepairs.Add(1)
	s.raise(seq)
}
