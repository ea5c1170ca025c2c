package config

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// one is a configuration that is right but for what a test adds.
const one = "services: {dhruva: {}}\n"

func TestUnknownKeysAreNamedWithTheNearest(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"environmen: production\n" + one, "a.yaml:1:1: environmen: is not a key that exists; the nearest is environment"},
		{one + "nats:\n  urls: x\n", "a.yaml:3:3: nats.urls: is not a key that exists; the nearest is url"},
		{"services:\n  dhruva:\n    websocket:\n      prot: 1\n", "a.yaml:4:7: services.dhruva.websocket.prot: is not a key that exists; the nearest is port"},
		{"services:\n  dhruva:\n    max_connections: 1\n", "services.dhruva.max_connections: is not a key that exists; the nearest is websocket.max_connections"},
		{"service: dhruva\nwebsocket: {secret: canary}\n", "a.yaml:2:13: websocket.secret: is not a key that exists; the nearest is jwt.secret"},
		{"defaults: {jwt: {secrets: canary}}\n" + one, "a.yaml:1:18: defaults.jwt.secrets: is not a key that exists; the nearest is secret"},
		{one + "tl: true\n", "a.yaml:2:1: tl: is not a key that exists; the nearest is tls"},
		{one + strings.Repeat("x", 5000) + ": 1\n", "a.yaml:2:1: " + strings.Repeat("x", 64) + "…: is not a key that exists; the nearest is "},
		{one + "\"a\\nb\": 1\n", `a.yaml:2:1: "a\nb": is not a key that exists; the nearest is `},
		{one + "\"\": 1\n", `a.yaml:2:1: "": is not a key that exists; the nearest is `},
	} {
		wantProblems(t, secrets, []string{test.text}, test.want)
	}
}

func TestEveryProblemIsReportedAtOnceInOrder(t *testing.T) {
	wantProblems(t, secrets, []string{`environment: staging
debug: "true"
nats: []
services:
  dhruva:
    websocket: {port: 70000, ping_interval: -1}
  nobody: {}
colour: red
`, "websocket: {port: 8690, max_connections: many}\n"},
		`a.yaml:1:14: environment: "staging" is not one of production, development`,
		`a.yaml:2:8: debug: "true" is not true or false: take it out of its quotes`,
		`a.yaml:3:7: nats: is a list, should be a section`,
		`a.yaml:6:23: services.dhruva.websocket.port: "70000" is not from 0 to 65535`,
		`a.yaml:6:45: services.dhruva.websocket.ping_interval: "-1" is negative`,
		`a.yaml:7:3: services.nobody: is not a service; the nearest is `,
		`a.yaml:8:1: colour: is not a key that exists; the nearest is `,
		`b.yaml:1:42: websocket.max_connections: "many" is not a whole number`,
	)
}

func TestProblemsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&b, "unknown_key_%d: 1\n", i)
	}
	start := time.Now()
	_, _, err := loadTexts(secrets, b.String())
	if err == nil || strings.Count(err.Error(), "\n") > maxProblems+1 || !strings.Contains(err.Error(), "9900 more") {
		t.Errorf("%.200v", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestWrongValuesAreRefused(t *testing.T) {
	for _, test := range []struct{ key, value, want string }{
		// Types.
		{"websocket.port", `"8693"`, `"8693" is not a whole number: take it out of its quotes`},
		{"websocket.port", `08693`, `"08693" is not a whole number`},
		{"websocket.port", `0x21f5`, `"0x21f5" is not a whole number`},
		{"websocket.port", `8_693`, `"8_693" is not a whole number`},
		{"websocket.port", `8693.5`, `is not a whole number`},
		{"websocket.port", `1e3`, `is not a whole number`},
		{"websocket.port", `[8693]`, `is a list, should be a whole number from 0 to 65535`},
		{"websocket.port", `{a: 1}`, `is a section, should be a value`},
		{"websocket.port", ``, `has no value`},
		{"websocket.port", `~`, `has no value`},
		{"websocket.tls_enabled", `yes`, `"yes" is not true or false`},
		{"websocket.tls_enabled", `1`, `"1" is not true or false`},
		{"websocket.host", `true`, `"true" is not a text: put it in quotes`},
		{"server_name", `42`, `"42" is not a text: put it in quotes`},
		{"server_name", `"a\nb"`, `holds a line break or another control character`},
		{"websocket", `5`, `is a single value, should be a section`},
		{"websocket", `""`, `is a single value, should be a section`},
		{"anonymous_permissions", `dhruva:read`, `is not a list, should be a list of permissions`},
		{"anonymous_permissions", `[a, [b]]`, `has a list within a list`},
		{"anonymous_permissions", `[""]`, `is empty`},
		{"anonymous_permissions", `[1]`, `"1" is not a text`},
		{"admin_channels", `[registry, registry]`, `"registry" is in the list twice`},
		{"admin_channels", `["registry:"]`, `is not a channel such as`},
		{"admin_channels", `["registri"]`, `registri`},
		{"admin_channels", `["workflow:*"]`, `workflow`},
		{"jwt.secret", `12345678901234567890123456789012`, `jwt.secret: is not a text`},
		{"jwt.secret", `[canary]`, `is a list`},
		// Ranges.
		{"websocket.port", `-1`, `"-1" is not from 0 to 65535`},
		{"websocket.max_connections", `0`, `is not from 1 to 10000000`},
		{"websocket.max_connections", `99999999999999999`, `is not from 1 to 10000000`},
		{"websocket.max_connections", `99999999999999999999999`, `is not a whole number`},
		{"websocket.max_message_bytes", `1GiB`, `"1GiB" is not a size in bytes or with a unit (65536, 64KiB, 10 MB), from 1KiB to 64MiB`},
		{"websocket.max_message_bytes", `"1048576"`, `take it out of its quotes`},
		{"websocket.max_message_bytes", `10 XB`, `is not a size`},
		{"websocket.max_message_bytes", `9223372036854775807 GiB`, `is not a size`},
		{"websocket.max_message_bytes", `999999999999999999 GiB`, `is not a size`},
		{"jwt.leeway", `61`, `"61" is not a time in seconds or with a unit (20, 1.5s, 5m), from 0 to 1m`},
		{"jwt.max_life", `721h`, `is not a time`},
		{"logging.retention", `0`, `is not from 1 to 3650`},
		{"collaboration.cursor_throttle_ms", `50ms`, `"50ms" is not a whole number`},
		// Times.
		{"websocket.ping_interval", `-20`, `"-20" is negative`},
		{"websocket.ping_interval", `-20s`, `"-20s" is negative`},
		{"websocket.ping_interval", `0`, `is not a time`},
		{"websocket.ping_interval", `"20"`, `take it out of its quotes`},
		{"websocket.ping_interval", `.inf`, `is not a time`},
		{"websocket.ping_interval", `999999999999`, `is not a time`},
		{"websocket.ping_interval", `9999999999999999`, `is not a time`},
		{"websocket.ping_interval", `20 s`, `is not a time`},
		{"websocket.max_connection_age", `59s`, `or 0`},
		// Words.
		{"jwt.algorithm", `none`, `"none" is not one or a list of HS256, HS384`},
		{"jwt.algorithm", `[HS256, hs256]`, `"hs256" is not one or a list of`},
		{"logging.level", `LOUD`, `"LOUD" is not one of DEBUG`},
		{"logging.format", `xml`, `is not one of json, text`},
		// Addresses.
		{"websocket.host", `""`, `is empty`},
		{"websocket.host", `300.0.0.1`, `is not an IP address or a hostname`},
		{"websocket.host", `"127.0.0.1:80"`, `is not an IP address or a hostname`},
		{"websocket.host", `a b`, `is not an IP address or a hostname`},
		{"jwt.jwks_url", `http://keys.example.com/jwks`, `is neither https nor http to this machine`},
		{"jwt.jwks_url", `https://user:canary@keys.example.com/`, `jwt.jwks_url: holds a user or a password`},
		{"jwt.jwks_url", `keys`, `is not a URL`},
	} {
		t.Run(test.key+"="+test.value, func(t *testing.T) {
			text := "service: dhruva\n"
			indent := ""
			parts := strings.Split(test.key, ".")
			for _, section := range parts[:len(parts)-1] {
				text += indent + section + ":\n"
				indent += "  "
			}
			text += indent + parts[len(parts)-1] + ": " + test.value + "\n"
			wantProblems(t, secrets, []string{text}, test.want)
		})
	}
	for _, test := range []struct{ text, want string }{
		{"http: {listen: 8080}", `"8080" is not a text`},
		{"http: {listen: '8080'}", `is not an address such as`},
		{"http: {listen: ':8080'}", `names no host`},
		{"http: {listen: 'localhost:http'}", `has no number behind the colon`},
		{"http: {listen: 'localhost:70000'}", `has a port that is not from 0 to 65535`},
		{"admin: {allow: [10.0.0.1/8]}", `"10.0.0.1/8" has bits set behind the mask, the network is 10.0.0.0/8`},
		{"admin: {allow: [localhost]}", `is not a network, an address, "loopback" or "unix"`},
		{"admin: {allow: ['::ffff:0:0/90']}", `with less than 96 bits`},
		{"admin: {allow: ['fe80::1%eth0']}", `is not a network`},
		{"origins: ['https://app.example.com']", `is a URL, write the hostname alone`},
		{"origins: ['*.example.com']", `has a *, but hostnames are compared as a whole`},
		{"origins: ['app.example.com:443']", `is not a hostname`},
		{"nats: {url: 'http://host'}", `nats.url: is not one or more addresses`},
		{"nats: {url: 'nats://h, nats://u:canary%zz@h'}", `nats.url: is not one or more addresses`},
		{"nats: {url: ''}", `is not one or more addresses`},
		{"nats: {url: [a]}", `is a list`},
		{"memory_limit: 1MiB", `or 0`},
		{"services: [dhruva]", `services: is a list, should be a section`},
		{"defaults: {websocket: {port: 8693}}", `defaults.websocket.port: is one service's`},
	} {
		text := test.text + "\n"
		if !strings.HasPrefix(text, "services") {
			text += one
		}
		wantProblems(t, secrets, []string{text}, test.want)
	}
}

func TestGoodValuesAreRead(t *testing.T) {
	env := vars{"CLOSE": "5", "LIST": "EdDSA", "YES": "true", "PORT": "9000"}
	cfg, report := mustLoad(t, env, `service: excalidraw-mcp
environment: Development
websocket:
  host: "::1"
  port: ${PORT}
  require_auth: "${YES}"
  ping_interval: 1.5
  ping_timeout: 90s
  close_timeout: "${CLOSE}"
  max_message_bytes: 512 KiB
  replay_bytes: 100000
  max_connection_age: 0
  collaboration: {max_users_per_room: 7, cursor_throttle_ms: 0, auto_save_interval: 3}
jwt:
  jwks_url: http://127.0.0.1:8080/keys
  algorithm: [ES256, "${LIST}"]
logging: {level: warn, file: /var/log/x.log, rotation: 10 MB}
origins: [App.Example.COM, 192.0.2.1]
`, "server_name: the edge\nlogging: {format: text}\n")
	s := cfg.Services[0]
	want := WebSocket{Host: "::1", Port: 9000, RequireAuth: true, Origins: []string{},
		MaxConnections: 1000, MaxConnectionsPerUser: 100, MessageRateLimit: 100, BroadcastQueueSize: 1000,
		MaxMessageBytes: 512 << 10, MessageTimeout: 30 * time.Second, MaxFeeds: 50_000, MaxSubscriptions: 1000, ReplayBytes: 100000, ReplayRate: 1 << 20,
		PingInterval: 1500 * time.Millisecond, PingTimeout: 90 * time.Second, CloseTimeout: 5 * time.Second, SlowTimeout: 2 * time.Minute}
	if !reflect.DeepEqual(s.WebSocket, want) || s.WebSocket.Addr() != "[::1]:9000" {
		t.Errorf("%+v, want %+v", s.WebSocket, want)
	}
	if !slices.Equal(s.JWT.Algorithms, []string{"ES256", "EdDSA"}) || !slices.Equal(cfg.Origins, []string{"app.example.com", "192.0.2.1"}) {
		t.Errorf("%v %v", s.JWT.Algorithms, cfg.Origins)
	}
	if s.Collaboration != (Collaboration{7, 0}) {
		t.Errorf("%+v", s.Collaboration)
	}
	// The service inherits of the edge what it does not say, and the edge nothing of the
	// service where a file of its own says something.
	if s.ServerName != "the edge" || s.Logging != (Logging{slog.LevelWarn, "text", "/var/log/x.log", 10e6, 30 * day}) ||
		cfg.Logging != (Logging{slog.LevelInfo, "text", "", 10e6, 30 * day}) {
		t.Errorf("%q %+v %+v", s.ServerName, s.Logging, cfg.Logging)
	}
	wantWarnings(t, report)
	if !slices.Equal(report.Variables, []string{"CLOSE", "LIST", "PORT", "YES"}) {
		t.Errorf("variables %v", report.Variables)
	}
}

func TestFilesAreText(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{one + "a: \xff", "a.yaml:2:4: is not UTF-8"},
		{one + "a: \x00", "a.yaml:2:4: holds a control character"},
		{one + "ä: \x1b", "a.yaml:2:4: holds a control character"},
		{"\xfe\xff\x00a", "a.yaml:1:1: is not UTF-8"},
		{"- a\n", "a.yaml:1:1: is a list, should be keys and values"},
		{"just words\n", "a.yaml:1:1: is a single value, should be keys and values"},
		{one + "nats: {url: 'x}\n", "a.yaml:"},
		{one + "\tdebug: true\n", "a.yaml:2:1: is not YAML: found character that cannot start any token"},
		{one + "debug: a: b\n", "a.yaml:2:9: is not YAML: mapping values are not allowed in this context"},
		{one + "server_name: !!int canary\n", "a.yaml:2:14: server_name: has a tag (!)"},
		{one + "server_name: !canary x\n", "a.yaml:2:14: server_name: has a tag (!)"},
		{one + "? [a, b]\n: c\n", "a.yaml:2:3: has a list where a key should be"},
		{strings.Repeat("[", 40), "a.yaml:1:33: is nested more than 32 deep"},
		{strings.Repeat("{a: ", 40), "is nested more than 32 deep"},
		{one + "debug: false\n---\ndebug: false\n", "a.yaml:3:1: begins a second document (---)"},
		{one + "...\nx: : :\n", "a.yaml:3:4: is not YAML"},
	} {
		_, _, err := loadTexts(secrets, test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.60q: %v\nwant %q", test.text, err, test.want)
			continue
		}
		noSecret(t, secrets, strings.ReplaceAll(err.Error(), "nearest", ""))
	}
}

func TestEmptyFilesAddNothing(t *testing.T) {
	for _, empty := range []string{"", "# only words\n", "---\n", "~\n", "{}\n", "services:\n", "defaults:\n"} {
		mustLoad(t, secrets, one, empty)
		wantProblems(t, secrets, []string{empty}, "configuration: names no service to serve")
	}
}

func TestDuplicateKeysAreRefused(t *testing.T) {
	wantProblems(t, secrets, []string{"debug: false\n" + one + "debug: false\n"}, "a.yaml:3:1: debug: is there twice, first in line 1")
	wantProblems(t, secrets, []string{"services: {dhruva: {jwt: {leeway: 1, leeway: 1}}}"}, "services.dhruva.jwt.leeway: is there twice")
	wantProblems(t, secrets, []string{"services: {dhruva: {}, dhruva: {}}"}, "a.yaml:1:24: services.dhruva: is there twice")
	// Two names of one key, and two names of one service, may agree only.
	wantProblems(t, secrets, []string{"services:\n  dhruva:\n    enabled: true\n    websocket: {enabled: false}\n"},
		"a.yaml:4:26: services.dhruva.websocket.enabled: is set to something else at a.yaml:3:14")
	wantProblems(t, secrets, []string{"services:\n  excalidraw: {jwt: {leeway: 1}}\n  excalidraw-mcp: {jwt: {leeway: 2}}\n"},
		"a.yaml:3:34: services.excalidraw-mcp.jwt.leeway: is set to something else at a.yaml:2:30")
	mustLoad(t, secrets, "services: {dhruva: {enabled: true, websocket: {enabled: true}}}")
}

func TestFilesMayNotContradictEachOther(t *testing.T) {
	wantProblems(t, secrets, []string{"environment: production\nservice: dhruva\n", "environment: development\nservice: akosha\n"},
		"b.yaml:1:14: environment: is set to something else at a.yaml:1:14")
	wantProblems(t, secrets, []string{"service: dhruva\njwt: {leeway: 1}\n", "services: {dhruva: {jwt: {leeway: 2}}}\n"},
		"b.yaml:1:35: services.dhruva.jwt.leeway: is set to something else at a.yaml:2:15")
	// In whatever order, and the same twice is none.
	for _, order := range [][]string{{"debug: false\n", "debug: false\n" + one}, {one + "nats: {url: 'nats://a'}", "nats: {url: 'nats://a'}"}} {
		mustLoad(t, secrets, order...)
	}
}

func TestAliasesAreRefusedBeforeTheyGrow(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'z'; c++ {
		p := string(c - 1)
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+p+", ", 9), ", "))
	}
	start := time.Now()
	_, _, err := loadTexts(secrets, one+"pools: *z\n"+bomb)
	if err == nil {
		t.Fatal("loaded")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	wantProblems(t, secrets, []string{"defaults: &d {websocket: {max_connections: 5}}\n" + one}, "a.yaml:1:11: defaults: anchors (&), aliases (*) and merge keys (<<) are not accepted")
	wantProblems(t, secrets, []string{"services:\n  dhruva: {<<: {enabled: true}}\n"}, "a.yaml:2:12: services.dhruva: anchors (&)")
	wantProblems(t, secrets, []string{one + "server_name: *canary\n"}, "a.yaml:2:14: anchors (&)")
	wantProblems(t, secrets, []string{one + "server_name: &canary x\n"}, "a.yaml:2:14: server_name: anchors (&)")
	wantProblems(t, secrets, []string{"&x services: {dhruva: {}}\n"}, "a.yaml:1:1: anchors (&)")
}

