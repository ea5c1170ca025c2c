package request

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
)

// TestASubscriptionThatTheRingReachesMeanwhileGoesOn: between Next, which says Behind, and
// the question whether a page is wanted, the page of another subscriber fills the ring.
func TestASubscriptionThatTheRingReachesMeanwhileGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newShelf()
		for range 50 {
			log.act("a", 10)
		}
		p := connect(t, log, feed.Config{})
		hold := make(chan struct{})
		log.mu.Lock()
		log.hold["adapter:a"] = hold
		log.mu.Unlock()
		p.subscribe("adapter:a", `"start"`)
		other := &peer{t: t, session: p.session.server.Open(&awake{}, Peer{}).(*Session)}
		other.subscribe("adapter:a", `"start"`)
		other.fill() // Its page is on its way.
		t.Cleanup(func() { other.session.Closed(conn.Reason{}) })

		// What Fill does, with the other's page in between.
		s := p.session
		s.mu.Lock()
		s.collectMarks()
		sub := s.ready[0]
		_, _, more := sub.fill(nil, slice, time.Now()) // Behind.
		s.mu.Unlock()
		close(hold)
		synctest.Wait() // The ring holds everything now.
		s.mu.Lock()
		s.fetch(sub)
		if !more {
			s.ready, sub.ready = nil, false
		}
		s.mu.Unlock()

		p.drain()
		<-time.After(time.Minute)
		p.drain()
		n := 0
		for _, f := range p.got {
			if f.Type == "event" && f.Seq > 0 {
				n++
			}
		}
		if n != 50 {
			t.Errorf("%d of 50 events after a minute", n)
		}
	})
}
