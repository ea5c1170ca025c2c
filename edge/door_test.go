package edge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
)

// Secrets of the services, one each.
func secretOf(service schema.Service) string {
	return "a long enough secret of " + string(service) + ", with 32"
}

// closedDoor makes every service ask for tokens.
func closedDoor(c *edge.Config) {
	for name, s := range c.Services {
		s.RequireAuth, s.Anonymous, s.Auth = true, nil, auth.Config{Secret: secretOf(name)}
		c.Services[name] = s
	}
}

// guarded is a server with the bucket of revocations and an edge that asks for tokens,
// once it has read that.
func guarded(t *testing.T, change ...func(*edge.Config)) (*natstest.Server, *edge.Edge) {
	t.Helper()
	srv := natstest.Start(t, natstest.Streams(schema.Services()...))
	if _, err := stream.EnsureRevocations(t.Context(), srv.Connect(t), 1); err != nil {
		t.Fatal(err)
	}
	e := edgeOn(t, srv, append([]func(*edge.Config){closedDoor}, change...)...)
	isReady(t, e, true)
	return srv, e
}

// isReady waits until the edge is ready, or not any more.
func isReady(t *testing.T, e *edge.Edge, want bool) {
	t.Helper()
	until(t, fmt.Sprintf("the edge is ready: %v", want), func() bool { return (e.Ready() == nil) == want })
}

// until waits for something.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited %v: %s", patience, what)
		}
	}
}

// tokenOf makes a token of dhruva.
func tokenOf(t *testing.T, claims auth.MintClaims) string {
	t.Helper()
	token, err := auth.Mint(secretOf(schema.Dhruva), claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// signed is a token of dhruva with any claims.
func signed(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secretOf(schema.Dhruva)))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func reader(t *testing.T, user string) string {
	t.Helper()
	return tokenOf(t, auth.MintClaims{User: user, Permissions: []string{"dhruva:read"}})
}

// knock asks for a WebSocket with some headers.
func knock(t *testing.T, e *edge.Edge, service schema.Service, header http.Header) (*client, *http.Response, error) {
	t.Helper()
	return knockAs(t, e, service, "", header)
}

// knockAs does so under a name.
func knockAs(t *testing.T, e *edge.Edge, service schema.Service, host string, header http.Header) (*client, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, response, err := websocket.Dial(ctx, "ws://"+e.HTTPAddr().String()+"/ws/"+string(service), &websocket.DialOptions{HTTPHeader: header, Host: host})
	if err != nil {
		return nil, response, err
	}
	ws.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = ws.CloseNow() })
	return &client{t: t, ws: ws}, response, nil
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// enter connects to dhruva with a token and takes the welcome.
func enter(t *testing.T, e *edge.Edge, token string) *client {
	t.Helper()
	c, _, err := knock(t, e, schema.Dhruva, bearer(token))
	if err != nil {
		t.Fatal(err)
	}
	c.want("event", "welcome")
	return c
}

// wantClosed takes what comes until the connection is closed.
func (c *client) wantClosed(code conn.Code) (before []message) {
	c.t.Helper()
	for {
		m, err := c.read()
		if err != nil {
			if got := websocket.CloseStatus(err); got != websocket.StatusCode(code) {
				c.t.Fatalf("closed with %d (%v), want %d", got, err, code)
			}
			return before
		}
		before = append(before, m)
	}
}

func (c *client) read() (m message, err error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, data, err := c.ws.Read(ctx)
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	return m, err
}

func TestATokenOpensAConnection(t *testing.T) {
	_, e := guarded(t)
	c := enter(t, e, reader(t, "u1"))
	c.subscribe("adapter:a", "")
	late, _, err := knock(t, e, schema.Dhruva, nil)
	if err != nil {
		t.Fatal(err)
	}
	late.send(`{"type":"request","event":"auth","id":"1","data":{"token":"` + reader(t, "u1") + `"}}`)
	m := late.want("response", "auth")
	var data struct {
		Status  string
		User    string    `json:"user_id"`
		Expires time.Time `json:"expires_at"`
	}
	unmarshal(t, m.Data, &data)
	if data.Status != "authenticated" || data.User != "u1" || time.Until(data.Expires) < 59*time.Minute || m.Corr != "1" {
		t.Errorf("%+v", data)
	}
	welcome := late.want("event", "welcome")
	if !strings.Contains(string(welcome.Data), `"authenticated":true`) {
		t.Errorf("%s", welcome.Data)
	}
}

