package request

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/bodhisattva/indranet/edge/feed"
)

// TestWhoHasGoneIsHungryNoMore: all room for pages is asked for, and reads hang.
func TestWhoHasGoneIsHungryNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newShelf()
		hold := make(chan struct{})
		for i := range 9 {
			for range 10 {
				log.act(fmt.Sprint(i), 100)
			}
			log.hold[fmt.Sprint("adapter:", i)] = hold
		}
		p := connect(t, log, feed.Config{RingFrames: 2})
		for i := range 8 {
			p.subscribe(fmt.Sprint("adapter:", i), `"start"`)
			p.fill()
		}
		for range 1000 {
			p.subscribe("adapter:8", `"start"`)
			p.fill()
			p.ask(`{"type":"request","event":"unsubscribe","data":{"channel":"adapter:8"}}`)
			p.fill()
		}
		p.session.mu.Lock()
		n := len(p.session.hungry)
		p.session.mu.Unlock()
		close(hold)
		if n > 10 {
			t.Errorf("%d subscriptions that have gone are kept", n)
		}
	})
}
