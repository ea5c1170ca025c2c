package config

import (
	"net"
	"slices"
	"strings"
	"time"

	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/schema"
)

// The rules, beyond the type and range of each key. In production, refused is:
//
//   - debug
//   - auto_cert, of a service or of the section tls
//   - require_auth: false, unless anonymous_permissions is written
//   - a listener without TLS that is not on a loopback address, while no proxy is trusted
//   - the same secret for two services
//   - a secret, or a password of NATS, that stands in the file
//   - trust in every address as a proxy
//   - admin rights for connections without a token
//
// In development these are warnings, but for debug and auto_cert, which it is for. What
// does not fit together is an error in both, and so is a weak secret (auth.CheckSecret).

// strict reports what production refuses.
func (l *loading) strict(production bool, at Position, name, text string) {
	if production {
		l.add(at, name, "%s (refused in production)", text)
	} else {
		l.warn(at, name, text)
	}
}

// edgeWhere is the place and name of a key of the edge.
func (l *loading) edgeWhere(path string) (Position, string) {
	if s, set := l.edge[path]; set {
		return s.at, s.name
	}
	return Position{}, path
}

// inProduction reports whether the rules for production apply: not where nobody knows.
func (l *loading) inProduction(c *Config) bool {
	return c.Environment == Production && !l.edge.broken("environment")
}

// checkEdge checks what is no service's.
func (l *loading) checkEdge(c *Config) {
	production := l.inProduction(c)
	fail := func(path, format string, args ...any) {
		at, name := l.edgeWhere(path)
		l.add(at, name, format, args...)
	}
	if production && c.Debug {
		fail("debug", "is true (refused in production)")
	}
	for _, s := range l.literals {
		l.strict(production, s.at, s.name, "is a secret that stands in the file, it belongs in the environment: write ${NAME}")
	}
	if everyone(c.Proxies.Trusted) {
		at, name := l.edgeWhere("proxies.trusted")
		l.strict(production, at, name, "trusts every address there is, or a large part of them, so that everyone can say to be anyone")
	}
	if c.Proxies.Protocol && len(c.Proxies.Trusted) == 0 && !l.edge.broken("proxies") {
		fail("proxies.protocol", "needs proxies.trusted, nobody else's word is believed")
	}
	if c.NATS.CredentialsFile != "" && c.NATS.NKeySeedFile != "" {
		fail("nats.nkey_seed_file", "and credentials_file are two ways of the same, one is enough")
	}
	if !l.edge.broken("nats") {
		l.pair("nats.tls.cert_file", c.NATS.CertFile, "nats.tls.key_file", c.NATS.KeyFile)
	}
	if !l.edge.broken("tls", "http", "proxies") {
		l.pair("tls.cert_file", c.TLS.CertFile, "tls.key_file", c.TLS.KeyFile)
		l.checkShared(c, production)
	}

	for path, limit := range map[string]int64{
		"limits.failed_auth.attempts": int64(c.Limits.FailedAuth.Attempts), "limits.half_open": int64(c.Limits.HalfOpen),
		"limits.half_open_per_address": int64(c.Limits.HalfOpenPerAddress), "limits.queued_bytes": c.Limits.QueuedBytes,
	} {
		if production && limit == 0 && !l.edge.broken(path) {
			at, name := l.edgeWhere(path)
			l.warn(at, name, "is 0, so that nothing bounds what a flood may take")
		}
	}

	for _, internal := range []struct {
		name   string
		listen string
	}{{"metrics", c.Metrics.Listen}, {"admin", c.Admin.Listen}} {
		if host, _, err := net.SplitHostPort(internal.listen); err == nil && !loopback(host) {
			at, name := l.edgeWhere(internal.name + ".listen")
			l.warn(at, name, "is plain HTTP that other machines can reach, keep it within a private network")
		}
	}
}

// checkShared checks the shared listener.
func (l *loading) checkShared(c *Config, production bool) {
	fail := func(path, format string, args ...any) {
		at, name := l.edgeWhere(path)
		l.add(at, name, format, args...)
	}
	t := c.TLS
	if production && t.AutoCert {
		fail("tls.auto_cert", "is true (refused in production)")
	}
	if t.AutoCert && t.CertFile != "" {
		fail("tls.auto_cert", "and cert_file are two ways of the same, one is enough")
	}
	if t.VerifyClient && t.ClientCAFile == "" {
		fail("tls.verify_client", "needs client_ca_file")
	}
	if t.VerifyClient && !t.Enabled {
		fail("tls.verify_client", "needs tls.enabled")
	}
	if t.Enabled && c.HTTP.Listen == "" {
		fail("tls.enabled", "is about the shared listener, but http.listen is empty; services have websocket.tls_enabled")
	}
	if t.Enabled && !t.AutoCert && t.CertFile == "" && t.KeyFile == "" {
		fail("tls.enabled", "needs cert_file and key_file")
	}
	host, _, err := net.SplitHostPort(c.HTTP.Listen)
	if err != nil || t.Enabled || loopback(host) {
		return
	}
	at, name := l.edgeWhere("http.listen")
	if len(c.Proxies.Trusted) == 0 {
		l.strict(production, at, name, "can be reached by other machines without TLS: set tls.enabled, or the proxies that have it in proxies.trusted")
	} else if local(c.Proxies.Trusted) {
		l.warn(at, name, onlyLocal)
	}
}

