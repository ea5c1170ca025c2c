package feed

import (
	"context"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

// grace is how long a live message may be on its way after the log showed it.
const grace = 50 * time.Millisecond

// maxUnused bounds the questions to the leader of one check.
const maxUnused = 64

// check compares sources with the log. What a replica says it looked at moves the
// heads of quiet sources, so that positions advance without events.
func (s *Set) check(due []*source) {
	lives := make(map[*source]uint64, len(due))
	for _, src := range due {
		lives[src], _ = src.now()
	}
	var st State
	err := s.call(func(ctx context.Context) (err error) {
		st, err = s.askState(ctx)
		return err
	})
	var channels []*source
	ahead := map[*source]found{}
	for _, src := range due {
		if !src.whole() {
			channels = append(channels, src)
		} else if err == nil && st.Last > src.head.Load() {
			ahead[src] = found{lives[src], st.Last}
		}
	}
	for len(channels) > 0 && err == nil {
		n := chunk(channels)
		part := channels[:n]
		channels = channels[n:]
		err = s.call(func(ctx context.Context) error { return s.checkChunk(ctx, part, st, ahead) })
	}
	if len(ahead) > 0 && s.wait(grace) {
		for src, f := range ahead {
			src.exists(f.life, f.seq)
		}
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

// found is an event that a comparison showed to a source in one of its lives.
type found struct{ life, seq uint64 }

func (s *Set) checkChunk(ctx context.Context, part []*source, st State, ahead map[*source]found) error {
	since := ^uint64(0)
	channels, lives := make([]schema.Channel, len(part)), make([]uint64, len(part))
	for i, src := range part {
		var head uint64
		channels[i] = src.key.channel
		lives[i], head = src.now()
		since = min(since, head)
	}
	last, checked, err := s.log.Tails(ctx, channels, since, 0)
	if err != nil {
		return unavailable(err)
	}
	for i, src := range part {
		switch {
		case last[src.key.channel] > src.head.Load():
			ahead[src] = found{lives[i], last[src.key.channel]}
		case checked > 0:
			src.advance(lives[i], since, checked)
		case i < maxUnused:
			// None of the channels was ever used, so nobody says how far it
			// looked. The leader knows.
			head := src.head.Load()
			list, _, err := collect(ctx, s.log, Query{Channel: src.key.channel, From: head + 1, Count: 1, Bytes: s.cfg.PageBytes, Leader: true})
			if err != nil {
				return unavailable(err)
			}
			if len(list) == 0 {
				src.advance(lives[i], head, st.Last)
			}
		}
	}
	return nil
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
