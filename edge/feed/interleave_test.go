package feed

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// lateTails holds one answer back.
type lateTails struct {
	*hooked
	hold chan struct{}
	arm  atomic.Bool
}

func (l *lateTails) Tails(ctx context.Context, c []schema.Channel, since, upTo uint64) (map[schema.Channel]uint64, uint64, error) {
	last, checked, err := l.hooked.Tails(ctx, c, since, upTo)
	if l.arm.CompareAndSwap(true, false) {
		<-l.hold
	}
	return last, checked, err
}

// hooked is a log whose calls a test can stop or disturb.
type hooked struct {
	*memory
	tails func()
	state func(State) // after the answer was made, before it is returned
	read  func(Message)
	end   uint64 // The replica that answers a Read ends here; 0 for no bound.
}

func (h *hooked) Tails(ctx context.Context, c []schema.Channel, since, upTo uint64) (map[schema.Channel]uint64, uint64, error) {
	var tails func()
	h.set(func(*memory) { tails = h.tails })
	if tails != nil {
		tails()
	}
	return h.memory.Tails(ctx, c, since, upTo)
}

func (h *hooked) State(ctx context.Context) (State, error) {
	st, err := h.memory.State(ctx)
	var state func(State)
	h.set(func(*memory) { state = h.state })
	if state != nil {
		state(st)
	}
	return st, err
}

func (h *hooked) onTails(hook func())      { h.set(func(*memory) { h.tails = hook }) }
func (h *hooked) onState(hook func(State)) { h.set(func(*memory) { h.state = hook }) }

// Read loads message by message, as the server does, so that the front can go
// between two of them.
func (h *hooked) Read(ctx context.Context, q Query, each func(Message)) (bool, error) {
	from := q.From
	for n := 0; ; n++ {
		one := q
		one.From, one.Count = from, 1
		got := 0
		var seen Message
		more, err := h.memory.Read(ctx, one, func(m Message) { got++; from = m.Seq + 1; seen = m; each(m) })
		if err != nil || got == 0 {
			return false, err
		}
		var read func(Message)
		var end uint64
		h.set(func(*memory) { read, end = h.read, h.end })
		if read != nil {
			read(seen) // Outside of the log's lock.
		}
		if end > 0 && from > end {
			return false, nil
		}
		if n+1 >= q.Count {
			return more, nil
		}
	}
}

func newHooked(t *testing.T, h *hooked, change ...func(*Config)) *Set {
	t.Helper()
	var cfg Config
	for _, c := range change {
		c(&cfg)
	}
	s := New(schema.Dhruva, catalogue.Default(), h, h, cfg, slog.New(slog.DiscardHandler))
	t.Cleanup(s.Close)
	return s
}

func (r *reader) fetchPage() (Want, Page) {
	r.t.Helper()
	want, ok := r.c.Wants()
	if !ok {
		r.t.Fatal("no page wanted")
	}
	pages := make(chan Page, 1)
	r.feed.Fetch(want, func(p Page) { pages <- p })
	return want, <-pages
}

func TestAPageThatComesAfterTheRingServedIsNotDeliveredAgain(t *testing.T) {
	for _, room := range []string{"adapter:a", "global"} {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				for range 5 {
					log.act("a")
				}
				s := newSet(t, log)
				r, _ := open(t, s, room, wire.Since{Kind: wire.SinceStart})
				// The page has been read and the ring was filled from it, but the page is
				// still on its way to the cursor (serve walks all who wait).
				want, page := r.fetchPage()
				log.act("a") // A live event wakes the connection.
				bufs, _, _ := r.c.Next(nil, 1<<20)
				r.read(bufs)
				r.c.Take(want, page)
				r.want(0, 1, 2, 3, 4, 5, 6)
			})
		})
	}
}

func TestTheFrontGoesInTheMiddleOfARead(t *testing.T) {
	for _, room := range []string{"adapter:a", "global"} {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hooked{memory: newMemory()}
				s := newHooked(t, h, func(c *Config) { c.RingFrames = 2; c.PageFrames = 50 })
				for range 100 {
					h.act("a")
				}
				r, _ := open(t, s, room, after(10))
				var once sync.Once
				read := func(m Message) {
					if m.Seq == 12 {
						once.Do(func() { h.trim(60) })
					}
				}
				h.set(func(*memory) { h.read = read })
				r.drain()
				hole := 0
				for i := 1; i < len(r.got); i++ {
					if r.got[i] != r.got[i-1]+1 {
						hole++
					}
				}
				if hole > 0 && len(r.note) == 0 {
					t.Errorf("got %v without a word", r.got)
				}
			})
		})
	}
}

func TestTheFrontGoesInTheMiddleOfARepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooked{memory: newMemory()}
		s := newHooked(t, h)
		h.act("a")
		r, _ := open(t, s, "adapter:a", after(0))
		r.drain()
		r.got = nil
		h.set(func(l *memory) { l.lossy = true })
		for range 20 {
			h.act("a")
		}
		var once sync.Once
		read := func(m Message) {
			if m.Seq == 3 {
				once.Do(func() { h.trim(15) })
			}
		}
		h.set(func(*memory) { h.read = read })
		later(10 * time.Second)
		r.drain()
		if len(r.note) == 0 && len(r.got) != 20 {
			t.Errorf("got %v without a word", r.got)
		}
	})
}

