package request

import (
	"testing"
	"testing/synctest"

	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
)

// TestAPageForASubscriptionThatIsNeverAnsweredIsNotCountedForEver: a feed grows while its
// subscription is attached beside a slow one, and the client goes before the answer.
func TestAPageForASubscriptionThatIsNeverAnsweredIsNotCountedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newShelf()
		for range 50 {
			log.act("a", 10)
			log.act("b", 10)
		}
		p := connect(t, log, feed.Config{RingFrames: 2})
		hold := make(chan struct{})
		log.mu.Lock()
		log.hold["adapter:b"] = hold
		log.mu.Unlock()
		p.ask(`{"type":"request","event":"subscribe","data":{"channels":[{"channel":"adapter:a","since":"start"},{"channel":"adapter:b","since":{"last":10}}]}}`)
		log.act("a", 10)
		synctest.Wait()
		p.fill() // Asks for a page of a, before the answer.
		next := p.session.server.Open(&awake{}, Peer{}).(*Session)
		p.session.Closed(conn.Reason{})
		p.session = next
		close(hold)
		synctest.Wait()
		if n := p.session.server.Stats.Subscriptions.Load(); n != 0 {
			t.Errorf("%d subscriptions", n)
		}
		if n := p.session.server.Stats.PageBytes.Load(); n != 0 {
			t.Errorf("%d bytes of pages are counted for nobody", n)
		}
	})
}
