package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/schema"
	"github.com/golang-jwt/jwt/v5"
)

// issuerKey is a key pair of an issuer.
type issuerKey struct {
	private crypto.Signer
	method  jwt.SigningMethod
	jwk     map[string]any
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

var (
	// makeRSA makes few keys, since that takes its time.
	makeRSA = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	makeBad = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(1024) })
)

func newRSA(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

func rsaKey(kid string, key *rsa.PrivateKey) issuerKey {
	return issuerKey{key, jwt.SigningMethodRS256, map[string]any{"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256",
		"n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}}
}

func ecKey(kid string, curve elliptic.Curve, method jwt.SigningMethod) issuerKey {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	half := (len(point) - 1) / 2
	return issuerKey{key, method, map[string]any{"kty": "EC", "kid": kid, "crv": curve.Params().Name,
		"x": b64(point[1 : 1+half]), "y": b64(point[1+half:])}}
}

func es256Key(kid string) issuerKey { return ecKey(kid, elliptic.P256(), jwt.SigningMethodES256) }

func edKey(kid string) issuerKey {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return issuerKey{private, jwt.SigningMethodEdDSA, map[string]any{"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": b64(public)}}
}

// with is the key with another member of its JWK; nil takes the member out.
func (k issuerKey) with(name string, value any) issuerKey {
	jwk := map[string]any{}
	for n, v := range k.jwk {
		jwk[n] = v
	}
	jwk[name] = value
	if value == nil {
		delete(jwk, name)
	}
	k.jwk = jwk
	return k
}

// token signs claims under a kid; with nil under none.
func (k issuerKey) token(t testing.TB, claims base, kid any) string {
	t.Helper()
	token := jwt.NewWithClaims(k.method, jwt.MapClaims(claims))
	if kid != nil {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(k.private)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func keySetOf(keys ...issuerKey) string {
	set := []map[string]any{}
	for _, key := range keys {
		set = append(set, key.jwk)
	}
	data, err := json.Marshal(map[string]any{"keys": set})
	if err != nil {
		panic(err)
	}
	return string(data)
}

// provider is an identity provider that serves a JWKS.
type provider struct {
	requests atomic.Int64

	mu sync.Mutex
	// Guarded by mu.
	body   string
	status int
	gate   chan struct{} // Answers wait for it to be closed; nil for not.
}

// hold keeps answers back until release is called.
func (p *provider) hold() (release func()) {
	gate := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate = gate
	return func() { close(gate) }
}

func (p *provider) serve(body string) { p.answer(http.StatusOK, body) }

func (p *provider) answer(status int, body string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.body = status, body
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.requests.Add(1)
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
		}
	}
	p.mu.Lock()
	status, body := p.status, p.body
	p.mu.Unlock()
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// logs collects log lines.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer // Guarded by mu.
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// withProvider returns a verifier that reads the JWKS of a server on loopback, and has
// read it once.
func withProvider(t testing.TB, p *provider, change func(*Config)) (*Verifier, *logs) {
	t.Helper()
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	lines := &logs{}
	cfg := Config{Service: schema.Dhruva, JWKS: server.URL + "/keys", Logger: slog.New(slog.NewJSONHandler(lines, nil))}
	if change != nil {
		change(&cfg)
	}
	v, err := NewVerifier(t.Context(), cfg, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	v.now = func() time.Time { return now }
	v.awaitFlight(t)
	return v, lines
}

// awaitFlight waits for the fetch that is under way.
func (v *Verifier) awaitFlight(t testing.TB) {
	t.Helper()
	v.keys.mu.Lock()
	flight := v.keys.flight
	v.keys.mu.Unlock()
	if flight == nil {
		return
	}
	select {
	case <-flight:
	case <-time.After(20 * time.Second):
		t.Fatal("the keys are not read")
	}
}

// inMemory answers requests without a network, so that time can be fake.
type inMemory struct{ handler http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	m.handler.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// bubble runs a test on fake time, whose provider is in memory.
func bubble(t *testing.T, p *provider, test func(t *testing.T, v *Verifier)) {
	synctest.Test(t, func(t *testing.T) {
		v, err := NewVerifier(t.Context(), Config{Service: schema.Dhruva, JWKS: "https://id.example/keys", MaxLife: RevocationLife},
			&http.Client{Transport: inMemory{p}})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		synctest.Wait()
		test(t, v)
	})
}

// fresh are claims for the bubble's clock.
func fresh() base {
	return base{"user_id": "ada", "iat": time.Now().Unix(), "exp": time.Now().Add(29 * 24 * time.Hour).Unix()}
}

func sleep(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
