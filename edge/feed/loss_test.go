package feed

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
)

// TestWhatWasLostLiveAndTrimmedBeforeTheCheckIsTold: an event is lost live, and the
// front has passed it by the time of the next comparison. The comparison finds no event of
// the channel and moves the head over the lost one.
func TestWhatWasLostLiveAndTrimmedBeforeTheCheckIsTold(t *testing.T) {
	for _, room := range []string{"adapter:a", "adapter:never", "global"} {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				if room == "adapter:a" {
					log.act("a")
				}
				log.act("b")
				s := newSet(t, log)
				r, _ := open(t, s, room, wire.Since{})
				later(time.Minute)
				r.drain()
				log.set(func(l *memory) { l.lossy = true }) // NATS is away from this edge.
				id := "a"
				if room == "adapter:never" {
					id = "never"
				}
				lost := log.act(id)
				log.act("b")
				log.trim(lost)
				log.set(func(l *memory) { l.lossy = false })
				log.act("b")
				later(10 * time.Second)
				r.drain()
				if fmt.Sprint(r.note) != "[position_expired]" {
					t.Errorf("event %d was lost; told %v, got %v, known up to %d", lost, r.note, r.got, r.c.Known())
				}
			})
		})
	}
}

// exLeader is a log whose leader reads are answered by a node that led before
// and stood still meanwhile; everything else is answered by the present leader.
type exLeader struct {
	*memory
	ends uint64 // Where its log ends; 0 while it is not there.
}

func (l *exLeader) Read(ctx context.Context, q Query, each func(Message)) (bool, error) {
	var ends uint64
	l.set(func(*memory) { ends = l.ends })
	if !q.Leader || ends == 0 {
		return l.memory.Read(ctx, q, each)
	}
	return l.memory.Read(ctx, q, func(m Message) {
		if m.Seq <= ends {
			each(m)
		}
	})
}

// TestOneAnswerOfADeposedLeaderMovesNoHead: the first event of a channel is late on
// the live path; the comparison asks the leader, and one that was deposed
// answers.
func TestOneAnswerOfADeposedLeaderMovesNoHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		for range 10 {
			log.act("b")
		}
		old := &exLeader{memory: log}
		s := newSetOver(t, old, log)
		r, _ := open(t, s, "adapter:a", wire.Since{})
		later(time.Minute)
		r.drain()
		log.set(func(l *memory) { old.ends, l.lossy, l.lag = l.last(), true, 1 })
		seq := log.act("a")
		later(4 * time.Second) // One comparison.
		log.set(func(l *memory) { old.ends, l.lossy, l.lag = 0, false, 0 })
		later(10 * time.Second)
		r.drain()
		next := log.act("a")
		later(10 * time.Second)
		r.drain()
		if fmt.Sprint(r.got) != fmt.Sprint([]uint64{seq, next}) {
			t.Errorf("got %v, want [%d %d], told %v", r.got, seq, next, r.note)
		}
	})
}

// TestAPageOfADeposedLeaderIsNotBelieved: a page that ends before an event that this edge
// has delivered itself is wrong, whoever gave it.
func TestAPageOfADeposedLeaderIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		old := &exLeader{memory: log}
		s := newSetOver(t, old, log, func(c *Config) { c.RingFrames = 2 })
		r, _ := open(t, s, "adapter:a", wire.Since{})
		var want []uint64
		for range 20 {
			want = append(want, log.act("a"))
		}
		log.set(func(l *memory) { old.ends, l.lag = 10, 10 })
		time.AfterFunc(3*time.Second, func() { log.set(func(l *memory) { old.ends, l.lag = 0, 0 }) })
		r.drain()
		if fmt.Sprint(r.got) != fmt.Sprint(want) {
			t.Errorf("got %v, told %v", r.got, r.note)
		}
	})
}

// TestAnEpochChangeWhileASourceStartsIsNoticed: the epoch changes after the opener has
// compared it and before the source has started.
func TestAnEpochChangeWhileASourceStartsIsNoticed(t *testing.T) {
	h := &hooked{memory: newMemory()}
	s := newHooked(t, h) // In real time: a lock is what the opener waits for.
	for range 50 {
		h.act("a")
	}
	locked := make(chan *source)
	var once sync.Once
	h.tails = func() {
		once.Do(func() {
			s.mu.Lock()
			var src *source
			for _, src = range s.sources {
			}
			s.mu.Unlock()
			src.mu.Lock() // A live message is being delivered, or a feed joins.
			locked <- src
		})
	}
	channel, _ := schema.ParseChannel("adapter:a")
	target, _ := s.cat.Lookup(schema.Dhruva, channel)
	var f *Feed
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if f, err = s.Open(ctx, target); err == nil {
			_, err = f.Begin(ctx, wire.Since{})
		}
	}()
	src := <-locked
	for deadline := time.Now().Add(50 * time.Millisecond); time.Now().Before(deadline); {
		runtime.Gosched()
	}
	h.set(func(l *memory) { l.epoch, l.stored = "e2", nil })
	if _, err := s.askState(t.Context()); err != nil {
		t.Error(err)
	}
	src.mu.Unlock()
	<-done
	if err != nil {
		t.Errorf("the channel cannot be subscribed to: %v", err)
	}
	if f != nil {
		f.Release()
	}
}

