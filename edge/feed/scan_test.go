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
