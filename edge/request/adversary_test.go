package request

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestAnswersForWhoHasGoneAreNotCountedForEver: a client that asks and goes, again and
// again, would use the budget of all others up.
func TestAnswersForWhoHasGoneAreNotCountedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		h.log.act("a", 10)
		hold := make(chan struct{})
		h.log.mu.Lock()
		h.log.hold["adapter:a"] = hold
		h.log.mu.Unlock()
		for _, request := range []string{"history", "subscribe"} {
			g := h.open("good")
			g.drain()
			g.ask(`{"type":"request","event":%q,"data":{"channel":"adapter:a","since":"start"}}`, request)
			g.end()
		}
		close(hold)
		synctest.Wait()
		if n := h.server.budget.Used(); n != 0 {
			t.Errorf("%d bytes are counted for nobody", n)
		}
	})
}
