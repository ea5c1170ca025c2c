package request

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/auth"
)

// openHall is a hall that anybody may read in.
func openHall(t *testing.T, limits Limits) *hall {
	return newHall(t, limits, func(d *Door) {
		d.RequireAuth, d.Anonymous = false, auth.ParsePermissions([]string{"dhruva:read"})
	})
}

// many asks for 100 channels.
func (p *peer) many(name string) {
	var list []string
	for i := range 100 {
		list = append(list, fmt.Sprintf(`{"channel":"adapter:%s-%d"}`, name, i))
	}
	p.session.Receive(fmt.Appendf(nil, `{"type":"request","event":"subscribe","data":{"channels":[%s]}}`, strings.Join(list, ",")))
}

// errors are the codes of the errors among what came.
func (p *peer) errors() map[string]int {
	codes := map[string]int{}
	for _, f := range p.got {
		if f.ErrorCode != "" {
			codes[f.ErrorCode]++
		}
	}
	return codes
}

func TestAnswersThatNobodyReadsAreBoundedByTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, clients = 100_000, 50
		h := openHall(t, Limits{})
		h.server.budget = NewBudget(limit)
		var guests []*guest
		for i := range clients {
			g := h.open("")
			guests = append(guests, g)
			for n := range 3 {
				g.many(fmt.Sprint(strings.Repeat("x", 180), i%2, n))
				g.drain()
			}
			g.got = nil
		}
		if n := h.server.budget.Used(); n != 0 {
			t.Fatalf("%d bytes before", n)
		}
		for range 10 {
			for _, g := range guests { // Each answer has more than 60 KB.
				g.session.Receive([]byte(`{"type":"request","event":"list_channels"}`))
				g.session.Receive([]byte(`{"type":"ping"}`))
				synctest.Wait()
			}
		}
		if n := h.server.budget.Used(); n < limit || n > limit+70_000+clients*fewAnswers {
			t.Errorf("%d bytes are held, the budget is %d", n, limit)
		}
		given := guests[1].session.Fill(nil, 64<<10) // Which takes for ever.
		if n := h.server.budget.Used(); n < limit {
			t.Errorf("%d bytes are held while %d slices are being sent", n, len(given))
		}
		for _, g := range guests {
			g.drain()
			if n := len(g.got); n == 0 {
				t.Error("somebody got nothing")
			}
		}
		if n := h.server.budget.Used(); n != 0 {
			t.Errorf("%d bytes are held of nothing", n)
		}
		guests[0].got = nil
		guests[0].ask(`{"type":"request","event":"list_channels"}`)
		guests[0].drain()
		if codes := guests[0].errors(); len(codes) != 0 {
			t.Errorf("then it is still refused: %v", codes)
		}
	})
}

func TestFewAnswersWaitWhileTheBudgetIsUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, Limits{})
		g := h.open("")
		g.drain()
		g.got = nil
		h.server.budget.Tighten(true)
		asked := 0
		for ; asked < 1000; asked++ {
			kind := `{"type":"ping"}`
			if asked%2 == 0 {
				kind = `{"type":"request","event":"get_status"}`
			}
			more := g.session.Receive([]byte(kind))
			synctest.Wait()
			if !more {
				break
			}
		}
		if n := h.server.budget.Used(); n < fewAnswers || n > fewAnswers+1000 {
			t.Errorf("%d bytes of answers wait", n)
		}
		g.drain()
		if n := len(g.got); n != asked+1 {
			t.Errorf("%d of %d were answered", n, asked+1)
		}
		if g.conn.resumes.Load() == 0 {
			t.Error("it may not go on")
		}
	})
}

func TestWhatIsBeingSentCountsUntilTheConnectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, Limits{})
		g := h.open("")
		g.many("a")
		synctest.Wait()
		if len(g.session.Fill(nil, 64<<10)) == 0 || h.server.budget.Used() == 0 {
			t.Error("what was given to the engine is not counted")
		}
		g.end()
		if n := h.server.budget.Used(); n != 0 {
			t.Errorf("%d bytes are held of nothing", n)
		}
	})
}

func TestRequestsThatWaitAreHeldAndGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, Limits{ReplayRate: channelCost})
		g := h.open("")
		g.many("a")
		synctest.Wait()
		for i := range 6 { // The first does not wait.
			g.session.Receive(fmt.Appendf(nil, `{"type":"request","event":"subscribe","data":{"channel":"adapter:%d","x":%q}}`, i, strings.Repeat("x", 10_000)))
		}
		synctest.Wait()
		if n := g.conn.held.Load(); n < 5*10_000 { // The one that is at work, too.
			t.Errorf("%d bytes are held", n)
		}
		<-time.After(10 * time.Minute)
		g.drain()
		if n := g.conn.held.Load(); n != 0 {
			t.Errorf("%d bytes are held of nothing", n)
		}
	})
}

func TestALongMessageCountsAsMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{MessagesPerSecond: 10}, nil)
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		g := h.open("good")
		long := fmt.Sprintf(`{"type":"ping","x":%q}`, strings.Repeat("x", 30*sizeOfOne))
		start := time.Now()
		pongs := 0
		for pongs < 11 {
			before := len(g.got)
			g.ask("%s", long)
			g.drain()
			for _, f := range g.got[before:] {
				if f.Type == "pong" {
					pongs++
				}
			}
			<-time.After(time.Second)
		}
		if took := time.Since(start); took < 28*time.Second || took > 35*time.Second { // 31 of 10 a second each.
			t.Errorf("11 long messages took %v", took)
		}
		if code := g.conn.closed(); code != 0 {
			t.Errorf("closed with %d", code)
		}
	})
}

func TestWhoComesBackOwesWhatItOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond = 100 * channelCost
		h := openHall(t, Limits{ReplayRate: perSecond})
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		h.gate.issue("other", "u2", time.Hour, "dhruva:read")
		round := 0
		// visit subscribes to 1,000 new channels and goes, as far as it gets in a second.
		visit := func(open func() *guest) (got int) {
			g := open()
			for range 10 {
				round++
				g.many(fmt.Sprint(round))
			}
			<-time.After(time.Second)
			g.drain()
			g.session.mu.Lock()
			got = len(g.session.subs)
			g.session.mu.Unlock()
			g.end()
			return got
		}
		from := func(addresses ...string) func() *guest {
			n := 0
			return func() *guest {
				g := &guest{conn: &awake{}}
				g.t = t
				n++
				g.session = h.server.Open(g.conn, Peer{Address: addresses[n%len(addresses)]}).(*Session)
				return g
			}
		}
		for _, c := range []struct {
			name          string
			client, other func() *guest
		}{
			{"user", func() *guest { return h.open("good") }, func() *guest { return h.open("other") }},
			{"address", from("192.0.2.1"), from("192.0.2.2")},
			{"network", from("2001:db8::1", "2001:db8::ffff:1"), from("2001:db8:1::1")},
		} {
			made := 0
			for range 60 {
				made += visit(c.client)
			}
			// A burst of 1,600, then 100 a second, and one request ahead.
			if made < 5000 || made > 1600+60*100+1000 {
				t.Errorf("%s: %d channels in a minute", c.name, made)
			}
			if n := visit(c.other); n != 1000 {
				t.Errorf("%s: another got only %d channels", c.name, n)
			}
			<-time.After(time.Minute)
			if n := visit(c.client); n != 1000 {
				t.Errorf("%s: when all was paid, it got only %d channels", c.name, n)
			}
		}
		r := h.server.budget.Replay("dhruva")
		if r.Waits() == 0 || r.Waiting() != 0 {
			t.Errorf("%d have waited, %d wait", r.Waits(), r.Waiting())
		}
	})
}

// Many connections of a client may spend what one may, and each one request every 16 s more.
func TestManyConnectionsOfAClientShareWhatItMaySpend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond, connections = 100 * channelCost, 30
		h := openHall(t, Limits{ReplayRate: perSecond})
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		var all []*guest
		for i := range connections {
			g := h.open("good")
			for n := range 10 {
				g.many(fmt.Sprint(i, "-", n))
			}
			all = append(all, g)
		}
		<-time.After(time.Minute)
		made := 0
		for _, g := range all {
			g.drain()
			g.session.mu.Lock()
			made += len(g.session.subs)
			g.session.mu.Unlock()
			g.end()
		}
		if most := 100 * (16 + connections + 60/16*connections + 60); made > most {
			t.Errorf("%d channels in a minute, at most %d", made, most)
		}
	})
}

