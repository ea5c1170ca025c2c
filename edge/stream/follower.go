package stream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/bodhisattva/indranet/publisher/directget"
)

// Times of a Follower.
const (
	// pollEvery is the time between the starts of two polls.
	pollEvery = 250 * time.Millisecond
	// pollTimeout is how long one request of a poll may take.
	pollTimeout = time.Second
	// fallPatience is how long the stream of the bucket may lack what was seen of it
	// before that is believed: a leader that was just elected may still be catching up
	// with itself.
	fallPatience = 3 * time.Second
	// reloadEvery is the time between two loads for the reason that the bucket holds
	// another number of keys than was told.
	reloadEvery = 5 * time.Second
	// revocationPage is how many messages a load reads at a time.
	revocationPage = 500
)

// errBehind says that the bucket's stream lacks what was seen of it.
var errBehind = errors.New("stream: the leader of " + RevocationsStream + " lacks what was seen of it")

// bucketState is what a poll looks at: which incarnation of the bucket's stream there
// is, how far it goes and how much it holds.
type bucketState struct {
	created  time.Time
	last     uint64
	messages uint64
}

// bucketLog is what a Follower reads.
type bucketLog interface {
	// state asks the leader. The error matches ErrNoRevocations where there is no bucket.
	state(ctx context.Context) (bucketState, error)
	// page reads, from any replica, some of what stands at or behind from, and reports
	// whether there is more.
	page(ctx context.Context, from uint64, each func(revocation)) (more bool, err error)
	// next asks the leader for what stands at from or first behind it. ok is false where
	// there is nothing.
	next(ctx context.Context, from uint64) (r revocation, ok bool, err error)
}

// Follower keeps somebody informed of the revocations. Its methods are safe for
// concurrent use.
type Follower struct {
	// Static after construction.
	log     bucketLog
	each    func(key string, value []byte, deleted bool)
	report  func(err error)
	loaded  chan struct{}
	stopped chan struct{}

	// Owned by run.
	seen  bucketState // But for messages.
	keys  map[string]known
	ready bool
	// doubted is when the leader began to lack something; loads is when the last load
	// ended.
	doubted, loads time.Time

	// Guarded by mu.
	mu      sync.Mutex
	checked time.Time
	err     error
}

// known is what was told of a key.
type known struct {
	seq     uint64
	deleted bool
}

// FollowRevocations tells each of every revocation in the bucket, and from then on of
// every change, in order, on one goroutine, until ctx is done or the Bus is closed. value
// is each's to keep. A revocation that was taken back, or that is gone because the bucket
// is another one, was purged, or has dropped it for its age, is told as deleted.
//
// The stream's leader is asked every 250 ms whether there is anything new, which needs
// no consumer and is its own check for lost messages. While NATS is away, or the bucket
// does not exist, each hears nothing and what it was told stands; when the bucket has
// come back as another one, what that one does not hold is deleted.
func (b *Bus) FollowRevocations(ctx context.Context, each func(key string, value []byte, deleted bool)) *Follower {
	f := newFollower(natsBucket{b.urgent}, each)
	f.report = b.reportFollowing
	ctx, cancel := context.WithCancel(ctx)
	b.wg.Go(func() {
		defer cancel()
		f.run(ctx)
	})
	b.wg.Go(func() {
		select {
		case <-b.done:
			cancel()
		case <-ctx.Done():
		}
	})
	return f
}

func newFollower(log bucketLog, each func(key string, value []byte, deleted bool)) *Follower {
	return &Follower{
		log: log, each: each, report: func(error) {},
		loaded: make(chan struct{}), stopped: make(chan struct{}), keys: map[string]known{},
	}
}

// Loaded is closed once everything that the bucket held has been told. It stays closed.
func (f *Follower) Loaded() <-chan struct{} { return f.loaded }

// Stopped is closed once each will not be called again.
func (f *Follower) Stopped() <-chan struct{} { return f.stopped }

// Checked is when the last successful poll began: everything that the bucket had
// acknowledged before has been told. It is zero before Loaded.
func (f *Follower) Checked() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.checked
}

// Fresh reports whether what was told is, at now, at most age old. Before Loaded it is
// not. A clock that was set back, or stood still while the machine slept, does not make
// it fresh.
func (f *Follower) Fresh(now time.Time, age time.Duration) bool {
	checked := f.Checked()
	// Both clocks: the monotonic one stands still while the machine sleeps.
	return !checked.IsZero() && max(now.Sub(checked), now.Round(0).Sub(checked.Round(0))) <= age
}