func TestWhatFollowsFromAProblemIsNoOtherProblem(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"services: {dhruva: {jwt: {secret: '${UNSET}'}}}", "UNSET is not set"},
		{"services: {dhruva: {jwt: {jwks_url: x, algorithm: RS256}}}", "jwks_url: is not a URL"},
		{"services: {dhruva: {websocket: {tls_enabled: true, cert_file: '${UNSET}', key_file: k}}}", "UNSET is not set"},
		{"services: {dhruva: {websocket: {host: 0.0.0.0, tls_enabled: yes}}}", "tls_enabled"},
		{"services: {dhruva: {websocket: {host: 0.0.0.0}}}\nproxies: {trusted: all}", "proxies.trusted"},
		{"service: dhruva\nwebsocket: {port: x}", "websocket.port"},
		{"websocket: {port: x}", "websocket.port"},
		{"services: {dhruva: {}, akosha: {websocket: {port: x}}, mahavishnu: {websocket: {port: 8692}}}", "websocket.port"},
		{one + "environment: dev\ndebug: true", "environment"},
		{one + "tls: {enabled: true, cert_file: [], key_file: k}\nhttp: {listen: 'localhost:80'}", "tls.cert_file"},
		{one + "http: {listen: x}\ntls: {enabled: true, cert_file: c, key_file: k}", "http.listen"},
		{one + "metrics: {listen: x}\nadmin: {listen: 'localhost:9090'}", "metrics.listen"},
		{"services: {dhruva: {websocket: {port: 0}}}\nhttp: {listen: 80}", "http.listen"},
	} {
		wantProblems(t, secrets, []string{test.text}, test.want)
	}
	// Of two files that say different things, one being wrong, the wrong one is named.
	wantProblems(t, secrets, []string{"debug: 1\n" + one, "debug: false\n"}, "a.yaml:1:8: debug")
}

