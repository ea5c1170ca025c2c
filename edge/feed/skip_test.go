package feed

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
)

// TestASkipAfterTheProofOfAReadIsTold: a lagging replica has answered and the leader has said
// that nothing was trimmed; then the front goes, a repair moves the ring over it, and only
// then is the page compared with the ring.
func TestASkipAfterTheProofOfAReadIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooked{memory: newMemory()}
		s := newHooked(t, h, func(c *Config) { c.RingFrames = 2 })
		r, _ := open(t, s, "adapter:a", wire.Since{})
		for range 10 {
			h.act("a")
			h.act("b")
		}
		r.c.Restart(Start{Pos: 5})
		want, ok := r.c.Wants()
		if !ok {
			t.Fatal("no page wanted")
		}
		later(100 * time.Millisecond)       // Before the first check.
		h.set(func(*memory) { h.end = 11 }) // The replica lags.
		hold, waits := make(chan struct{}), true
		h.onState(func(State) {
			if waits { // Only the first question is held up: the page's.
				waits = false
				<-hold
			}
		})
		pages := make(chan Page, 1)
		r.feed.Fetch(want, func(p Page) { pages <- p })
		synctest.Wait()
		if waits {
			t.Fatal("the leader was not asked")
		}
		h.set(func(l *memory) { l.lossy = true })
		for range 10 {
			h.act("a")
		}
		h.trim(30)
		h.set(func(l *memory) { l.lossy = false; h.end = 0 })
		h.act("a") // A gap: the repair skips to 30.
		synctest.Wait()
		if r.feed.Head() != 31 {
			t.Fatalf("head %d", r.feed.Head())
		}
		close(hold)
		synctest.Wait()
		r.c.Take(want, <-pages)
		r.drain()
		if len(r.note) == 0 {
			t.Errorf("got %v without a word", r.got)
		}
	})
}

// TestWhoIsAheadOfASkipKeepsTheChain: a page of the log has brought a reader further than
// the live path got, and then the front goes, up to where it stands.
func TestWhoIsAheadOfASkipKeepsTheChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log, func(c *Config) { c.RingFrames = 2 })
		open(t, s, "adapter:a", wire.Since{})
		for range 12 {
			log.act("a")
		}
		r, _ := open(t, s, "adapter:a", after(3))
		log.set(func(l *memory) { l.lossy = true })
		for range 8 {
			log.act("a")
		}
		r.drain()
		if len(r.got) == 0 || r.got[len(r.got)-1] != 20 {
			t.Fatalf("got %v", r.got)
		}
		log.trim(20)
		log.set(func(l *memory) { l.lossy = false })
		s.Suspect()
		later(time.Second)
		log.act("a")
		later(time.Second)
		r.drain()
		if len(r.note) > 0 || r.got[len(r.got)-1] != 21 || r.prevs[len(r.prevs)-1] != 20 {
			t.Errorf("told %v, got %v, the last says that %d is before it", r.note, r.got, r.prevs[len(r.prevs)-1])
		}
	})
}

// TestAPageThatBeginsWhereTheLogDoesKeepsTheChain: the event before it has gone from the
// log, but this reader has it.
func TestAPageThatBeginsWhereTheLogDoesKeepsTheChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log, func(c *Config) { c.RingFrames = 1 })
		r, _ := open(t, s, "adapter:a", wire.Since{})
		log.act("a")
		r.drain()
		for range 4 {
			log.act("b")
		}
		later(time.Minute) // A comparison moves the head.
		r.drain()
		for range 3 {
			log.act("a")
		}
		log.trim(5)
		r.drain()
		if len(r.note) > 0 || len(r.got) != 4 || r.prevs[1] != 1 {
			t.Errorf("told %v, got %v with prev %v", r.note, r.got, r.prevs)
		}
	})
}
