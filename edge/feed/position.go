package feed

import (
	"context"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
)

// Start is where a subscription begins.
type Start struct {
	// Pos is the position: what follows it is delivered.
	Pos uint64
	// Epoch is the log's incarnation and First its oldest position.
	Epoch string
	First uint64
	// Reason, where not empty, says why the client can't resume where it asked;
	// Pos is then the oldest position that it can.
	Reason wire.Reason
	// generation is the feed's that Pos belongs to.
	generation uint64
}

// resume decides whether a position can be resumed when the log holds st. It is
// the whole rule: everything after P is there if and only if First <= P+1.
func resume(since wire.Since, st State) wire.Reason {
	switch {
	case since.Epoch != "" && since.Epoch != st.Epoch:
		return wire.EpochChanged
	case since.Seq > st.Last:
		return wire.PositionAhead
	case st.First > since.Seq+1:
		return wire.PositionExpired
	}
	return ""
}

// Begin finds where a subscription begins that asks for since. The error matches
// ErrUnavailable.
func (f *Feed) Begin(ctx context.Context, since wire.Since) (Start, error) {
	for {
		epoch, generation, err := f.settled(ctx)
		if err != nil {
			return Start{}, err
		}
		start, err := f.begin(ctx, since)
		if err != nil {
			return Start{}, err
		}
		// Where the epoch changed meanwhile, what was found is of two logs.
		if now, again := f.at(); start.Epoch == epoch && now == epoch && again == generation || f.durable == nil {
			start.generation = generation
			return start, nil
		}
		if err := f.set.waitIn(ctx, reopening); err != nil {
			return Start{}, err
		}
	}
}

// reopening is how often somebody who waits for a feed to be opened under a new
// epoch looks.
const reopening = 2 * time.Millisecond

// at is the epoch and the generation of the feed.
func (f *Feed) at() (epoch string, generation uint64) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.epoch, f.generation
}

// settled waits until the feed is open under the epoch that the log is known to have.
func (f *Feed) settled(ctx context.Context) (epoch string, generation uint64, err error) {
	for {
		st, loaded := f.set.Known()
		epoch, generation = f.at()
		if loaded && epoch == st.Epoch || f.durable == nil {
			return epoch, generation, nil
		}
		if err := f.set.waitIn(ctx, reopening); err != nil {
			return "", 0, err
		}
	}
}

func (f *Feed) begin(ctx context.Context, since wire.Since) (Start, error) {
	s := f.set
	st, loaded := s.Known()
	if !loaded {
		var err error
		if st, err = s.State(ctx); err != nil {
			return Start{}, err
		}
	}
	if !s.Serving() {
		return Start{}, ErrUnavailable
	}
	start := Start{Pos: f.Head(), Epoch: st.Epoch, First: st.First}
	if f.durable == nil || since.Kind == wire.SinceNow {
		return start, nil
	}
	if since.Kind == wire.SinceSeq && f.holds(since, st) {
		start.Pos = since.Seq
		return start, nil
	}
	if since.Kind != wire.SinceStart || time.Since(s.askedAt()) > recent {
		var err error
		if st, err = s.State(ctx); err != nil {
			return Start{}, err
		}
	}
	var err error
	start.Epoch, start.First = st.Epoch, st.First
	switch since.Kind {
	case wire.SinceStart:
		start.Pos = st.First - 1
	case wire.SinceSeq:
		return f.resumeAt(ctx, since, st)
	case wire.SinceLast:
		start.Pos, err = s.lastN(ctx, f, since.Last, st)
	case wire.SinceTime:
		start.Pos, err = s.fromTime(ctx, f, since)
	}
	if err != nil {
		return Start{}, err
	}
	return f.bound(start), nil
}

// resumeAt decides about a position that the ring does not hold. A refusal is only
// given for an answer of the leader to a question that was asked after the client's:
// another edge may have been told of events and epochs that this one has not.
func (f *Feed) resumeAt(ctx context.Context, since wire.Since, st State) (Start, error) {
	reason := resume(since, st)
	for asked := 0; reason != "" && (asked == 0 || reason == wire.PositionAhead && asked < askAhead); asked++ {
		// A deposed leader that stood still may name itself for a moment, with a
		// log that ends too early.
		if asked > 0 {
			if err := f.set.waitIn(ctx, aheadEvery); err != nil {
				return Start{}, err
			}
		}
		err := f.set.call(func(own context.Context) (err error) {
			st, err = f.set.askState(own)
			return err
		})
		if err != nil {
			return Start{}, err
		}
		reason = resume(since, st)
	}
	start := Start{Pos: since.Seq, Epoch: st.Epoch, First: st.First, Reason: reason}
	if reason == "" {
		var err error
		if start.Reason, err = f.sameEvent(ctx, since); err != nil {
			return Start{}, err
		}
	}
	if start.Reason != "" {
		start.Pos = st.First - 1
	}
	return f.bound(start), nil
}

