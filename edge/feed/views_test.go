package feed

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/bodhisattva/indranet/edge/wire"
)

func TestTenThousandSubscribersOfViewsCostOneSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		for range 10 {
			log.act("a")
		}
		rooms := []string{"global", "lifecycle", "adapter:*"}
		var readers []*reader
		for i := range 10_000 {
			r, _ := open(t, s, rooms[i%len(rooms)], wire.Since{Kind: wire.SinceStart})
			readers = append(readers, r)
		}
		for range 10 {
			log.act("a")
		}
		for _, r := range readers {
			r.want(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.sources) != 1 || len(log.watches) != 1 || len(s.feeds) != len(rooms) {
			t.Errorf("%d sources, %d subscriptions, %d feeds", len(s.sources), len(log.watches), len(s.feeds))
		}
		if log.reads > len(rooms) {
			t.Errorf("the log was read %d times for %d subscribers", log.reads, len(readers))
		}
	})
}

func TestClientsThatReturnOneByOneReadTheLogOnceWhereverTheyStood(t *testing.T) {
	for name, pos := range map[string]uint64{"at an event": 11, "at a position in between": 12} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				s := newSet(t, log)
				var want []uint64
				for range 20 {
					seq := log.act("a")
					log.act("b")
					if seq > pos {
						want = append(want, seq)
					}
				}
				for range 100 {
					r, start := open(t, s, "adapter:a", after(pos))
					if start.Reason != "" {
						t.Fatal(start.Reason)
					}
					r.want(pos, want...)
				}
				// A page, and the leader's word on where it begins.
				if log.reads > 2 {
					t.Errorf("the log was read %d times", log.reads)
				}
			})
		})
	}
}

// Nobody learns by asking whether an event that a view does not select has some id.
func TestAViewTellsNothingOfIDsElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log, func(c *Config) { c.RingFrames = 1 })
		other := log.put("registry", "registry.updated", `{}`)
		own := log.act("a")
		for range 5 {
			log.act("b")
		}
		for _, c := range []struct {
			seq  uint64
			id   string
			want wire.Reason
		}{
			{own, fmt.Sprint("id", own), ""},
			{own, "another", wire.EpochChanged},
			{other, fmt.Sprint("id", other), wire.EpochChanged},
			{other, "another", wire.EpochChanged},
		} {
			since := after(c.seq)
			since.ID = c.id
			if _, start := open(t, s, "adapter:*", since); start.Reason != c.want {
				t.Errorf("at %d with %q: %q, want %q", c.seq, c.id, start.Reason, c.want)
			}
		}
	})
}
