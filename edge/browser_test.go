package edge_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/certs"
	"github.com/bodhisattva/indranet/edge/certs/certstest"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/request"
	"github.com/bodhisattva/indranet/schema"
)

// TestAPageOfAnotherSiteCannotConnect: a browser sends the origin of the page, and also
// the cookies of the edge's site, which are nobody's word for anything.
func TestAPageOfAnotherSiteCannotConnect(t *testing.T) {
	_, e := started(t, func(c *edge.Config) { c.Origins = []string{"app.example.com"} })
	_, dev := started(t, func(c *edge.Config) { c.LocalOrigins = true })
	host := e.HTTPAddr().String()
	for _, c := range []struct {
		edge    *edge.Edge
		origins []string
		allowed bool
	}{
		{e, nil, true}, // No browser.
		{e, []string{"http://" + host}, true},
		{e, []string{"https://127.0.0.1"}, true}, // Another port of the same host.
		{e, []string{"https://app.example.com"}, true},
		{e, []string{"https://APP.example.com:8443"}, true},
		{e, []string{"https://evil.example.com"}, false},
		{e, []string{"https://app.example.com.evil.com"}, false},
		{e, []string{"https://evilapp.example.com"}, false},
		{e, []string{"https://x.app.example.com"}, false},
		{e, []string{"https://app.example.com@evil.com"}, false},
		{e, []string{"https://evil.com/app.example.com"}, false},
		{e, []string{"null"}, false},
		{e, []string{""}, false},
		{e, []string{"app.example.com"}, false},
		{e, []string{"file://"}, false},
		{e, []string{"https://app.example.com", "https://evil.com"}, false},
		{e, []string{"https://evil.com", "https://app.example.com"}, false},
		{e, []string{"http://localhost:3000"}, false},
		{dev, []string{"http://localhost:3000"}, true},
		{dev, []string{"http://[::1]:3000"}, true},
		{dev, []string{"null"}, true},
		{dev, []string{"http://localhost.evil.com"}, false},
		{dev, []string{"http://127.0.0.1.evil.com"}, false},
	} {
		_, response, err := knock(t, c.edge, schema.Dhruva, http.Header{"Origin": c.origins, "Cookie": {"session=stolen"}})
		if (err == nil) != c.allowed {
			t.Errorf("%q: %v, allowed is %v", c.origins, err, c.allowed)
		}
		if !c.allowed && (response == nil || response.StatusCode != http.StatusForbidden) {
			t.Errorf("%q: %v", c.origins, response)
		}
	}
	if n := metric(t, e, `indranet_security_events_total{service="dhruva",event="origin_refused",reason="origin"}`); n != 13 {
		t.Errorf("%v refusals are counted", n)
	}
}

// TestAnOriginOfOneServiceIsNotAnothers: each is allowed what it was given.
func TestAnOriginOfOneServiceIsNotAnothers(t *testing.T) {
	_, e := started(t, func(c *edge.Config) {
		s := c.Services[schema.Dhruva]
		s.Origins = []string{"adapters.example.com"}
		c.Services[schema.Dhruva] = s
	})
	header := http.Header{"Origin": {"https://adapters.example.com"}}
	if _, _, err := knock(t, e, schema.Dhruva, header); err != nil {
		t.Error(err)
	}
	if _, _, err := knock(t, e, schema.Akosha, header); err == nil {
		t.Error("another service takes it")
	}
}

// TestACookieIsNoToken: what a browser sends by itself opens nothing.
func TestACookieIsNoToken(t *testing.T) {
	_, e := guarded(t)
	token := reader(t, "u1")
	c, _, err := knock(t, e, schema.Dhruva, http.Header{"Cookie": {"token=" + token, "Authorization=Bearer " + token}})
	if err != nil {
		t.Fatal(err)
	}
	c.send(`{"type":"ping"}`)
	c.wantClosed(conn.CloseUnauthorized)
}

func TestPagesAllowNothingButThemselves(t *testing.T) {
	_, e := started(t)
	for _, path := range []string{"/", "/no-such-page"} {
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + e.HTTPAddr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		policy := response.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the policy %q lacks %s", path, policy, part)
			}
		}
		if response.Header.Get("X-Content-Type-Options") != "nosniff" || response.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", path, response.Header)
		}
	}
}

