package feed

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
)

// dirty opens n channels and a view, and lets each channel lose what an edge loses
// that NATS was away from.
func dirty(t *testing.T, log *memory, s *Set, n int) (readers []*reader, view *reader) {
	t.Helper()
	for i := range n {
		r, _ := open(t, s, fmt.Sprint("adapter:", i), wire.Since{})
		readers = append(readers, r)
	}
	view, _ = open(t, s, "global", wire.Since{})
	later(10 * time.Second)
	log.set(func(l *memory) { l.lossy, l.reads = true, 0 })
	for i := range 3 * n {
		log.act(fmt.Sprint(i % n))
	}
	log.set(func(l *memory) { l.lossy = false })
	s.Suspect()
	later(time.Second)
	return readers, view
}

func TestManyDirtyChannelsAreMendedByOneScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 300
		log := newMemory()
		s := newSet(t, log, func(c *Config) { c.PageFrames, c.TailCheck = 100, time.Hour })
		readers, view := dirty(t, log, s, n)
		for i, r := range readers {
			r.want(0, uint64(i+1), uint64(n+i+1), uint64(2*n+i+1))
		}
		all := make([]uint64, 3*n)
		for i := range all {
			all[i] = uint64(i + 1)
		}
		view.want(0, all...)
		if log.reads > 3*n/100+5 {
			t.Errorf("%d reads mended %d channels", log.reads, n)
		}
		if scans := s.Stats.Scans.Load(); scans != 1 {
			t.Errorf("%d scans", scans)
		}
	})
}

func TestWhatAScanCannotMendIsMendedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 150
		log := newMemory()
		s := newSetOver(t, &holed{memory: log, hole: 2 * n}, log)
		readers, _ := dirty(t, log, s, n)
		later(10 * time.Second)
		for i, r := range readers[:n-1] {
			r.want(0, uint64(i+1), uint64(n+i+1), uint64(2*n+i+1))
		}
	})
}

func TestReadersOfManyChannelsAreServedByOneScan(t *testing.T) {
	for _, at := range []string{"at an event", "in between"} {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 600
				log := newMemory()
				s := newSet(t, log, func(c *Config) { c.PageFrames = 200 })
				for i := range 4 * n {
					log.act(fmt.Sprint(i % n))
				}
				type answer struct {
					r    *reader
					want Want
					page Page
				}
				pages := make(chan answer, 2*n)
				var readers []*reader
				var from []uint64
				for i := range 2 * n { // Two on each channel, one of them further back.
					pos := uint64(i%n + 1)
					if i >= n {
						pos += n
					}
					if at == "in between" {
						pos += 5
					}
					r, start := open(t, s, fmt.Sprint("adapter:", i%n), after(pos))
					if start.Reason != "" {
						t.Fatal(start.Reason)
					}
					readers, from = append(readers, r), append(from, pos)
				}
				log.set(func(l *memory) { l.reads = 0 })
				asked := 0
				for _, r := range readers {
					if want, ok := r.c.Wants(); ok { // Else the ring has been filled meanwhile.
						r.feed.Fetch(want, func(p Page) { pages <- answer{r, want, p} })
						asked++
					}
				}
				for range asked {
					a := <-pages
					a.r.c.Take(a.want, a.page)
				}
				reads := log.reads
				for i, r := range readers {
					var want []uint64
					for k := range uint64(4) {
						if seq := uint64(i%n+1) + k*n; seq > from[i] {
							want = append(want, seq)
						}
					}
					r.want(from[i], want...)
				}
				// Who asked before there were many, or was left, was served alone.
				if reads > n/2 {
					t.Errorf("the log was read %d times for %d channels", reads, n)
				}
			})
		})
	}
}