func TestWhatSomebodyIsAtIsNotOwedByThoseWhoComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, Limits{ReplayRate: 100 * channelCost})
		first := h.open("")
		first.many("a")
		first.drain()
		for range 100 { // 100 clients of an address, 100 channels each, within no time.
			g := &guest{conn: &awake{}}
			g.t = t
			g.session = h.server.Open(g.conn, Peer{Address: "192.0.2.1"}).(*Session)
			g.many("a")
			g.drain()
			g.session.mu.Lock()
			n := len(g.session.subs)
			g.session.mu.Unlock()
			if n != 100 {
				t.Fatalf("only %d channels", n)
			}
			g.end()
		}
	})
}

func TestAnAttemptCostsWhateverComesOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, Limits{ReplayRate: 100 * channelCost})
		h.server.budget.Tighten(true) // So that there is room for no feed.
		g := h.open("")
		for i := range 20 {
			g.many(fmt.Sprint(i))
		}
		g.drain()
		if r := h.server.budget.Replay("dhruva"); r.Waiting() != 1 {
			t.Errorf("%d wait", r.Waiting())
		}
		if n := h.server.Feeds.Stats.Full.Load(); n != 1700 { // 1,600 are free, and the last is not waited for.
			t.Errorf("%d were refused", n)
		}
		<-time.After(time.Minute)
		g.drain()
	})
}

func TestScarceMemoryMakesNoFeedsAndHurtsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, Limits{})
		g := h.open("")
		g.subscribe("adapter:a", `"now"`)
		h.server.budget.Tighten(true)
		g.subscribe("adapter:b", `"now"`)
		late := h.open("")
		late.subscribe("adapter:a", `"now"`)
		h.log.act("a", 10)
		synctest.Wait()
		g.wants(0, "event welcome", "response subscribe", "error subscribe UNAVAILABLE", "event adapter.activated adapter:a", "ack caught_up adapter:a")
		late.wants(0, "event welcome", "response subscribe", "event adapter.activated adapter:a", "ack caught_up adapter:a")
		h.server.budget.Tighten(false)
		g.subscribe("adapter:b", `"now"`)
		g.wants(0, "response subscribe", "ack caught_up adapter:b")
	})
}

func TestListingChannelsCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, Limits{ReplayRate: channelCost})
		g := h.open("")
		g.many("a")
		g.drain()
		<-time.After(time.Minute)
		for range 200 {
			g.ask(`{"type":"request","event":"list_channels"}`)
			g.drain()
		}
		if h.server.budget.Replay("dhruva").Waits() == 0 {
			t.Error("nobody waits")
		}
		<-time.After(10 * time.Minute)
	})
}

func TestDebtorsAreBounded(t *testing.T) {
	r, now := newReplay(), time.Now()
	r.charge("greedy", 1000, 1e9, now)
	for i := range 3 * maxDebtors {
		now = now.Add(time.Microsecond)
		r.charge(fmt.Sprint(i), 1000, 1000+i%7, now)
	}
	if n := len(r.debtors); n > maxDebtors {
		t.Errorf("%d are remembered", n)
	}
	if r.owes("greedy", 1000, now) < 9e8 {
		t.Error("who owes the most was forgotten")
	}
	if later := now.Add(time.Hour); r.owes("1", 1000, later) != 0 {
		t.Error("what was paid is still owed")
	}
}

// TestWhoGoesWhileWaitingAsksForNothing: the request of a connection that has ended makes
// no feed any more.
func TestWhoGoesWhileWaitingAsksForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, Limits{ReplayRate: channelCost})
		g := h.open("")
		g.many("a")
		g.many("b") // Does not wait yet.
		g.drain()
		g.many("c")
		synctest.Wait()
		g.end()
		synctest.Wait()
		if n := h.server.Feeds.Stats.Feeds.Load(); n != 200 {
			t.Errorf("%d feeds", n)
		}
	})
}