// Err is why the last poll failed, nil if it did not. It matches ErrNoRevocations where
// the bucket does not exist.
func (f *Follower) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// run polls until ctx is done.
func (f *Follower) run(ctx context.Context) {
	defer close(f.stopped)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		start := time.Now()
		err := f.poll(ctx, start)
		if ctx.Err() != nil {
			return
		}
		f.mu.Lock()
		was := f.err
		if f.err = err; err == nil {
			f.checked = start
		}
		f.mu.Unlock()
		if err != nil || was != nil {
			f.report(err)
		}
		if err == nil && !f.ready {
			f.ready = true
			close(f.loaded)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// poll looks once, and tells what is new. It succeeds when all that the leader had when
// it answered has been told.
func (f *Follower) poll(ctx context.Context, now time.Time) error {
	state, err := f.log.state(ctx)
	if err != nil {
		return err
	}
	switch {
	case !f.ready || !state.created.Equal(f.seen.created) || state.last > f.seen.last+revocationPage:
		return f.load(ctx, state, now)
	case state.last < f.seen.last:
		if err := f.doubt(now); err != nil {
			return err
		}
		return f.load(ctx, state, now)
	}
	if f.seen.last, err = f.catchUp(ctx, state, f.seen.last, now, f.tell); err != nil {
		return err
	}
	f.doubted = time.Time{}
	if f.seen.last == state.last && uint64(len(f.keys)) != state.messages && now.Sub(f.loads) >= reloadEvery {
		// Something is gone without a message that says so.
		return f.load(ctx, state, now)
	}
	return nil
}

// doubt returns errBehind until the leader has lacked something for fallPatience.
func (f *Follower) doubt(now time.Time) error {
	if f.doubted.IsZero() {
		f.doubted = now
	}
	if now.Sub(f.doubted) < fallPatience {
		return errBehind
	}
	return nil
}

// catchUp reads from the leader what stands behind from, up to the last message of state
// and whatever came since. It returns how far it came.
func (f *Follower) catchUp(ctx context.Context, state bucketState, from uint64, now time.Time, tell func(revocation)) (uint64, error) {
	for from < state.last {
		r, ok, err := f.log.next(ctx, from+1)
		if err != nil {
			return from, err
		}
		if !ok {
			// The last message of a bucket is the last one to expire. Otherwise it was
			// purged, or another leader has answered, which has it not yet.
			if state.messages > 0 {
				err = f.doubt(now)
			}
			if err == nil {
				from = state.last
			}
			return from, err
		}
		from = r.seq
		tell(r)
	}
	return from, nil
}

// tell passes a change on.
func (f *Follower) tell(r revocation) {
	was, had := f.keys[r.key]
	f.keys[r.key] = known{r.seq, r.deleted}
	if r.deleted && (!had || was.deleted) {
		return // Nobody was told of it.
	}
	f.each(r.key, r.value, r.deleted)
}

// load reads everything: what any replica has, and behind that what only the leader
// has. Only then anybody is told.
func (f *Follower) load(ctx context.Context, state bucketState, now time.Time) error {
	found := map[string]revocation{}
	take := func(r revocation) {
		if r.seq >= found[r.key].seq {
			found[r.key] = r
		}
	}
	last := uint64(0)
	for more := true; more; {
		before := last
		var err error
		more, err = f.log.page(ctx, before+1, func(r revocation) {
			last = max(last, r.seq)
			take(r)
		})
		if err != nil {
			return err
		}
		more = more && last > before
	}
	last, err := f.catchUp(ctx, state, last, now, take)
	if err != nil {
		return err
	}
	again, err := f.log.state(ctx)
	if err != nil {
		return err
	}
	if !again.created.Equal(state.created) {
		return errors.New("stream: the bucket " + RevocationsBucket + " was replaced while it was read")
	}
	same := f.ready && state.created.Equal(f.seen.created) && last >= f.seen.last
	f.seen.created, f.seen.last = state.created, last
	f.doubted, f.loads = time.Time{}, now
	for key, was := range f.keys {
		if _, ok := found[key]; !ok {
			delete(f.keys, key)
			if !was.deleted {
				f.each(key, nil, true)
			}
		}
	}
	for key, r := range found {
		if was, had := f.keys[key]; !same || !had || was.seq != r.seq {
			f.tell(r)
		}
	}
	return nil
}

// natsBucket is the bucket in NATS.
type natsBucket struct{ get *directget.Client }

func (n natsBucket) state(ctx context.Context) (bucketState, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	info, err := n.get.Info(ctx, RevocationsStream)
	if err != nil {
		return bucketState{}, missing(err)
	}
	return bucketState{created: info.Created, last: info.LastSeq, messages: info.Messages}, nil
}

func (n natsBucket) page(ctx context.Context, from uint64, each func(revocation)) (bool, error) {
	some := false
	end, err := n.get.Get(ctx, RevocationsStream, directget.Request{Seq: from, NextBySubj: revocationSubjects, Batch: revocationPage},
		func(m *directget.Message) error {
			some = true
			each(revocationOf(m))
			return nil
		})
	if errors.Is(err, directget.ErrIncomplete) && some {
		return true, nil // What came is right; the caller goes on behind it.
	}
	return end.NumPending > 0, err
}

func (n natsBucket) next(ctx context.Context, from uint64) (revocation, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	m, err := n.get.Leader(ctx, RevocationsStream, directget.LeaderRequest{NextBySubj: revocationSubjects, Seq: from})
	if errors.Is(err, directget.ErrNotFound) {
		return revocation{}, false, nil
	}
	if err != nil {
		return revocation{}, false, err
	}
	return revocationOf(m), true, nil
}

// missing says what it means that there is no stream.
func missing(err error) error {
	if errors.Is(err, directget.ErrNotFound) {
		return ErrNoRevocations
	}
	return err
}

// reportFollowing logs, once a minute, why the revocations cannot be followed, and when
// they can again.
func (b *Bus) reportFollowing(err error) {
	if err == nil {
		b.logger.Info("revocations are followed again")
		return
	}
	if held, ok := b.reports.due("revocations "+err.Error(), time.Now()); ok {
		b.logger.Error("revocations cannot be followed", "error", err, "held_back", held)
	}
}