func TestATokenIsOfOneService(t *testing.T) {
	_, e := guarded(t)
	token := tokenOf(t, auth.MintClaims{User: "u1", Permissions: []string{"admin"}})
	for _, service := range schema.Services() {
		c, _, err := knock(t, e, service, bearer(token))
		if err != nil {
			t.Fatal(err)
		}
		if service == schema.Dhruva {
			c.want("event", "welcome")
			continue
		}
		if before := c.wantClosed(conn.CloseUnauthorized); len(before) != 1 || before[0].Code != "AUTH_FAILED" {
			t.Errorf("%s: %+v", service, before)
		}
	}
}

// TestNothingGetsPastAToken: no channel or view, no request and no spelling of it, gives
// what the token does not.
func TestNothingGetsPastAToken(t *testing.T) {
	srv, e := guarded(t, func(c *edge.Config) {
		s := c.Services[schema.Dhruva]
		s.AdminChannels = []string{"registry"}
		c.Services[schema.Dhruva] = s
	})
	s := newStore(t, srv)
	s.put(schema.Dhruva, "adapter.activated", adapter("a", 1))
	s.put(schema.Dhruva, "adapter.activated", adapter("b", 2))
	s.put(schema.Dhruva, "registry.updated", `{"registry_version":"1"}`)
	one := enter(t, e, tokenOf(t, auth.MintClaims{User: "one", Permissions: []string{"dhruva:read:adapter:a"}}))
	kind := enter(t, e, tokenOf(t, auth.MintClaims{User: "kind", Permissions: []string{"adapter:read"}}))
	all := enter(t, e, reader(t, "all"))
	admin := enter(t, e, tokenOf(t, auth.MintClaims{User: "admin", Permissions: []string{"dhruva:admin"}}))
	none := enter(t, e, signed(t, jwt.MapClaims{
		"sub": "none", "scopes": []string{"mahavishnu:admin", "dhruva:write", "Dhruva:read", "dhruva:read:", "dhruva:read:*", "*", "read", " dhruva:read"},
		"exp": time.Now().Add(time.Hour).Unix(),
	}))
	for channel, allowed := range map[string][]*client{
		"adapter:a":    {one, kind, all, admin},
		"adapter:b":    {kind, all, admin},
		"adapter:*":    {kind, all, admin},
		"registry":     {admin},
		"global":       {admin},      // It shows the registry.
		"lifecycle":    {all, admin}, // Not of adapters alone.
		"adapter:a:b":  {kind, all, admin},
		"adapter:%2A":  {kind, all, admin},
		"adapter:a%00": {kind, all, admin},
	} {
		for _, c := range []*client{one, kind, all, admin, none} {
			may := false
			for _, a := range allowed {
				may = may || a == c
			}
			for _, text := range []string{
				`{"type":"request","event":"subscribe","data":{"channel":%q,"since":"start"}}`,
				`{"type":"subscribe","data":{"channel":%q}}`,
				`{"type":"event","event":"subscribe","data":{"room":%q}}`,
				`{"type":"request","event":"history","data":{"channel":%q,"since":"start"}}`,
				`{"type":"request","event":"subscribe","data":{"channels":[{"channel":%q,"since":"start"}]}}`,
			} {
				c.send(fmt.Sprintf(text, channel))
				m := c.answer()
				refused := m.Code == "FORBIDDEN" || strings.Contains(string(m.Data), `"error_code":"FORBIDDEN"`)
				if refused == may {
					t.Errorf("%s: %s: %s %s %s, allowed is %v", channel, text, m.Type, m.Code, m.Data, may)
				}
				if !may && strings.Contains(string(m.Data), "adapter_id") {
					t.Errorf("%s: %s shows %s", channel, text, m.Data)
				}
			}
		}
	}
}

// answer takes the next response or error.
func (c *client) answer() message {
	c.t.Helper()
	for {
		if m := c.next(); m.Type == "response" || m.Type == "error" {
			return m
		}
	}
}

// TestAnAddressThatKeepsFailingIsRefused counts by the client's address, which only
// trusted proxies may tell.
func TestAnAddressThatKeepsFailingIsRefused(t *testing.T) {
	proxies, err := limit.ParseNetworks([]string{"loopback"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		trusted limit.Networks
		blocked bool // The address of whoever comes directly.
	}{"behind a trusted proxy": {proxies, false}, "with a forged header": {limit.Networks{}, true}} {
		t.Run(name, func(t *testing.T) {
			_, e := guarded(t, func(cfg *edge.Config) {
				cfg.Gate.Trusted = c.trusted
				cfg.Failures = limit.FailuresConfig{Max: 3}
			})
			from := func(address, token string) http.Header {
				h := bearer(token)
				h.Set("X-Forwarded-For", address)
				return h
			}
			for range 3 {
				bad, _, err := knock(t, e, schema.Dhruva, from("192.0.2.1", "bad"))
				if err != nil {
					t.Fatal(err)
				}
				bad.wantClosed(conn.CloseUnauthorized)
			}
			good := reader(t, "u1")
			if _, response, err := knock(t, e, schema.Dhruva, from("192.0.2.1", good)); err == nil || response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") == "" {
				t.Errorf("the address that failed: %v, %v", response, err)
			}
			_, response, err := knock(t, e, schema.Dhruva, from("192.0.2.2", good))
			if blocked := err != nil && response != nil && response.StatusCode == http.StatusTooManyRequests; blocked != c.blocked {
				t.Errorf("another address: %v", err)
			}
			if n := metric(t, e, `indranet_security_events_total{service="dhruva",event="auth_refused",reason="malformed"}`); n != 3 {
				t.Errorf("%v refusals are counted", n)
			}
		})
	}
}

