package edge_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
)

// TestAHastyClientIsReadOnceItsTokenWasAccepted: whatever it sends behind its token waits
// in the network, however much that is and however fast it comes.
func TestAHastyClientIsReadOnceItsTokenWasAccepted(t *testing.T) {
	_, e := guarded(t, func(c *edge.Config) {
		every(c, func(s *edge.Service) { s.Limits.MessagesPerSecond = 10 })
		c.Failures.Max = 10
	})
	hurry := func(token string, pings int) *client {
		c, _, err := knock(t, e, schema.Dhruva, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.send(`{"type":"request","event":"auth","data":{"token":"` + token + `"}}`)
		for range pings {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			_ = c.ws.Write(ctx, websocket.MessageText, []byte(`{"type":"ping"}`)) // It may be closed already.
			cancel()
		}
		return c
	}
	for range 3 { // Each answer comes later than the one before.
		before := hurry("bad", 100).wantClosed(conn.CloseUnauthorized)
		if len(before) != 1 || before[0].Code != "AUTH_FAILED" {
			t.Errorf("%+v", before)
		}
	}
	good := hurry(reader(t, "u1"), 0)
	var list []string
	for i := range 90 {
		list = append(list, fmt.Sprintf(`{"channel":"adapter:%0190d"}`, i))
	}
	for range 5 { // 100 KB in a hurry.
		good.send(`{"type":"request","event":"subscribe","data":{"channels":[` + strings.Join(list, ",") + `]}}`)
	}
	good.want("response", "auth")
	good.want("event", "welcome")
	for range 5 {
		if m := good.answer(); m.Code != "" {
			t.Errorf("%s %s", m.Code, m.Text)
		}
	}
}

// TestWhoHasNotShownATokenTakesNobodysPlace: one address cannot fill a service with
// connections that are not let in, whether they wait, were refused and do not go, or were
// too many.
func TestWhoHasNotShownATokenTakesNobodysPlace(t *testing.T) {
	const places, share = 40, 8
	for name, c := range map[string]struct {
		perAddress int
		header     func(t *testing.T) http.Header
	}{
		"no token":               {0, func(*testing.T) http.Header { return http.Header{} }},
		"bad tokens":             {0, func(*testing.T) http.Header { return bearer("bad") }},
		"too many of an address": {4, func(t *testing.T) http.Header { return bearer(reader(t, "u1")) }},
	} {
		t.Run(name, func(t *testing.T) {
			_, e := guarded(t, behindLoopback, func(cfg *edge.Config) {
				cfg.Gate.MaxHalfOpenPerAddress = share
				every(cfg, func(s *edge.Service) { s.Conn.MaxConnections, s.MaxPerAddress = places, c.perAddress })
			})
			for range places {
				h := c.header(t)
				h.Set("X-Forwarded-For", "192.0.2.1")
				_, _, _ = knock(t, e, schema.Dhruva, h) // And it never reads, nor answers the close frame.
			}
			if n := e.Connections(schema.Dhruva); n != share+c.perAddress {
				t.Errorf("the address has %d connections", n)
			}
			h := bearer(reader(t, "u2"))
			h.Set("X-Forwarded-For", "192.0.2.2")
			good, _, err := knock(t, e, schema.Dhruva, h)
			if err != nil {
				t.Fatal(err)
			}
			good.want("event", "welcome")
			until(t, "the others have gone", func() bool { return e.Connections(schema.Dhruva) == 1+c.perAddress })
			h = c.header(t)
			h.Set("X-Forwarded-For", "192.0.2.1")
			if _, _, err := knock(t, e, schema.Dhruva, h); err != nil {
				t.Errorf("its places are not given back: %v", err)
			}
		})
	}
}

// behindLoopback makes the test a trusted proxy.
func behindLoopback(c *edge.Config) {
	var err error
	if c.Gate.Trusted, err = limit.ParseNetworks([]string{"loopback"}); err != nil {
		panic(err)
	}
}

// TestHandshakesThatNeverEndDoNotHoldAStop: connections are told to come back elsewhere,
// whoever keeps every listener busy with half a request.
func TestHandshakesThatNeverEndDoNotHoldAStop(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Services()...))
	listening := []schema.Service{schema.Dhruva, schema.Mahavishnu, schema.Akosha}
	cfg := edge.Config{NATS: stream.Config{URL: srv.URL()}, HTTP: "127.0.0.1:0", Services: edge.Public(edge.Service{})}
	for _, name := range listening {
		s := cfg.Services[name]
		s.Addr = "127.0.0.1:0"
		cfg.Services[name] = s
	}
	e, err := edge.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	good := dial(t, e, schema.Dhruva)
	addrs := []string{e.HTTPAddr().String()}
	for _, name := range listening {
		addrs = append(addrs, e.Addr(name).String())
	}
	ctx, end := context.WithCancel(t.Context())
	var bad sync.WaitGroup
	defer bad.Wait()
	defer end()
	for _, addr := range addrs {
		half := func() net.Conn {
			nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil // The listener is closed.
			}
			_, _ = nc.Write([]byte("GET /ws/dhruva HTTP/1.1\r\n"))
			return nc
		}
		first := half()
		bad.Go(func() {
			tick := time.NewTicker(500 * time.Millisecond)
			defer tick.Stop()
			for nc := first; nc != nil; nc = half() {
				defer func() { _ = nc.Close() }()
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
			<-ctx.Done()
		})
	}
	stopping, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- e.Stop(stopping) }()
	good.wantClosed(conn.CloseGoingAway)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestATokenThatHasExpiredIsNoGuess: a page that was left open in an office and tries again
