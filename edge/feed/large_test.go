package feed

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
)

// large stores an event of that many bytes.
func (l *memory) large(id string, size int) uint64 {
	return l.put("adapter:"+id, "adapter.activated", fmt.Sprintf(`{"adapter_id":%q,"x":%q}`, id, strings.Repeat("x", size)))
}

// TestAnEventAsLargeAsAPageStopsNobodyBehindIt: a read begins at the position itself, and
// the event there alone uses up the bytes that were asked for.
func TestAnEventAsLargeAsAPageStopsNobodyBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		for range 6 {
			log.large("a", 70<<10)
		}
		s := newSet(t, log, func(c *Config) { c.RingFrames = 1 })
		r, _ := open(t, s, "adapter:a", wire.Since{Kind: wire.SinceSeq, Seq: 1})
		done := make(chan struct{})
		go func() {
			defer close(done)
			want, ok := r.c.Wants()
			if !ok {
				r.c.Next(nil, 1000)
				want, _ = r.c.Wants()
			}
			page := make(chan Page, 1)
			r.feed.Fetch(want, func(p Page) { page <- p })
			select {
			case p := <-page:
				if len(p.Frames) == 0 {
					t.Error("an empty page")
				}
			case <-time.After(time.Minute):
				t.Errorf("no page within a minute, %d stale reads", s.Stats.Stale.Load())
			}
		}()
		<-done
		if n := s.Stats.Stale.Load(); n > 0 {
			t.Errorf("%d answers were taken for stale", n)
		}
	})
}

// TestARepairBehindALargeEventNeedsOneRead is the same for a source that lost a live message.
func TestARepairBehindALargeEventNeedsOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log, func(c *Config) { c.PageBytes = 1000 })
		open(t, s, "adapter:a", wire.Since{})
		log.large("a", 2000)
		log.large("a", 2000)
		log.set(func(l *memory) { l.lossy = true })
		log.act("a")
		log.set(func(l *memory) { l.lossy = false })
		log.act("a")
		<-time.After(time.Minute)
		if s.Stats.Delivered.Load() != 4 || s.Stats.Stale.Load() > 0 {
			t.Errorf("%d of 4 delivered, %d answers were taken for stale", s.Stats.Delivered.Load(), s.Stats.Stale.Load())
		}
	})
}
