package config

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/schema"
)

// both loads a text for production, where it has the problem, and for development, where it
// has the warning; an empty warning means none.
func both(t *testing.T, env vars, text, problem, warning string) {
	t.Helper()
	wantProblems(t, env, []string{text}, problem)
	wantProblems(t, env, []string{text, "environment: production\n"}, problem)
	_, report := mustLoad(t, env, text, "environment: development\n")
	if warning == "" {
		wantWarnings(t, report)
	} else {
		wantWarnings(t, report, warning)
	}
}

func TestProductionRefusesDebug(t *testing.T) {
	both(t, secrets, "debug: true\n"+one, "a.yaml:1:8: debug: is true (refused in production)", "")
	cfg, _ := mustLoad(t, secrets, "environment: development\ndebug: true\nlogging: {level: ERROR}\n"+one)
	if !cfg.Debug || cfg.Logging.Level != slog.LevelDebug || cfg.Services[0].Logging.Level != slog.LevelDebug {
		t.Errorf("debug does not log: %+v", cfg.Logging)
	}
}

func TestProductionRefusesAutoCert(t *testing.T) {
	both(t, secrets, "services: {dhruva: {websocket: {tls_enabled: true, auto_cert: true}}}",
		"a.yaml:1:63: services.dhruva.websocket.auto_cert: is true (refused in production)", "")
	both(t, secrets, "defaults: {websocket: {tls_enabled: true, auto_cert: true}}\n"+one,
		"a.yaml:1:54: defaults.websocket.auto_cert: is true (refused in production)", "")
	both(t, secrets, "http: {listen: '127.0.0.1:80'}\ntls: {enabled: true, auto_cert: true}\n"+one,
		"a.yaml:2:33: tls.auto_cert: is true (refused in production)", "")
}

func TestProductionRefusesAnonymousWithoutPermissions(t *testing.T) {
	both(t, secrets, "services: {dhruva: {websocket: {require_auth: false}}}",
		"services.dhruva.websocket.require_auth: is false, and anonymous_permissions does not say what may be done without a token (refused in production)",
		"services.dhruva.websocket.require_auth: is false, and anonymous_permissions does not say")
	for _, text := range []string{
		"services: {dhruva: {websocket: {require_auth: false}, anonymous_permissions: ['dhruva:read']}}",
		"services: {dhruva: {websocket: {require_auth: false}, anonymous_permissions: []}}",
		"defaults: {anonymous_permissions: []}\nservices: {dhruva: {websocket: {require_auth: false}}}",
	} {
		_, report := mustLoad(t, nil, text)
		wantWarnings(t, report, "services.dhruva.websocket.host: is a loopback address",
			"services.dhruva.websocket.max_connections_per_address: is 0, so that one address may take every place")
	}
}

func TestProductionRefusesAnonymousAdmins(t *testing.T) {
	for _, permission := range []string{"admin", "dhruva:admin", "adapter:admin", "dhruva:admin:registry"} {
		both(t, secrets, "services: {dhruva: {websocket: {require_auth: false}, anonymous_permissions: ['adapter:read', '"+permission+"']}}",
			"anonymous_permissions: makes everyone an admin with "+permission+" (refused", "makes everyone an admin with "+permission)
	}
}

func TestProductionRefusesPlainListenersOfOtherMachines(t *testing.T) {
	both(t, secrets, "services: {dhruva: {websocket: {host: 0.0.0.0}}}",
		"a.yaml:1:39: services.dhruva.websocket.host: can be reached by other machines without TLS", "can be reached by other machines without TLS")
	both(t, secrets, "services: {dhruva: {websocket: {host: edge.example.com}}}",
		"can be reached by other machines without TLS", "can be reached by other machines without TLS")
	both(t, secrets, "http: {listen: '[::]:80'}\n"+one,
		"a.yaml:1:16: http.listen: can be reached by other machines without TLS", "http.listen: can be reached")
	// None of these can, or is known to be behind a proxy.
	for _, text := range []string{
		"services: {dhruva: {websocket: {host: 0.0.0.0}}}\nproxies: {trusted: [10.0.0.0/8]}",
		"services: {dhruva: {websocket: {host: 0.0.0.0, tls_enabled: true, cert_file: c, key_file: k}}}",
		"services: {dhruva: {websocket: {port: 0}}}\nhttp: {listen: 'localhost:80'}",
		"services: {dhruva: {websocket: {host: 0.0.0.0, port: 0}}}\nhttp: {listen: '0.0.0.0:443'}\ntls: {enabled: true, cert_file: c, key_file: k}",
	} {
		_, report := mustLoad(t, secrets, text)
		wantWarnings(t, report)
	}
	for _, host := range []string{"127.0.0.1", "127.9.9.9", "'::1'", "localhost"} {
		_, report := mustLoad(t, secrets, "services: {dhruva: {websocket: {host: "+host+"}}}")
		wantWarnings(t, report, "if a proxy is in front, name it in proxies.trusted")
	}
}

