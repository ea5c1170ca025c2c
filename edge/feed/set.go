package feed

import (
	"container/list"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// Set holds the feeds of one service at one edge. All methods are safe for
// concurrent use.
type Set struct {
	// Stats may be read at any time.
	Stats Stats

	// Static after construction.
	service schema.Service
	cat     *catalogue.Catalogue
	log     Log
	live    Live
	cfg     Config
	logger  *slog.Logger
	kick    chan struct{} // Wakes Run; holds one token.

	// ctx ends everything that works for the set; wg waits for it.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// Guarded by mu.
	mu       sync.Mutex
	feeds    map[string]*Feed
	makers   map[string]int // How many feeds each client was the first to want.
	idle     *list.List     // The *Feed without users, the longest first.
	sources  map[sourceKey]*source
	opening  []*source
	openers  bool // An opener is running.
	checking bool // A check is running.
	suspect  bool // All sources are due, said somebody while it ran.
	closed   bool

	bodies bodies
	repair repairs
	reads  reads
	state  stateCache
}

// New returns the set of a service's feeds. Close must be called.
func New(service schema.Service, cat *catalogue.Catalogue, log Log, live Live, cfg Config, logger *slog.Logger) *Set {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Set{
		service: service, cat: cat, log: log, live: live, cfg: cfg.withDefaults(), logger: logger,
		kick: make(chan struct{}, 1), ctx: ctx, cancel: cancel,
		feeds: map[string]*Feed{}, makers: map[string]int{}, idle: list.New(), sources: map[sourceKey]*source{},
	}
	s.reads.slots = make(chan struct{}, s.cfg.Reads)
	s.reads.kick = make(chan struct{}, 1)
	s.reads.lines = map[*Feed]*line{}
	s.repair.token = make(chan struct{}, 1)
	s.wg.Go(s.run)
	s.wg.Go(s.repairAll)
	return s
}

// Close ends every feed and waits for everything that works for the set.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.reads.mu.Lock()
	s.reads.closed = true
	s.reads.mu.Unlock()
	s.cancel()
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, src := range s.sources {
		if src.watch != nil {
			src.watch.Stop()
		}
	}
}

// goWork starts a goroutine that Close waits for; false once the set is closed.
// The caller holds s.mu.
func (s *Set) goWork(work func()) bool {
	if s.closed {
		return false
	}
	s.wg.Go(work)
	return true
}

// Open returns the feed of a target, which the first caller creates. It returns
// when the feed serves: from then on no event can be missed. Every successful
// Open needs a Release. The error matches ErrUnavailable, ErrFull, ErrClosed or ctx's.
func (s *Set) Open(ctx context.Context, target catalogue.Target) (*Feed, error) {
	return s.open(ctx, target, s.cfg.MaxFeeds)
}

// OpenServed is Open where there is no room for new feeds: of targets that have none the
// error matches ErrFull.
func (s *Set) OpenServed(ctx context.Context, target catalogue.Target) (*Feed, error) {
	return s.open(ctx, target, 0)
}

func (s *Set) open(ctx context.Context, target catalogue.Target, most int) (*Feed, error) {
	f, err := s.acquire(target, most, tallyOf(ctx))
	if err != nil {
		return nil, err
	}
	for _, src := range []*source{f.durable, f.transient} {
		if src == nil {
			continue
		}
		select {
		case <-src.opened:
		case <-ctx.Done():
			f.Release()
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		case <-s.ctx.Done():
			f.Release()
			return nil, ErrClosed
		}
	}
	return f, nil
}

// acquire returns the feed of a target; where there is none it is made as long as there are
// fewer than most.
func (s *Set) acquire(target catalogue.Target, most int, tally *Tally) (*Feed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	room := target.Channel.String()
	if f := s.feeds[room]; f != nil {
		f.users++
		s.revive(f)
		return f, nil
	}
	maker := tally.client()
	if s.greedy(maker) || len(s.feeds) >= most && !(most > 0 && s.makeRoom()) {
		s.Stats.Full.Add(1)
		return nil, ErrFull
	}
	tally.made()
	f := &Feed{set: s, target: target, room: room, users: 1, maker: maker, sinks: map[Sink]int{}}
	f.ring.room, f.ring.maxFrames, f.ring.maxBytes = f.room, s.cfg.RingFrames, s.cfg.RingBytes
	f.passing.maxEntries, f.passing.maxBytes = s.cfg.PassingEntries, s.cfg.PassingBytes
	channel := target.Channel
	if target.View {
		channel = schema.Channel{}
	}
	var err error
	if target.Durable {
		f.durable, err = s.join(f, sourceKey{channel: channel})
	}
	if target.Transient && err == nil {
		f.transient, err = s.join(f, sourceKey{channel: channel, transient: true})
	}
	if err != nil {
		s.leave(f)
		return nil, err
	}
	s.feeds[room] = f
	if maker != "" {
		s.makers[maker]++
	}
	s.count()
	return f, nil
}

