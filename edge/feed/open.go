package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bodhisattva/indranet/schema"
)

// maxChunk bounds the channels of one lookup of tails.
const maxChunk = 1000

// startOpener makes sure that somebody opens what waits. The caller holds s.mu.
func (s *Set) startOpener() {
	if !s.openers {
		s.openers = s.goWork(s.openAll)
	}
}

// openAll opens the waiting sources, those that gather while it works together:
// one flush and one lookup for up to maxChunk of them.
func (s *Set) openAll() {
	for attempt := 0; ; {
		s.mu.Lock()
		n := min(len(s.opening), maxChunk)
		batch := s.opening[:n:n]
		s.opening = s.opening[n:]
		if n == 0 {
			s.openers = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		err := s.call(func(ctx context.Context) error { return s.openBatch(ctx, batch) })
		if err == nil {
			attempt = 0
			continue
		}
		if attempt == 0 {
			s.logger.Warn("feeds cannot be opened yet", "service", s.service, "feeds", n, "error", err)
		}
		attempt++
		s.mu.Lock()
		s.opening = append(batch, s.opening...)
		s.mu.Unlock()
		if !s.pause(attempt) {
			return
		}
	}
}

// openBatch opens sources whose subscriptions have been made, in the order that
// lets nothing slip through: the server has the subscription, then the log's
// position is read, then the source opens at it.
func (s *Set) openBatch(parent context.Context, batch []*source) error {
	if err := s.live.Flush(parent); err != nil {
		return unavailable(err)
	}
	var channels []schema.Channel
	for _, src := range batch {
		if !src.whole() && !src.key.transient {
			channels = append(channels, src.key.channel)
		}
	}
	var st State
	var last map[schema.Channel]uint64
	var checked uint64
	both, ctx := errgroup.WithContext(parent)
	both.Go(func() (err error) {
		st, err = s.askState(ctx)
		return err
	})
	if len(channels) > 0 {
		both.Go(func() (err error) {
			if last, checked, err = s.log.Tails(ctx, channels, 0, 0); err != nil {
				return unavailable(err)
			}
			return nil
		})
	}
	if err := both.Wait(); err != nil {
		return err
	}
	head := checked
	if checked == 0 {
		// The leader's answer to State may be older than its answer to this.
		if err := s.confirmUnused(parent, channels); err != nil {
			return err
		}
		head = st.Last
	}
	if now, _ := s.Known(); now.Epoch != st.Epoch {
		return errors.New("the epoch changed while opening")
	}
	for _, src := range batch {
		at := head
		if src.whole() {
			at = st.Last
		}
		first := !isClosed(src.opened)
		src.start(at, last[src.key.channel], st.Epoch)
		s.mu.Lock()
		src.checks, src.due = 0, time.Now().Add(250*time.Millisecond)
		s.mu.Unlock()
		if first {
			close(src.opened)
		}
	}
	return nil
}

// confirmUnused asks the leader whether the channels really never had an event,
// after a replica said so.
func (s *Set) confirmUnused(ctx context.Context, channels []schema.Channel) error {
	for _, channel := range channels {
		list, _, err := collect(ctx, s.log, Query{Channel: channel, From: 1, Count: 1, Bytes: s.cfg.PageBytes, Leader: true})
		if err != nil {
			return unavailable(err)
		}
		if len(list) > 0 {
			return errors.New("the replica that answered lags")
		}
	}
	return nil
}

// reopen starts every source anew under a new epoch.
func (s *Set) reopen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, src := range s.sources {
		if isClosed(src.opened) {
			src.stop()
			s.opening = append(s.opening, src)
		}
	}
	s.startOpener()
}

func unavailable(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