func TestProductionRefusesTheSameSecretForTwoServices(t *testing.T) {
	env := vars{"S": "canary-Zt2mXw9LbV4nRcY8sKfH1jQ7dPgU5e", "T": "canary-W4hTz8KpYq3BnRvE6xJcD9mLs2FgA5u"}
	for _, text := range []string{
		"services:\n  dhruva: {jwt: {secret: '${S}'}}\n  akosha: {jwt: {secret: '${S}'}}\n",
		"services:\n  dhruva: {jwt: {secret: '${T}', previous_secret: '${S}'}}\n  akosha: {jwt: {secret: '${S}'}}\n",
	} {
		both(t, env, text+"proxies: {trusted: [loopback]}\n",
			"a.yaml:3:26: services.akosha.jwt.secret: is also accepted by dhruva, so that a token for one service is good for both (refused", "is also accepted by dhruva")
	}
	both(t, env, "defaults: {jwt: {secret: '${S}'}}\nproxies: {trusted: [loopback]}\nservices: {dhruva: {}, akosha: {}}",
		"a.yaml:1:26: defaults.jwt.secret: is also accepted by dhruva", "is also accepted by dhruva")
}

func TestSecretOrKeysAreNeededWhereTokensAre(t *testing.T) {
	for _, environment := range []string{"production", "development"} {
		text := "environment: " + environment + "\nservices: {session-buddy: {}}\n"
		wantProblems(t, nil, []string{text},
			"a.yaml:2:12: services.session-buddy.jwt.secret: is needed since require_auth is true: set SESSION_BUDDY_JWT_SECRET in the environment")
		wantProblems(t, vars{"SESSION_BUDDY_JWT_SECRET": ""}, []string{text}, "is needed since require_auth is true")
		mustLoad(t, secrets, text)
	}
	cfg, _ := mustLoad(t, secrets, "services: {dhruva: {jwt: {jwks_url: 'https://id.example.com/keys'}}}")
	if !cfg.Services[0].JWT.Secret.IsZero() || strings.Join(cfg.Services[0].JWT.Algorithms, " ") != "RS256 ES256 EdDSA" {
		t.Errorf("with jwks_url a secret of the environment counts: %+v", cfg.Services[0].JWT)
	}
	cfg, _ = mustLoad(t, secrets.with("S", "canary-Zt2mXw9LbV4nRcY8sKfH1jQ7dPgU5e"), "services: {dhruva: {jwt: {jwks_url: 'https://id.example.com/keys', secret: '${S}'}}}")
	if strings.Join(cfg.Services[0].JWT.Algorithms, " ") != "HS256 RS256 ES256 EdDSA" {
		t.Errorf("%v", cfg.Services[0].JWT.Algorithms)
	}
}

// TestWeakSecretsAreReportedWithEverythingElse: each once, with its place, its variable
// and what to do, whatever the environment.
func TestWeakSecretsAreReportedWithEverythingElse(t *testing.T) {
	const strong, end = "canary-Zt2mXw9LbV4nRcY8sKfH1jQ7dPgU5e", "; make one with: openssl rand -base64 32"
	for _, test := range []struct {
		env  vars
		text string
		want []string
	}{
		{vars{"S": "canary-7", "DHRUVA_JWT_SECRET": "canary-changeme", "AKOSHA_JWT_SECRET": strong},
			"services:\n  dhruva:\n  akosha:\n    jwt: {previous_secret: '${S}'}\nmetrics: {lisen: ''}\n", []string{
				"a.yaml:2:3: services.dhruva.jwt.secret: the value of ${DHRUVA_JWT_SECRET} has 15 bytes, at least 32 are needed; is a placeholder" + end,
				"a.yaml:4:28: services.akosha.jwt.previous_secret: the value of ${S} has 8 bytes, at least 32 are needed; has 7 different bytes, at least 8 are needed" + end,
				"a.yaml:5:11: metrics.lisen: is not a key that exists; the nearest is listen"}},
		{vars{"S": strong}, "services: {dhruva: {jwt: {secret: '${S}', algorithm: HS512}}}", []string{
			"a.yaml:1:35: services.dhruva.jwt.secret: the value of ${S} has 37 bytes, at least 64 are needed; make one with: openssl rand -hex 64"}},
		{vars{"S": "canary-changeme-Zt2mXw9LbV4nRcY8sKfH"}, "defaults: {jwt: {secret: '${S}'}}\nservices: {dhruva: {}, akosha: {}}", []string{
			"a.yaml:1:26: defaults.jwt.secret: the value of ${S} is a placeholder" + end,
			"a.yaml:1:26: defaults.jwt.secret: is also accepted by dhruva"}},
		{nil, "services: {dhruva: {jwt: {secret: canary-changeme-Zt2mXw9LbV4nRcY8sKfH}}}", []string{
			"services.dhruva.jwt.secret: is a secret that stands in the file",
			"services.dhruva.jwt.secret: is a placeholder" + end}},
		// Where the key itself is wrong, nobody looks at what would have been its default.
		{vars{"DHRUVA_JWT_SECRET": "canary-changeme"}, "services: {dhruva: {jwt: {secret: '${S}'}}}", []string{
			"services.dhruva.jwt.secret: the environment variable S is not set; set it, or write"}},
		{vars{"DHRUVA_JWT_SECRET": "canary-changeme"}, "services: {dhruva: {jwt: {jwks_url: 'https://'}}}", []string{"jwt.jwks_url: is not a URL"}},
	} {
		wantProblems(t, test.env, []string{test.text}, test.want...)
	}
	wantProblems(t, vars{"DHRUVA_JWT_SECRET": "canary-changeme"}, []string{"environment: development\n" + one}, "is a placeholder")
}

