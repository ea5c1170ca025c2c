package conn

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
)

// inFakeTime runs a test with an engine, a handler and a client over net.Pipe, in
// a bubble where time passes only while everything waits.
func inFakeTime(t *testing.T, config Config, test func(t *testing.T, e Engine, h *tap, c *client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		defer stop(t, e)
		h := newTap(t)
		test(t, e, h, connectPipe(t, e, h))
	})
}

// pass lets fake time go by.
func pass(d time.Duration) { <-time.After(d) }

// wantAfter expects that about d went by since start: timeouts are kept to the tick.
func wantAfter(t *testing.T, start time.Time, d time.Duration) {
	t.Helper()
	if got := time.Since(start); got < d || got > d+3*tickEvery {
		t.Fatalf("after %v, want %v", got, d)
	}
}

func TestPingsComeEveryIntervalAndPongsKeepTheConnection(t *testing.T) {
	inFakeTime(t, Config{}, func(t *testing.T, _ Engine, h *tap, c *client) {
		c.wantFrame(ws.OpPing, "") // The first comes sooner.
		for range 100 {
			last := time.Now()
			c.write(masked(ws.OpPong, true, ""))
			c.wantFrame(ws.OpPing, "")
			wantAfter(t, last, DefaultPingInterval)
		}
		h.wantOpen()
	})
}

// ticked is a handler that notes when it is ticked. The first tick takes as long as hold.
type ticked struct {
	silent
	at   []time.Time
	hold time.Duration
}

func (h *ticked) Tick(now time.Time) {
	h.at = append(h.at, now)
	if h.hold > 0 {
		pass(h.hold)
		h.hold = 0
	}
}

// What a thousand connections need that came in one moment, after a storm, is not done in
// one moment: neither their ticks nor their pings.
func TestTicksAndPingsOfThoseThatCameTogetherAreSpread(t *testing.T) {
	const (
		connections = 1000
		seconds     = 60
	)
	synctest.Test(t, func(t *testing.T) {
		e, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer stop(t, e)
		var readers sync.WaitGroup
		defer readers.Wait()
		start, handlers, pings := time.Now(), make([]*ticked, connections), make([][]time.Duration, connections)
		for i := range connections {
			handlers[i] = &ticked{}
			server, peer := net.Pipe()
			defer func() { _ = peer.Close() }()
			if err := e.Serve(server, nil, func(Conn) Handler { return handlers[i] }); err != nil {
				t.Fatal(err)
			}
			readers.Go(func() {
				for {
					header, err := ws.ReadHeader(peer)
					if err != nil {
						return
					}
					if header.OpCode == ws.OpPing { // Without a payload.
						pings[i] = append(pings[i], time.Since(start))
						if _, err := peer.Write(masked(ws.OpPong, true, "")); err != nil {
							return
						}
					}
				}
			})
		}
		pass(seconds*time.Second + time.Millisecond)
		synctest.Wait()
		ticks, together := map[time.Time]int{}, map[time.Duration]int{}
		for i, h := range handlers {
			if len(h.at) != seconds {
				t.Fatalf("%d ticks in %d seconds", len(h.at), seconds)
			}
			for n, at := range h.at {
				if n > 0 && at.Sub(h.at[n-1]) != tickEvery {
					t.Fatalf("%v between two ticks", at.Sub(h.at[n-1]))
				}
				ticks[at]++
			}
			for n, at := range pings[i] {
				first, since := DefaultPingInterval/2, at
				if n > 0 {
					first, since = DefaultPingInterval, at-pings[i][n-1]
				}
				if since < first || since > DefaultPingInterval+2*tickEvery {
					t.Fatalf("ping %d came %v after what was before", n, since)
				}
				together[at]++
			}
			if len(pings[i]) < 2 {
				t.Fatalf("%d pings", len(pings[i]))
			}
		}
		for at, n := range ticks {
			if n > connections/10 {
				t.Fatalf("%d ticks at once, after %v", n, at.Sub(start))
			}
		}
		for at, n := range together {
			if n > connections/50 {
				t.Fatalf("%d pings at once, after %v", n, at)
			}
		}
	})
}

// A janitor that was held up looks at each connection once and goes on at its pace: a look
// twice in a moment would let a peer send twice as much as it may.
func TestTicksThatWereMissedAreNotMadeUpFor(t *testing.T) {
	const held = 5 * time.Second
	synctest.Test(t, func(t *testing.T) {
		e, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer stop(t, e)
		handlers := make([]*ticked, 2*shifts)
		for i := range handlers {
			handlers[i] = &ticked{}
			if i == 3 {
				handlers[i].hold = held
			}
			server, peer := net.Pipe()
			defer func() { _ = peer.Close() }()
			if err := e.Serve(server, nil, func(Conn) Handler { return handlers[i] }); err != nil {
				t.Fatal(err)
			}
		}
		pass(10*time.Second + held + time.Millisecond)
		synctest.Wait()
		for i, h := range handlers {
			if n := len(h.at); n < 9 || n > 12 {
				t.Errorf("connection %d: %d ticks", i, n)
			}
			for n := 1; n < len(h.at); n++ {
				if gap := h.at[n].Sub(h.at[n-1]); gap > held+2*tickEvery {
					t.Errorf("connection %d: %v between two ticks", i, gap)
				}
			}
		}
	})
}

