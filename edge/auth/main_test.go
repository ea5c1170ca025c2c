package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/schema"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Secrets as "openssl rand -base64 32" makes them.
const (
	secret   = "Zc3F0uYHrV2mJxWq8LkTn5sBdQeG7pAo1iRyUhXvN9E="
	previous = "m4QwT8yNzL2vKc7RjXbS0fHgUa6DpEi3oYtZ1rWnVxM="
	stranger = "u7JpXe2LsHd9VwTqRf4CyBn6GkZa0MiOoK3tYrWxNc8="
)

// now is what the clock of the tests' verifiers shows.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	plainHeader = `{"alg":"HS256","typ":"JWT"}`
	// nowSeconds is now as a NumericDate.
	nowSeconds = 1795435200
)

func TestNowIsWhatTheSecondsSay(t *testing.T) {
	if now.Unix() != nowSeconds {
		t.Fatalf("now is %d", now.Unix())
	}
}

// base is what a test's tokens say; with changes it.
type base map[string]any

func claimsOf() base {
	return base{"user_id": "ada", "permissions": []string{"dhruva:read"}, "jti": "t-1",
		"iat": nowSeconds - 60, "exp": nowSeconds + 3600}
}

func (b base) with(name string, value any) base { b[name] = value; return b }

func (b base) without(names ...string) base {
	for _, name := range names {
		delete(b, name)
	}
	return b
}

func (b base) json(t testing.TB) string {
	t.Helper()
	data, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func encode(data string) string { return base64.RawURLEncoding.EncodeToString([]byte(data)) }

// hs256 signs without the library.
func hs256(key, header, payload string) string {
	signed := encode(header) + "." + encode(payload)
	return signed + "." + encode(hs256Sum(key, signed))
}

func hs256Sum(key, signed string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(signed))
	return string(mac.Sum(nil))
}

// token signs claims with the secret of the tests.
func (b base) token(t testing.TB) string {
	t.Helper()
	return hs256(secret, plainHeader, b.json(t))
}

// verifier has the secret, and a clock that stands still.
func verifier(t testing.TB, change func(*Config)) *Verifier {
	t.Helper()
	cfg := Config{Service: schema.Dhruva, Secret: secret}
	if change != nil {
		change(&cfg)
	}
	v, err := NewVerifier(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	v.now = func() time.Time { return now }
	return v
}

// wantRefused wants a token to be refused for a reason, and Explain to say the same.
func wantRefused(t testing.TB, v *Verifier, token string, want Reason) {
	t.Helper()
	id, err := v.Verify(t.Context(), token)
	if err == nil {
		t.Fatalf("accepted for %q, want %s", id.User, want)
	}
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("the error is a %T", err)
	}
	if refusal.Reason != want {
		t.Fatalf("refused as %s, want %s: %v", refusal.Reason, want, err)
	}
	if id.User != "" || id.Permissions.admin || id.Permissions.services != nil {
		t.Fatal("a refused token has an identity")
	}
	if got := firstReason(v.Explain(t.Context(), token)); got != want {
		t.Fatalf("Explain says %q first, want %s", got, want)
	}
}

// wantAccepted wants a token to be accepted, and Explain to say so.
func wantAccepted(t testing.TB, v *Verifier, token string) Identity {
	t.Helper()
	id, err := v.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if got := firstReason(v.Explain(t.Context(), token)); got != "" {
		t.Fatalf("accepted, but Explain says %s", got)
	}
	return id
}

func firstReason(findings []Finding) Reason {
	for _, f := range findings {
		if f.Reason != "" {
			return f.Reason
		}
	}
	return ""
}
