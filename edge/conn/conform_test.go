package conn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// newEcho is a handler that sends back what it gets.
func newEcho(t *testing.T) *tap {
	h := newTap(t)
	h.receive = func(p []byte) bool {
		h.push(EncodeFrame(p))
		h.conn.Wake()
		return true
	}
	return h
}

// dial connects an independent implementation.
func dial(t *testing.T, s *httptest.Server) (*websocket.Conn, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	// coder's own read limit would end long messages.
	c, _, err := websocket.Dial(ctx, strings.Replace(s.URL, "http", "ws", 1), &websocket.DialOptions{HTTPClient: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(-1)
	t.Cleanup(func() { _ = c.CloseNow() })
	return c, ctx
}

// overBoth runs a test over ws and wss.
func overBoth(t *testing.T, test func(t *testing.T, tls bool)) {
	for _, tls := range []bool{false, true} {
		t.Run(map[bool]string{false: "ws", true: "wss"}[tls], func(t *testing.T) { test(t, tls) })
	}
}

func TestEchoOfEverySize(t *testing.T) {
	overBoth(t, func(t *testing.T, tls bool) {
		e := newEngine(t, Config{})
		h := newEcho(t)
		c, ctx := dial(t, newServer(t, e, tls, h.open))
		for _, n := range []int{0, 1, 80, 89, 90, 91, 96, 125, 126, 4082, 4088, 4096, 4097, 16384, 65535, 65536, 300_000, 1 << 20} {
			for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
				want := bytes.Repeat([]byte("é"), n)[:n&^1]
				if err := c.Write(ctx, kind, want); err != nil {
					t.Fatal(err)
				}
				gotKind, got, err := c.Read(ctx)
				if err != nil || gotKind != websocket.MessageText || !bytes.Equal(got, want) {
					t.Fatalf("%d bytes: %d of %v came back, %v", len(want), len(got), gotKind, err)
				}
			}
		}
		if err := c.Close(websocket.StatusNormalClosure, "thanks"); err != nil {
			t.Errorf("close: %v", err)
		}
		if why := h.wantClosed(CloseNormal); why != (Reason{Code: CloseNormal, Text: "thanks", ByPeer: true}) {
			t.Errorf("reason %v", why)
		}
	})
}

func TestFragmentsAndPingsOfAnIndependentPeer(t *testing.T) {
	overBoth(t, func(t *testing.T, tls bool) {
		e := newEngine(t, Config{})
		h := newEcho(t)
		c, ctx := dial(t, newServer(t, e, tls, h.open))
		reads := make(chan string)
		go func() {
			defer close(reads)
			for {
				_, p, err := c.Read(ctx)
				if err != nil {
					return
				}
				reads <- string(p)
			}
		}()
		w, err := c.Writer(ctx, websocket.MessageText)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if _, err := fmt.Fprintf(w, "part %d;", i); err != nil {
				t.Fatal(err)
			}
			if err := c.Ping(ctx); err != nil { // returns when the pong has come
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := <-reads; got != "part 0;part 1;part 2;part 3;part 4;" {
			t.Errorf("got %q", got)
		}
		h.conn.Close(CloseNormal, "")
		for range reads {
		}
		h.wantClosed(CloseNormal)
	})
}

func TestCloseCodesReachAnIndependentPeer(t *testing.T) {
	overBoth(t, func(t *testing.T, tls bool) {
		e := newEngine(t, Config{})
		for _, code := range Codes() {
			if !code.Sendable() {
				continue
			}
			h := newTap(t)
			c, ctx := dial(t, newServer(t, e, tls, h.open))
			<-h.opened
			h.push(EncodeFrame([]byte("last words")))
			h.conn.Close(code, "because")
			if _, p, err := c.Read(ctx); err != nil || string(p) != "last words" {
				t.Fatalf("%d: %q, %v", code, p, err)
			}
			_, _, err := c.Read(ctx)
			var closed websocket.CloseError
			if !errors.As(err, &closed) || Code(closed.Code) != code || closed.Reason != "because" {
				t.Errorf("%d: %v", code, err)
			}
			if why := h.wantClosed(code); why != (Reason{Code: code, Text: "because"}) {
				t.Errorf("reason %v", why)
			}
		}
	})
}

func TestViolationsOfAnIndependentPeerAreNamed(t *testing.T) {
	overBoth(t, func(t *testing.T, tls bool) {
		e := newEngine(t, Config{MaxMessageBytes: 1000})
		for name, c := range map[string]struct {
			payload []byte
			want    Code
		}{
			"too big":        {make([]byte, 5_000_000), CloseTooBig},
			"just too big":   {make([]byte, 1001), CloseTooBig},
			"not UTF-8":      {[]byte("a\xffb"), CloseInvalidUTF8},
			"late not UTF-8": {append(bytes.Repeat([]byte("a"), 900), 0xff), CloseInvalidUTF8},
		} {
			t.Run(name, func(t *testing.T) {
				h := newTap(t)
				peer, ctx := dial(t, newServer(t, e, tls, h.open))
				wrote := make(chan struct{})
				go func() {
					defer close(wrote)
					_ = peer.Write(ctx, websocket.MessageText, c.payload) // may be cut short
				}()
				_, _, err := peer.Read(ctx)
				if got := Code(websocket.CloseStatus(err)); got != c.want {
					t.Errorf("peer got %v", err)
				}
				<-wrote
				_ = peer.CloseNow()
				h.wantClosed(c.want)
			})
		}
	})
}

func TestConnectionsAboveTheLimitAreToldToTryLater(t *testing.T) {
	e := newEngine(t, Config{MaxConnections: 2})
	s := newServer(t, e, false, func(c Conn) Handler { return newTap(t).open(c) })
	first, _ := dial(t, s)
	dial(t, s)
	eventually(t, "both are served", func() bool { return e.Len() == 2 })
	for range 3 {
		c, ctx := dial(t, s)
		if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusTryAgainLater {
			t.Errorf("got %v", err)
		}
	}
	_ = first.Close(websocket.StatusNormalClosure, "")
	eventually(t, "the refused and the closed are gone", func() bool { return e.Len() == 1 })
	c, ctx := dial(t, s)
	if err := c.Write(ctx, websocket.MessageText, []byte("hi")); err != nil {
		t.Error(err)
	}
	if n := e.Stats().Refused.Load(); n != 3 {
		t.Errorf("%d refused", n)
	}
	if n := e.Stats().Closed(CloseTryLater); n != 3 {
		t.Errorf("%d closed", n)
	}
}
