package feed

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/bodhisattva/indranet/edge/wire"
)

// stateCache is what is known of the log as a whole.
type stateCache struct {
	flight singleflight.Group
	// delivered is the newest position given to a feed, below the number of the
	// epoch it belongs to: a late message of an older epoch is less than any of a
	// newer one. See mark.
	delivered atomic.Uint64

	// Guarded by mu.
	mu     sync.Mutex
	known  State
	loaded bool
	asked  time.Time
	// changes counts the changes of epoch: an answer to a question that was asked before a
	// change is not compared with what is known after it.
	changes int
	// falls counts how often in a row, at least a second apart, the leader's last
	// position was below one that had been delivered; fenced is true once that is
	// beyond doubt.
	falls int
	fell  time.Time
	// fenced is written under mu and read without.
	fenced atomic.Bool
}

// fallsToFence is how often the leader must say that the log is shorter than what
// was delivered before it is believed: a deposed leader may answer once.
const fallsToFence = 3

// mark is a position of the epoch after that many changes.
func mark(changes int, seq uint64) uint64 { return uint64(changes)<<53 | seq }

// delivered notes that a source which started after that many changes of epoch gave
// a position to its feeds.
func (s *Set) delivered(changes int, seq uint64) {
	m := mark(changes, seq)
	for {
		old := s.state.delivered.Load()
		if old >= m || s.state.delivered.CompareAndSwap(old, m) {
			return
		}
	}
}

// changesOf is the number of an epoch, if it is still the known one; what starts
// under another is started anew soon.
func (c *stateCache) changesOf(epoch string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.known.Epoch {
		return 0
	}
	return c.changes
}

// Known is the state as last heard of; ok is false before the first answer.
func (s *Set) Known() (st State, ok bool) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return s.state.known, s.state.loaded
}

// askedAt is when the leader answered last.
func (s *Set) askedAt() time.Time {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return s.state.asked
}

// State asks the leader, together with everybody who asks meanwhile. The error
// matches ErrUnavailable.
func (s *Set) State(ctx context.Context) (State, error) {
	result := s.state.flight.DoChan("state", func() (any, error) {
		var st State
		err := s.call(func(ctx context.Context) (err error) {
			st, err = s.askState(ctx)
			return err
		})
		return st, err
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return State{}, r.Err
		}
		return r.Val.(State), nil
	case <-ctx.Done():
		return State{}, unavailable(ctx.Err())
	}
}

// askState asks the leader now.
func (s *Set) askState(ctx context.Context) (State, error) {
	s.state.mu.Lock()
	changes := s.state.changes
	before := s.state.delivered.Load() & wire.MaxSeq
	s.state.mu.Unlock()
	st, err := s.log.State(ctx)
	if err != nil {
		return State{}, unavailable(err)
	}
	return st, s.observe(st, changes, before)
}

// errOldAnswer says that the epoch changed while the leader was being asked.
var errOldAnswer = fmt.Errorf("%w: the epoch changed meanwhile", ErrUnavailable)

// observe compares what the leader said with what was known. changes and delivered
// are the count of epochs, and the newest position delivered, before it was asked.
func (s *Set) observe(st State, changes int, delivered uint64) error {
	c := &s.state
	c.mu.Lock()
	if changes != c.changes {
		if st.Epoch != c.known.Epoch {
			c.mu.Unlock()
			return errOldAnswer
		}
		delivered = 0
	}
	changed := c.loaded && c.known.Epoch != st.Epoch
	short := !changed && st.Last < delivered
	switch {
	case changed:
		c.changes++
		c.falls = 0
		c.fenced.Store(false)
		c.delivered.Store(mark(c.changes, 0))
	case !short:
		c.falls = 0
	case !c.fenced.Load() && time.Since(c.fell) >= time.Second:
		c.falls++
		c.fell = time.Now()
		if c.falls >= fallsToFence {
			c.fenced.Store(true)
			s.logger.Error("stream is shorter than what was delivered; it is not served until it gets a new epoch",
				"service", s.service, "epoch", st.Epoch, "last_seq", st.Last, "delivered_seq", delivered)
		}
	}
	fenced := c.fenced.Load()
	if !short {
		c.known, c.loaded, c.asked = st, true, time.Now()
	}
	c.mu.Unlock()
	if changed {
		s.Stats.Epochs.Add(1)
		s.logger.Warn("stream has a new epoch; every subscription starts anew", "service", s.service, "epoch", st.Epoch)
		s.reopen()
	}
	if fenced {
		return ErrUnavailable
	}
	if short {
		return errShort
	}
	return nil
}

// errShort says that who answered for the leader does not hold what has been
// delivered: a deposed leader, or a stream that has been replaced.
var errShort = fmt.Errorf("%w: the log is shorter than what was delivered", ErrUnavailable)

// Serving reports whether the log may be believed.
func (s *Set) Serving() bool { return !s.state.fenced.Load() }
