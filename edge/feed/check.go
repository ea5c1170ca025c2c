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
	var st State
	err := s.call(func(ctx context.Context) (err error) {
		st, err = s.askState(ctx)
		return err
	})
	var channels []*source
	ahead := map[*source]uint64{}
	for _, src := range due {
		if !src.whole() {
			channels = append(channels, src)
		} else if err == nil && st.Last > src.head.Load() {
			ahead[src] = st.Last
		}
	}
	for len(channels) > 0 && err == nil {
		n := min(len(channels), maxChunk)
		chunk := channels[:n]
		channels = channels[n:]
		err = s.call(func(ctx context.Context) error { return s.checkChunk(ctx, chunk, st, ahead) })
	}
	if len(ahead) > 0 && s.wait(grace) {
		for src, seq := range ahead {
			src.exists(seq)
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

func (s *Set) checkChunk(ctx context.Context, chunk []*source, st State, ahead map[*source]uint64) error {
	since := chunk[0].head.Load()
	channels := make([]schema.Channel, len(chunk))
	for i, src := range chunk {
		channels[i] = src.key.channel
		since = min(since, src.head.Load())
	}
	last, checked, err := s.log.Tails(ctx, channels, since, 0)
	if err != nil {
		return unavailable(err)
	}
	for i, src := range chunk {
		switch {
		case last[src.key.channel] > src.head.Load():
			ahead[src] = last[src.key.channel]
		case checked > 0:
			src.advance(since, checked)
		case i < maxUnused:
			// None of the channels was ever used, so nobody says how far it
			// looked. The leader knows.
			head := src.head.Load()
			list, _, err := collect(ctx, s.log, Query{Channel: src.key.channel, From: head + 1, Count: 1, Bytes: s.cfg.PageBytes, Leader: true})
			if err != nil {
				return unavailable(err)
			}
			if len(list) == 0 {
				src.advance(head, st.Last)
			}
		}
	}
	return nil
}

// exists notes what a comparison found: the source has an event at seq, and it did
// not come by itself.
func (s *source) exists(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open || seq <= max(s.head.Load(), s.target) {
		return
	}
	s.set.Stats.TailRepairs.Add(1)
	s.raise(seq)
}
