package feed

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
)

func TestAHoleInsideTheStreamDoesNotStopReadersForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSetOver(t, &holed{memory: log, hole: 3}, log, func(c *Config) { c.RingFrames = 2 })
		for range 10 {
			log.act("a")
		}
		for _, room := range []string{"global", "lifecycle"} {
			r, _ := open(t, s, room, after(2))
			want, _ := r.c.Wants()
			r.feed.Fetch(want, func(Page) {})
		}
		other, _ := open(t, s, "adapter:a", wire.Since{Kind: wire.SinceStart})
		want, ok := other.c.Wants()
		if !ok {
			t.Fatal("no page wanted")
		}
		pages := make(chan Page, 1)
		other.feed.Fetch(want, func(p Page) { pages <- p })
		select {
		case <-pages:
		case <-time.After(10 * time.Minute):
			t.Error("a channel that lacks nothing waits for its page for ever: two views hold both slots")
		}
	})
}

func TestAHoleDoesNotStopLiveViews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSetOver(t, &holed{memory: log, hole: 3}, log)
		r, _ := open(t, s, "global", wire.Since{})
		for i := range 5 {
			log.set(func(l *memory) { l.lossy = i == 2 })
			log.act("a")
		}
		later(10 * time.Minute)
		log.act("a")
		later(10 * time.Minute)
		r.drain()
		t.Logf("told %v, got %v", r.note, r.got)
		if !slices.Contains(r.got, 6) {
			t.Error("the view has stood still since the hole, and says nothing")
		}
	})
}

type holed struct {
	*memory
	hole uint64
}

func (h *holed) Read(ctx context.Context, q Query, each func(Message)) (bool, error) {
	return h.memory.Read(ctx, q, func(m Message) {
		if m.Seq != h.hole {
			each(m)
		}
	})
}

func TestWhatWaitsToBeOpenedIsForgottenWithItsFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		log.set(func(l *memory) { l.away = true })
		for i := range 1000 {
			channel, _ := schema.ParseChannel(fmt.Sprint("adapter:", i))
			target, _ := s.cat.Lookup(schema.Dhruva, channel)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, _ = s.Open(ctx, target)
			cancel()
		}
		later(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.feeds) != 0 || len(s.opening) > 0 {
			t.Errorf("%d feeds, %d sources wait to be opened", len(s.feeds), len(s.opening))
		}
	})
}

func TestHistorySaysThatTheFrontWentMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooked{memory: newMemory()}
		s := newHooked(t, h)
		for range 20 {
			h.act("a")
		}
		h.onTails(func() { h.onTails(nil); h.trim(15) })
		channel, _ := schema.ParseChannel("adapter:a")
		target, _ := s.cat.Lookup(schema.Dhruva, channel)
		past, err := s.History(t.Context(), target, after(5), 100, 0, wire.MaxMessage)
		if err != nil {
			t.Fatal(err)
		}
		if past.Reason == "" && past.Frames[0].Seq != 6 {
			t.Errorf("after 5 comes %d, reason %q", past.Frames[0].Seq, past.Reason)
		}
	})
}

func TestHistoryOfTheNewestIsNotMisledByALaggingReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		late := &lagOnce{memory: log}
		s := newSetOver(t, late, log)
		for range 50 {
			log.act("a")
		}
		channel, _ := schema.ParseChannel("adapter:a")
		target, _ := s.cat.Lookup(schema.Dhruva, channel)
		past, err := s.History(t.Context(), target, wire.Since{Kind: wire.SinceLast, Last: 5}, 5, 0, wire.MaxMessage)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, f := range past.Frames {
			got = append(got, f.Seq)
		}
		if fmt.Sprint(got) != "[46 47 48 49 50]" {
			t.Errorf("the newest five are %v", got)
		}
	})
}

// lagOnce answers the first Read from a replica that lacks ten messages.
type lagOnce struct {
	*memory
	done bool
}

func (l *lagOnce) Read(ctx context.Context, q Query, each func(Message)) (bool, error) {
	if !l.done {
		l.done = true
		l.memory.set(func(m *memory) { m.lag = 10 })
		defer l.memory.set(func(m *memory) { m.lag = 0 })
	}
	return l.memory.Read(ctx, q, each)
}

func TestWhatWasLostLiveAndTrimmedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		r, _ := open(t, s, "adapter:a", wire.Since{})
		for range 10 {
			log.act("a")
		}
		r.drain()
		log.set(func(l *memory) { l.lossy = true }) // NATS is away from this edge.
		for range 10 {
			log.act("a")
		}
		log.trim(20)
		log.set(func(l *memory) { l.lossy = false })
		log.act("a") // Its prev is 0: all earlier ones are gone.
		later(10 * time.Second)
		r.drain()
		if fmt.Sprint(r.note) != "[position_expired]" {
			t.Errorf("told %v, got %v, prev %v", r.note, r.got, r.prevs[len(r.prevs)-1])
		}
	})
}