func TestSecretsInFilesAreWarnedOf(t *testing.T) {
	for _, text := range []string{
		"services: {dhruva: {jwt: {secret: canary-Zt2mXw9LbV4nRcY8sKfH1jQ7dPgU5e}}}",
		"services: {dhruva: {jwt: {secret: '${NAME:-canary-Zt2mXw9LbV4nRcY8sKfH1jQ7dPgU5e}'}}}",
		"services: {dhruva: {jwt: {secret: '${DHRUVA_JWT_SECRET:-canary}'}}}",
	} {
		both(t, secrets, text, "a.yaml:1:35: services.dhruva.jwt.secret: is a secret that stands in the file, it belongs in the environment: write ${NAME} (refused in production)",
			"is a secret that stands in the file")
	}
	both(t, secrets, one+"nats: {url: 'nats://user:canary@host:4222'}", "a.yaml:2:13: nats.url: is a secret that stands in the file", "nats.url: is a secret")
	both(t, secrets, one+"nats: {url: 'nats://canary-token@host:4222'}", "a.yaml:2:13: nats.url: is a secret that stands in the file", "nats.url: is a secret")
	_, report := mustLoad(t, secrets.with("P", "canary"), one+"nats: {url: 'nats://user:${P}@host:4222'}\nproxies: {trusted: [loopback]}")
	wantWarnings(t, report)
	_, report = mustLoad(t, secrets.with("DHRUVA_JWT_SECRET", "canary-Zt2mXw9LbV4nRcY8sKfH1jQ7dPgU5e\n"), one+"proxies: {trusted: [loopback]}")
	wantWarnings(t, report, "begins or ends with white space, which counts")
}

func TestProductionRefusesTrustInEverybody(t *testing.T) {
	both(t, secrets, one+"proxies: {trusted: [10.0.0.0/8, 0.0.0.0/0]}", "a.yaml:2:20: proxies.trusted: trusts every address", "trusts every address")
	both(t, secrets, one+"proxies: {trusted: ['::/0']}", "trusts every address", "trusts every address")
	both(t, secrets, one+"proxies: {trusted: [0.0.0.0/1, 128.0.0.0/1]}", "trusts every address there is, or a large part of them", "trusts every address")
}

func TestPortsAreUsedOnce(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"services:\n  dhruva: {}\n  akosha: {websocket: {port: 8693}}\n", "a.yaml:3:30: services.akosha.websocket.port: uses port 8693, which services.dhruva.websocket.port uses already (a.yaml:2:3)"},
		{"services: {dhruva: {}}\nhttp: {listen: 'localhost:8693'}\n", "services.dhruva.websocket.port: uses port 8693, which http.listen uses already (a.yaml:2:16)"},
		{"services: {dhruva: {websocket: {port: 9090}}}\n", "uses port 9090, which metrics.listen uses already (configuration)"},
		{"services: {dhruva: {}}\nadmin: {listen: '0.0.0.0:9090'}", "admin.listen: uses port 9090, which metrics.listen uses already"},
		{"services: {dhruva: {}}\nadmin: {listen: '127.0.0.1:9090'}", "admin.listen: uses port 9090, which metrics.listen uses already"},
	} {
		wantProblems(t, secrets, []string{test.text}, test.want)
	}
	// The same port of two addresses, a random one, none, and that of who is switched off.
	mustLoad(t, secrets, "services: {dhruva: {}, akosha: {websocket: {port: 8693, host: 127.0.0.2}}}")
	mustLoad(t, secrets, one+"metrics: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}")
	mustLoad(t, secrets, one+"metrics: {listen: ''}\nadmin: {listen: ''}")
	mustLoad(t, secrets, "services: {dhruva: {}, akosha: {enabled: false, websocket: {port: 8693}}}")
}

