package feed

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

func TestEpochChangeStartsEverybodyAnew(t *testing.T) {
	for _, room := range []string{"adapter:a", "global"} {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				s := newSet(t, log)
				for range 5 {
					log.act("a")
				}
				r, _ := open(t, s, room, wire.Since{})
				log.set(func(l *memory) { l.epoch, l.stored = "e2", nil })
				log.act("a")
				log.act("a")
				later(5 * time.Second)
				r.want(0, 1, 2)
				if fmt.Sprint(r.note) != "[epoch_changed]" {
					t.Errorf("told %v", r.note)
				}
				r.want(0, 1, 2)
				log.act("a")
				later(100 * time.Millisecond)
				r.want(0, 1, 2, 3)
			})
		})
	}
}

func TestEpochChangeInTheMiddleOfAReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log, func(c *Config) { c.PageFrames = 3; c.RingFrames = 2 })
		for range 20 {
			log.act("a")
		}
		r, _ := open(t, s, "adapter:a", wire.Since{Kind: wire.SinceStart})
		page := make(chan Page, 1)
		want, _ := r.c.Wants()
		r.feed.Fetch(want, func(p Page) { page <- p })
		r.c.Take(want, <-page)
		log.set(func(l *memory) { l.epoch, l.stored = "e2", nil })
		log.act("a")
		later(5 * time.Second)
		r.drain()
		if fmt.Sprint(r.note) != "[epoch_changed]" || r.got[len(r.got)-1] != 1 {
			t.Errorf("told %v, got %v", r.note, r.got)
		}
	})
}

func TestAShorterLogUnderTheSameEpochIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		r, _ := open(t, s, "adapter:a", wire.Since{})
		for range 5 {
			log.act("a")
		}
		r.want(0, 1, 2, 3, 4, 5)
		log.set(func(l *memory) { l.stored = l.stored[:2] })
		later(15 * time.Second)
		if s.Serving() {
			t.Fatal("the log is still believed")
		}
		if _, err := r.feed.Begin(t.Context(), wire.Since{}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("error %v", err)
		}
		log.set(func(l *memory) { l.epoch = "e2" })
		later(15 * time.Second)
		if !s.Serving() {
			t.Error("a new epoch does not lift the fence")
		}
	})
}

func TestAPositionOfTheNewEpochIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		open(t, s, "adapter:a", wire.Since{})
		for range 5 {
			log.act("a")
		}
		log.set(func(l *memory) { l.epoch, l.stored = "e2", nil })
		for range 3 {
			log.act("a")
		}
		// From another edge, which already knows e2.
		r, start := open(t, s, "adapter:a", wire.Since{Kind: wire.SinceSeq, Seq: 1, Epoch: "e2"})
		if start.Reason != "" || start.Epoch != "e2" {
			t.Fatalf("start %+v", start)
		}
		r.drain()
		later(5 * time.Second)
		r.drain()
		if len(r.note) > 0 || fmt.Sprint(r.got) != "[2 3]" {
			t.Errorf("told %v, got %v, want [2 3]", r.note, r.got)
		}
	})
}

func TestTheAckNeverNamesAPositionOfTheOldEpochUnderTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooked{memory: newMemory()}
		s := newHooked(t, h)
		open(t, s, "adapter:a", wire.Since{})
		for range 50 {
			h.act("a")
		}
		hold := make(chan struct{})
		h.onTails(func() { <-hold }) // The reopening takes a while.
		h.set(func(l *memory) { l.epoch, l.stored = "e2", nil })
		h.act("a")
		if _, err := s.State(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(50*time.Millisecond, func() { close(hold) })
		_, start := open(t, s, "adapter:a", wire.Since{})
		if start.Epoch != "e2" || start.Pos > 1 {
			t.Errorf("acknowledged position %d of %s, which ends at 1", start.Pos, start.Epoch)
		}
	})
}

func TestAnEpochChangeBetweenBeginAndCursorIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		for range 50 {
			log.act("a")
		}
		first, _ := open(t, s, "adapter:a", wire.Since{})
		start, err := first.feed.Begin(t.Context(), wire.Since{})
		if err != nil {
			t.Fatal(err)
		}
		log.set(func(l *memory) { l.epoch, l.stored = "e2", nil })
		later(5 * time.Second) // The feed has been restarted.
		r := &reader{t: t, feed: first.feed, c: first.feed.NewCursor(start), grew: make(chan struct{}, 1)}
		log.act("a")
		log.act("a")
		later(5 * time.Second)
		r.drain()
		if fmt.Sprint(r.note) != "[epoch_changed]" || fmt.Sprint(r.got) != "[1 2]" {
			t.Errorf("told %v, got %v; position %d of %s", r.note, r.got, r.c.Known(), start.Epoch)
		}
	})
}

