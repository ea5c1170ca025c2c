package config

import (
	"log/slog"
	"time"
)

// serviceKeys are the keys of a service, in the order of the reference file.
var serviceKeys = []*key{
	newKey("enabled", truth(), true, func(s *Service) *bool { return &s.enabled },
		"Whether the edge serves the service. May also be written as websocket.enabled."),
	newKey("server_name", text("a text", nil), "Indranet", func(s *Service) *string { return &s.ServerName },
		"What welcomes of this service call the server.").
		otherwise("", "that of the edge"),

	newKey("websocket.host", host(), "127.0.0.1", func(s *Service) *string { return &s.WebSocket.Host },
		"The address of the service's own listener, 0.0.0.0 for all of IPv4, :: for all."),
	newKey("websocket.port", whole(0, 65535, ""), 0, func(s *Service) *int { return &s.WebSocket.Port },
		"The TCP port of the service's own listener, which takes WebSockets at any path. 0: it has none and is only on the shared listener. Not in defaults.").
		otherwise("8690", "the service's usual port: mahavishnu 8690, dhruva 8693, excalidraw 3042, fastblocks 8684, akosha 8692, crackerjack 8686, session-buddy 8765"),
	newKey("websocket.tls_enabled", truth(), false, func(s *Service) *bool { return &s.TLS.Enabled },
		"Whether the service's own listener is encrypted (wss)."),
	newKey("websocket.cert_file", filePath(), "", func(s *Service) *string { return &s.TLS.CertFile },
		"The certificate (PEM, the whole chain) of the service's own listener. Read again when it changes.").
		otherwise(`"${MAHAVISHNU_CERT_FILE:-}"`, "the environment's {SERVICE}_CERT_FILE, else tls.cert_file"),
	newKey("websocket.key_file", filePath(), "", func(s *Service) *string { return &s.TLS.KeyFile },
		"The key (PEM) of the certificate. Both come from the same section.").
		otherwise(`"${MAHAVISHNU_KEY_FILE:-}"`, "the environment's {SERVICE}_KEY_FILE, else tls.key_file"),
	newKey("websocket.auto_cert", truth(), false, func(s *Service) *bool { return &s.TLS.AutoCert },
		"Makes a self-signed certificate instead. Refused in production."),
	newKey("websocket.verify_client", truth(), false, func(s *Service) *bool { return &s.TLS.VerifyClient },
		"Whether clients must show a certificate (mTLS)."),
	newKey("websocket.client_ca_file", filePath(), "", func(s *Service) *string { return &s.TLS.ClientCAFile },
		"The authorities (PEM) that may have signed it.").
		otherwise("", "tls.client_ca_file"),
	newKey("websocket.require_auth", truth(), true, func(s *Service) *bool { return &s.WebSocket.RequireAuth },
		"Whether every connection needs a token. If not, anonymous_permissions says what goes without; production wants it to be said."),
	newKey("websocket.max_connections", whole(1, 10_000_000, "connections"), 1000, func(s *Service) *int { return &s.WebSocket.MaxConnections },
		"Connections of the service at this edge. Further ones are closed with 1013, for another edge to take. At most a quarter is for those without an accepted token."),
	newKey("websocket.origins", origins(), []string{}, func(s *Service) *[]string { return &s.WebSocket.Origins },
		"The hostnames of pages whose scripts may connect to the service, beside those in origins."),
	newKey("websocket.max_connections_per_user", whole(0, 1_000_000, "connections"), 100, func(s *Service) *int { return &s.WebSocket.MaxConnectionsPerUser },
		"Of these, one user's. 0: no limit of their own."),
	newKey("websocket.max_connections_per_address", whole(0, 1_000_000, "connections"), 0, func(s *Service) *int { return &s.WebSocket.MaxConnectionsPerAddress },
		"Of these, one address's (IPv6: one /64's); many people may share one. 0: no limit of their own."),
	newKey("websocket.max_connection_age", orNever(time.Minute, 30*day), 0, func(s *Service) *time.Duration { return &s.WebSocket.MaxConnectionAge },
		"After which a client is asked to come back, which spreads connections over new edges. 0: never."),
	newKey("websocket.message_rate_limit", whole(1, 1_000_000, "messages"), 100, func(s *Service) *int { return &s.WebSocket.MessageRateLimit },
		"Messages a second that a connection may send; half as many more at once. One counts once more for each 16 KiB that it has."),
	newKey("websocket.broadcast_queue_size", whole(1, 1_000_000, "frames"), 1000, func(s *Service) *int { return &s.WebSocket.BroadcastQueueSize },
		"Frames that may wait for a connection. A client that is further behind reads the log at its own pace and loses nothing."),
	newKey("websocket.max_message_bytes", size(1<<10, 64<<20), int64(1<<20), func(s *Service) *int64 { return &s.WebSocket.MaxMessageBytes },
		"The largest message that a client may send. A larger one closes the connection with 1009."),
	newKey("websocket.message_timeout", span(time.Second, 10*time.Minute), 30*time.Second, func(s *Service) *time.Duration { return &s.WebSocket.MessageTimeout },
		"How long a message may take to come whole, from its first byte on. A later one closes the connection with 1008."),
	newKey("websocket.max_feeds", whole(1, 10_000_000, "feeds"), 50_000, func(s *Service) *int { return &s.WebSocket.MaxFeeds },
		"Channels and views that the edge serves at once, at most as many as fit into an eighth of the memory. Others cannot be subscribed to until one is free; nobody loses one. While less than half of them are free, one user, or one address of clients without a token, gets no more than a quarter."),
	newKey("websocket.max_subscriptions", whole(1, 10_000, "channels"), 1000, func(s *Service) *int { return &s.WebSocket.MaxSubscriptions },
		"Channels that a connection may be subscribed to."),
	newKey("websocket.replay_rate", size(0, 1<<30), int64(1<<20), func(s *Service) *int64 { return &s.WebSocket.ReplayRate },
		"How much of the log a connection may have read a second for histories and for opening channels, 16 seconds' worth at once; a channel counts as 16 KiB, whatever comes of it, and list_channels as what it answers. What exceeds it waits, also where the user, or the address of who has no token, comes back with another connection. 0: no bound."),
	newKey("websocket.replay_bytes", size(64<<10, 1<<30), int64(512<<10), func(s *Service) *int64 { return &s.WebSocket.ReplayBytes },
		"Events of the log that all subscriptions of a connection which catch up may hold in memory together."),
	newKey("websocket.ping_interval", span(time.Second, time.Hour), 20*time.Second, func(s *Service) *time.Duration { return &s.WebSocket.PingInterval },
		"The time between two pings."),
	newKey("websocket.ping_timeout", span(time.Second, time.Hour), 20*time.Second, func(s *Service) *time.Duration { return &s.WebSocket.PingTimeout },
		"How long a client may give no sign of life after a ping."),
	newKey("websocket.close_timeout", span(100*time.Millisecond, 5*time.Minute), 10*time.Second, func(s *Service) *time.Duration { return &s.WebSocket.CloseTimeout },
		"How long the closing handshake may take."),
	newKey("websocket.slow_timeout", span(time.Second, time.Hour), 2*time.Minute, func(s *Service) *time.Duration { return &s.WebSocket.SlowTimeout },
		"How long a client for which something waits may take nothing at all before it is closed with 4008."),

	newKey("jwt.secret", secret(), Secret{}, func(s *Service) *Secret { return &s.JWT.Secret },
		"The secret that tokens of the service are signed with, at least 32 bytes; make one with: openssl rand -base64 32. Each service has one of its own.").
		otherwise(`"${MAHAVISHNU_JWT_SECRET}"`, "the environment's {SERVICE}_JWT_SECRET, unless jwks_url is set; SERVICE is the name in capitals, with _ for -"),
	newKey("jwt.previous_secret", secret(), Secret{}, func(s *Service) *Secret { return &s.JWT.PreviousSecret },
		"A second secret that is accepted as well, while the first one is being changed."),
	newKey("jwt.algorithm", algorithms(), []string{}, func(s *Service) *[]string { return &s.JWT.Algorithms },
		"How tokens may be signed: HS… with a secret, the others with jwks_url. HS384 wants a secret of 48 bytes, HS512 of 64.").
		otherwise(`["HS256"]`, "HS256 with a secret; RS256, ES256, EdDSA with jwks_url; all with both"),
	newKey("jwt.jwks_url", jwksURL(), "", func(s *Service) *string { return &s.JWT.JWKSURL },
		"Where the public keys of an identity provider are, whose tokens are accepted too."),
	newKey("jwt.issuer", text(`a text, or "" for any`, nil), "", func(s *Service) *string { return &s.JWT.Issuer },
		"What a token must have as iss."),
	newKey("jwt.audience", text(`a text, or "" for any`, nil), "", func(s *Service) *string { return &s.JWT.Audience },
		"What a token must have in aud."),
	newKey("jwt.leeway", span(0, time.Minute), 10*time.Second, func(s *Service) *time.Duration { return &s.JWT.Leeway },
		"How far clocks may differ. A token is good for that much longer."),
	newKey("jwt.token_expiry", span(time.Second, 30*day), time.Hour, func(s *Service) *time.Duration { return &s.JWT.TokenExpiry },
		"The life of tokens that `indranet token` makes. At most max_life."),
	newKey("jwt.max_life", span(time.Minute, 30*day), 24*time.Hour, func(s *Service) *time.Duration { return &s.JWT.MaxLife },
		"The longest that a token may still have to live; others are refused, whoever signed them. Revocations are kept for 30 days."),

	newKey("anonymous_permissions", texts(`permissions such as "mahavishnu:read" or "workflow:read"`, permission), []string{}, func(s *Service) *[]string { return &s.AnonymousPermissions },
		"What connections without a token may do, where require_auth is false."),
	newKey("admin_channels", texts(`channels such as "registry", "workflow:42", "workflow:*"`, channel), []string{}, func(s *Service) *[]string { return &s.AdminChannels },
		"Channels that only admins may use. A view that shows any of them becomes admin-only as a whole."),

	newKey("collaboration.max_users_per_room", whole(1, 1000, "users"), 50, func(s *Service) *int { return &s.Collaboration.MaxUsersPerRoom },
		"Users in a room, over all edges. May also be written below websocket."),
	newKey("collaboration.cursor_throttle_ms", units(0, 10_000, time.Millisecond, "milliseconds"), 50*time.Millisecond, func(s *Service) *time.Duration { return &s.Collaboration.CursorThrottle },
		"The least time between two cursor events of a user; the last one always goes out. 0: every one does."),
	newKey("ui.hot_reload.enabled", truth(), true, func(s *Service) *bool { return &s.HotReload.Enabled },
		"Whether hot_reload.triggered is passed on. May also be written as websocket.hot_reload.enabled."),
	newKey("ui.hot_reload.debounce_ms", units(0, 60_000, time.Millisecond, "milliseconds"), 100*time.Millisecond, func(s *Service) *time.Duration { return &s.HotReload.Debounce },
		"How long triggers are collected into one. 0: each one is passed on."),

	newKey("logging.level", level(), slog.LevelInfo, func(s *Service) *slog.Level { return &s.Logging.Level },
		"As in the section logging of the edge.").otherwise("", "that of the edge"),
	newKey("logging.format", choice("json", "text"), "json", func(s *Service) *string { return &s.Logging.Format },
		"As in the section logging of the edge.").otherwise("", "that of the edge"),
	newKey("logging.file", filePath(), "", func(s *Service) *string { return &s.Logging.File },
		"A file for the lines of this service, in a directory that exists.").otherwise("", "that of the edge"),
	newKey("logging.rotation", size(1<<20, 100<<30), int64(10e6), func(s *Service) *int64 { return &s.Logging.Rotation },
		"As in the section logging of the edge.").otherwise("", "that of the edge"),
	newKey("logging.retention", units(1, 3650, day, "days"), 30*day, func(s *Service) *time.Duration { return &s.Logging.Retention },
		"As in the section logging of the edge.").otherwise("", "that of the edge"),
}

// serviceSections document the sections of a service.
var serviceSections = map[string]string{
	"websocket":     "The service's own listener, and the limits of its connections wherever they come in.",
	"jwt":           "Which tokens are accepted.",
	"collaboration": "Rooms, for services that have them (excalidraw).",
	"ui":            "",
	"ui.hot_reload": "May also be written below websocket, as hot_reload (fastblocks).",
	"logging":       "Where the service's log lines go, where not with those of the edge.",
}

// otherNames are the second places that the services' own documents have for a key.
var otherNames = map[string]string{
	"websocket.enabled":                          "enabled",
	"websocket.collaboration.max_users_per_room": "collaboration.max_users_per_room",
	"websocket.collaboration.cursor_throttle_ms": "collaboration.cursor_throttle_ms",
	"websocket.hot_reload.enabled":               "ui.hot_reload.enabled",
	"websocket.hot_reload.debounce_ms":           "ui.hot_reload.debounce_ms",
}

// ignoredPaths are what the services' own programs read.
var ignoredPaths = []string{
	"pools", "adapters", "sessions", "memory", "qc", "analytics", "distribution",
	"collaboration.auto_save_interval", "websocket.collaboration.auto_save_interval",
	"ui.render_timeout", "websocket.channels",
}
