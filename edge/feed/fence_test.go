package feed

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
)

// TestAFencedStreamIsNotServed: the stream is replaced under its epoch. Who reads it further
// back, and who is at the head, must get nothing of the other log.
func TestAFencedStreamIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		for range 100 {
			log.act("a")
		}
		s := newSet(t, log, func(c *Config) { c.RingFrames, c.PageFrames = 2, 10 })
		r, _ := open(t, s, "global", wire.Since{Kind: wire.SinceStart})
		head, _ := open(t, s, "global", wire.Since{})
		head.drain()
		log.act("a") // Delivered.
		head.drain()
		got := len(head.got)
		log.set(func(l *memory) {
			l.stored = l.stored[:50:50]
			for i := range l.stored {
				l.stored[i].ID = "another"
			}
		})
		for range 60 {
			<-time.After(time.Second)
			if !s.Serving() {
				break
			}
		}
		if s.Serving() {
			t.Fatal("not fenced")
		}
		// One page.
		r.c.Next(nil, 1000)
		if want, ok := r.c.Wants(); ok {
			pages := make(chan Page, 1)
			r.feed.Fetch(want, func(p Page) { pages <- p })
			select {
			case p := <-pages:
				t.Errorf("a page of %d events of a fenced log, reason %q", len(p.Frames), p.Reason)
			case <-time.After(10 * time.Second):
			}
		} else {
			t.Error("wants nothing")
		}
		for range 60 {
			log.act("a")
		}
		<-time.After(10 * time.Second)
		head.drain()
		if n := len(head.got) - got; n > 0 {
			t.Errorf("%d live events of a fenced log: %v", n, head.got[got:])
		}
	})
}
