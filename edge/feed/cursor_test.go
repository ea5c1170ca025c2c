package feed

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
)

var bothKinds = []string{"adapter:a", "global"}

func TestACursorThatIsSlowAndFastInTurnsMissesNothing(t *testing.T) {
	for _, room := range bothKinds {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				s := newSet(t, log, func(c *Config) { c.RingFrames = 8; c.PageFrames = 3 })
				r, _ := open(t, s, room, wire.Since{})
				var want []uint64
				for round := range 20 {
					pages := r.pages
					for range 30 { // Slow: the ring leaves it behind.
						want = append(want, log.act("a"))
					}
					r.want(0, want...)
					if r.pages == pages {
						t.Fatalf("round %d: the log was not read", round)
					}
					pages = r.pages
					for range 30 { // Fast: it takes each as it comes.
						want = append(want, log.act("a"))
						bufs, n, place := r.c.Next(nil, 1)
						r.read(bufs)
						if n != 1 || place != AtHead {
							t.Fatalf("round %d: %d events, place %d", round, n, place)
						}
					}
					r.want(0, want...)
					if r.pages != pages || r.c.Pos() != want[len(want)-1] {
						t.Fatalf("round %d: %d pages at the head, at %d", round, r.pages-pages, r.c.Pos())
					}
				}
			})
		})
	}
}

func TestTheRingMovesOnBetweenTwoSmallReads(t *testing.T) {
	for _, room := range bothKinds {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				s := newSet(t, log, func(c *Config) { c.RingFrames = 5 })
				r, _ := open(t, s, room, wire.Since{})
				var want []uint64
				for range 5 {
					want = append(want, log.act("a"))
				}
				for evict := range 5 { // By one, by two, until nothing of the ring is left.
					bufs, n, place := r.c.Next(nil, 1)
					r.read(bufs)
					if n != 1 || place != Ready && place != Behind {
						t.Fatalf("%d events, place %d", n, place)
					}
					for range evict + 1 {
						want = append(want, log.act("a"))
					}
					if _, _, place = r.c.Next(nil, 0); place == AtHead {
						t.Fatalf("at the head with %d of %d", len(r.got), len(want))
					}
					if want, ok := r.c.Wants(); ok {
						pages := make(chan Page, 1)
						r.feed.Fetch(want, func(p Page) { pages <- p })
						r.c.Take(want, <-pages)
					}
				}
				r.want(0, want...)
			})
		})
	}
}

func TestTheRingPassesAPageThatIsOnItsWay(t *testing.T) {
	for _, room := range bothKinds {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				s := newSet(t, log, func(c *Config) { c.RingFrames = 2; c.PageFrames = 4 })
				r, _ := open(t, s, room, wire.Since{})
				var want []uint64
				for range 5 {
					for range 7 {
						want = append(want, log.act("a"))
					}
					needs, page := r.fetchPage()
					for range 7 { // Past the end of the page.
						want = append(want, log.act("a"))
					}
					if bufs, n, place := r.c.Next(nil, 1<<20); n > 0 || place != Behind {
						t.Fatalf("%d buffers, %d events, place %d", len(bufs), n, place)
					}
					r.c.Take(needs, page)
					r.want(0, want...)
				}
			})
		})
	}
}

func TestAnEventBetweenTheReadAndTheNextComesOnce(t *testing.T) {
	for _, room := range bothKinds {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				for range 20 {
					log.act("a")
				}
				s := newSet(t, log, func(c *Config) { c.RingFrames = 3; c.PageFrames = 5 })
				r, _ := open(t, s, room, wire.Since{Kind: wire.SinceStart})
				want := make([]uint64, 0, 100)
				for seq := range uint64(20) {
					want = append(want, seq+1)
				}
				for {
					needs, ok := r.c.Wants()
					if !ok {
						break
					}
					pages := make(chan Page, 1)
					r.feed.Fetch(needs, func(p Page) { pages <- p })
					page := <-pages
					want = append(want, log.act("a")) // Between the read and Take.
					r.c.Take(needs, page)
					want = append(want, log.act("a")) // Between Take and Next.
					bufs, _, _ := r.c.Next(nil, 1<<20)
					r.read(bufs)
					if len(want) > 60 {
						break
					}
				}
				r.want(0, want...)
			})
		})
	}
}

// quietly is a log whose tails cannot be looked up for a while.
type quietly struct {
	*memory
	fail atomic.Bool
}

func (l *quietly) Tails(ctx context.Context, c []schema.Channel, since, upTo uint64) (map[schema.Channel]uint64, uint64, error) {
	if l.fail.Load() {
		return nil, 0, errAway
	}
	return l.memory.Tails(ctx, c, since, upTo)
}

func TestALostLastMessageIsFoundAsSoonAsTheLogCanTell(t *testing.T) {
	const bound = 3*time.Second*5/4 + grace + time.Second // A check, and the repair.
	for _, room := range bothKinds {
		for _, c := range []struct {
			name     string
			from, to func(*quietly)
		}{
			{"at once", func(*quietly) {}, func(*quietly) {}},
			{"stale replicas", func(l *quietly) { l.set(func(m *memory) { m.lag = 1 }) }, func(l *quietly) { l.set(func(m *memory) { m.lag = 0 }) }},
			{"no lookups", func(l *quietly) { l.fail.Store(true) }, func(l *quietly) { l.fail.Store(false) }},
			{"NATS away", func(l *quietly) { l.set(func(m *memory) { m.away = true }) }, func(l *quietly) { l.set(func(m *memory) { m.away = false }) }},
		} {
			t.Run(fmt.Sprint(room, "/", c.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					log := &quietly{memory: newMemory()}
					log.act("a")
					s := newSetOver(t, log, log.memory)
					r, _ := open(t, s, room, wire.Since{})
					later(time.Minute)
					log.set(func(l *memory) { l.lossy = true })
					seq := log.act("a")
					c.from(log)
					if c.name != "at once" {
						later(20 * time.Second)
					}
					c.to(log)
					healed := time.Now()
					if len(r.grew) == 0 || r.feed.Head() < seq {
						<-r.grew
					}
					if took := time.Since(healed); took > bound {
						t.Errorf("found after %v, want %v at most", took, bound)
					}
					r.want(1, seq)
				})
			})
		}
	}
}
