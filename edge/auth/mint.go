package auth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// DefaultLife is how long a minted token lives unless it is told.
const DefaultLife = time.Hour

// MintClaims is what a new token says.
type MintClaims struct {
	// User is whom it speaks for, 1 to MaxUser bytes.
	User string
	// Permissions is what it grants; a form that ParsePermissions doesn't know is an
	// error. At most MaxPermissions of MaxPermission bytes.
	Permissions []string
	// TokenID is its jti, which revokes it alone. Default: 26 random characters.
	TokenID string
	// IssuedAt is its iat, and the beginning of its life, in whole seconds. Default: now.
	IssuedAt time.Time
	// Life is how long it lives. Default DefaultLife, at most RevocationLife.
	Life time.Duration
	// Issuer and Audience are its iss and aud, where they are set.
	Issuer, Audience string
}

// minted is a token's payload, in the shape of user_id and permissions.
type minted struct {
	User        string           `json:"user_id"`
	Permissions []string         `json:"permissions"`
	Issuer      string           `json:"iss,omitempty"`
	Audience    string           `json:"aud,omitempty"`
	TokenID     string           `json:"jti"`
	IssuedAt    *jwt.NumericDate `json:"iat"`
	Expires     *jwt.NumericDate `json:"exp"`

	jwt.RegisteredClaims `json:"-"` // Never filled: it makes this a jwt.Claims.
}

// Mint makes a token and signs it with HS256. The error names every problem; it never
// repeats the secret.
func Mint(secret string, m MintClaims) (string, error) {
	var problems []error
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("auth: mint: "+format, args...))
	}
	if err := CheckSecret(secret); err != nil {
		add("the secret %w", err)
	}
	switch problem := textProblem(m.User, MaxUser); {
	case m.User == "":
		add("there is no user")
	case problem != "":
		add("the user's name %s", problem)
	}
	if m.TokenID == "" {
		m.TokenID = rand.Text()
	}
	if problem := textProblem(m.TokenID, MaxTokenID); problem != "" {
		add("the token's id %s", problem)
	}
	if refusal := wantPermissions(nil, &claims{permissions: m.Permissions}, time.Time{}); refusal != nil {
		add("%w", refusal.Err)
	}
	if unknown := ParsePermissions(m.Permissions).Unknown(); len(unknown) > 0 {
		add("permissions of no known form: %s; the forms are %s", (&explanation{hide: redactor{[]byte(secret)}}).list(unknown), forms)
	}
	if m.IssuedAt.IsZero() {
		m.IssuedAt = time.Now()
	}
	if m.Life == 0 {
		m.Life = DefaultLife
	}
	if m.Life < time.Second || m.Life > RevocationLife {
		add("the life is %v, between a second and %v is possible", m.Life, RevocationLife)
	}
	if year := m.IssuedAt.UTC().Year(); year < 1970 || year > 9998 {
		add("the year of issue is %d", year)
	}
	if len(problems) > 0 {
		return "", errors.Join(problems...)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, minted{
		User: m.User, Permissions: append([]string{}, m.Permissions...), Issuer: m.Issuer, Audience: m.Audience,
		TokenID: m.TokenID, IssuedAt: jwt.NewNumericDate(m.IssuedAt), Expires: jwt.NewNumericDate(m.IssuedAt.Add(m.Life)),
	}).SignedString([]byte(secret))
	switch {
	case err != nil:
		return "", fmt.Errorf("auth: mint: %w", err)
	case len(token) > MaxToken:
		return "", fmt.Errorf("auth: mint: the token has %d bytes, at most %d are accepted", len(token), MaxToken)
	}
	return token, nil
}