const onlyLocal = "can be reached by other machines without TLS, while all proxies in proxies.trusted are on this one: 127.0.0.1 would do"

// local reports whether all proxies are on this machine.
func local(list []string) bool {
	return !slices.ContainsFunc(list, func(s string) bool {
		addr, _, _ := strings.Cut(s, "/")
		return s != "loopback" && s != "unix" && !loopback(addr)
	})
}

// pair checks that two files are both set or neither.
func (l *loading) pair(cert, certFile, key, keyFile string) {
	if certFile != "" && keyFile == "" {
		at, name := l.edgeWhere(cert)
		l.add(at, name, "has no key_file beside it")
	}
	if certFile == "" && keyFile != "" {
		at, name := l.edgeWhere(key)
		l.add(at, name, "has no cert_file beside it")
	}
}

// check checks a service by itself.
func (b *building) check() {
	production := b.inProduction(b.cfg)
	s := &b.service
	if !b.broken("websocket") && !b.edge.broken("tls", "proxies") {
		b.checkTLS(production)
	}
	if !b.broken("websocket.require_auth", "jwt") {
		b.checkTokens(production)
	}
	if s.WebSocket.Port == 0 && b.cfg.HTTP.Listen == "" && !b.edge.broken("http") {
		b.fail("websocket.port", "is 0 and http.listen is empty, so nobody could reach the service")
	}
	if !s.WebSocket.RequireAuth && !b.broken("anonymous_permissions") {
		at, name := b.where("websocket.require_auth")
		if _, written := b.setting("anonymous_permissions"); !written {
			b.strict(production, at, name, "is false, and anonymous_permissions does not say what may be done without a token")
		}
		if at, name := b.where("websocket.max_connections_per_address"); production && s.WebSocket.MaxConnectionsPerAddress == 0 {
			b.warn(at, name, "is 0, so that one address may take every place of a service that needs no token")
		}
		if admin := adminOf(s.AnonymousPermissions); admin != "" {
			at, name := b.where("anonymous_permissions")
			b.strict(production, at, name, "makes everyone an admin with "+admin)
		}
	} else if len(s.AnonymousPermissions) > 0 {
		b.note("anonymous_permissions", "has no effect, since require_auth is true")
	}
}

// adminOf is the first permission that holds more than reading and writing.
func adminOf(permissions []string) string {
	i := slices.IndexFunc(permissions, func(p string) bool {
		_, action, _ := strings.Cut(p, ":")
		return p == "admin" || action == "admin" || strings.HasPrefix(action, "admin:")
	})
	if i < 0 {
		return ""
	}
	return permissions[i]
}

func (b *building) checkTLS(production bool) {
	s, t := &b.service, &b.service.TLS
	if production && t.AutoCert {
		b.fail("websocket.auto_cert", "is true (refused in production)")
	}
	if t.AutoCert && t.CertFile != "" {
		b.fail("websocket.auto_cert", "and cert_file are two ways of the same, one is enough")
	}
	if t.VerifyClient && t.ClientCAFile == "" {
		b.fail("websocket.verify_client", "needs client_ca_file, here or in the section tls")
	}
	if t.VerifyClient && !t.Enabled {
		b.fail("websocket.verify_client", "needs tls_enabled")
	}
	if t.Enabled || s.WebSocket.Port == 0 {
		return
	}
	if t.AutoCert {
		b.note("websocket.auto_cert", "has no effect without tls_enabled")
	}
	if t.CertFile != "" {
		b.note("websocket.cert_file", "has no effect without tls_enabled")
	}
	switch trusted := len(b.cfg.Proxies.Trusted) > 0; {
	case !loopback(s.WebSocket.Host) && trusted && local(b.cfg.Proxies.Trusted):
		b.note("websocket.host", onlyLocal)
	case !loopback(s.WebSocket.Host) && !trusted:
		at, name := b.where("websocket.host")
		b.strict(production, at, name, "can be reached by other machines without TLS: set tls_enabled, or the proxies that have it in proxies.trusted")
	case production && !trusted:
		b.note("websocket.host", "is a loopback address: if a proxy is in front, name it in proxies.trusted, or all clients have its address")
	}
}

