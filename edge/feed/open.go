package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

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
		// Whose feed has gone needs no opening.
		s.opening = slices.DeleteFunc(s.opening, func(src *source) bool { return s.sources[src.key] != src })
		n := min(len(s.opening), maxChunk)
		batch := slices.Clone(s.opening[:n])
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
		s.opening = append(slices.Clone(batch), s.opening...)
		s.mu.Unlock()
		if !s.pause(attempt) {
			return
		}
	}
}

// openBatch opens sources whose subscriptions have been made, in the order that
// lets nothing slip through: the server has the subscription, then the log's
// position is read, then the source opens at it.
func (s *Set) openBatch(ctx context.Context, batch []*source) error {
	if err := s.live.Flush(ctx); err != nil {
		return unavailable(err)
	}
	var others, channels []*source
	for _, src := range batch {
		if src.whole() || src.key.transient {
			others = append(others, src)
		} else {
			channels = append(channels, src)
		}
	}
	// The tails belong to an epoch if it was the log's before and after they were read.
	before, loaded := s.Known()
	if !loaded && len(channels) > 0 {
		var err error
		if before, err = s.askState(ctx); err != nil {
			return err
		}
	}
	tails, err := s.lookups(ctx, channels)
	if err != nil {
		return err
	}
	st, err := s.askState(ctx)
	if err != nil {
		return err
	}
	if len(channels) > 0 && before.Epoch != st.Epoch {
		return errors.New("the epoch changed while opening")
	}
	for i := range tails {
		if tails[i].checked == 0 {
			// The replica holds nothing: right if nothing is kept at all.
			if st.First <= st.Last {
				return errLagging
			}
			tails[i].checked = st.Last
		}
	}
	for _, src := range others {
		s.startSource(src, st.Last, 0, st)
	}
	for _, t := range tails {
		for _, src := range t.sources {
			last := t.last[src.key.channel]
			s.startSource(src, max(t.checked, last), last, st)
		}
	}
	return nil
}

// errLagging says that a replica does not hold what another node told of.
var errLagging = fmt.Errorf("%w: the replica that answered lags", ErrUnavailable)

// startSource opens one source and plans its first check.
func (s *Set) startSource(src *source, head, last uint64, st State) {
	// Where something has been trimmed, a replica may have dropped the last event before
	// the leader did.
	src.start(head, last, last > 0 || st.First <= 1, st.Epoch, s.state.changesOf(st.Epoch))
	s.mu.Lock()
	defer s.mu.Unlock()
	src.checks, src.due = 0, time.Now().Add(250*time.Millisecond)
	if !isClosed(src.opened) {
		close(src.opened)
	}
	if now, _ := s.Known(); now.Epoch != st.Epoch {
		// It changed just now: whoever reopens everything may have come before.
		src.stop()
		if !slices.Contains(s.opening, src) {
			s.opening = append(s.opening, src)
		}
	}
}

// lookup is one question for the tails of channels, and its answer.
type lookup struct {
	sources []*source
	last    map[schema.Channel]uint64
	checked uint64
}

// lookups asks for the tails of the channels of sources, in chunks that are bounded
// by count and bytes. Each answer is true up to a position of its own.
func (s *Set) lookups(ctx context.Context, sources []*source) (list []lookup, err error) {
	for len(sources) > 0 {
		n := chunk(sources)
		l, err := s.lookup(ctx, sources[:n], 0)
		if err != nil {
			return nil, err
		}
		list = append(list, l)
		sources = sources[n:]
	}
	return list, nil
}

// lookup asks for the tails above since of the channels of a chunk of sources.
func (s *Set) lookup(ctx context.Context, sources []*source, since uint64) (lookup, error) {
	channels := make([]schema.Channel, len(sources))
	for i, src := range sources {
		channels[i] = src.key.channel
	}
	last, checked, err := s.log.Tails(ctx, channels, since, 0)
	if err != nil {
		return lookup{}, unavailable(err)
	}
	return lookup{sources, last, checked}, nil
}

// Bounds of one lookup of tails. The names travel in one message, escaped up to
// six bytes each.
const (
	maxChunk      = 1000
	maxChunkBytes = 64 << 10
)

// chunk is how many of the sources fit into one lookup, at least one.
func chunk(sources []*source) int {
	bytes := 0
	for i, src := range sources[:min(len(sources), maxChunk)] {
		bytes += len(src.key.channel.Kind()) + len(src.key.channel.ID()) + 32
		if i > 0 && bytes > maxChunkBytes {
			return i
		}
	}
	return min(len(sources), maxChunk)
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
