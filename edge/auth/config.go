package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

// Defaults and limits of a Config.
const (
	// DefaultLeeway is what clocks may differ by.
	DefaultLeeway = 10 * time.Second
	// MaxLeeway is the most that can be configured.
	MaxLeeway = time.Minute
	// DefaultMaxLife is how long a token may live.
	DefaultMaxLife = 24 * time.Hour
)

// Config is what a Verifier accepts, for one service. It needs a Secret, a JWKS or
// both. Printing or logging it shows no secret.
type Config struct {
	// Service is whose tokens these are. It stands in errors and log lines.
	Service schema.Service
	// Secret checks HMAC signatures. It must pass CheckSecret; HS384 needs 48 bytes of it
	// and HS512 64.
	Secret string
	// Previous is a second secret, accepted too while the first is being rolled.
	Previous string
	// Algorithms are those that are accepted: HS256, HS384, HS512 with the secret; RS256,
	// RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA with keys of the JWKS.
	// Default: HS256 where there is a secret; RS256, ES256 and EdDSA where there is a JWKS.
	Algorithms []string
	// JWKS is the URL of a JSON Web Key Set: https, or http to a loopback address.
	JWKS string
	// Issuer and Audience, where set, must be the token's iss and among its aud.
	Issuer, Audience string
	// Leeway is what the clocks of issuer and edge may differ by. It also makes a token
	// be accepted that long after its exp. Default DefaultLeeway, at most MaxLeeway; less
	// than zero means none.
	Leeway time.Duration
	// MaxLife is how long a token may live: from its iat, or from now where it has none,
	// until its exp. Default DefaultMaxLife, at most RevocationLife, from which two leeways
	// are taken off, so that no token outlives its revocation.
	MaxLife time.Duration
	// Logger is told of what happens to the JWKS. Default: nobody.
	Logger *slog.Logger
}

// Format prints the config without its secrets, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "auth.Config of %q", string(c.Service))
}

// LogValue is the config without its secrets.
func (c Config) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// family is the sort of key that an algorithm takes.
type family uint8

const (
	hmacFamily family = iota + 1
	rsaFamily
	p256Family
	p384Family
	p521Family
	ed25519Family
)

// algorithms are all that can be configured. minSecret is the size of the hash, which
// RFC 7518 wants the secret to have at least.
var algorithms = map[string]struct {
	family    family
	minSecret int
}{
	"HS256": {hmacFamily, MinSecret},
	"HS384": {hmacFamily, 48},
	"HS512": {hmacFamily, 64},
	"RS256": {rsaFamily, 0}, "RS384": {rsaFamily, 0}, "RS512": {rsaFamily, 0},
	"PS256": {rsaFamily, 0}, "PS384": {rsaFamily, 0}, "PS512": {rsaFamily, 0},
	"ES256": {p256Family, 0}, "ES384": {p384Family, 0}, "ES512": {p521Family, 0},
	"EdDSA": {ed25519Family, 0},
}

// supported lists the names of algorithms.
const supported = "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"

// Check reports every problem that NewVerifier would, without asking anybody.
func (c Config) Check() error {
	_, err := c.withDefaults()
	return err
}

// withDefaults fills what is left out and reports every problem.
func (c Config) withDefaults() (Config, error) {
	var problems []error
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("auth: %s: "+format, append([]any{c.Service}, args...)...))
	}
	if c.Service.Port() == 0 {
		problems = append(problems, errors.New("auth: the config names no known service"))
		c.Service = "unknown service"
	}
	c.Algorithms = slices.Clone(c.Algorithms)
	if len(c.Algorithms) == 0 {
		if c.Secret != "" {
			c.Algorithms = append(c.Algorithms, "HS256")
		}
		if c.JWKS != "" {
			c.Algorithms = append(c.Algorithms, "RS256", "ES256", "EdDSA")
		}
	}
	if c.Secret == "" && c.JWKS == "" {
		add("there is neither a secret nor a JWKS to check tokens with")
	}
	usesSecret, usesKeys := false, false
	for i, name := range c.Algorithms {
		algorithm, ok := algorithms[name]
		switch {
		case !ok:
			add("algorithm %d of the list is not supported (%s)", i+1, supported)
		case algorithm.family == hmacFamily:
			usesSecret = true
			if c.Secret == "" {
				add("the algorithm %s needs a secret", name)
			}
		default:
			usesKeys = true
			if c.JWKS == "" {
				add("the algorithm %s needs a JWKS", name)
			}
		}
	}
	if c.Secret != "" && !usesSecret {
		add("there is a secret, but no algorithm that uses it")
	}
	if c.JWKS != "" && !usesKeys {
		add("there is a JWKS, but no algorithm that uses it")
	}
	for _, secret := range []struct{ name, value string }{{"secret", c.Secret}, {"previous secret", c.Previous}} {
		if secret.value == "" {
			continue
		}
		if err := CheckSecret(secret.value, c.Algorithms...); err != nil {
			add("the %s %w", secret.name, err)
		}
	}
	if c.Previous != "" && c.Secret == "" {
		add("there is a previous secret, but no secret")
	}
	if c.JWKS != "" {
		if _, err := parseJWKS(c.JWKS); err != nil {
			add("the URL of the JWKS %w", err)
		}
	}
	switch {
	case c.Leeway == 0:
		c.Leeway = DefaultLeeway
	case c.Leeway > MaxLeeway:
		add("the leeway is %v, at most %v is allowed", c.Leeway, MaxLeeway)
	}
	c.Leeway = max(c.Leeway, 0)
	switch {
	case c.MaxLife == 0:
		c.MaxLife = DefaultMaxLife
	case c.MaxLife < 0:
		add("the longest life of a token is less than nothing")
	case c.MaxLife > RevocationLife:
		add("the longest life of a token is %v, but revocations are kept for %v", c.MaxLife, RevocationLife)
	}
	c.MaxLife = min(c.MaxLife, RevocationLife-2*c.Leeway)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(problems...)
}

// parseJWKS reads the URL of a JWKS. The error doesn't repeat it: its query may hold a
// key.
func parseJWKS(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("is no URL")
	}
	return u, safe(u)
}

// safe says why keys may not be read from a URL.
func safe(u *url.URL) error {
	switch {
	case u.Host == "" || u.Hostname() == "":
		return errors.New("names no host")
	case u.User != nil:
		return errors.New("holds a user or a password")
	case u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return errors.New("must be https, or http to a loopback address")
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// endpoint names a URL in log lines, without what may be secret.
func endpoint(u *url.URL) string {
	host := u.Hostname()
	if port := u.Port(); port != "" {
		host = net.JoinHostPort(host, port)
	}
	return u.Scheme + "://" + host + u.EscapedPath()
}