func TestOneMomentOfADeposedLeaderDoesNotFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooked{memory: newMemory()}
		s := newHooked(t, h)
		open(t, s, "adapter:a", wire.Since{})
		for range 50 {
			h.act("a")
		}
		later(time.Minute)
		var all []Message
		h.set(func(l *memory) { all = l.stored; l.stored = l.stored[:40] })
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _, _ = s.askState(t.Context()) })
		}
		wg.Wait()
		h.set(func(l *memory) { l.stored = all })
		later(time.Minute)
		if !s.Serving() {
			t.Error("fenced for good by one moment")
		}
	})
}

func TestAPositionNewerThanAQuestionInFlightIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooked{memory: newMemory()}
		s := newHooked(t, h)
		h.act("a")
		open(t, s, "adapter:a", wire.Since{})
		later(100 * time.Millisecond)
		hold := make(chan struct{})
		var once sync.Once
		h.onState(func(State) { once.Do(func() { <-hold }) })
		go func() { _, _ = s.State(t.Context()) }() // Somebody else asks; the answer is slow.
		synctest.Wait()
		h.set(func(l *memory) { l.lossy = true }) // Live to this edge is late.
		seq := h.act("a")                         // Another edge delivers it; that client comes here.
		time.AfterFunc(50*time.Millisecond, func() { close(hold) })
		_, start := open(t, s, "adapter:a", after(seq))
		if start.Reason != "" {
			t.Errorf("refused: %s, the log ends at %d", start.Reason, h.last())
		}
	})
}

// cursorUnderAStart drains a cursor of a feed that a starting source has moved to the
// new epoch already, while the source waits for another feed. It reports whether
// there was such a feed.
func cursorUnderAStart(t *testing.T) bool {
	log := newMemory()
	s := newSet(t, log)
	var readers []*reader
	for _, room := range []string{"global", "lifecycle", "adapter:*"} {
		r, _ := open(t, s, room, wire.Since{})
		readers = append(readers, r)
	}
	for range 50 {
		log.act("a")
	}
	for _, r := range readers {
		r.drain()
	}
	src := readers[0].feed.durable
	log.set(func(l *memory) { l.epoch, l.stored = "e2", nil })
	s.state.mu.Lock() // Noted, as observe does.
	s.state.known = State{Epoch: "e2", First: 1}
	s.state.changes++
	s.state.delivered.Store(0)
	s.state.mu.Unlock()
	src.stop()
	last := readers[0]
	last.feed.mu.RLock() // The start waits for this one: a connection is being served from it.
	done := make(chan struct{})
	go func() {
		src.start(0, 0, true, "e2", 1)
		close(done)
	}()
	var early *reader
	for deadline := time.Now().Add(50 * time.Millisecond); early == nil && time.Now().Before(deadline); {
		for _, r := range readers[1:] {
			if _, generation := r.feed.at(); generation == 1 {
				early = r
			}
		}
	}
	if early != nil {
		early.drain()
	}
	last.feed.mu.RUnlock()
	<-done
	if early == nil {
		return false
	}
	log.act("a")
	for waited := time.After(10 * time.Second); early.got[len(early.got)-1] != 1; early.drain() {
		select {
		case <-early.grew:
			continue
		case <-waited:
		}
		break
	}
	if early.got[len(early.got)-1] != 1 {
		t.Errorf("%s: told %v, at %d, got %d events, none of the new epoch", early.feed.Room(), early.note, early.c.Known(), len(early.got))
	}
	return true
}

func TestASkipDuringAReadIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooked{memory: newMemory()}
		s := newHooked(t, h, func(c *Config) { c.RingFrames = 2 })
		r, _ := open(t, s, "adapter:a", wire.Since{})
		for range 10 {
			h.act("a")
		}
		// The cursor has 1..3; the ring begins behind 8.
		r.c.Restart(Start{Pos: 3})
		want, ok := r.c.Wants()
		if !ok {
			t.Fatal("no page wanted")
		}
		hold := make(chan struct{})
		h.set(func(*memory) { h.end = 7 }) // The replica lags.
		var once sync.Once
		read := func(m Message) {
			if m.Seq == 7 {
				once.Do(func() { <-hold })
			}
		}
		h.set(func(*memory) { h.read = read })
		pages := make(chan Page, 1)
		r.feed.Fetch(want, func(p Page) { pages <- p })
		synctest.Wait()
		h.set(func(l *memory) { l.lossy = true })
		for range 10 {
			h.act("a")
		}
		h.trim(20)
		h.set(func(l *memory) { l.lossy = false })
		h.set(func(*memory) { h.end = 0 })
		h.act("a") // A gap: the repair skips to 15.
		later(time.Second)
		h.set(func(*memory) { h.end = 7 })
		close(hold)
		synctest.Wait()
		h.set(func(*memory) { h.end = 0 })
		r.c.Take(want, <-pages)
		r.drain()
		if len(r.note) == 0 {
			t.Errorf("got %v without a word", r.got)
		}
	})
}

func TestAnEventOnASharedHomeChannelIsInTheViewOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		r, _ := open(t, s, "lifecycle", wire.Since{})
		seq := log.put("lifecycle", "adapter.activated", `{"adapter_id":"x"}`)
		r.want(0, seq)
	})
}
