package main

import (
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/bodhisattva/indranet/edge/config"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/schema"
)

// everyKey sets every key of a configuration to a value of its own, so that one that
// reaches the wrong place is noticed.
const everyKey = `
server_name: edges
environment: development
nats:
  url: nats://127.0.0.1:4001
  nkey_seed_file: /seed
  tls: {ca_file: /nats-ca, cert_file: /nats-cert, key_file: /nats-key}
http: {listen: '127.0.0.1:4002'}
metrics: {listen: '127.0.0.1:4003', allow: [10.3.0.0/16]}
admin: {listen: '127.0.0.1:4004', allow: [10.4.0.0/16]}
proxies: {trusted: [10.5.0.0/16], protocol: true}
origins: [pages.example]
tls: {enabled: true, cert_file: /cert, key_file: /key, verify_client: true, client_ca_file: /client-ca}
memory_limit: 301MiB
limits:
  handshakes_per_second: 302
  half_open: 303
  half_open_per_address: 104
  connections_per_address_per_second: 305
  failed_auth: {attempts: 306, window: 307s, block: 308s}
  queued_bytes: 309MiB
revocation_grace: 31s
services:
  dhruva:
    server_name: Dhruva
    websocket:
      host: 127.0.0.2
      port: 4005
      tls_enabled: true
      cert_file: /d-cert
      key_file: /d-key
      verify_client: true
      client_ca_file: /d-client-ca
      require_auth: false
      origins: [page.of.dhruva.example]
      max_connections: 401
      max_connections_per_user: 402
      max_connections_per_address: 403
      max_connection_age: 404s
      message_rate_limit: 405
      broadcast_queue_size: 406
      max_message_bytes: 407KiB
      message_timeout: 411s
      max_feeds: 412
      max_subscriptions: 408
      replay_rate: 409KiB
      replay_bytes: 410KiB
      ping_interval: 41s
      ping_timeout: 42s
      close_timeout: 43s
      slow_timeout: 44s
    jwt:
      secret: ${SECRET}
      previous_secret: ${PREVIOUS}
      algorithm: [HS256, RS256]
      jwks_url: https://id.example/keys
      issuer: the-issuer
      audience: the-audience
      leeway: 45s
      token_expiry: 47s
      max_life: 46m
    anonymous_permissions: ['dhruva:read:adapter:a']
    admin_channels: [registry]
`

// elsewhere are the keys that are not for an edge, that cannot be set here, or that are not shown.
var elsewhere = []string{
	"debug", "nats.credentials_file", "tls.auto_cert", "websocket.auto_cert",
	"logging.level", "logging.format", "logging.file", "logging.rotation", "logging.retention",
	"enabled", "jwt.secret", "collaboration.max_users_per_room", "collaboration.cursor_throttle_ms",
	"ui.hot_reload.enabled", "ui.hot_reload.debounce_ms",
}

// loadEvery reads a configuration with secrets in its environment.
func loadEvery(t *testing.T, text string) config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "edge.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SECRET", "k8Jv2QmXw5Zt7Ry3Lp9Bn4Hs6Dg1Fc0A")
	t.Setenv("PREVIOUS", "p3Nw8Vx2Kc6Mj9Tz4Gf7Yd1Ls5Rb0QeH")
	cfg, _, err := config.Load([]string{path}, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// flat are the values of a printed configuration by key, those of services without the
// service.
func flat(t *testing.T, cfg config.Config) map[string]string {
	t.Helper()
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(cfg.String()), &tree); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	var walk func(prefix string, node map[string]any)
	walk = func(prefix string, node map[string]any) {
		for key, value := range node {
			key = strings.TrimPrefix(strings.TrimPrefix(prefix+"."+key, "."), "services.dhruva.")
			if inner, ok := value.(map[string]any); ok {
				walk(key, inner)
				continue
			}
			all[key] = fmt.Sprint(value)
		}
	}
	walk("", tree)
	return all
}