// does not shut its neighbours out.
func TestATokenThatHasExpiredIsNoGuess(t *testing.T) {
	_, e := guarded(t, func(c *edge.Config) { c.Failures = limit.FailuresConfig{Max: 3} })
	old := signed(t, jwt.MapClaims{"sub": "u1", "scopes": []string{"dhruva:read"}, "exp": time.Now().Add(-time.Hour).Unix()})
	for range 5 {
		c, _, err := knock(t, e, schema.Dhruva, bearer(old))
		if err != nil {
			t.Fatal(err)
		}
		if before := c.wantClosed(conn.CloseUnauthorized); len(before) != 1 || before[0].Code != "TOKEN_EXPIRED" {
			t.Errorf("%+v", before)
		}
	}
	enter(t, e, reader(t, "neighbour"))
	forged := old[:len(old)-2] + "AA" // Nobody has signed it.
	for range 3 {
		c, _, err := knock(t, e, schema.Dhruva, bearer(forged))
		if err != nil {
			t.Fatal(err)
		}
		c.wantClosed(conn.CloseUnauthorized)
	}
	if _, response, err := knock(t, e, schema.Dhruva, bearer(reader(t, "neighbour"))); err == nil || response.StatusCode != http.StatusTooManyRequests {
		t.Errorf("guesses do not count: %v", err)
	}
}

// TestNoTokenIsTakenWhileItIsUnknownWhetherItWasRevoked: neither to come in nor to stay for
// longer.
func TestNoTokenIsTakenWhileItIsUnknownWhetherItWasRevoked(t *testing.T) {
	srv, e := guarded(t, func(c *edge.Config) { c.RevocationGrace = time.Second })
	c := enter(t, e, reader(t, "u1"))
	js, err := srv.Connect(t).JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(stream.RevocationsStream); err != nil {
		t.Fatal(err)
	}
	until(t, "the grace is over", func() bool {
		c.send(`{"type":"request","event":"subscribe","data":{"channel":"adapter:a"}}`)
		return c.answer().Code == "UNAVAILABLE"
	})
	c.send(`{"type":"request","event":"refresh_token","data":{"token":"` + reader(t, "u1") + `"}}`)
	if m := c.answer(); m.Code != "UNAVAILABLE" {
		t.Errorf("a refresh: %s %s %s", m.Type, m.Code, m.Data)
	}
	late, _, err := knock(t, e, schema.Dhruva, bearer(reader(t, "u2")))
	if err != nil {
		t.Fatal(err)
	}
	if before := late.wantClosed(conn.CloseTryLater); len(before) != 1 || before[0].Code != "UNAVAILABLE" {
		t.Errorf("a connection: %+v", before)
	}
	if _, err := stream.EnsureRevocations(t.Context(), srv.Connect(t), 1); err != nil {
		t.Fatal(err)
	}
	isReady(t, e, true)
	c.send(`{"type":"request","event":"refresh_token","data":{"token":"` + reader(t, "u1") + `"}}`)
	c.want("response", "refresh_token")
}