// TestWhoTakesNothingHoldsLittle: past the process' budget a connection gets one small
// page at a time, and loses nothing.
func TestWhoTakesNothingHoldsLittle(t *testing.T) {
	const each, budget = 30, 1 << 20
	srv, e := started(t, func(c *edge.Config) {
		c.QueuedBytes = budget
		every(c, func(s *edge.Service) {
			s.Feed.RingFrames = 1
			s.Conn = conn.Config{WriteBufferBytes: 4096}
			s.Limits = request.Limits{PageBytes: 512 << 10}
		})
	})
	s := newStore(t, srv)
	var want []uint64
	for n := range 400 {
		want = append(want, s.put(schema.Dhruva, "adapter.activated", fmt.Sprintf(`{"adapter_id":"a","repo":"r%d","version":%q}`, n, strings.Repeat("v", 5000))))
	}
	var clients []*client
	for range each {
		c := dial(t, e, schema.Dhruva)
		c.send(`{"type":"request","event":"subscribe","data":{"channel":"adapter:a","since":"start"}}`)
		c.send(`{"type":"request","event":"history","data":{"channel":"adapter:a","limit":1000,"since":"start"}}`)
		clients = append(clients, c)
	}
	bound := float64(budget + each*(64<<10+6000+64<<10+6000)) // A page and an answer, cut to the same size, for each.
	until(t, "the budget is used up", func() bool { return metric(t, e, "indranet_queued_bytes_current") > budget })
	for range 50 {
		if held := metric(t, e, "indranet_queued_bytes_current"); held > bound+1<<20 { // And one answer that was being made.
			t.Fatalf("%v bytes are held, %v are allowed", held, bound)
		}
	}
	for _, c := range clients {
		var got []message
		for len(got) < len(want) {
			if m := c.next(); m.Type == "event" {
				got = append(got, m)
			}
		}
		sameSeqs(t, got, want)
	}
	until(t, "everything is given back", func() bool { return metric(t, e, "indranet_queued_bytes_current") == 0 })
}

func TestWithoutMemoryNobodyEntersAndNobodyIsCut(t *testing.T) {
	srv, e := started(t, func(c *edge.Config) { c.MemoryLimit = 1 })
	c := dial(t, e, schema.Dhruva) // Before it was looked.
	c.subscribe("adapter:a", "")
	until(t, "memory is scarce", func() bool { return metric(t, e, "indranet_memory_scarce") == 1 })
	_, response, err := knock(t, e, schema.Dhruva, nil)
	if err == nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("%v, %v", response, err)
	}
	newStore(t, srv).put(schema.Dhruva, "adapter.activated", adapter("a", 1))
	c.events(1, 0)
}

// TestAnEdgeSpeaksTLS: on the shared listener and on a service's own, there with client
// certificates.
func TestAnEdgeSpeaksTLS(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{Name: "servers"})
	clients := certstest.NewCA(t, certstest.Options{Name: "clients"})
	dir := t.TempDir()
	cert, key := ca.Leaf(t, certstest.Options{Hosts: []string{"127.0.0.1"}}).Write(t, dir)
	srv, e := started(t, func(c *edge.Config) {
		c.TLS = certs.Config{Files: certs.Files{Cert: cert, Key: key}}
		s := c.Services[schema.Dhruva]
		s.Addr = "127.0.0.1:0"
		s.TLS = certs.Config{Files: certs.Files{Cert: cert, Key: key, ClientCA: clients.Write(t, dir)}, VerifyClient: true}
		c.Services[schema.Dhruva] = s
	})
	s := newStore(t, srv)
	mine := clients.Leaf(t, certstest.Options{Client: true}).TLS()
	stranger := ca.Leaf(t, certstest.Options{Client: true}).TLS()
	for _, c := range []struct {
		name, url string
		config    *tls.Config
		allowed   bool
	}{
		{"shared", "wss://" + e.HTTPAddr().String() + "/ws/dhruva", &tls.Config{RootCAs: ca.Pool()}, true},
		{"shared, without TLS", "ws://" + e.HTTPAddr().String() + "/ws/dhruva", nil, false},
		{"shared, another authority", "wss://" + e.HTTPAddr().String() + "/ws/dhruva", &tls.Config{RootCAs: clients.Pool()}, false},
		{"shared, TLS 1.1", "wss://" + e.HTTPAddr().String() + "/ws/dhruva", &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		{"own", "wss://" + e.Addr(schema.Dhruva).String() + "/", &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{mine}}, true},
		{"own, no certificate", "wss://" + e.Addr(schema.Dhruva).String() + "/", &tls.Config{RootCAs: ca.Pool()}, false},
		{"own, a stranger's", "wss://" + e.Addr(schema.Dhruva).String() + "/", &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{stranger}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			with := &http.Client{Transport: &http.Transport{TLSClientConfig: c.config, DisableKeepAlives: true}}
			ws, _, err := websocket.Dial(t.Context(), c.url, &websocket.DialOptions{HTTPClient: with})
			if (err == nil) != c.allowed {
				t.Fatalf("%v, allowed is %v", err, c.allowed)
			}
			if err == nil {
				defer func() { _ = ws.CloseNow() }()
				one := &client{t: t, ws: ws}
				one.want("event", "welcome")
				one.subscribe("adapter:a", "")
				_, at := one.untilCaughtUp("adapter:a")
				s.put(schema.Dhruva, "adapter.activated", adapter("a", 1))
				one.events(1, at)
			}
		})
	}
}
