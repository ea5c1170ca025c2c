package feed

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
)

// TestAViewThatStartsAnewReadsNoFurtherBackThanTheLimit is Config.ScanLimit for a reset.
func TestAViewThatStartsAnewReadsNoFurtherBackThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		for range 100 {
			log.act("a")
		}
		s := newSet(t, log, func(c *Config) { c.ScanLimit, c.RingFrames = 10, 2 })
		r, _ := open(t, s, "global", wire.Since{})
		r.drain()
		log.set(func(l *memory) { l.epoch = "e2" })
		<-time.After(time.Minute)
		r.drain()
		if len(r.got) > 12 {
			t.Errorf("%d events were read back, told %v", len(r.got), r.note)
		}
	})
}