// join adds the feed to a source, which it creates where there is none. The
// caller holds s.mu.
func (s *Set) join(f *Feed, key sourceKey) (*source, error) {
	src := s.sources[key]
	if src == nil {
		src = &source{set: s, key: key, feeds: map[string]*Feed{}, opened: make(chan struct{})}
		watch, err := s.live.Watch(key.channel, key.transient, src.receive)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		src.watch = watch
		s.sources[key] = src
		if src.whole() && !key.transient {
			s.bodies.views.Add(1)
		}
		s.opening = append(s.opening, src)
		s.startOpener()
	}
	src.join(f)
	return src, nil
}

func (s *Set) release(f *Feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.users--; f.users > 0 || s.feeds[f.room] != f {
		return
	}
	f.idleSince = time.Now()
	f.idle = s.idle.PushBack(f)
	for s.idle.Len() > s.cfg.MaxLingering {
		s.makeRoom()
	}
	s.count()
}

// revive takes a feed off the list of those without users. The caller holds s.mu.
func (s *Set) revive(f *Feed) {
	if f.idle != nil {
		s.idle.Remove(f.idle)
		f.idle = nil
		s.count()
	}
}

// makeRoom ends the feed that has been without users for the longest; false where all have
// some. The caller holds s.mu.
func (s *Set) makeRoom() bool {
	longest := s.idle.Front()
	if longest == nil {
		return false
	}
	f := longest.Value.(*Feed)
	s.idle.Remove(longest)
	f.idle = nil
	delete(s.feeds, f.room)
	if s.makers[f.maker]--; s.makers[f.maker] <= 0 {
		delete(s.makers, f.maker)
	}
	s.leave(f)
	s.count()
	return true
}

// greedy reports whether a client was the first to want more than a quarter of all feeds
// that there may be, while less than half of them is free. The caller holds s.mu.
func (s *Set) greedy(client string) bool {
	return client != "" && len(s.feeds) > s.cfg.MaxFeeds/2 && s.makers[client] >= max(1, s.cfg.MaxFeeds/4)
}

// count tells how many feeds there are. The caller holds s.mu.
func (s *Set) count() {
	s.Stats.Feeds.Store(int64(len(s.feeds)))
	s.Stats.Lingering.Store(int64(s.idle.Len()))
}

// leave takes a feed out of its sources and stops those that serve no other. The
// caller holds s.mu.
func (s *Set) leave(f *Feed) {
	for _, src := range []*source{f.durable, f.transient} {
		if src == nil || !src.leave(f) {
			continue
		}
		src.watch.Stop()
		src.stop()
		delete(s.sources, src.key)
		if src.whole() && !src.key.transient {
			s.bodies.views.Add(-1)
		}
	}
}

// Suspect makes every source be compared with the log now: after a reconnect,
// and when NATS says that a subscription lost messages.
func (s *Set) Suspect() {
	s.mu.Lock()
	for _, src := range s.sources {
		src.due = time.Time{}
	}
	s.suspect = s.checking
	s.mu.Unlock()
	s.wake()
}

func (s *Set) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// run looks after time: tail checks, lingering feeds, the log's state.
func (s *Set) run() {
	const step = 250 * time.Millisecond
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		case <-s.kick:
		}
		s.step(time.Now())
	}
}

// step closes feeds that have lingered and starts the checks that are due.
func (s *Set) step(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for longest := s.idle.Front(); longest != nil && now.Sub(longest.Value.(*Feed).idleSince) >= s.cfg.Linger; longest = s.idle.Front() {
		s.makeRoom()
	}
	if len(s.sources) == 0 || s.checking {
		return
	}
	var due []*source
	for _, src := range s.sources {
		if src.key.transient || !isClosed(src.opened) || src.due.After(now) || planted == plantNoTailCheck {
			continue
		}
		src.due = now.Add(s.nextCheck(src.checks))
		src.checks++
		due = append(due, src)
	}
	if len(due) > 0 {
		s.checking = s.goWork(func() {
			s.check(due)
			s.mu.Lock()
			again := s.suspect
			s.checking, s.suspect = false, false
			s.mu.Unlock()
			if again {
				s.wake()
			}
		})
	}
}

// nextCheck spaces the checks of a source: a flush proves only that the local
// server has a subscription, so the first ones come soon after it opened.
func (s *Set) nextCheck(done int) time.Duration {
	switch done {
	case 0:
		return 750 * time.Millisecond
	case 1:
		return 2 * time.Second
	}
	quarter := int64(s.cfg.TailCheck / 4)
	return s.cfg.TailCheck + time.Duration(rand.Int64N(2*quarter+1)-quarter)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// call gives work one request's time.
func (s *Set) call(work func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.ReadTimeout)
	defer cancel()
	return work(ctx)
}

// pause waits before attempt n of something that failed, and
// reports whether the set still lives.
func (s *Set) pause(n int) bool {
	return s.wait(backoff(n))
}

// wait waits, and reports whether the set still lives.
func (s *Set) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// waitIn waits, and says why it is of no use to go on.
func (s *Set) waitIn(ctx context.Context, d time.Duration) error {
	if !s.wait(d) {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	return nil
}
