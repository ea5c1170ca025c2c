package edge_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
)

// lines keeps what is logged. It is safe for concurrent use.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

// security are the security events of a kind.
func (l *lines) security(t *testing.T, event string) (list []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		var one struct{ Security map[string]any }
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		if one.Security["event"] == event {
			list = append(list, one.Security)
		}
	}
	return list
}

// logging is a server with all streams and an edge on it, and what that logs.
func logging(t *testing.T, change func(*edge.Config)) (*edge.Edge, *lines) {
	t.Helper()
	var log lines
	srv := natstest.Start(t, natstest.Streams(schema.Services()...))
	return edgeLogging(t, srv, slog.New(slog.NewJSONHandler(&log, nil)), change), &log
}

// from is a request under a name, with the headers of the answer; status is 0 where the
// connection was cut.
func from(t *testing.T, addr net.Addr, path, host string) (status int, header http.Header, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr.String()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Close, request.Host = true, host
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, ""
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(text)
}

// TestNobodyFillsAnOperatorsListener: who may not come there does not even hold a
// connection, and who may, not more than a few.
func TestNobodyFillsAnOperatorsListener(t *testing.T) {
	allow, err := limit.ParseNetworks([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	e, log := logging(t, func(c *edge.Config) {
		c.Admin = edge.Operators{Addr: "127.0.0.1:0", Allow: allow}
	})
	silent := func(from string) net.Conn {
		nc, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext(t.Context(), "tcp", e.AdminAddr().String())
		if err != nil {
			return nil // It was cut before the dialer had noticed that it has one.
		}
		t.Cleanup(func() { _ = nc.Close() })
		return nc
	}
	for range 300 {
		silent("127.0.0.2")
	}
	if status, _, _ := from(t, e.AdminAddr(), "/metrics", ""); status != http.StatusOK {
		t.Errorf("an operator got %d", status)
	}
	if n := metric(t, e, `indranet_handshakes_refused_total{listener="admin",reason="network"}`); n != 300 {
		t.Errorf("%v refused", n)
	}
	events := log.security(t, "admin_refused")
	if n := len(events); n < 100 || n > 250 || events[0]["address"] != "127.0.0.2" || events[0]["reason"] != "network" || events[0]["listener"] != "admin" {
		t.Errorf("%d lines, the first %v", n, events[0])
	}
	for range 100 {
		silent("127.0.0.1")
	}
	const refused = `indranet_handshakes_refused_total{listener="admin",reason="half_open"}`
	until(t, "all are decided about", func() bool { return metric(t, e, refused) == 100-64 })
	if n := metric(t, e, `indranet_handshakes_half_open_current{listener="admin"}`); n != 64 {
		t.Errorf("%v are held", n)
	}
}

// TestAPageUnderANameOfItsOwnGetsNothing: its owner can have that lead to a loopback
// address, and then it is no other origin.
func TestAPageUnderANameOfItsOwnGetsNothing(t *testing.T) {
	loopback, err := limit.ParseNetworks([]string{"loopback"})
	if err != nil {
		t.Fatal(err)
	}
	e, log := logging(t, func(c *edge.Config) {
		c.Admin = edge.Operators{Addr: "127.0.0.1:0", Allow: loopback}
		c.Metrics = edge.Operators{Addr: "127.0.0.1:0", Allow: loopback}
		c.Origins = []string{"edge.example.com"}
		c.Gate.Trusted = loopback
	})
	_, closed := guarded(t)
	for host, allowed := range map[string]bool{
		"": true, "127.0.0.1": true, "[::1]:9091": true, "localhost:9091": true, "LOCALHOST": true, "edge": true, "x.localhost": true,
		"edge.example.com": true, "evil.example:9091": false, "127.0.0.1.evil.example": false, "localhost.evil.example": false,
		"evil.example.": false,
	} {
		want := http.StatusForbidden
		if allowed {
			want = http.StatusOK
		}
		for _, path := range []string{"/debug/pprof/", "/metrics", "/healthz"} {
			status, header, _ := from(t, e.AdminAddr(), path, host)
			if status != want {
				t.Errorf("%s under %q: %d", path, host, status)
			}
			if header.Get("X-Content-Type-Options") != "nosniff" || allowed && !strings.HasPrefix(header.Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("%s: %v", path, header)
			}
		}
		if status, _, _ := from(t, e.MetricsAddr(), "/metrics", host); status != http.StatusOK {
			t.Errorf("metrics under %q: %d", host, status)
		}
		if host == "" {
			continue
		}
		origin := http.Header{"Origin": {"http://" + host}}
		if _, response, err := knockAs(t, e, schema.Dhruva, host, origin); (err == nil) != allowed {
			t.Errorf("a page of %q: %v %v", host, response, err)
		}
		forwarded := origin.Clone()
		forwarded.Set("X-Forwarded-For", "192.0.2.1")
		if _, _, err := knockAs(t, e, schema.Dhruva, host, forwarded); err != nil {
			t.Errorf("a page of %q through a proxy: %v", host, err)
		}
		if _, _, err := knockAs(t, e, schema.Dhruva, host, nil); err != nil {
			t.Errorf("no browser, to %q: %v", host, err)
		}
		if _, _, err := knockAs(t, closed, schema.Dhruva, host, origin); err != nil {
			t.Errorf("where it needs a token, a page of %q: %v", host, err)
		}
	}
	if _, header, _ := from(t, e.HTTPAddr(), "/healthz", ""); header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a probe's answer: %v", header)
	}
	if list := log.security(t, "admin_refused"); len(list) != 12 || list[0]["host"] == nil || list[0]["reason"] != "host" {
		t.Errorf("%d lines: %v", len(list), list)
	}
}

// TestARefusedOriginIsNamed: so that it is seen whether it is an attack or a mistake, but
// not at any length, nor as it came.
func TestARefusedOriginIsNamed(t *testing.T) {
	e, log := logging(t, func(*edge.Config) {})
	for _, origin := range []string{"https://evil.example", "https://evil.example/\u202e" + strings.Repeat("x", 10_000)} {
		if _, _, err := knock(t, e, schema.Dhruva, http.Header{"Origin": {origin}}); err == nil {
			t.Error("it may connect")
		}
	}
	list := log.security(t, "origin_refused")
	if len(list) != 2 || list[0]["origin"] != `"https://evil.example"` || len(list[1]["origin"].(string)) > 200 || strings.Contains(list[1]["origin"].(string), "\u202e") {
		t.Errorf("%v", list)
	}
}

// TestAListenerThatIsFloodedIsNamed: with the address, and the others have room.
func TestAListenerThatIsFloodedIsNamed(t *testing.T) {
	e, log := logging(t, func(c *edge.Config) {
		c.Gate.MaxHalfOpen = 20
		s := c.Services[schema.Dhruva]
		s.Addr = "127.0.0.1:0"
		c.Services[schema.Dhruva] = s
	})
	for range 40 {
		if nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", e.Addr(schema.Dhruva).String()); err == nil {
			t.Cleanup(func() { _ = nc.Close() })
		}
	}
	const refused = `indranet_handshakes_refused_total{listener="dhruva",reason="half_open_listener"}`
	until(t, "the rest is refused", func() bool { return metric(t, e, refused) == 25 })
	if n := metric(t, e, `indranet_handshakes_accepted_total{listener="dhruva"}`); n != 15 {
		t.Errorf("%v accepted", n)
	}
	if list := log.security(t, "handshake_refused"); len(list) != 25 || list[0]["service"] != "dhruva" || list[0]["address"] != "127.0.0.1" {
		t.Errorf("%d lines: %v", len(list), list[0])
	}
}

// TestASilentConnectionIsCut: on every listener, before anything holds it for good.
func TestASilentConnectionIsCut(t *testing.T) {
	loopback, err := limit.ParseNetworks([]string{"loopback"})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := logging(t, func(c *edge.Config) {
		c.Admin = edge.Operators{Addr: "127.0.0.1:0", Allow: loopback}
		s := c.Services[schema.Dhruva]
		s.Addr = "127.0.0.1:0"
		c.Services[schema.Dhruva] = s
	})
	var wg sync.WaitGroup
	for _, addr := range []net.Addr{e.HTTPAddr(), e.Addr(schema.Dhruva), e.AdminAddr()} {
		for _, sent := range []string{"", "GET /ws/dhruva HTTP/1.1\r\nHost: x\r\n", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 32<<10)} {
			wg.Go(func() {
				began := time.Now()
				nc, err := net.Dial("tcp", addr.String())
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = nc.Close() }()
				_ = nc.SetDeadline(began.Add(patience))
				_, _ = io.WriteString(nc, sent)
				_, _ = io.Copy(io.Discard, nc)
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("%s: %.20q is cut after %v", addr, sent, took)
				}
			})
		}
	}
	wg.Wait()
}
