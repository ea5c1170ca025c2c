package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Verifier checks the tokens of one service. It is safe for concurrent use.
type Verifier struct {
	// Static after construction.
	cfg     Config
	parser  *jwt.Parser
	secrets jwt.VerificationKeySet // The secret and the previous one.
	keys    *keySet                // Nil without a JWKS.
	now     func() time.Time
}

// NewVerifier returns a Verifier, or every problem of the config at once, joined. With
// a JWKS it starts a goroutine that reads the keys, by client (nil for one with no
// settings), until ctx ends or Close is called. It doesn't wait for them: Ready says
// when they are there, and an endpoint that is down is no error.
func NewVerifier(ctx context.Context, cfg Config, client *http.Client) (*Verifier, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	v := &Verifier{
		cfg: cfg,
		parser: jwt.NewParser(jwt.WithValidMethods(cfg.Algorithms), jwt.WithStrictDecoding(),
			jwt.WithoutClaimsValidation()), // The rules below do that, each with its reason.
		now: time.Now,
	}
	for _, secret := range []string{cfg.Secret, cfg.Previous} {
		if secret != "" {
			v.secrets.Keys = append(v.secrets.Keys, []byte(secret))
		}
	}
	if cfg.JWKS != "" {
		if v.keys, err = startKeys(ctx, cfg, client); err != nil {
			return nil, fmt.Errorf("auth: %s: the JWKS: %w", cfg.Service, err)
		}
	}
	return v, nil
}

// Format prints the Verifier without its secrets, whatever the verb.
func (v *Verifier) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "auth.Verifier of %q", string(v.cfg.Service))
}

// Ready says why no token can be checked now; nil where tokens can. It is about the
// JWKS: with a secret alone a Verifier is always ready.
func (v *Verifier) Ready() error {
	if v.keys == nil {
		return nil
	}
	return v.keys.ready()
}

// Close ends the reading of keys and waits for it. Tokens can be verified afterwards,
// with the keys that are there. It may be called more than once.
func (v *Verifier) Close() {
	if v.keys != nil {
		v.keys.close()
	}
}

// Verify returns who a token speaks for. The error is a *Refusal. With a known key it
// returns at once; see the package's fourth promise for the others. ctx bounds that
// wait.
func (v *Verifier) Verify(ctx context.Context, token string) (Identity, error) {
	if refusal := shape(token); refusal != nil {
		return Identity{}, refusal
	}
	payload, refusal := v.signed(ctx, token)
	if refusal != nil {
		return Identity{}, refusal
	}
	c, err := parseClaims(payload)
	if err != nil {
		return Identity{}, &Refusal{Reason: Claims, Err: err}
	}
	now := v.now()
	for i := range rules {
		if refusal := rules[i].judge(&v.cfg, &c, now); refusal != nil {
			return Identity{}, refusal
		}
	}
	return c.identity(), nil
}

// identity is whom claims speak for that have passed every rule.
func (c *claims) identity() Identity {
	id := Identity{User: *c.user, Expires: *c.expires, Permissions: ParsePermissions(c.permissions)}
	if c.id != nil {
		id.TokenID = *c.id
	}
	if c.issued != nil {
		id.IssuedAt = *c.issued
	}
	return id
}

// shape bounds what is looked at at all.
func shape(token string) *Refusal {
	switch {
	case token == "":
		return refuse(Missing, "there is no token")
	case len(token) > MaxToken:
		return refuse(TooLong, "it has %d bytes, at most %d are read", len(token), MaxToken)
	}
	if len(token) > len(bearer) && strings.EqualFold(token[:len(bearer)], bearer) {
		return refuse(Malformed, "it begins with %q, which belongs to the header and not to the token", bearer)
	}
	for i := range len(token) {
		c := token[i]
		// The decoder of base64 would skip line breaks: then many texts were one token.
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return refuse(Malformed, "byte %d is neither base64url nor a dot", i+1)
		}
	}
	if n := strings.Count(token, ".") + 1; n != 3 {
		return refuse(Malformed, "it has %d parts with dots between, not 3: is it all there?", n)
	}
	return nil
}

// bearer stands before a token in a header.
const bearer = "Bearer "

// signed returns the payload of a token whose signature is right.
func (v *Verifier) signed(ctx context.Context, token string) (payload []byte, refusal *Refusal) {
	var raw rawClaims
	parsed, err := v.parser.ParseWithClaims(token, &raw, func(t *jwt.Token) (any, error) { return v.key(ctx, t) })
	switch {
	case err == nil && parsed.Valid:
		return raw.payload, nil
	case errors.As(err, &refusal):
		return nil, refusal
	case errors.Is(err, jwt.ErrTokenMalformed):
		return nil, refuse(Malformed, "it is not three parts of base64url, the first two JSON objects")
	case parsed == nil || parsed.Method == nil || !slices.Contains(v.cfg.Algorithms, parsed.Method.Alg()):
		return nil, refuse(Algorithm, "its alg is not one that is configured")
	}
	return nil, refuse(Signature, "the signature is not that of the key")
}