func TestSilenceAfterAPingEndsTheConnection(t *testing.T) {
	inFakeTime(t, Config{PingInterval: 7 * time.Second, PingTimeout: 30 * time.Second}, func(t *testing.T, _ Engine, h *tap, c *client) {
		c.wantFrame(ws.OpPing, "")
		start := time.Now()
		for range 4 { // the later pings do not start the wait again
			c.wantFrame(ws.OpPing, "")
		}
		if text := c.wantClose(CloseInternal); text != "ping timeout" {
			t.Errorf("close text %q", text)
		}
		c.wantEOF()
		wantAfter(t, start, 30*time.Second)
		if why := h.wantClosed(CloseAbnormal); !errors.Is(why.Err, ErrPingTimeout) || why.ByPeer {
			t.Errorf("reason %v", why)
		}
	})
}

func TestAnyByteIsASignOfLife(t *testing.T) {
	inFakeTime(t, Config{MessageTimeout: 2 * time.Hour}, func(t *testing.T, _ Engine, h *tap, c *client) {
		go func() {
			for { // takes pings and answers none
				if _, _, err := c.read(); err != nil {
					return
				}
			}
		}()
		long := text(strings.Repeat("x", 200))
		for i := range long {
			c.write(long[i : i+1])
			pass(DefaultPingTimeout - 2*tickEvery)
		}
		h.wantMessage(strings.Repeat("x", 200))
		h.wantOpen()
	})
}

func TestPausedReadingIsNotSilence(t *testing.T) {
	inFakeTime(t, Config{}, func(t *testing.T, _ Engine, h *tap, c *client) {
		h.receive = func([]byte) bool { return false }
		go func() {
			for { // takes pings and answers none
				if _, _, err := c.read(); err != nil {
					return
				}
			}
		}()
		c.write(text("enough"))
		pass(time.Hour)
		h.wantOpen()
		h.conn.Resume()
		start := time.Now()
		why := <-h.closed
		if !errors.Is(why.Err, ErrPingTimeout) {
			t.Errorf("reason %v", why)
		}
		if took := time.Since(start); took < DefaultPingTimeout || took > DefaultPingInterval+DefaultPingTimeout+3*tickEvery {
			t.Errorf("after %v of silence", took)
		}
	})
}

func TestPeerThatTakesNothingIsCut(t *testing.T) {
	inFakeTime(t, Config{}, func(t *testing.T, _ Engine, h *tap, _ *client) {
		start := time.Now()
		h.send("never taken")
		if why := <-h.closed; why.Code != CloseSlow || !errors.Is(why.Err, ErrSlow) || why.ByPeer {
			t.Errorf("reason %v", why)
		}
		wantAfter(t, start, DefaultSlowTimeout)
	})
}

func TestPeerThatTakesALittleIsNotCut(t *testing.T) {
	inFakeTime(t, Config{}, func(t *testing.T, _ Engine, h *tap, c *client) {
		want := strings.Repeat("slow", 30)
		h.send(want)
		var got []byte
		for b := make([]byte, 1); len(got) < 2+len(want); got = append(got, b[0]) {
			pass(DefaultSlowTimeout - 5*tickEvery)
			if _, err := c.nc.Read(b); err != nil {
				t.Fatal(err)
			}
		}
		h.wantOpen()
		if string(got[2:]) != want {
			t.Errorf("got %q", got)
		}
	})
}

func TestUnansweredCloseIsBounded(t *testing.T) {
	inFakeTime(t, Config{}, func(t *testing.T, _ Engine, h *tap, c *client) {
		start := time.Now()
		h.conn.Close(CloseRevoked, "revoked")
		c.wantClose(CloseRevoked)
		c.wantEOF()
		wantAfter(t, start, DefaultCloseTimeout)
		if why := h.wantClosed(CloseRevoked); !errors.Is(why.Err, ErrCloseTimeout) {
			t.Errorf("reason %v", why)
		}
	})
}

// Who is expelled gets nothing after half a second, neither by not answering nor by reading
// slowly, and also where it was closing already.
func TestWhoIsExpelledIsGoneInHalfASecond(t *testing.T) {
	for name, c := range map[string]struct{ reads, closing bool }{
		"answers nothing": {true, false}, "takes nothing": {false, false}, "was closing": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, Config{}, func(t *testing.T, e Engine, h *tap, peer *client) {
				if !c.reads {
					h.send("never taken")
					synctest.Wait()
				}
				want := CloseRevoked
				if c.closing {
					want = CloseNormal
					h.conn.Close(want, "")
				}
				start := time.Now()
				h.conn.Expel(CloseRevoked, "revoked")
				if c.reads {
					peer.wantClose(CloseRevoked)
				}
				if why := h.wantClosed(want); !errors.Is(why.Err, ErrExpelled) {
					t.Errorf("reason %v", why)
				}
				if took := time.Since(start); took != expelTimeout {
					t.Errorf("gone after %v", took)
				}
			})
		})
	}
}