func TestAnAddressAndAUserHaveSoManyConnections(t *testing.T) {
	_, e := guarded(t, func(c *edge.Config) {
		every(c, func(s *edge.Service) { s.MaxPerAddress, s.MaxPerUser = 4, 2 })
	})
	a, _ := enter(t, e, reader(t, "a")), enter(t, e, reader(t, "a"))
	third, _, err := knock(t, e, schema.Dhruva, bearer(reader(t, "a")))
	if err != nil {
		t.Fatal(err)
	}
	third.wantClosed(conn.CloseTryLater) // Of the user.
	until(t, "the place of the third is free", func() bool { return e.Connections(schema.Dhruva) == 2 })
	enter(t, e, reader(t, "b"))
	enter(t, e, reader(t, "b"))
	fifth, _, err := knock(t, e, schema.Dhruva, bearer(reader(t, "c")))
	if err != nil {
		t.Fatal(err)
	}
	fifth.wantClosed(conn.CloseTryLater) // Of the address.
	_ = a.ws.Close(websocket.StatusNormalClosure, "")
	until(t, "a place is free", func() bool { return e.Connections(schema.Dhruva) == 3 })
	enter(t, e, reader(t, "a"))
}

// TestOperatorsComeFromTheirNetworks: whatever headers say, and the public listeners
// have none of it.
func TestOperatorsComeFromTheirNetworks(t *testing.T) {
	loopback, err := limit.ParseNetworks([]string{"loopback"})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := limit.ParseNetworks([]string{"192.0.2.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	_, e := started(t, func(c *edge.Config) {
		c.OpenMetrics = false
		c.Gate.Trusted = loopback
		c.Metrics = edge.Operators{Addr: "127.0.0.1:0", Allow: elsewhere}
		c.Admin = edge.Operators{Addr: "127.0.0.1:0", Allow: loopback}
	})
	for _, c := range []struct {
		url    string
		status int
	}{
		{"http://" + e.MetricsAddr().String() + "/metrics", 0}, // Cut.
		{"http://" + e.MetricsAddr().String() + "/healthz", 0},
		{"http://" + e.AdminAddr().String() + "/metrics", http.StatusOK},
		{"http://" + e.AdminAddr().String() + "/healthz", http.StatusOK},
		{"http://" + e.AdminAddr().String() + "/debug/pprof/goroutine?debug=1", http.StatusOK},
		{"http://" + e.AdminAddr().String() + "/ws/dhruva", http.StatusNotFound},
		{"http://" + e.HTTPAddr().String() + "/healthz", http.StatusOK},
		{"http://" + e.HTTPAddr().String() + "/metrics", http.StatusNotFound},
		{"http://" + e.HTTPAddr().String() + "/debug/pprof/", http.StatusNotFound},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Close = true
		request.Header.Set("X-Forwarded-For", "192.0.2.1") // Loopback is trusted, but not here.
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			if c.status != 0 {
				t.Errorf("%s: %v", c.url, err)
			}
			continue
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != c.status {
			t.Errorf("%s: %d %.100s, want %d", c.url, response.StatusCode, body, c.status)
		}
	}
}

func TestAConfigurationThatProtectsNothingIsRefused(t *testing.T) {
	for want, change := range map[string]func(*edge.Config){
		"no token can be checked": func(c *edge.Config) { every(c, func(s *edge.Service) { s.RequireAuth = true }) },
		"mean nothing":            func(c *edge.Config) { every(c, func(s *edge.Service) { s.Anonymous = []string{"read"} }) },
		"no service":              func(c *edge.Config) { c.Services = nil },
		"invalid channel": func(c *edge.Config) {
			every(c, func(s *edge.Service) { s.AdminChannels = []string{"no such channel"} })
		},
		"no proxy is trusted": func(c *edge.Config) { c.Gate.Proxy = limit.ProxyRequired },
	} {
		cfg := edge.Config{NATS: stream.Config{URL: "nats://127.0.0.1:1"}, Services: edge.Public(edge.Service{})}
		change(&cfg)
		if _, err := edge.New(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