func TestServiceThatNobodyCouldReachIsRefused(t *testing.T) {
	wantProblems(t, secrets, []string{"services: {dhruva: {websocket: {port: 0}}}"}, "websocket.port: is 0 and http.listen is empty, so nobody could reach the service")
}

func TestWhatDoesNotFitTogetherIsRefused(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"nats: {credentials_file: a, nkey_seed_file: b}", "nats.nkey_seed_file: and credentials_file are two ways of the same"},
		{"nats: {tls: {cert_file: a}}", "nats.tls.cert_file: has no key_file beside it"},
		{"tls: {key_file: a}", "tls.key_file: has no cert_file beside it"},
		{"tls: {enabled: true, cert_file: a, key_file: b}", "tls.enabled: is about the shared listener, but http.listen is empty"},
		{"tls: {enabled: true}\nhttp: {listen: '127.0.0.1:80'}", "tls.enabled: needs cert_file and key_file"},
		{"tls: {verify_client: true, enabled: true, cert_file: a, key_file: b}\nhttp: {listen: '127.0.0.1:80'}", "tls.verify_client: needs client_ca_file"},
		{"tls: {verify_client: true, client_ca_file: b}", "tls.verify_client: needs tls.enabled"},
		{"proxies: {protocol: true}", "proxies.protocol: needs proxies.trusted"},
		{"defaults: {websocket: {tls_enabled: true}}", "defaults.websocket.tls_enabled: needs a certificate: cert_file and key_file, DHRUVA_CERT_FILE and DHRUVA_KEY_FILE in the environment"},
		{"defaults: {websocket: {tls_enabled: true, cert_file: a}}", "defaults.websocket.cert_file: has no key_file beside it"},
		{"defaults: {websocket: {tls_enabled: true, key_file: a}}", "defaults.websocket.key_file: has no cert_file beside it"},
		{"defaults: {websocket: {verify_client: true}}", "verify_client: needs client_ca_file, here or in the section tls"},
		{"defaults: {jwt: {token_expiry: 25h}}", "defaults.jwt.token_expiry: is longer than max_life"},
		{"defaults: {jwt: {algorithm: RS256}}", "defaults.jwt.algorithm: has RS256, which needs jwks_url"},
		{"defaults: {jwt: {jwks_url: 'https://h/', algorithm: HS256}}", "defaults.jwt.algorithm: has HS256, which needs a secret"},
		{"defaults: {jwt: {previous_secret: '${DHRUVA_JWT_SECRET}'}}", "defaults.jwt.previous_secret: is the same as secret"},
	} {
		_, _, err := loadTexts(secrets, one+test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v\nwant %s", test.text, err, test.want)
		}
	}
}

func TestCertificateIsTheNearestWholePair(t *testing.T) {
	env := secrets.with("DHRUVA_CERT_FILE", "env.pem", "DHRUVA_KEY_FILE", "env.key")
	edgeTLS := "tls: {cert_file: edge.pem, key_file: edge.key, client_ca_file: edge.ca}\n"
	for _, test := range []struct {
		env        vars
		text, want string
	}{
		{env, edgeTLS + "defaults: {websocket: {tls_enabled: true, cert_file: all.pem, key_file: all.key}}\nservices: {dhruva: {websocket: {cert_file: own.pem, key_file: own.key}}}", "own.pem own.key "},
		{env, edgeTLS + "defaults: {websocket: {tls_enabled: true, cert_file: all.pem, key_file: all.key}}\n" + one, "all.pem all.key "},
		{env, edgeTLS + "defaults: {websocket: {tls_enabled: true}}\n" + one, "env.pem env.key "},
		{secrets, edgeTLS + "defaults: {websocket: {tls_enabled: true, verify_client: true}}\n" + one, "edge.pem edge.key edge.ca"},
	} {
		cfg, _ := mustLoad(t, test.env, test.text)
		got := cfg.Services[0].TLS
		if s := got.CertFile + " " + got.KeyFile + " " + got.ClientCAFile; s != test.want {
			t.Errorf("%s\nhas %q, want %q", test.text, s, test.want)
		}
	}
	wantProblems(t, env, []string{"defaults: {websocket: {tls_enabled: true, cert_file: all.pem, key_file: all.key}}\nservices: {dhruva: {websocket: {cert_file: own.pem}}}"},
		"services.dhruva.websocket.cert_file: has no key_file beside it")
	wantProblems(t, secrets.with("DHRUVA_CERT_FILE", "canary.pem"), []string{"defaults: {websocket: {tls_enabled: true}}\n" + one},
		"key_file: is not set, but DHRUVA_CERT_FILE is; set DHRUVA_KEY_FILE too")
}

