package config

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// build makes the configuration of the layers, and checks it.
func (l *loading) build() Config {
	var cfg Config
	for _, k := range edgeKeys {
		k.reset(&cfg)
		if s, set := l.edge[k.path]; set && !s.broken {
			k.set(&cfg, s.value)
		}
	}
	// Before the edge takes anything from a service's file, lest the other services do.
	base := cfg
	for _, k := range edgeKeys {
		group, _, _ := strings.Cut(k.path, ".")
		if s, set := l.first[k.path]; set && !s.broken && !hasGroup(l.edge, group) {
			k.set(&cfg, s.value)
		}
	}
	l.checkEdge(&cfg)

	var built []*building
	for _, name := range schema.Services() {
		s := l.services[name]
		if s == nil {
			continue
		}
		b := &building{loading: l, section: s, cfg: &cfg, service: Service{Name: name}}
		b.apply(&base)
		if !b.service.enabled {
			l.report.Disabled = append(l.report.Disabled, name)
			continue
		}
		b.resolve()
		built = append(built, b)
	}
	// Where something else is wrong, that may be why.
	if len(built) == 0 && len(l.problems.list) == 0 {
		l.add(Position{}, "", "names no service to serve; write services: {NAME: {}} (%s)", serviceNames())
	}
	for _, b := range built {
		b.check()
	}
	l.checkCommonChannels(built)
	l.checkTogether(&cfg, built)
	for _, b := range built {
		if cfg.Debug {
			b.service.Logging.Level = slog.LevelDebug
		}
		cfg.Services = append(cfg.Services, b.service)
	}
	if cfg.Debug {
		cfg.Logging.Level = slog.LevelDebug
	}
	return cfg
}

// building is one service on its way.
type building struct {
	*loading
	section *section
	cfg     *Config
	service Service
}

// apply sets every key to the first of the service's own section, defaults and the
// default.
func (b *building) apply(base *Config) {
	for _, k := range serviceKeys {
		k.reset(&b.service)
	}
	b.service.ServerName = base.ServerName
	b.service.Logging = base.Logging
	b.service.WebSocket.Port = b.service.Name.Port()
	for _, k := range serviceKeys {
		if s, set := b.setting(k.path); set && !s.broken {
			k.set(&b.service, s.value)
		}
	}
}

// setting is what the files say of a key.
func (b *building) setting(path string) (setting, bool) {
	if s, set := b.section.layer[path]; set {
		return s, true
	}
	s, set := b.defaults[path]
	return s, set
}

// broken reports whether what the service is told in the groups is reported already, so
// that no rule about them can be checked.
func (b *building) broken(groups ...string) bool {
	return b.section.layer.broken(groups...) || b.defaults.broken(groups...)
}

// where is the place and name of a key, or of the service where no file has the key.
func (b *building) where(path string) (Position, string) {
	if s, set := b.setting(path); set {
		return s.at, s.name
	}
	return b.section.at, join(b.section.name, path)
}

// fail and note report about a key of the service.
func (b *building) fail(path, format string, args ...any) {
	at, name := b.where(path)
	b.add(at, name, format, args...)
}

func (b *building) note(path, text string) {
	at, name := b.where(path)
	b.warn(at, name, text)
}

// variable is the name of an environment variable of the service.
func (b *building) variable(suffix string) string {
	return strings.ToUpper(strings.ReplaceAll(string(b.service.Name), "-", "_")) + suffix
}

// lookup reads an environment variable of the service.
func (b *building) lookup(suffix string) string {
	value, _ := b.env(b.variable(suffix))
	if value != "" {
		b.used([]string{b.variable(suffix)})
	}
	return value
}

// variables are those that a secret comes from, none where it stands in a file.
func (b *building) variables(path string) []string {
	if s, set := b.setting(path); set && !s.empty() {
		return s.vars
	}
	return []string{b.variable("_JWT_SECRET")} // See resolve.
}

