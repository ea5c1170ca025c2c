package config

import (
	"log/slog"
	"time"
)

// edgeKeys are the keys of the edge, in the order of the reference file.
var edgeKeys = []*key{
	newKey("server_name", text("a text", nil), "Indranet", func(c *Config) *string { return &c.ServerName },
		"What welcomes call the server, for people. A service may have a name of its own."),
	newKey("environment", choice(Production, Development), Production, func(c *Config) *Environment { return &c.Environment },
		`"production" refuses what is only good for development: auto_cert, debug, require_auth: false without anonymous_permissions, listeners without TLS that are not on a loopback address while proxies.trusted is empty, the same secret for two services, secrets in the file, trust in every proxy, admin rights for anonymous.`),
	newKey("debug", truth(), false, func(c *Config) *bool { return &c.Debug },
		"Aids to development: every log says DEBUG, whatever its level. Refused in production."),

	newKey("nats.url", natsURL(), NewURL("nats://127.0.0.1:4222"), func(c *Config) *URL { return &c.NATS.URL },
		"Where NATS is. A user, password or token in it must come from the environment."),
	newKey("nats.credentials_file", filePath(), "", func(c *Config) *string { return &c.NATS.CredentialsFile },
		"The credentials (.creds) with which the edge comes to NATS. Not together with nkey_seed_file."),
	newKey("nats.nkey_seed_file", filePath(), "", func(c *Config) *string { return &c.NATS.NKeySeedFile },
		"The seed of the nkey with which the edge comes to NATS."),
	newKey("nats.tls.ca_file", filePath(), "", func(c *Config) *string { return &c.NATS.CAFile },
		"The authorities (PEM) that may have signed the certificate of NATS. Empty: those of the system."),
	newKey("nats.tls.cert_file", filePath(), "", func(c *Config) *string { return &c.NATS.CertFile },
		"The certificate (PEM) that the edge shows to NATS. Together with key_file."),
	newKey("nats.tls.key_file", filePath(), "", func(c *Config) *string { return &c.NATS.KeyFile },
		"The key (PEM) of that certificate."),

	newKey("http.listen", address(), "", func(c *Config) *string { return &c.HTTP.Listen },
		"The shared listener, which serves every service at /ws/{service}. Encrypted as tls says. Empty: none, each service is on its own port only."),
	newKey("metrics.listen", address(), "127.0.0.1:9090", func(c *Config) *string { return &c.Metrics.Listen },
		"Where Prometheus finds the metrics of all services, in plain HTTP. Empty: nowhere."),
	newKey("metrics.allow", networks(), []string{"loopback"}, func(c *Config) *[]string { return &c.Metrics.Allow },
		"The networks that may read the metrics. Others are cut when they connect; of these at most 64 connections are taken."),
	newKey("admin.listen", address(), "127.0.0.1:9091", func(c *Config) *string { return &c.Admin.Listen },
		"Where the edge is operated, in plain HTTP. Empty: nowhere."),
	newKey("admin.allow", networks(), []string{"loopback"}, func(c *Config) *[]string { return &c.Admin.Allow },
		"The networks that may operate the edge. Others are cut when they connect; of these at most 64 connections are taken, and only requests to an address, to a name without a dot, to that in listen or to one in origins: a page in a browser could have a name of its own lead here."),

	newKey("proxies.trusted", networks(), []string{}, func(c *Config) *[]string { return &c.Proxies.Trusted },
		"The proxies whose X-Forwarded-For (or X-Real-IP) is believed. Empty: none, the address of a client is that of its connection."),
	newKey("proxies.protocol", truth(), false, func(c *Config) *bool { return &c.Proxies.Protocol },
		"Whether the trusted proxies send headers of the PROXY protocol, version 1 or 2. If so, each of their connections must have one."),
	newKey("origins", origins(), []string{}, func(c *Config) *[]string { return &c.Origins },
		"The hostnames of pages whose scripts may connect, beside pages of the host that they connect to. No scheme, no port. An edge that anybody may read without a token, and that is reached by a name with a dot over plain HTTP and no trusted proxy, needs its own name here."),

	newKey("tls.enabled", truth(), false, func(c *Config) *bool { return &c.TLS.Enabled },
		"Whether the shared listener (http.listen) is encrypted. Services say websocket.tls_enabled."),
	newKey("tls.cert_file", filePath(), "", func(c *Config) *string { return &c.TLS.CertFile },
		"The certificate (PEM, the whole chain) of the shared listener and of every service with tls_enabled that has none of its own. Read again when it changes."),
	newKey("tls.key_file", filePath(), "", func(c *Config) *string { return &c.TLS.KeyFile },
		"The key (PEM) of that certificate."),
	newKey("tls.auto_cert", truth(), false, func(c *Config) *bool { return &c.TLS.AutoCert },
		"Makes a self-signed certificate for the shared listener. Refused in production."),
	newKey("tls.verify_client", truth(), false, func(c *Config) *bool { return &c.TLS.VerifyClient },
		"Whether clients of the shared listener must show a certificate (mTLS)."),
	newKey("tls.client_ca_file", filePath(), "", func(c *Config) *string { return &c.TLS.ClientCAFile },
		"The authorities (PEM) that may have signed it; also for every service with verify_client that names none of its own."),

	newKey("logging.level", level(), slog.LevelInfo, func(c *Config) *slog.Level { return &c.Logging.Level },
		"The least level that is logged, by the edge and by services that say nothing else."),
	newKey("logging.format", choice("json", "text"), "json", func(c *Config) *string { return &c.Logging.Format },
		"How a line is written."),
	newKey("logging.file", filePath(), "", func(c *Config) *string { return &c.Logging.File },
		"The file that is appended to, in a directory that exists. Empty: the standard error. Several services may share one."),
	newKey("logging.rotation", size(1<<20, 100<<30), int64(10e6), func(c *Config) *int64 { return &c.Logging.Rotation },
		"The size at which a file is put aside and a new one begun."),
	newKey("logging.retention", units(1, 3650, day, "days"), 30*day, func(c *Config) *time.Duration { return &c.Logging.Retention },
		"How long files that were put aside are kept."),

	newKey("memory_limit", orNone(64<<20, 1<<44), int64(0), func(c *Config) *int64 { return &c.MemoryLimit },
		"The memory that the process tries to stay within. 0: that of the container, where it has one. Within a limit the garbage collector runs less often (GOGC 400, unless the environment has another)."),
	newKey("limits.handshakes_per_second", whole(0, 1_000_000, "handshakes"), 1000, func(c *Config) *int { return &c.Limits.HandshakesPerSecond },
		"New connections a second, all listeners together; further ones wait in the kernel. 0: no limit."),
	newKey("limits.half_open", whole(0, 1_000_000, "connections"), 1024, func(c *Config) *int { return &c.Limits.HalfOpen },
		"Connections that are accepted and not yet WebSockets, all listeners together; one of several takes at most three quarters. 0: no limit."),
	newKey("limits.half_open_per_address", whole(0, 1_000_000, "connections"), 128, func(c *Config) *int { return &c.Limits.HalfOpenPerAddress },
		"The same for one address (IPv6: one /64); trusted proxies are exempt. Also, by the client's address wherever it comes from, the WebSockets that have not shown a token yet or are being refused. 0: no limit."),
	newKey("limits.connections_per_address_per_second", whole(0, 1_000_000, "connections"), 100, func(c *Config) *int { return &c.Limits.ConnectionsPerAddressPerSecond },
		"New connections a second from one address (IPv6: one /64); further ones are closed. Trusted proxies are exempt. 0: no limit."),
	newKey("limits.failed_auth.attempts", whole(0, 1_000_000, "failures"), 10, func(c *Config) *int { return &c.Limits.FailedAuth.Attempts },
		"Failed authentications of an address with one service within the window, after which the service takes no token from it. A good one in between forgives nothing. 0: it always does."),
	newKey("limits.failed_auth.window", span(time.Second, 24*time.Hour), 10*time.Minute, func(c *Config) *time.Duration { return &c.Limits.FailedAuth.Window },
		"How long a failure counts."),
	newKey("limits.failed_auth.block", span(time.Second, 24*time.Hour), 10*time.Minute, func(c *Config) *time.Duration { return &c.Limits.FailedAuth.Block },
		"How long an address is blocked."),
	newKey("limits.queued_bytes", orNone(1<<20, 1<<44), int64(256<<20), func(c *Config) *int64 { return &c.Limits.QueuedBytes },
		"What all connections together may have waiting to be sent. 0: no limit."),
	newKey("revocation_grace", span(time.Second, 24*time.Hour), 30*time.Second, func(c *Config) *time.Duration { return &c.RevocationGrace },
		"How long tokens are taken and new subscriptions are granted while the edge hears no news of revoked tokens."),
}

const day = 24 * time.Hour

// filePath is the name of a file.
func filePath() kind[string] { return text(`a path, or "" for none`, nil) }

// edgeSections document the sections of the edge.
var edgeSections = map[string]string{
	"nats":               "How the edge reaches the events.",
	"nats.tls":           `TLS to NATS. It is used where NATS asks for it, and with tls:// addresses.`,
	"http":               "",
	"metrics":            "",
	"admin":              "",
	"proxies":            "",
	"tls":                "The shared listener's certificate, which services fall back on.",
	"logging":            "Where log lines go that belong to no service, and the defaults of the services' own logging.",
	"limits":             "Limits of the whole process. Those of each service are with the service.",
	"limits.failed_auth": "Before an address is blocked, answers to it get slower.",
}