// TestTwoEpochChangesBetweenNextAndRestart: the cursor goes on in the epoch whose
// oldest position it was given, not in one that came since.
func TestTwoEpochChangesBetweenNextAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		r, _ := open(t, s, "adapter:a", wire.Since{})
		for range 5 {
			log.act("a")
		}
		r.drain()
		r.got, r.prevs = nil, nil
		// Restored from a copy that begins at 1001.
		log.set(func(l *memory) { l.epoch, l.stored, l.first = "e2", nil, 1001 })
		log.act("a")
		_, _ = s.askState(t.Context())
		later(100 * time.Millisecond)
		if _, _, place := r.c.Next(nil, 1000); place != Lost {
			t.Fatalf("place %v", place)
		}
		start := r.c.Why()
		log.set(func(l *memory) { l.epoch, l.stored, l.first = "e3", nil, 1 })
		want := []uint64{log.act("a"), log.act("a")}
		_, _ = s.askState(t.Context())
		later(100 * time.Millisecond)
		r.c.Restart(start)
		later(10 * time.Second)
		r.drain()
		want = append(want, log.act("a"))
		r.drain()
		if fmt.Sprint(r.got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v, told %v, at %d", r.got, want, r.note, r.c.Pos())
		}
	})
}

// TestAPageOfTheOldEpochIsNotGivenToACursorOfTheNew: a worker has read a page, and the
// epoch changes before it looks who waits for it.
func TestAPageOfTheOldEpochIsNotGivenToACursorOfTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log, func(c *Config) { c.RingFrames = 2 })
		for range 20 {
			log.act("a")
		}
		r, _ := open(t, s, "adapter:a", wire.Since{Kind: wire.SinceStart})
		want, ok := r.c.Wants()
		if !ok {
			t.Fatal("no page wanted")
		}
		// What fetchAll does, step by step.
		line := &line{feed: r.feed, reading: true}
		s.reads.mu.Lock()
		s.reads.lines[r.feed], s.reads.order = line, append(s.reads.order, line)
		s.reads.mu.Unlock()
		page, _, _ := s.tryPage(t.Context(), r.feed, want, false)
		log.set(func(l *memory) { l.epoch, l.stored = "e2", nil })
		var seqs []uint64
		for i := range 10 { // Not the same events at the same positions.
			if i%2 == 0 {
				seqs = append(seqs, log.act("a"))
			} else {
				log.act("b")
			}
		}
		_, _ = s.askState(t.Context())
		later(100 * time.Millisecond)
		if _, _, place := r.c.Next(nil, 1000); place != Lost {
			t.Fatalf("place %v", place)
		}
		start := r.c.Why()
		r.c.Restart(start)
		again, ok := r.c.Wants()
		if !ok {
			t.Fatal("no page wanted")
		}
		pages := make(chan Page, 1)
		r.feed.Fetch(again, func(p Page) { pages <- p })
		s.serve(line, want, page)
		// In the real loop the worker goes on to the next page.
		s.mu.Lock()
		s.reads.mu.Lock()
		if s.reads.workers == 0 && s.goWork(s.fetchAll) {
			s.reads.workers++
		}
		s.reads.mu.Unlock()
		s.mu.Unlock()
		r.c.Take(again, <-pages)
		r.drain()
		if fmt.Sprint(r.got) != fmt.Sprint(seqs) {
			t.Errorf("got %v, want %v, told %v", r.got, seqs, r.note)
		}
	})
}

// TestALateMessageOfTheOldEpochDoesNotHideTheNew: a live message of the old epoch waited in
// the edge's queue while the source started under the new one.
func TestALateMessageOfTheOldEpochDoesNotHideTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		r, _ := open(t, s, "adapter:a", wire.Since{})
		log.act("a")
		r.drain()
		r.got = nil
		for range 40 {
			log.act("b")
		}
		channel, _ := schema.ParseChannel("adapter:a")
		waits := Message{Channel: channel, Event: "adapter.activated", Seq: 42, Prev: 1, Time: time.Now(), Data: []byte(`{}`)}
		log.set(func(l *memory) { l.epoch, l.stored = "e2", nil })
		want := []uint64{log.act("a")}
		_, _ = s.askState(t.Context())
		later(100 * time.Millisecond)
		r.drain()
		log.live(waits, false)
		for range 5 {
			want = append(want, log.act("a"))
		}
		later(time.Minute)
		r.drain()
		if fmt.Sprint(r.got) != fmt.Sprint(want) || !s.Serving() {
			t.Errorf("got %v, want %v, told %v, serving %v", r.got, want, r.note, s.Serving())
		}
	})
}