// Before a position is called ahead of the log, the leader is asked askAhead times,
// aheadEvery apart.
const (
	askAhead   = 4
	aheadEvery = 300 * time.Millisecond
)

// recent is how old what is known of the log may be for a subscriber that starts
// at its oldest event: what is trimmed meanwhile is said by name anyway.
const recent = 100 * time.Millisecond

// holds reports whether the ring alone can serve the position.
func (f *Feed) holds(since wire.Since, st State) bool {
	head := f.Head()
	f.mu.RLock()
	defer f.mu.RUnlock()
	return since.ID == "" && (since.Epoch == "" || since.Epoch == st.Epoch) &&
		since.Seq >= f.ring.base && since.Seq <= head
}

// bound keeps a view from reading further back than the configured number of the
// service's events, and says so.
func (f *Feed) bound(start Start) Start {
	limit := uint64(f.set.cfg.ScanLimit)
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.target.View && start.Pos < f.ring.base && f.ring.base-start.Pos > limit {
		start.Pos = f.ring.base - limit
		if start.Reason == "" {
			start.Reason = wire.ScanLimit
		}
	}
	return start
}

// sameEvent compares the id that the client has at its position with the log's.
func (f *Feed) sameEvent(ctx context.Context, since wire.Since) (wire.Reason, error) {
	if since.ID == "" || since.Seq == 0 {
		return "", nil
	}
	list, _, err := f.set.read(ctx, f.query(Query{From: since.Seq, Count: 1}))
	if err != nil {
		return "", err
	}
	if len(list) == 0 || list[0].Seq != since.Seq {
		return "", nil
	}
	// An event that is none of the view is not the client's, whatever its id: nobody
	// learns that.
	var names []string
	if !f.selects(&names, list[0]) || list[0].ID != since.ID {
		return wire.EpochChanged, nil
	}
	return "", nil
}

// query aims q at what the feed reads.
func (f *Feed) query(q Query) Query {
	if !f.target.View {
		q.Channel = f.target.Channel
	}
	if q.Bytes == 0 {
		q.Bytes = f.set.cfg.PageBytes
	}
	return q
}

// read is one history read outside of a page.
func (s *Set) read(ctx context.Context, q Query) (list []Message, more bool, err error) {
	err = s.slot(ctx, func(ctx context.Context) (err error) {
		if list, more, err = collect(ctx, s.log, q); err != nil {
			return unavailable(err)
		}
		s.Stats.Reads.Add(1)
		s.Stats.ReadEvents.Add(uint64(len(list)))
		return nil
	})
	return list, more, err
}

// slot calls work when a history read may be made, and gives it one request's time.
func (s *Set) slot(ctx context.Context, work func(context.Context) error) error {
	select {
	case s.reads.slots <- struct{}{}:
	case <-ctx.Done():
		return unavailable(ctx.Err())
	case <-s.ctx.Done():
		return ErrClosed
	}
	defer func() { <-s.reads.slots }()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ReadTimeout)
	defer cancel()
	return work(ctx)
}

// fromTime is the position before the first event stored at or after a time.
func (s *Set) fromTime(ctx context.Context, f *Feed, since wire.Since) (uint64, error) {
	for attempt := 0; ; attempt++ {
		head := f.Head()
		f.mu.RLock()
		newest := f.ring.last()
		f.mu.RUnlock()
		list, _, err := s.read(ctx, f.query(Query{Time: since.Time, Count: 1, Leader: true}))
		if err != nil {
			return 0, err
		}
		if len(list) > 0 {
			return list[0].Seq - 1, nil
		}
		if newest == 0 {
			return head, nil
		}
		// Nothing that new, it says: true if the newest event is older, or gone.
		list, _, err = s.read(ctx, f.query(Query{From: newest, Count: 1}))
		if err != nil {
			return 0, err
		}
		if len(list) > 0 && (list[0].Seq > newest || list[0].Time.Before(since.Time)) {
			return head, nil
		}
		if st, err := s.askState(ctx); err != nil || st.First > newest {
			return head, err
		}
		if err := s.waitIn(ctx, lagging(attempt)); err != nil {
			return 0, err
		}
	}
}

// lastN is the position before the newest n events: of the event before them
// where there is one.
func (s *Set) lastN(ctx context.Context, f *Feed, n int, st State) (uint64, error) {
	f.mu.RLock()
	have, base := len(f.ring.frames), f.ring.base
	if have > n || have == n && n > 0 && base+1 >= st.First && f.ring.baseLast > 0 && !f.ring.loose {
		pos := f.ring.baseLast
		if have > n {
			pos = f.ring.frames[have-n-1].Seq
		}
		f.mu.RUnlock()
		return max(pos, base), nil
	}
	f.mu.RUnlock()
	found, err := s.backward(ctx, f, n-have, base, st, 0)
	return found.pos, err
}