// A slow reader does not go on getting what was written before.
func TestWhatAnExpelledPeerHasNotTakenIsDropped(t *testing.T) {
	overBoth(t, func(t *testing.T, tls bool) {
		e := newEngine(t, Config{})
		h := newTap(t)
		c, ctx := dial(t, newServer(t, e, tls, h.open))
		if err := c.Write(ctx, websocket.MessageText, []byte("here")); err != nil {
			t.Fatal(err)
		}
		h.wantMessage("here")
		for range 64 {
			h.send(strings.Repeat("x", 64<<10))
		}
		eventually(t, "the writer waits for the peer", func() bool { return e.Stats().BytesOut.Load() > 0 })
		h.conn.Expel(CloseRevoked, "revoked")
		if why := h.wantClosed(CloseRevoked); !errors.Is(why.Err, ErrExpelled) {
			t.Errorf("reason %v", why)
		}
		taken := 0
		for {
			_, data, err := c.Read(ctx)
			if err != nil {
				break
			}
			taken += len(data)
		}
		if taken >= 64*64<<10 {
			t.Errorf("the peer got all %d bytes", taken)
		}
	})
}

func TestCloseOfAPeerThatTakesNothingIsBounded(t *testing.T) {
	inFakeTime(t, Config{}, func(t *testing.T, _ Engine, h *tap, _ *client) {
		h.send("never taken")
		synctest.Wait()
		start := time.Now()
		h.conn.Close(CloseNormal, "")
		if why := h.wantClosed(CloseNormal); !errors.Is(why.Err, ErrCloseTimeout) {
			t.Errorf("reason %v", why)
		}
		wantAfter(t, start, DefaultCloseTimeout)
	})
}

func TestEchoToAPeerThatTakesNothingIsBounded(t *testing.T) {
	inFakeTime(t, Config{}, func(t *testing.T, _ Engine, h *tap, c *client) {
		start := time.Now()
		c.write(closing(CloseGoingAway, "leaving"))
		why := h.wantClosed(CloseGoingAway)
		if !errors.Is(why.Err, ErrCloseTimeout) || !why.ByPeer || why.Text != "leaving" {
			t.Errorf("reason %v", why)
		}
		wantAfter(t, start, DefaultCloseTimeout)
	})
}

func TestHandlersAreTickedEverySecondUntilClose(t *testing.T) {
	inFakeTime(t, Config{}, func(t *testing.T, _ Engine, h *tap, c *client) {
		ticks := make(chan time.Time, 100)
		tick := func(now time.Time) { ticks <- now }
		h.tick.Store(&tick)
		pass(10*time.Second + time.Second/2)
		if n := len(ticks); n < 9 || n > 11 {
			t.Errorf("%d ticks in 10 s", n)
		}
		h.conn.Close(CloseNormal, "")
		c.wantClose(CloseNormal)
		before := len(ticks)
		pass(5 * time.Second)
		if n := len(ticks); n != before {
			t.Errorf("%d ticks after Close", n-before)
		}
		h.wantClosed(CloseNormal)
	})
}

func TestProcessThatStoodStillDoesNotBlameItsPeers(t *testing.T) {
	inFakeTime(t, Config{}, func(t *testing.T, _ Engine, h *tap, c *client) {
		var once bool
		tick := func(time.Time) {
			if !once {
				once = true
				pass(time.Hour) // as if the process had been stopped
			}
		}
		h.tick.Store(&tick)
		c.wantFrame(ws.OpPing, "")
		c.write(masked(ws.OpPong, true, ""))
		c.wantFrame(ws.OpPing, "")
		h.wantOpen()
	})
}

func TestShutdownCutsWhatDoesNotEndInTime(t *testing.T) {
	inFakeTime(t, Config{CloseTimeout: time.Hour}, func(t *testing.T, e Engine, h *tap, c *client) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		done := make(chan error)
		go func() { done <- e.Shutdown(ctx, CloseGoingAway, said("retry_after_ms=500")) }()
		if text := c.wantClose(CloseGoingAway); text != "retry_after_ms=500" {
			t.Errorf("close text %q", text)
		}
		if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		wantAfter(t, start, 30*time.Second)
		if why := h.wantClosed(CloseGoingAway); !errors.Is(why.Err, context.DeadlineExceeded) {
			t.Errorf("reason %v", why)
		}
		server, peer := net.Pipe()
		if err := e.Serve(server, nil, h.open); !errors.Is(err, ErrShutdown) {
			t.Errorf("error %v", err)
		}
		if _, err := peer.Read(make([]byte, 1)); err == nil {
			t.Error("connection left open")
		}
	})
}