// TestWhoIsNotLetInMayNotSayMuch: the edge does not even gather what is longer than a
// message with a token; who is let in may send more.
func TestWhoIsNotLetInMayNotSayMuch(t *testing.T) {
	_, e := guarded(t)
	long := `{"type":"request","event":"auth","data":{"token":"` + strings.Repeat("x", 20_000) + `"}}`
	c, _, err := knock(t, e, schema.Dhruva, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.send(long)
	if before := c.wantClosed(conn.CloseTooBig); len(before) > 0 {
		t.Errorf("told %+v", before)
	}
	in := enter(t, e, reader(t, "u1"))
	in.send(long)
	if m := in.answer(); m.Code != "INVALID_REQUEST" {
		t.Errorf("told %+v", m)
	}
	late, _, err := knock(t, e, schema.Dhruva, nil)
	if err != nil {
		t.Fatal(err)
	}
	late.send(`{"type":"request","event":"auth","data":{"token":"` + reader(t, "u1") + `"}}`)
	late.want("response", "auth")
	late.want("event", "welcome")
	late.send(long)
	if m := late.answer(); m.Code != "INVALID_REQUEST" {
		t.Errorf("told %+v", m)
	}
}

// TestNothingBehindAPlainRequestIsOne: a request with two lengths, and what somebody
// smuggled in behind it.
func TestNothingBehindAPlainRequestIsOne(t *testing.T) {
	_, e := started(t)
	for _, first := range []string{
		"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET /ws/nobody HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /ws/dhruva HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example.com\r\n\r\n",
	} {
		nc, err := net.Dial("tcp", e.HTTPAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(patience))
		if _, err := nc.Write([]byte(first + "GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(nc)
		if n := strings.Count(string(answer), "HTTP/1.1 "); n != 1 {
			t.Errorf("%d answers to %q:\n%s", n, first, answer)
		}
		_ = nc.Close()
	}
}

// TestWhoHasNoTokenTakesNoPlaceOfWhoHasOne: from however many addresses they come. Half
// of what they may have is there for who shows a token in the first message: they lose
// it soon.
func TestWhoHasNoTokenTakesNoPlaceOfWhoHasOne(t *testing.T) {
	const places = 40
	_, e := guarded(t, behindLoopback, func(cfg *edge.Config) {
		every(cfg, func(s *edge.Service) { s.Conn.MaxConnections = places })
	})
	from := func(i int, h http.Header) http.Header {
		h.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i))
		return h
	}
	refused, began := 0, time.Now()
	for i := range 2 * places {
		_, response, err := knock(t, e, schema.Dhruva, from(i, http.Header{}))
		if err == nil {
			continue
		}
		if refused++; response == nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
			t.Errorf("refused with %v, %v", response, err)
		}
	}
	if n := e.Connections(schema.Dhruva); n > places/4 || refused < places {
		t.Errorf("%d connections without a token, %d refused", n, refused)
	}
	var inside []*client
	for i := range places - places/4 {
		c, _, err := knock(t, e, schema.Dhruva, from(100, bearer(reader(t, fmt.Sprint("u", i)))))
		if err != nil {
			t.Fatal(err)
		}
		c.want("event", "welcome")
		inside = append(inside, c)
	}
	until(t, "the others have gone", func() bool { return e.Connections(schema.Dhruva) == len(inside) })
	if took := time.Since(began); took > 4900*time.Millisecond {
		t.Errorf("they have gone after %v, as if there were room", took)
	}
	c, _, err := knock(t, e, schema.Dhruva, from(1, http.Header{}))
	if err != nil {
		t.Fatal(err)
	}
	c.send(`{"type":"request","event":"auth","data":{"token":"` + reader(t, "late") + `"}}`)
	c.want("response", "auth")
}