func TestAnExpiredPageOfTheOldEpochDoesNotMoveACursorOfTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log, func(c *Config) { c.RingFrames = 2 })
		r, _ := open(t, s, "adapter:a", wire.Since{})
		for range 100 {
			log.act("a")
		}
		log.trim(90)
		want, page := r.fetchPage()
		if page.Reason != wire.PositionExpired {
			t.Fatalf("page %+v", page)
		}
		r.c.Take(want, page)
		log.set(func(l *memory) { l.epoch, l.stored, l.first = "e2", nil, 1 })
		log.act("a")
		later(5 * time.Second)
		r.drain()
		log.act("a")
		later(5 * time.Second)
		r.drain()
		if !slices.Contains(r.note, "epoch_changed") || fmt.Sprint(r.got) != "[1 2]" {
			t.Errorf("told %v, got %v, caught up at %d", r.note, r.got, r.c.Known())
		}
	})
}

func TestQuestionsInFlightOverAnEpochChangeDoNotFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooked{memory: newMemory()}
		s := newHooked(t, h)
		open(t, s, "adapter:a", wire.Since{})
		for range 50 {
			h.act("a")
		}
		later(time.Minute)
		h.set(func(l *memory) { l.epoch, l.stored = "e2", nil })
		hold := make(chan struct{})
		var holding atomic.Bool
		holding.Store(true)
		h.onState(func(State) {
			if holding.Load() {
				<-hold
			}
		})
		var wg sync.WaitGroup
		for range 4 { // Two pages, a repair, a check or a newcomer.
			wg.Go(func() { _, _ = s.askState(t.Context()) })
		}
		synctest.Wait()
		holding.Store(false)
		close(hold)
		wg.Wait()
		h.act("a")
		later(time.Minute)
		if !s.Serving() {
			t.Error("a new epoch is fenced")
		}
	})
}

func TestAStaleAnswerDoesNotBringTheOldEpochBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooked{memory: newMemory()}
		s := newHooked(t, h)
		r, _ := open(t, s, "adapter:a", wire.Since{})
		h.act("a")
		r.drain()
		hold := make(chan struct{})
		var once sync.Once
		h.onState(func(st State) {
			if st.Epoch == "e1" {
				once.Do(func() { <-hold })
			}
		})
		done := make(chan struct{})
		go func() { _, _ = s.askState(t.Context()); close(done) }()
		synctest.Wait()
		h.set(func(l *memory) { l.epoch, l.stored = "e2", nil })
		h.act("a")
		_, _ = s.askState(t.Context())
		later(200 * time.Millisecond)
		r.drain()
		close(hold) // The older answer comes last.
		<-done
		later(10 * time.Second)
		r.drain()
		if fmt.Sprint(r.note) != "[epoch_changed]" {
			t.Errorf("told %v, %d changes of epoch", r.note, s.Stats.Epochs.Load())
		}
	})
}

func TestACursorIsNotMovedToTheHeadOfTheOldEpoch(t *testing.T) {
	// Which feed a source restarts first is random: try until it is not the one
	// that holds the others up.
	for range 100 {
		if cursorUnderAStart(t) {
			return
		}
	}
	t.Error("every start began with the same feed")
}

func TestACheckOfTheOldEpochDoesNotMoveTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooked{memory: newMemory()}
		hold := make(chan struct{})
		late := &lateTails{hooked: h, hold: hold}
		s := New(schema.Dhruva, catalogue.Default(), late, h, Config{}, slog.New(slog.DiscardHandler))
		t.Cleanup(s.Close)
		h.act("a")
		r, _ := open(t, s, "adapter:a", wire.Since{})
		for range 50 {
			h.act("b")
		}
		late.arm.Store(true)
		later(800 * time.Millisecond) // A check waits for its answer (up to 51).
		if late.arm.Load() {
			t.Fatal("no check")
		}
		h.set(func(l *memory) { l.epoch, l.stored = "e2", nil })
		h.act("a")
		h.act("a")
		_, _ = s.State(t.Context())
		later(time.Second) // Reopened.
		r.drain()
		close(hold)
		synctest.Wait()
		h.act("a")
		later(10 * time.Second)
		r.drain()
		if fmt.Sprint(r.got) != "[1 2 3]" {
			t.Errorf("told %v, got %v, head %d", r.note, r.got, r.feed.Head())
		}
	})
}
