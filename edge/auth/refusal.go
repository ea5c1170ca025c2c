package auth

import (
	"slices"
	"time"
)

// Identity is who a connection speaks for.
type Identity struct {
	// User is empty for the anonymous.
	User string
	// TokenID is the token's jti, which may be empty.
	TokenID string
	// IssuedAt is zero where the token does not say. It has the second's precision
	// that tokens have.
	IssuedAt time.Time
	// Expires is the token's exp. The token is accepted for Config.Leeway longer. It is
	// zero for the anonymous: never.
	Expires time.Time
	// Permissions is what the token grants.
	Permissions Permissions
}

// Reason says why a token is refused. It is also the label of a metric.
type Reason string

// The reasons.
const (
	// Missing: there is no token.
	Missing Reason = "missing"
	// TooLong: the token is longer than MaxToken.
	TooLong Reason = "too_long"
	// Malformed: it is not three parts of base64url with a JSON header.
	Malformed Reason = "malformed"
	// Algorithm: the header's alg is not one that is configured.
	Algorithm Reason = "algorithm"
	// KeyUnknown: the JWKS has no key, or none that may be used, for the kid and alg.
	KeyUnknown Reason = "key_unknown"
	// KeysUnavailable: the JWKS could not be read; the same token may be accepted later.
	KeysUnavailable Reason = "keys_unavailable"
	// Signature: the signature is not that of the key.
	Signature Reason = "signature"
	// Claims: a claim has the wrong type or size, or a JSON key is given twice.
	Claims Reason = "claims"
	// NoExpiry: there is no exp.
	NoExpiry Reason = "no_expiry"
	// Expired: exp and the leeway have passed.
	Expired Reason = "expired"
	// NotYetValid: nbf or iat lies in the future.
	NotYetValid Reason = "not_yet_valid"
	// LivesTooLong: the token lives longer than Config.MaxLife.
	LivesTooLong Reason = "lives_too_long"
	// Issuer: iss is not the one that is required.
	Issuer Reason = "issuer"
	// Audience: aud does not hold the one that is required.
	Audience Reason = "audience"
	// NoUser: neither user_id nor sub names a user.
	NoUser Reason = "no_user"
	// Revoked: a Revocation covers the token. Verify never says so: whoever keeps
	// Revocations does.
	Revoked Reason = "revoked"
)

var reasons = []Reason{
	Missing, TooLong, Malformed, Algorithm, KeyUnknown, KeysUnavailable, Signature, Claims,
	NoExpiry, Expired, NotYetValid, LivesTooLong, Issuer, Audience, NoUser, Revoked,
}

// Reasons lists every reason, in the order of the checks.
func Reasons() []Reason { return slices.Clone(reasons) }

// Refusal is why a token is not accepted.
type Refusal struct {
	Reason Reason
	// Err says it in words, for logs. It repeats nothing that the token holds.
	Err error
}

// Error names the reason and what is behind it.
func (r *Refusal) Error() string {
	text := "auth: the token is refused (" + string(r.Reason) + ")"
	if r.Err != nil {
		text += ": " + r.Err.Error()
	}
	return text
}

// Unwrap is what is behind the reason.
func (r *Refusal) Unwrap() error { return r.Err }