// TestEveryKeyReachesTheEdge: no limit is read, printed and then forgotten.
func TestEveryKeyReachesTheEdge(t *testing.T) {
	cfg := loadEvery(t, everyKey)
	usual := flat(t, loadEvery(t, "services: {dhruva: {jwt: {secret: '${SECRET}'}}}"))
	set := flat(t, cfg)
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if set[key] == usual[key] && !slices.Contains(elsewhere, key) {
			t.Errorf("%s is not set by the test: it is %s", key, set[key])
		}
	}
	e, err := edgeConfig(cfg, newLogs(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	s := e.Services[schema.Dhruva]
	for _, c := range []struct {
		key       string
		got, want any
	}{
		{"nats.url", e.NATS.URL, "nats://127.0.0.1:4001"},
		{"nats", fmt.Sprint(e.NATS.Security), "{ /seed /nats-ca /nats-cert /nats-key}"},
		{"http.listen", e.HTTP, "127.0.0.1:4002"},
		{"metrics.listen", e.Metrics.Addr, "127.0.0.1:4003"},
		{"metrics.allow", holds(e.Metrics.Allow), "3"},
		{"admin.listen", e.Admin.Addr, "127.0.0.1:4004"},
		{"admin.allow", holds(e.Admin.Allow), "4"},
		{"proxies.trusted", holds(e.Gate.Trusted), "5"},
		{"proxies.protocol", e.Gate.Proxy, limit.ProxyRequired},
		{"origins", fmt.Sprint(e.Origins), "[pages.example]"},
		{"environment", e.LocalOrigins, true},
		{"tls", fmt.Sprint(e.TLS.Files), "{/cert /key /client-ca}"},
		{"tls.verify_client", e.TLS.VerifyClient, true},
		{"memory_limit", e.MemoryLimit, int64(301 << 20)},
		{"limits.handshakes_per_second", e.Gate.Pace, 302},
		{"limits.half_open", e.Gate.MaxHalfOpen, 303},
		{"limits.half_open_per_address", e.Gate.MaxHalfOpenPerAddress, 104},
		{"limits.connections_per_address_per_second", e.Gate.ArrivalsPerAddress, 305},
		{"the time of a handshake", e.Gate.HandshakeTimeout, limit.DefaultGate().HandshakeTimeout},
		{"limits.failed_auth.attempts", e.Failures.Max, 306},
		{"limits.failed_auth.window", e.Failures.Window, 307 * time.Second},
		{"limits.failed_auth.block", e.Failures.Block, 308 * time.Second},
		{"limits.queued_bytes", e.QueuedBytes, int64(309 << 20)},
		{"revocation_grace", e.RevocationGrace, 31 * time.Second},

		{"server_name", s.Server, "Dhruva"},
		{"websocket.host, port", s.Addr, "127.0.0.2:4005"},
		{"websocket, TLS", fmt.Sprint(s.TLS.Files), "{/d-cert /d-key /d-client-ca}"},
		{"websocket.verify_client", s.TLS.VerifyClient, true},
		{"websocket.require_auth", s.RequireAuth, false},
		{"websocket.origins", fmt.Sprint(s.Origins), "[page.of.dhruva.example]"},
		{"websocket.max_connections", s.Conn.MaxConnections, 401},
		{"websocket.max_connections_per_user", s.MaxPerUser, 402},
		{"websocket.max_connections_per_address", s.MaxPerAddress, 403},
		{"websocket.max_connection_age", s.Limits.MaxAge, 404 * time.Second},
		{"websocket.message_rate_limit", s.Limits.MessagesPerSecond, 405},
		{"websocket.broadcast_queue_size", s.Feed.RingFrames, 406},
		{"websocket.max_message_bytes", s.Conn.MaxMessageBytes, 407 << 10},
		{"websocket.message_timeout", s.Conn.MessageTimeout, 411 * time.Second},
		{"websocket.max_feeds", s.Feed.MaxFeeds, 412},
		{"websocket.max_subscriptions", s.Limits.MaxSubscriptions, 408},
		{"websocket.replay_rate", s.Limits.ReplayRate, 409 << 10},
		{"websocket.replay_bytes", s.Limits.PageBytes, 410 << 10},
		{"websocket.ping_interval", s.Conn.PingInterval, 41 * time.Second},
		{"websocket.ping_timeout", s.Conn.PingTimeout, 42 * time.Second},
		{"websocket.close_timeout", s.Conn.CloseTimeout, 43 * time.Second},
		{"websocket.slow_timeout", s.Conn.SlowTimeout, 44 * time.Second},
		{"jwt.secret", s.Auth.Secret, os.Getenv("SECRET")},
		{"jwt.previous_secret", s.Auth.Previous, os.Getenv("PREVIOUS")},
		{"jwt.algorithm", fmt.Sprint(s.Auth.Algorithms), "[HS256 RS256]"},
		{"jwt.jwks_url", s.Auth.JWKS, "https://id.example/keys"},
		{"jwt.issuer", s.Auth.Issuer, "the-issuer"},
		{"jwt.audience", s.Auth.Audience, "the-audience"},
		{"jwt.leeway", s.Auth.Leeway, 45 * time.Second},
		{"jwt.max_life", s.Auth.MaxLife, 46 * time.Minute},
		{"anonymous_permissions", fmt.Sprint(s.Anonymous), "[dhruva:read:adapter:a]"},
		{"admin_channels", fmt.Sprint(s.AdminChannels), "[registry]"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v at the edge, want %v", c.key, c.got, c.want)
		}
	}
}

// holds says which of the networks 10.x.0.0/16 are in n.
func holds(n limit.Networks) (found string) {
	for x := range byte(10) {
		if n.Contains(netip.AddrFrom4([4]byte{10, x, 0, 1})) {
			found += fmt.Sprint(x)
		}
	}
	return found
}