func TestLargeFilesAreReadInBoundedTime(t *testing.T) {
	env := secrets.with("LONG", strings.Repeat("canary", 600))
	fill := func(before, repeated, after string) string {
		return before + strings.Repeat(repeated, (maxFile-len(before)-len(after))/len(repeated)) + after
	}
	var list, keys, services strings.Builder
	for i := range 17_000 {
		fmt.Fprintf(&list, "h%d,", i)
		fmt.Fprintf(&keys, "  k%d: 1\n", i)
		fmt.Fprintf(&services, "  s%d: {}\n", i)
	}
	for _, test := range []struct{ name, text, want string }{
		{"list", one + "origins: [" + list.String() + "]", "has more than 1000 entries"},
		{"lists in a list", fill(one+"origins: [", "[],", "]"), "has a list within a list"},
		{"variables", fill(one+"server_name: \"", "${LONG}", "\""), "is longer than 4096 bytes with its variables"},
		{"unset variables", fill(one+"server_name: \"", "${U}", "\""), "U is not set"},
		{"escapes", fill(one+"server_name: \"", "$${", "\""), "is longer than 4096 bytes"},
		{"keys", "websocket:\n" + keys.String(), "more"},
		{"services", "services:\n" + services.String(), "more"},
		{"one key", fill(one, "k", ": 1"), "is not"},
		{"duplicates", fill(one, "a: 1\n", ""), "more"},
		{"quotes", fill(one+"debug: '", "''", "'"), "is not true or false"},
		{"comments", fill(one, "# a\n", ""), ""},
		{"anchors", fill(one+"pools: [", "&a a,", "]"), "pools"},
		{"ignored", fill("service: dhruva\ndistribution:\n", "  - a\n", ""), ""},
		{"documents", fill(one, "--- a\n", ""), "second document"},
	} {
		start := time.Now()
		_, _, err := loadTexts(env, test.text)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s took %v", test.name, took)
		} else {
			t.Logf("%s: %v", test.name, took)
		}
		switch {
		case test.want == "" && err != nil, test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %.300v, want %q", test.name, err, test.want)
		case err != nil && len(err.Error()) > 64<<10:
			t.Errorf("%s: an error of %d bytes", test.name, len(err.Error()))
		}
	}
}