func (b *building) checkTokens(production bool) {
	jwt := &b.service.JWT
	switch {
	case !b.service.WebSocket.RequireAuth:
	case jwt.Secret.IsZero() && jwt.JWKSURL == "":
		b.fail("jwt.secret", "is needed since require_auth is true: set %s in the environment, or jwt.secret or jwt.jwks_url", b.variable("_JWT_SECRET"))
	}
	if jwt.Secret.IsZero() && !jwt.PreviousSecret.IsZero() {
		b.fail("jwt.previous_secret", "needs a secret beside it")
	}
	if !jwt.Secret.IsZero() && jwt.Secret.Equal(jwt.PreviousSecret) {
		b.fail("jwt.previous_secret", "is the same as secret")
	}
	for path, s := range map[string]Secret{"jwt.secret": jwt.Secret, "jwt.previous_secret": jwt.PreviousSecret} {
		if text := s.Reveal(); strings.TrimSpace(text) != text {
			b.note(path, "begins or ends with white space, which counts")
		}
	}
	withSecret, withKeys := 0, 0
	for _, algorithm := range jwt.Algorithms {
		switch slices.Contains(symmetric, algorithm) {
		case true:
			withSecret++
			if jwt.Secret.IsZero() {
				b.fail("jwt.algorithm", "has %s, which needs a secret", algorithm)
			}
		case false:
			withKeys++
			if jwt.JWKSURL == "" {
				b.fail("jwt.algorithm", "has %s, which needs jwks_url", algorithm)
			}
		}
	}
	if !jwt.Secret.IsZero() && withSecret == 0 {
		b.fail("jwt.algorithm", "has none that uses the secret")
	}
	if jwt.JWKSURL != "" && withKeys == 0 {
		b.fail("jwt.algorithm", "has none that uses jwks_url")
	}
	if jwt.TokenExpiry > jwt.MaxLife {
		b.fail("jwt.token_expiry", "is longer than max_life, so the tokens would be refused")
	}
	if production && jwt.TokenExpiry > time.Hour {
		b.note("jwt.token_expiry", "is longer than an hour, a stolen token is good for that long")
	}
}

// listener is a port that is listened on.
type listener struct {
	host, port string
	at         Position
	name       string
}

// overlaps reports whether the two cannot both be listened on.
func (l listener) overlaps(other listener) bool {
	if l.port != other.port || l.port == "0" {
		return false
	}
	return all(l.host) || all(other.host) || strings.EqualFold(l.host, other.host) ||
		l.host == "localhost" && loopback(other.host) || other.host == "localhost" && loopback(l.host)
}

// all reports whether a host is every address of the machine.
func all(host string) bool { return host == "0.0.0.0" || host == "::" }

// checkTogether checks what services have to do with each other.
func (l *loading) checkTogether(c *Config, built []*building) {
	var taken []listener
	take := func(addr string, at Position, name string) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return // None.
		}
		mine := listener{host, port, at, name}
		for _, other := range taken {
			if mine.overlaps(other) {
				l.add(at, name, "uses port %s, which %s uses already (%s)", port, other.name, other.at)
				return
			}
		}
		taken = append(taken, mine)
	}
	for _, internal := range []struct{ path, listen string }{
		{"http.listen", c.HTTP.Listen}, {"metrics.listen", c.Metrics.Listen}, {"admin.listen", c.Admin.Listen},
	} {
		if at, name := l.edgeWhere(internal.path); !l.edge.broken(internal.path) {
			take(internal.listen, at, name)
		}
	}
	for _, b := range built {
		if at, name := b.where("websocket.port"); !b.broken("websocket.host", "websocket.port") {
			take(b.service.WebSocket.Addr(), at, name)
		}
	}
	l.checkSecrets(c, built)
	l.checkLogs(c, built)
}

// checkSecrets reports secrets that are weak, and those that are accepted by more than one
// service.
func (l *loading) checkSecrets(c *Config, built []*building) {
	owner := map[string]schema.Service{}
	weak := map[Position]bool{} // One of the section defaults is reported once.
	for _, b := range built {
		for _, path := range []string{"jwt.secret", "jwt.previous_secret"} {
			s := b.service.JWT.Secret
			if path != "jwt.secret" {
				s = b.service.JWT.PreviousSecret
			}
			if s.IsZero() {
				continue
			}
			at, name := b.where(path)
			if err := auth.CheckSecret(s.Reveal(), b.service.JWT.Algorithms...); err != nil && !weak[at] {
				weak[at] = true
				of := ""
				if vars := b.variables(path); len(vars) > 0 {
					of = scalar{vars: vars}.show() + " "
				}
				l.add(at, name, "%s%v", of, err)
			}
			switch first, taken := owner[s.Reveal()]; {
			case !taken:
				owner[s.Reveal()] = b.service.Name
			case first != b.service.Name:
				l.strict(l.inProduction(c), at, name, "is also accepted by "+string(first)+", so that a token for one service is good for both")
			}
		}
	}
}

// checkLogs reports a log file that is to be written in two ways.
func (l *loading) checkLogs(c *Config, built []*building) {
	first := map[string]Logging{c.Logging.File: c.Logging}
	delete(first, "")
	for _, b := range built {
		logging := b.service.Logging
		before, shared := first[logging.File]
		switch {
		case logging.File == "":
		case !shared:
			first[logging.File] = logging
		case before.Format != logging.Format || before.Rotation != logging.Rotation || before.Retention != logging.Retention:
			b.fail("logging.file", "is a file that others write to with another format, rotation or retention")
		}
	}
}
