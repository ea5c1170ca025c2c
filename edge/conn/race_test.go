package conn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

func TestWakeStormLosesNothingAndKeepsOrder(t *testing.T) {
	e := newEngine(t, Config{})
	h := newTap(t)
	c := connect(t, e, h)
	const senders, each = 8, 2000
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				h.send(fmt.Sprint(s, " ", i))
				if i%7 == 0 {
					h.conn.Wake()
				}
			}
		})
	}
	var next [senders]int
	for range senders * each {
		op, p, err := c.read()
		var s, i int
		if _, scan := fmt.Sscan(string(p), &s, &i); err != nil || scan != nil || op != ws.OpText {
			t.Fatalf("frame %x %q, %v", op, p, err)
		}
		if i != next[s] {
			t.Fatalf("sender %d: %d after %d", s, i, next[s]-1)
		}
		next[s]++
	}
	wg.Wait()
}

func TestWakeInsideOpenIsNotLost(t *testing.T) {
	e := newEngine(t, Config{})
	for range 100 {
		h := newTap(t)
		server, nc := tcpPair(t)
		err := e.Serve(server, nil, func(c Conn) Handler {
			h.conn = c
			h.send("welcome")
			return h
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(patience))
		newClient(t, nc).wantText("welcome")
	}
}

func TestCloseInsideOpenSendsWhatIsQueued(t *testing.T) {
	e := newEngine(t, Config{})
	h := newTap(t)
	server, nc := tcpPair(t)
	err := e.Serve(server, nil, func(c Conn) Handler {
		h.conn = c
		h.send("go away")
		c.Close(CloseUnauthorized, "no token")
		h.send("too late, or just in time")
		return h
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(patience))
	c := newClient(t, nc)
	c.wantText("go away")
	c.wantText("too late, or just in time")
	c.wantClose(CloseUnauthorized)
	c.write(closing(CloseUnauthorized, ""))
	c.wantEOF()
	h.wantClosed(CloseUnauthorized)
}

func TestLastFillIsBounded(t *testing.T) {
	e := newEngine(t, Config{FlushBytes: 1000})
	h := newTap(t)
	server, nc := tcpPair(t)
	err := e.Serve(server, nil, func(c Conn) Handler {
		h.conn = c
		for range 100 {
			h.push(EncodeFrame([]byte(strings.Repeat("x", 98))))
		}
		c.Close(CloseNormal, "")
		return h
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(patience))
	c := newClient(t, nc)
	for range 10 {
		c.wantText(strings.Repeat("x", 98))
	}
	c.wantClose(CloseNormal)
	c.write(closing(CloseNormal, ""))
	c.wantEOF()
	h.wantClosed(CloseNormal)
	if h.fills != 1 || h.queued() != 90 {
		t.Errorf("%d calls of Fill, %d frames left", h.fills, h.queued())
	}
}

func TestNothingFollowsACloseFrame(t *testing.T) {
	e := newEngine(t, Config{})
	h := newTap(t)
	c := connect(t, e, h)
	h.send("before")
	c.wantText("before")
	h.conn.Close(CloseRevoked, strings.Repeat("é", 100))
	h.send("after")
	op, p, err := c.read() // the send may have been in time for the last round
	if err == nil && op == ws.OpText {
		op, p, err = c.read()
	}
	if err != nil || op != ws.OpClose || string(p[2:]) != strings.Repeat("é", 61) {
		t.Fatalf("frame %x %q, %v", op, p, err)
	}
	h.conn.Close(CloseNormal, "a second time")
	h.send("much later")
	c.write(masked(ws.OpPing, true, "?"), text("dropped"), closing(CloseRevoked, ""))
	c.wantEOF()
	h.wantClosed(CloseRevoked)
	if n := len(h.messages); n != 0 {
		t.Errorf("%d messages delivered after Close", n)
	}
}

func TestPeersCodeIsEchoed(t *testing.T) {
	e := newEngine(t, Config{})
	for _, code := range []Code{CloseNormal, CloseGoingAway, 3000, 4999} {
		h := newTap(t)
		c := connect(t, e, h)
		c.write(closing(code, "why"), text("ignored"))
		c.wantClose(code)
		if err := c.nc.(*net.TCPConn).CloseWrite(); err != nil {
			t.Error(err)
		}
		if why := h.wantClosed(code); why != (Reason{Code: code, Text: "why", ByPeer: true}) {
			t.Errorf("reason %v", why)
		}
		if len(h.messages) > 0 {
			t.Error("a message behind a close frame was delivered")
		}
	}
	h := newTap(t)
	c := connect(t, e, h)
	c.write(closing(0, ""))
	c.wantFrame(ws.OpClose, "")
	c.wantEOF()
	h.wantClosed(CloseNoStatus)
	if n := e.Stats().Closed(0); n != 2 {
		t.Errorf("%d closed with unnamed codes", n)
	}
}

func TestPauseHoldsMessagesBackUntilResume(t *testing.T) {
	e := newEngine(t, Config{})
	h := newTap(t)
	h.receive = func(p []byte) bool { h.messages <- string(p); return false }
	c := connect(t, e, h)
	var input []byte
	for i := range 200 {
		input = append(input, text(fmt.Sprint(i))...)
	}
	c.write(input)
	for i := range 200 {
		h.wantMessage(fmt.Sprint(i))
		if n := len(h.messages); n != 0 {
			t.Fatalf("%d messages without Resume", n)
		}
		h.conn.Resume()
	}
}

func TestResumeDuringReceiveIsNotLost(t *testing.T) {
	e := newEngine(t, Config{})
	h := newTap(t)
	const n = 5000
	resume := make(chan struct{}, 1)
	h.receive = func(p []byte) bool {
		resume <- struct{}{}
		h.messages <- string(p)
		return false
	}
	var wg sync.WaitGroup
	c := connect(t, e, h)
	wg.Go(func() {
		for range n {
			<-resume
			h.conn.Resume() // races with the return of Receive
		}
	})
	wg.Go(func() {
		for i := range n {
			if _, err := c.nc.Write(text(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range n {
		h.wantMessage(fmt.Sprint(i))
	}
	wg.Wait()
}

func TestPausedConnectionStillCloses(t *testing.T) {
	e := newEngine(t, Config{})
	h := newTap(t)
	h.receive = func(p []byte) bool { h.messages <- string(p); return false }
	c := connect(t, e, h)
	c.write(text("one"), text("two"), text("three"))
	h.wantMessage("one")
	h.conn.Close(CloseNormal, "")
	c.wantClose(CloseNormal)
	c.write(closing(CloseNormal, ""))
	c.wantEOF()
	if why := h.wantClosed(CloseNormal); why.Err != nil {
		t.Errorf("reason %v", why)
	}
	if len(h.messages) != 0 {
		t.Error("messages delivered after Close")
	}
}

// TestClosedComesOnceWhoeverEndsTheConnection lets both sides, the network and the
// handler end many connections at the same moment.
func TestClosedComesOnceWhoeverEndsTheConnection(t *testing.T) {
	e := newEngine(t, Config{})
	const n = 200
	for i := range n {
		h := newTap(t)
		c := connect(t, e, h)
		go func() { _, _ = io.Copy(io.Discard, c.nc) }()
		var wg sync.WaitGroup
		acts := []func(){
			func() { h.conn.Close(CloseRevoked, "") },
			func() { _, _ = c.nc.Write(closing(CloseGoingAway, "")) },
			func() { h.send("a", "b", "c") },
			func() { _, _ = c.nc.Write(text("hello")) },
			func() { h.conn.Resume() },
			func() { h.conn.Close(CloseNormal, "") },
			func() { _, _ = c.nc.Write([]byte{0xff, 0xff}) },
		}
		if i%2 == 0 {
			acts = append(acts, func() { _ = c.nc.Close() })
		}
		for _, act := range acts {
			wg.Go(act)
		}
		wg.Wait()
		_ = c.nc.Close()
		select {
		case <-h.closed:
		case <-time.After(patience):
			t.Fatal("never closed")
		}
		h.conn.Wake()
		h.conn.Close(CloseNormal, "")
		h.conn.Resume()
	}
	eventually(t, "all have left", func() bool { return e.Len() == 0 })
	s := e.Stats()
	sum := s.Closed(0)
	for _, code := range Codes() {
		sum += s.Closed(code)
	}
	if sum != n || s.Opened.Load() != n {
		t.Errorf("%d opened, %d closed", s.Opened.Load(), sum)
	}
}

func TestShutdownTellsEveryoneAndWaits(t *testing.T) {
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	var taps []*tap
	var clients []*client
	for range 50 {
		h := newTap(t)
		clients = append(clients, connect(t, e, h))
		taps = append(taps, h)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 2 { // a second call waits as the first one does
		wg.Go(func() {
			if err := e.Shutdown(ctx, CloseGoingAway, said("retry_after_ms=100")); err != nil {
				t.Error(err)
			}
			for _, h := range taps {
				if h.ended.Load() != 1 {
					t.Error("Shutdown returned before Closed")
				}
			}
		})
	}
	for _, c := range clients {
		if reason := c.wantClose(CloseGoingAway); reason != "retry_after_ms=100" {
			t.Errorf("reason %q", reason)
		}
		c.write(closing(CloseGoingAway, ""))
		c.wantEOF()
	}
	wg.Wait()
	if n := e.Len(); n != 0 {
		t.Errorf("%d left", n)
	}
}

func TestShutdownRacesWithServe(t *testing.T) {
	for range 20 {
		e, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			server, nc := dialPair(t, l)
			wg.Go(func() { _, _ = io.Copy(io.Discard, nc) })
			wg.Go(func() {
				h := newTap(t)
				if err := e.Serve(server, nil, h.open); err != nil {
					if !errors.Is(err, ErrShutdown) {
						t.Error(err)
					}
					return
				}
				_, _ = nc.Write(closing(CloseGoingAway, "")) // whether it is heard or not
				<-h.closed
			})
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := e.Shutdown(ctx, CloseGoingAway, said("")); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		_ = l.Close()
	}
}

func TestConnectionOpenedDuringAnImpatientShutdownIsCut(t *testing.T) {
	e, err := New(Config{CloseTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	h := newTap(t)
	server, _ := tcpPair(t)
	opening, proceed := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := e.Serve(server, nil, func(c Conn) Handler {
			close(opening)
			<-proceed
			return h.open(c)
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-opening
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wg.Go(func() {
		if err := e.Shutdown(ctx, CloseGoingAway, said("")); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	eventually(t, "Shutdown has begun", func() bool {
		_, nc := net.Pipe()
		return errors.Is(e.Serve(nc, nil, newTap(t).open), ErrShutdown)
	})
	close(proceed)
	h.wantClosed(CloseGoingAway)
	wg.Wait()
}

func TestPanicInOpenCostsNoPlace(t *testing.T) {
	e := newEngine(t, Config{})
	server, _ := tcpPair(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = e.Serve(server, nil, func(Conn) Handler { panic("bug") })
	}()
	if n := e.Len(); n != 0 {
		t.Errorf("%d places taken", n)
	}
}

func TestIDsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		e := newEngine(t, Config{})
		for range 20 {
			h := newTap(t)
			connect(t, e, h)
			id := h.conn.ID()
			if seen[id] || strings.ContainsAny(id, " \"/") {
				t.Errorf("id %q", id)
			}
			seen[id] = true
			if h.conn.RemoteAddr() == nil {
				t.Error("no address")
			}
		}
	}
}

func TestStatsCountFramesBytesAndFlushes(t *testing.T) {
	e := newEngine(t, Config{})
	h := newTap(t)
	c := connect(t, e, h)
	c.write(text("hello"), masked(ws.OpPing, true, "p"), masked(ws.OpText, false, "a"), masked(ws.OpContinuation, true, "b"))
	h.wantMessage("hello")
	h.wantMessage("ab")
	c.wantFrame(ws.OpPong, "p")
	h.send("one", "two")
	c.wantText("one")
	c.wantText("two")
	c.write(closing(CloseNormal, ""))
	c.wantClose(CloseNormal)
	h.wantClosed(CloseNormal)
	s := e.Stats()
	for name, v := range map[string][2]uint64{
		"messages in": {s.MessagesIn.Load(), 2},
		"frames in":   {s.FramesIn.Load(), 5},
		"bytes in":    {s.BytesIn.Load(), uint64(11 + 7 + 7 + 7 + 8)},
		"frames out":  {s.FramesOut.Load(), 4},
		"bytes out":   {s.BytesOut.Load(), uint64(3 + 5 + 5 + 4)},
		"closed":      {s.Closed(CloseNormal), 1},
	} {
		if v[0] != v[1] {
			t.Errorf("%s: %d, want %d", name, v[0], v[1])
		}
	}
	if n := s.Flushes.Load(); n < 3 || n > 4 {
		t.Errorf("%d flushes", n)
	}
}