func TestLogFileIsWrittenInOneWay(t *testing.T) {
	text := "proxies: {trusted: [loopback]}\nlogging: {file: /var/log/all.log}\nservices:\n  dhruva: {logging: {level: DEBUG}}\n  akosha: "
	mustLoad(t, secrets, text+"{logging: {level: ERROR}}")
	wantProblems(t, secrets, []string{text + "{logging: {format: text}}"}, "akosha.logging.file: is a file that others write to with another format")
	mustLoad(t, secrets, text+"{logging: {format: text, file: other.log}}")
}

func TestWarnings(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"metrics: {listen: '0.0.0.0:9090'}", "a.yaml:2:19: metrics.listen: is plain HTTP that other machines can reach"},
		{"http: {listen: '0.0.0.0:80'}", "http.listen: can be reached by other machines without TLS, while all proxies"},
		{"defaults: {websocket: {host: '::'}}", "defaults.websocket.host: can be reached by other machines without TLS, while all proxies"},
		{"admin: {listen: 'edge.internal:9091'}", "admin.listen: is plain HTTP that other machines can reach"},
		{"limits: {failed_auth: {attempts: 0}}", "limits.failed_auth.attempts: is 0, so that nothing bounds"},
		{"limits: {half_open: 0}", "limits.half_open: is 0"},
		{"limits: {half_open_per_address: 0}", "limits.half_open_per_address: is 0"},
		{"limits: {queued_bytes: 0}", "limits.queued_bytes: is 0"},
		{"defaults: {jwt: {token_expiry: 2h}}", "defaults.jwt.token_expiry: is longer than an hour"},
		{"defaults: {websocket: {cert_file: a, key_file: b}}", "cert_file: has no effect without tls_enabled"},
		{"defaults: {anonymous_permissions: ['dhruva:read']}", "anonymous_permissions: has no effect, since require_auth is true"},
	} {
		_, report := mustLoad(t, secrets, one+test.text+"\nproxies: {trusted: [loopback]}\n")
		wantWarnings(t, report, test.want)
	}
}

func TestDefaultsAreBeneathTheServices(t *testing.T) {
	cfg, report := mustLoad(t, secrets, `proxies: {trusted: [loopback]}
defaults:
  enabled: false
  websocket: {max_connections: 7, ping_interval: 5}
  admin_channels: [global, registry]
  jwt: {issuer: someone}
services:
  dhruva: {enabled: true, websocket: {max_connections: 9}}
  akosha: {websocket: {enabled: true}, admin_channels: [], jwt: {issuer: ""}}
  mahavishnu: {}
`)
	if len(cfg.Services) != 2 || len(report.Disabled) != 1 || report.Disabled[0] != schema.Mahavishnu {
		t.Fatalf("services %d, disabled %v", len(cfg.Services), report.Disabled)
	}
	dhruva, akosha := cfg.Services[0], cfg.Services[1]
	if dhruva.WebSocket.MaxConnections != 9 || akosha.WebSocket.MaxConnections != 7 || dhruva.WebSocket.PingInterval != akosha.WebSocket.PingInterval ||
		dhruva.JWT.Issuer != "someone" || akosha.JWT.Issuer != "" || len(akosha.AdminChannels) != 0 || len(dhruva.AdminChannels) != 2 {
		t.Errorf("%+v\n%+v", dhruva, akosha)
	}
	// A channel of the defaults is for the services that have it, and some must.
	cfg, _ = mustLoad(t, secrets, "defaults: {admin_channels: [registry, global]}\nservices: {dhruva: {}, akosha: {}}\n")
	if len(cfg.Services[0].AdminChannels) != 2 || len(cfg.Services[1].AdminChannels) != 1 {
		t.Errorf("%v %v", cfg.Services[0].AdminChannels, cfg.Services[1].AdminChannels)
	}
	wantProblems(t, secrets, []string{"defaults: {admin_channels: [registri]}\nservices: {dhruva: {}, akosha: {}}\n"},
		`defaults.admin_channels: no service has "registri"`)
}