// key returns the keys that may have signed a token. The error is a *Refusal.
func (v *Verifier) key(ctx context.Context, token *jwt.Token) (any, error) {
	if refusal := checkHeader(token.Raw); refusal != nil {
		return nil, refusal
	}
	hmac := algorithms[token.Method.Alg()].family == hmacFamily
	switch {
	case hmac && len(v.secrets.Keys) > 0:
		return v.secrets, nil
	case !hmac && v.keys != nil:
		return v.keys.key(ctx, token)
	}
	return nil, refuse(Algorithm, "there is no key for its alg")
}

// checkHeader refuses headers that others may read differently.
func checkHeader(token string) *Refusal {
	part, _, _ := strings.Cut(token, ".")
	header, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return refuse(Malformed, "the header is not base64url")
	}
	fields, err := object(header)
	if err != nil {
		return &Refusal{Reason: Claims, Err: fmt.Errorf("the header: %w", err)}
	}
	if _, critical := fields["crit"]; critical {
		return refuse(Malformed, "its header demands extensions")
	}
	return nil
}

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Err: fmt.Errorf(format, args...)}
}

// rule is one thing that is wanted of claims.
type rule struct {
	// check names it in Explain.
	check string
	// judge says what is wrong, nil for nothing. What it says repeats no text of the
	// token.
	judge func(cfg *Config, c *claims, now time.Time) *Refusal
	// tell says what the token holds, for Explain, but for what the judge has said where
	// it refused. The explanation redacts it.
	tell func(e *explanation, refused bool) string
}

// rules are all of them, in the order in which they are judged. A rule may rely on the
// ones before it, but Explain asks those whose predecessors have failed, too.
var rules = []rule{
	{"expiry", wantExpiry, (*explanation).expiry},
	{"not before", wantBegun, (*explanation).begun},
	{"life", wantShortLife, (*explanation).life},
	{"issuer", wantIssuer, (*explanation).issuer},
	{"audience", wantAudience, (*explanation).audience},
	{"user", wantUser, (*explanation).user},
	{"token id", wantTokenID, (*explanation).tokenID},
	{"permissions", wantPermissions, (*explanation).permissions},
}

func wantExpiry(cfg *Config, c *claims, now time.Time) *Refusal {
	if c.expires == nil {
		return refuse(NoExpiry, "it has no exp")
	}
	if over := now.Sub(c.expires.Add(cfg.Leeway)); over >= 0 {
		return refuse(Expired, "it expired %v ago", round(over+cfg.Leeway))
	}
	return nil
}

func wantBegun(cfg *Config, c *claims, now time.Time) *Refusal {
	for _, begin := range []struct {
		name string
		at   *time.Time
	}{{"nbf", c.notBefore}, {"iat", c.issued}} {
		if begin.at != nil && begin.at.After(now.Add(cfg.Leeway)) {
			return refuse(NotYetValid, "its %s lies %v in the future", begin.name, round(begin.at.Sub(now)))
		}
	}
	return nil
}

func wantShortLife(cfg *Config, c *claims, now time.Time) *Refusal {
	if life, ok := c.life(now); ok && life > cfg.MaxLife {
		return refuse(LivesTooLong, "it lives for %v, at most %v is accepted", round(life), cfg.MaxLife)
	}
	return nil
}

// life is how long a token lives, from its iat or from now.
func (c *claims) life(now time.Time) (time.Duration, bool) {
	if c.expires == nil {
		return 0, false
	}
	if c.issued != nil {
		now = *c.issued
	}
	return c.expires.Sub(now), true // Saturates at 292 years.
}

func wantIssuer(cfg *Config, c *claims, _ time.Time) *Refusal {
	if cfg.Issuer != "" && (c.issuer == nil || *c.issuer != cfg.Issuer) {
		return refuse(Issuer, "its iss is not the one that is required")
	}
	return nil
}

func wantAudience(cfg *Config, c *claims, _ time.Time) *Refusal {
	if cfg.Audience != "" && !slices.Contains(c.audience, cfg.Audience) {
		return refuse(Audience, "its aud does not hold the one that is required")
	}
	return nil
}

func wantUser(_ *Config, c *claims, _ time.Time) *Refusal {
	if c.user == nil || *c.user == "" {
		return refuse(NoUser, "neither user_id nor sub names a user")
	}
	if problem := textProblem(*c.user, MaxUser); problem != "" {
		return refuse(Claims, "the name of its user %s", problem)
	}
	return nil
}

func wantTokenID(_ *Config, c *claims, _ time.Time) *Refusal {
	if c.id == nil {
		return nil
	}
	if problem := textProblem(*c.id, MaxTokenID); problem != "" {
		return refuse(Claims, "its jti %s", problem)
	}
	return nil
}

func wantPermissions(_ *Config, c *claims, _ time.Time) *Refusal {
	if len(c.permissions) > MaxPermissions {
		return refuse(Claims, "it has %d permissions, at most %d are accepted", len(c.permissions), MaxPermissions)
	}
	for i, permission := range c.permissions {
		if len(permission) > MaxPermission {
			return refuse(Claims, "permission %d has %d bytes, at most %d are accepted", i+1, len(permission), MaxPermission)
		}
	}
	return nil
}

// round is a duration as people read it.
func round(d time.Duration) time.Duration {
	if d >= time.Minute || d <= -time.Minute {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}