// earlyFront is a log one of whose followers has expired more of the front than the
// leader: each node expires by its own clock.
type earlyFront struct {
	*memory
	gone uint64
}

func (l *earlyFront) Read(ctx context.Context, q Query, each func(Message)) (bool, error) {
	if !q.Leader && q.From <= l.gone {
		q.From = l.gone + 1
	}
	return l.memory.Read(ctx, q, each)
}

func TestAFollowerThatExpiredMoreThanTheLeaderHidesNothing(t *testing.T) {
	for _, room := range []string{"adapter:a", "global"} {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				s := newSetOver(t, &earlyFront{log, 4}, log, func(c *Config) { c.RingFrames = 2 })
				for range 10 {
					log.act("a")
				}
				log.act("b")
				r, start := open(t, s, room, wire.Since{Kind: wire.SinceSeq, Seq: 0})
				if start.Reason != "" {
					t.Fatal(start.Reason)
				}
				r.drain()
				if len(r.note) == 0 && r.got[0] != 1 {
					t.Errorf("got %v, told %v", r.got, r.note)
				}
			})
		})
	}
}

// refusing is a log that cannot read one channel.
type refusing struct {
	*memory
	mu  sync.Mutex
	bad map[string]bool
}

func (l *refusing) Read(ctx context.Context, q Query, each func(Message)) (bool, error) {
	l.mu.Lock()
	bad := l.bad[q.Channel.String()]
	l.mu.Unlock()
	if bad {
		<-ctx.Done()
		return false, ctx.Err()
	}
	return l.memory.Read(ctx, q, each)
}

// TestAChannelThatCannotBeReadDoesNotStopRepairsOfOthers: a read that never ends (a cold
// scan past the timeout) on one channel.
func TestAChannelThatCannotBeReadDoesNotStopRepairsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.act("a")
		log.act("b")
		bad := &refusing{memory: log, bad: map[string]bool{"adapter:a": true}}
		s := newSetOver(t, bad, log)
		open(t, s, "adapter:a", wire.Since{})
		r, _ := open(t, s, "adapter:b", wire.Since{})
		log.set(func(l *memory) { l.lossy = true })
		log.act("a")
		want := []uint64{log.act("b")}
		log.set(func(l *memory) { l.lossy = false })
		log.act("a")
		want = append(want, log.act("b"))
		later(time.Minute)
		r.drain()
		if fmt.Sprint(r.got) != fmt.Sprint(want) {
			t.Errorf("adapter:b lacks nothing in the log; got %v, want %v", r.got, want)
		}
	})
}

// TestChannelsThatCannotBeReadDoNotStopTheReadersOfOthers: two of them.
func TestChannelsThatCannotBeReadDoNotStopTheReadersOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		bad := &refusing{memory: log, bad: map[string]bool{"adapter:a": true, "adapter:b": true}}
		s := newSetOver(t, bad, log, func(c *Config) { c.RingFrames = 2 })
		for range 10 {
			log.act("a")
			log.act("b")
			log.act("c")
		}
		for _, room := range []string{"adapter:a", "adapter:b"} {
			r, _ := open(t, s, room, wire.Since{Kind: wire.SinceStart})
			want, _ := r.c.Wants()
			r.feed.Fetch(want, func(Page) {})
		}
		later(time.Second)
		r, _ := open(t, s, "adapter:c", wire.Since{Kind: wire.SinceStart})
		want, _ := r.c.Wants()
		pages := make(chan Page, 1)
		r.feed.Fetch(want, func(p Page) { pages <- p })
		select {
		case <-pages:
		case <-time.After(time.Minute):
			t.Error("no page of adapter:c in a minute")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := s.History(ctx, r.feed.Target(), wire.Since{Kind: wire.SinceLast, Last: 1}, 1, 0, wire.MaxMessage); err != nil {
			t.Errorf("history of adapter:c: %v", err)
		}
	})
}

// TestANewChannelThatCannotBeReadDoesNotStopOthersFromOpening: the leader is asked
// whether a channel was really never used, and does not answer that.
func TestANewChannelThatCannotBeReadDoesNotStopOthersFromOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.act("b")
		bad := &refusing{memory: log, bad: map[string]bool{"adapter:a": true}}
		s := newSetOver(t, bad, log)
		try := func(name string) error {
			channel, _ := schema.ParseChannel(name)
			target, _ := s.cat.Lookup(schema.Dhruva, channel)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			f, err := s.Open(ctx, target)
			if err == nil {
				f.Release()
			}
			return err
		}
		go func() { _ = try("adapter:a") }()
		later(time.Second)
		if err := try("adapter:b"); err != nil {
			t.Errorf("adapter:b: %v", err)
		}
	})
}