// resolve sets what has another default than a plain value.
func (b *building) resolve() {
	s := &b.service
	if s.JWT.Secret.IsZero() && s.JWT.JWKSURL == "" && !b.broken("jwt.secret", "jwt.jwks_url") {
		s.JWT.Secret = NewSecret(b.lookup("_JWT_SECRET"))
	}
	if len(s.JWT.Algorithms) == 0 {
		if !s.JWT.Secret.IsZero() {
			s.JWT.Algorithms = append(s.JWT.Algorithms, usualSymmetric...)
		}
		if s.JWT.JWKSURL != "" {
			s.JWT.Algorithms = append(s.JWT.Algorithms, usualAsymmetric...)
		}
	}
	if s.TLS.VerifyClient && s.TLS.ClientCAFile == "" {
		s.TLS.ClientCAFile = b.cfg.TLS.ClientCAFile
	}
	if s.TLS.Enabled && !s.TLS.AutoCert && !b.broken("websocket") && !b.edge.broken("tls") {
		b.certificate()
	}
	if own, set := b.section.layer["admin_channels"]; set {
		b.knownChannels(own)
	} else {
		s.AdminChannels = slices.DeleteFunc(s.AdminChannels, func(name string) bool { return !b.has(name) })
	}
}

// certificate finds the pair of files. Both are from the same place, since half a pair
// of one place fits no half of another.
func (b *building) certificate() {
	t := &b.service.TLS
	for _, from := range []layer{b.section.layer, b.defaults} {
		cert, key := from["websocket.cert_file"], from["websocket.key_file"]
		if cert.empty() && key.empty() {
			continue
		}
		t.CertFile, t.KeyFile = "", ""
		switch {
		case key.empty():
			b.add(cert.at, cert.name, "has no key_file beside it")
		case cert.empty():
			b.add(key.at, key.name, "has no cert_file beside it")
		default:
			t.CertFile, t.KeyFile = cert.value.(string), key.value.(string)
		}
		return
	}
	t.CertFile, t.KeyFile = b.lookup("_CERT_FILE"), b.lookup("_KEY_FILE")
	switch {
	case t.CertFile == "" && t.KeyFile == "":
		t.CertFile, t.KeyFile = b.cfg.TLS.CertFile, b.cfg.TLS.KeyFile
		if t.CertFile == "" || t.KeyFile == "" {
			b.fail("websocket.tls_enabled", "needs a certificate: cert_file and key_file, %s and %s in the environment, or cert_file and key_file in the section tls",
				b.variable("_CERT_FILE"), b.variable("_KEY_FILE"))
		}
	case t.CertFile == "":
		b.fail("websocket.cert_file", "is not set, but %s is; set %s too", b.variable("_KEY_FILE"), b.variable("_CERT_FILE"))
	case t.KeyFile == "":
		b.fail("websocket.key_file", "is not set, but %s is; set %s too", b.variable("_CERT_FILE"), b.variable("_KEY_FILE"))
	}
}

// has reports whether the service has a channel.
func (b *building) has(name string) bool {
	_, err := b.find(name)
	return err == nil
}

func (b *building) find(name string) (catalogue.Target, error) {
	c, err := schema.ParseChannel(name)
	if err != nil {
		return catalogue.Target{}, err
	}
	return catalogue.Default().Lookup(b.service.Name, c)
}

// knownChannels reports channels that the service does not have: a name that is
// mistyped would protect nothing.
func (b *building) knownChannels(own setting) {
	for _, name := range b.service.AdminChannels {
		if _, err := b.find(name); err != nil {
			b.add(own.at, own.name, "%v", err)
		}
	}
}

// checkCommonChannels reports channels of the section defaults that no service has.
func (l *loading) checkCommonChannels(built []*building) {
	common, set := l.defaults["admin_channels"]
	if !set || common.broken || len(built) == 0 {
		return
	}
	for _, name := range common.value.([]string) {
		if !slices.ContainsFunc(built, func(b *building) bool { return b.has(name) }) {
			l.add(common.at, common.name, "no service has %q, so it protects nothing", name)
		}
	}
}
