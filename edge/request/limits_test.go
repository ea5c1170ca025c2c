package request

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/conn"
)

func TestWhoIsTooFastIsToldAndWhoKeepsOnIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{MessagesPerSecond: 10}, nil)
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		g := h.open("good")
		g.drain()
		for i := range 100 {
			g.ask(`{"type":"request","event":"get_status","id":"%d"}`, i)
		}
		g.drain()
		answered, refused := 0, 0
		for _, f := range g.got {
			switch {
			case f.Event == "get_status" && f.Type == "response":
				answered++
			case f.ErrorCode == "RATE_LIMIT_EXCEEDED":
				refused++
			}
		}
		if answered != 15 || refused < 20 || refused > 85 {
			t.Errorf("%d answered, %d refused", answered, refused)
		}
		if code := g.conn.closed(); code != conn.CloseRateLimited {
			t.Errorf("closed with %d", code)
		}
	})
}

func TestAConnectionThatHasLastedLongEnoughIsSentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{MaxAge: time.Hour}, func(d *Door) { d.RequireAuth = false })
		var sooner, later bool
		for range 50 {
			g := h.open("")
			g.session.Tick(time.Now().Add(54*time.Minute - 1))
			if g.conn.closed() != 0 {
				t.Fatal("closed before its time")
			}
			g.session.Tick(time.Now().Add(time.Hour))
			sooner, later = sooner || g.conn.closed() != 0, later || g.conn.closed() == 0
			g.session.Tick(time.Now().Add(66*time.Minute + 1))
			if g.conn.closed() != conn.CloseGoingAway {
				t.Fatalf("closed with %d", g.conn.closed())
			}
		}
		if n := h.server.Stats.Retired.Load(); n != 50 {
			t.Errorf("%d are counted", n)
		}
		if !sooner || !later {
			t.Error("all at the same time")
		}
	})
}

func TestPositionsOfThoseThatCameTogetherAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 30 * time.Second
		h := newHall(t, Limits{PositionEvery: every}, func(d *Door) { d.RequireAuth = false })
		tenths := map[time.Duration]bool{}
		for range 200 {
			g, now := h.open(""), time.Now()
			opened := g.session.positionAt
			g.session.Tick(now.Add(every/2 - 1))
			if !g.session.positionAt.Equal(opened) {
				t.Fatal("told before half the time")
			}
			due := opened.Add(every)
			g.session.Tick(due)
			g.session.Tick(due.Add(every - 1))
			if !g.session.positionAt.Equal(due) {
				t.Fatalf("told %v after %v", g.session.positionAt.Sub(now), due.Sub(now))
			}
			if due.After(now.Add(every)) {
				t.Fatalf("first told after %v", due.Sub(now))
			}
			tenths[due.Sub(now)/(every/20)] = true
		}
		if len(tenths) < 10 {
			t.Errorf("told in %d of 10 parts of the time", len(tenths))
		}
	})
}

// TestWhoAsksTheLogForMoreWaits: what exceeds the rate comes later, and nothing is refused.
func TestWhoAsksTheLogForMoreWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond = 4 * channelCost
		h := newHall(t, Limits{ReplayRate: perSecond}, func(d *Door) {
			d.RequireAuth, d.Anonymous = false, auth.ParsePermissions([]string{"dhruva:read"})
		})
		for range 20 {
			h.log.act("a", 10_000)
		}
		g, other := h.open(""), h.open("")
		start := time.Now()
		for i := range 4 * replayBurst {
			g.subscribe(fmt.Sprint("adapter:", i), `"now"`)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("what is free took %v", took)
		}
		for i := range 8 {
			g.session.Receive(fmt.Appendf(nil, `{"type":"request","event":"subscribe","data":{"channel":"adapter:more%d"}}`, i))
		}
		g.session.Receive([]byte(`{"type":"request","event":"history","data":{"channel":"adapter:a"}}`))
		g.session.Receive([]byte(`{"type":"request","event":"subscribe","data":{"channel":"adapter:last"}}`))
		other.subscribe("adapter:a", `"now"`)
		other.wants(0, "event welcome", "response subscribe", "ack caught_up adapter:a") // At once.
		subscribed := func(room string) time.Duration {
			for {
				g.drain()
				g.session.mu.Lock()
				for _, sub := range g.session.subs {
					if sub.feed.Room() == room {
						g.session.mu.Unlock()
						return time.Since(start)
					}
				}
				g.session.mu.Unlock()
				<-time.After(10 * time.Millisecond)
			}
		}
		if took := subscribed("adapter:more7"); took < 1700*time.Millisecond || took > 2*time.Second {
			t.Errorf("eight more came after %v", took) // The first does not wait, the last for seven.
		}
		if took := subscribed("adapter:last"); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("what follows 200 KB of history came after %v", took)
		}
		for _, f := range g.got {
			if f.ErrorCode != "" {
				t.Errorf("refused: %s", f.ErrorCode)
			}
		}
	})
}
