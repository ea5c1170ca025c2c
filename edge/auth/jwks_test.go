package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
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

func TestTokensOfAJWKS(t *testing.T) {
	rs, es, ed := rsaKey("r", makeRSA()), es256Key("e"), edKey("d")
	p384 := ecKey("p", elliptic.P384(), jwt.SigningMethodES384)
	p := &provider{}
	p.serve(keySetOf(rs, es, ed, p384))
	v, _ := withProvider(t, p, nil)
	if err := v.Ready(); err != nil {
		t.Fatal(err)
	}
	for _, key := range []issuerKey{rs, es, ed} {
		kid := key.jwk["kid"]
		id := wantAccepted(t, v, key.token(t, claimsOf(), kid))
		if id.User != "ada" || id.TokenID != "t-1" {
			t.Errorf("the identity is %+v", id)
		}
		wantRefused(t, v, key.token(t, claimsOf().with("exp", nowSeconds-60), kid), Expired)
		// Another key of the set, or one of the same name.
		text := key.token(t, claimsOf(), kid)
		wantRefused(t, v, text[:strings.LastIndexByte(text, '.')+1]+b64(make([]byte, 64)), Signature)
	}
	wantRefused(t, v, rsaKey("r", newRSA(2048)).token(t, claimsOf(), "r"), Signature)
	wantRefused(t, v, es256Key("e").token(t, claimsOf(), "e"), Signature)
	wantRefused(t, v, edKey("d").token(t, claimsOf(), "d"), Signature)
	if n := p.requests.Load(); n != 1 {
		t.Errorf("known keys were asked for %d times", n)
	}
	// The algorithm must be the key's, and configured.
	wantRefused(t, v, es.token(t, claimsOf(), "r"), KeyUnknown)
	wantRefused(t, v, ed.token(t, claimsOf(), "e"), KeyUnknown)
	wantRefused(t, v, p384.token(t, claimsOf(), "p"), Algorithm)
	ps := rs
	ps.method = jwt.SigningMethodPS256
	wantRefused(t, v, ps.token(t, claimsOf(), "r"), Algorithm)
	// ES256 with a key of another curve.
	confused := p384
	confused.method = &jwt.SigningMethodECDSA{Name: "ES256", Hash: crypto.SHA256, KeySize: 48, CurveBits: 384}
	wantRefused(t, v, confused.token(t, claimsOf(), "p"), KeyUnknown)
}

func TestMoreAlgorithmsCanBeConfigured(t *testing.T) {
	rs, p384 := rsaKey("r", makeRSA()).with("alg", nil), ecKey("p", elliptic.P384(), jwt.SigningMethodES384)
	p := &provider{}
	p.serve(keySetOf(rs, p384))
	v, _ := withProvider(t, p, func(c *Config) { c.Algorithms = []string{"PS256", "ES384"} })
	ps := rs
	ps.method = jwt.SigningMethodPS256
	wantAccepted(t, v, ps.token(t, claimsOf(), "r"))
	wantAccepted(t, v, p384.token(t, claimsOf(), "p"))
	wantRefused(t, v, rs.token(t, claimsOf(), "r"), Algorithm)
}

func TestAnAlgOfAKeyIsTheOnlyOne(t *testing.T) {
	rs := rsaKey("r", makeRSA())
	p := &provider{}
	p.serve(keySetOf(rs.with("alg", "RS512")))
	v, _ := withProvider(t, p, func(c *Config) { c.Algorithms = []string{"RS256", "RS512"} })
	wantRefused(t, v, rs.token(t, claimsOf(), "r"), KeyUnknown)
	rs.method = jwt.SigningMethodRS512
	wantAccepted(t, v, rs.token(t, claimsOf(), "r"))
}

// TestAPublishedKeyIsNoSecret signs with HMAC and everything that an attacker knows.
func TestAPublishedKeyIsNoSecret(t *testing.T) {
	rs, es, ed := rsaKey("r", makeRSA()), es256Key("e"), edKey("d")
	set := keySetOf(rs, es, ed)
	var known []string
	for _, key := range []issuerKey{rs, es, ed} {
		der, err := x509.MarshalPKIXPublicKey(key.private.Public())
		if err != nil {
			t.Fatal(err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		known = append(known, string(der), string(text), strings.TrimSpace(string(text)))
		for _, member := range key.jwk {
			known = append(known, fmt.Sprint(member))
			raw, _ := base64.RawURLEncoding.DecodeString(fmt.Sprint(member))
			known = append(known, string(raw))
		}
	}
	known = append(known, set, "")
	p := &provider{}
	p.serve(set)
	alone, _ := withProvider(t, p, nil)
	both, _ := withProvider(t, p, func(c *Config) { c.Secret = secret })
	for _, kid := range []string{"r", "e", "d", "x"} {
		for _, key := range known {
			token := hs256(key, `{"alg":"HS256","kid":"`+kid+`"}`, claimsOf().json(t))
			wantRefused(t, alone, token, Algorithm)
			wantRefused(t, both, token, Signature)
		}
		for _, alg := range []string{"none", "NONE", "nOnE", ""} {
			wantRefused(t, both, encode(`{"alg":"`+alg+`","kid":"`+kid+`"}`)+"."+encode(claimsOf().json(t))+".", Algorithm)
		}
	}
	// Both ways stand beside each other.
	wantAccepted(t, both, claimsOf().token(t))
	wantAccepted(t, both, rs.token(t, claimsOf(), "r"))
	// And the reverse: an asymmetric algorithm never takes the secret.
	only := verifier(t, nil)
	wantRefused(t, only, rs.token(t, claimsOf(), "r"), Algorithm)
	wantRefused(t, both, strings.Replace(claimsOf().token(t), encode(plainHeader), encode(`{"alg":"RS256","kid":"r"}`), 1), Signature)
}

func TestKidTricks(t *testing.T) {
	es := es256Key("e")
	p := &provider{}
	p.serve(keySetOf(es, edKey("d")))
	v, lines := withProvider(t, p, nil)
	for _, kid := range []any{"../../etc/passwd", "e' OR '1'='1", "e\x00", " e", "E", "", strings.Repeat("e", 201), 1, true, []string{"e"},
		map[string]string{"kid": "e"}, "http://127.0.0.1:1/keys", nil} {
		wantRefused(t, v, es.token(t, claimsOf(), kid), KeyUnknown)
	}
	// null is no text, and what is not a kid asks nobody.
	wantRefused(t, v, es.token(t, claimsOf(), json.RawMessage("null")), KeyUnknown)
	if n := p.requests.Load(); n != 2 {
		t.Errorf("the provider was asked %d times", n)
	}
	if strings.Contains(lines.String(), "passwd") {
		t.Error("a kid of a token is logged")
	}
	// Keys that a token brings are not looked at.
	eve := es256Key("e")
	token := jwt.NewWithClaims(eve.method, jwt.MapClaims(claimsOf()))
	token.Header["kid"], token.Header["jwk"], token.Header["jku"] = "e", eve.jwk, "http://127.0.0.1:1/"
	text, err := token.SignedString(eve.private)
	if err != nil {
		t.Fatal(err)
	}
	wantRefused(t, v, text, Signature)
}

func TestATokenWithoutKidNeedsTheOnlyKey(t *testing.T) {
	es, p := es256Key("e"), &provider{}
	p.serve(keySetOf(es))
	v, _ := withProvider(t, p, nil)
	wantAccepted(t, v, es.token(t, claimsOf(), nil))
	wantRefused(t, v, es256Key("").token(t, claimsOf(), nil), Signature)
	wantRefused(t, v, edKey("").token(t, claimsOf(), nil), KeyUnknown)
	nameless := es.with("kid", nil)
	p.serve(keySetOf(nameless))
	w, _ := withProvider(t, p, nil)
	wantAccepted(t, w, nameless.token(t, claimsOf(), nil))
	wantRefused(t, w, nameless.token(t, claimsOf(), "e"), KeyUnknown)
}

func TestKeysThatAreNotGoodEnoughAreLoggedOnceAndLeaveTheOthers(t *testing.T) {
	es := es256Key("good")
	private, _ := es256Key("leaked").private.(*ecdsa.PrivateKey)
	scalar, err := private.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	even := rsaKey("even", makeRSA()).with("e", b64([]byte{4}))
	bad := map[string]issuerKey{
		"RSA key of 1024 bits":        rsaKey("weak", makeBad()),
		"the exponent 4":              even,
		"a secret, and published":     {jwk: map[string]any{"kty": "oct", "kid": "oct", "k": b64([]byte(secret))}},
		"private part is published":   es256Key("leaked").with("d", b64(scalar)),
		"not for signatures":          rsaKey("enc", makeRSA()).with("use", "enc"),
		"not for checking signatures": es256Key("ops").with("key_ops", []string{"encrypt"}),
		"not one of its type":         rsaKey("oaep", makeRSA()).with("alg", "RSA-OAEP"),
		"no configured algorithm":     ecKey("p521", elliptic.P521(), jwt.SigningMethodES512),
		"malformed":                   es256Key("off").with("x", b64(make([]byte, 32))),
		"kid is longer":               es256Key(strings.Repeat("k", 300)),
		"the same kid":                edKey("good"),
		"no JSON Web Key":             {jwk: map[string]any{"kty": 7}},
	}
	keys := []issuerKey{es}
	for _, key := range bad {
		keys = append(keys, key)
	}
	p := &provider{}
	p.serve(keySetOf(keys...))
	v, lines := withProvider(t, p, nil)
	wantAccepted(t, v, es.token(t, claimsOf(), "good"))
	for _, key := range bad {
		if key.private == nil || key.jwk["kid"] == "good" {
			continue
		}
		want := KeyUnknown
		if key.method == jwt.SigningMethodES512 {
			want = Algorithm
		}
		wantRefused(t, v, key.token(t, claimsOf(), key.jwk["kid"]), want)
	}
	wantRefused(t, v, hs256(secret, `{"alg":"HS256","kid":"oct"}`, claimsOf().json(t)), Algorithm)
	if n := p.requests.Load(); n < 2 {
		t.Fatalf("the keys were read %d times", n)
	}
	for problem := range bad {
		if n := strings.Count(lines.String(), problem); n != 1 {
			t.Errorf("%q was logged %d times", problem, n)
		}
	}
	if strings.Contains(lines.String(), secret) || strings.Contains(lines.String(), b64([]byte(secret))) || strings.Contains(lines.String(), b64(scalar)) {
		t.Error("a key is logged")
	}
}

func TestANewKidIsFetchedOnceForAllWhoAsk(t *testing.T) {
	first, second := es256Key("1"), edKey("2")
	p := &provider{}
	p.serve(keySetOf(first))
	v, _ := withProvider(t, p, nil)
	old, rotated := first.token(t, claimsOf(), "1"), second.token(t, claimsOf(), "2")
	wantAccepted(t, v, old)
	p.serve(keySetOf(first, second))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := v.Verify(t.Context(), rotated); err != nil {
				t.Error(err)
			}
			if _, err := v.Verify(t.Context(), old); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := p.requests.Load(); n != 2 {
		t.Errorf("the provider was asked %d times", n)
	}
	// However many kids are made up, nobody asks again so soon, and nobody waits.
	for i := range 200 {
		wantRefused(t, v, second.token(t, claimsOf(), fmt.Sprint("made up ", i)), KeyUnknown)
	}
	if n := p.requests.Load(); n != 2 {
		t.Errorf("the provider was asked %d times", n)
	}
}

func TestAProviderThatIsDownAtStartAndLaterUp(t *testing.T) {
	es := es256Key("e")
	p := &provider{}
	p.answer(http.StatusServiceUnavailable, "planted "+secret)
	v, lines := withProvider(t, p, func(c *Config) { c.Secret = stranger })
	token := es.token(t, claimsOf(), "e")
	if err := v.Ready(); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("ready: %v", err)
	}
	wantRefused(t, v, token, KeysUnavailable)
	wantAccepted(t, v, hs256(stranger, plainHeader, claimsOf().json(t)))
	p.serve(keySetOf(es))
	for p.requests.Load() < 2 || v.Ready() != nil {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("it does not get ready")
		}
	}
	wantAccepted(t, v, token)
	if text := lines.String(); strings.Contains(text, "planted") || !strings.Contains(text, "cannot be read") || !strings.Contains(text, "have been read") {
		t.Errorf("the log says %s", text)
	}
}

func TestAPortThatNobodyListensOn(t *testing.T) {
	server := httptest.NewServer(&provider{})
	address := server.URL
	server.Close()
	lines := &logs{}
	v, err := NewVerifier(t.Context(), Config{Service: schema.Dhruva, JWKS: address + "/keys?api_key=" + previous,
		Logger: slog.New(slog.NewJSONHandler(lines, nil))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	v.awaitFlight(t)
	err = v.Ready()
	if err == nil || strings.Contains(err.Error(), previous) || strings.Contains(lines.String(), previous) {
		t.Errorf("ready: %v; the log says %s", err, lines)
	}
	wantRefused(t, v, es256Key("e").token(t, claimsOf(), "e"), KeysUnavailable)
}

func TestAnswersThatAreNoKeySet(t *testing.T) {
	es := es256Key("e")
	token := es.token(t, claimsOf(), "e")
	for name, body := range map[string]string{"nothing": "", "HTML": "<html>", "no keys": "{}", "null": `{"keys":null}`, "a list": "[]",
		"text": `{"keys":"x"}`, "too long": `{"keys":[` + strings.Repeat(" ", maxKeySet) + "]}"} {
		t.Run(name, func(t *testing.T) {
			p := &provider{}
			p.serve(body)
			v, _ := withProvider(t, p, nil)
			if v.Ready() == nil {
				t.Error("it is ready")
			}
			wantRefused(t, v, token, KeysUnavailable)
		})
	}
	t.Run("an empty set", func(t *testing.T) {
		p := &provider{}
		p.serve(`{"keys":[]}`)
		v, _ := withProvider(t, p, nil)
		if v.Ready() == nil {
			t.Error("it is ready")
		}
		wantRefused(t, v, token, KeyUnknown)
	})
	t.Run("more keys than are looked at", func(t *testing.T) {
		keys := make([]issuerKey, maxKeys)
		for i := range keys {
			keys[i] = es.with("kid", fmt.Sprint(i))
		}
		p := &provider{}
		p.serve(keySetOf(append(keys, es)...))
		v, lines := withProvider(t, p, nil)
		wantAccepted(t, v, es.token(t, claimsOf(), "99"))
		wantRefused(t, v, token, KeyUnknown)
		if !strings.Contains(lines.String(), "more than 100 keys") {
			t.Error("nobody is told")
		}
	})
}

func TestARedirectNeverLeavesTLSBehind(t *testing.T) {
	es := es256Key("e")
	p := &provider{}
	p.serve(keySetOf(es))
	target := httptest.NewServer(p)
	defer target.Close()
	for location, want := range map[string]Reason{target.URL: "", "http://id.example/keys": KeysUnavailable, "ftp://127.0.0.1/": KeysUnavailable} {
		server := httptest.NewServer(http.RedirectHandler(location, http.StatusFound))
		v, err := NewVerifier(t.Context(), Config{Service: schema.Dhruva, JWKS: server.URL}, server.Client())
		if err != nil {
			t.Fatal(err)
		}
		v.now = func() time.Time { return now }
		v.awaitFlight(t)
		if token := es.token(t, claimsOf(), "e"); want == "" {
			wantAccepted(t, v, token)
		} else {
			wantRefused(t, v, token, want)
		}
		v.Close()
		server.Close()
	}
}

func TestAClientsOwnRuleForRedirectsHolds(t *testing.T) {
	p := &provider{}
	p.serve(keySetOf(es256Key("e")))
	target := httptest.NewServer(p)
	defer target.Close()
	server := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusFound))
	defer server.Close()
	endless := httptest.NewServer(http.RedirectHandler("/", http.StatusFound))
	defer endless.Close()
	never := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("never") }}
	for address, client := range map[string]*http.Client{server.URL: never, endless.URL: nil} {
		v, err := NewVerifier(t.Context(), Config{Service: schema.Dhruva, JWKS: address}, client)
		if err != nil {
			t.Fatal(err)
		}
		v.awaitFlight(t)
		if v.Ready() == nil {
			t.Error("a redirect was followed")
		}
		v.Close()
	}
}

func TestTheFirstTokenWaitsForTheFirstFetch(t *testing.T) {
	es := es256Key("e")
	p := &provider{}
	release := p.hold()
	p.serve(keySetOf(es))
	server := httptest.NewServer(p)
	defer server.Close()
	v, err := NewVerifier(t.Context(), Config{Service: schema.Dhruva, JWKS: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	v.now = func() time.Time { return now }
	token := es.token(t, claimsOf(), "e")
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	var refusal *Refusal
	if _, err := v.Verify(impatient, token); !errors.As(err, &refusal) || refusal.Reason != KeysUnavailable {
		t.Errorf("who doesn't wait gets %v", err)
	}
	answer := make(chan error)
	go func() {
		_, err := v.Verify(t.Context(), token)
		answer <- err
	}()
	release()
	if err := <-answer; err != nil {
		t.Error(err)
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
	time.Sleep(d) //nolint:forbidigo // The bubble's clock.
	synctest.Wait()
}

func TestWithdrawnKeysAreForgotten(t *testing.T) {
	first, second := es256Key("1"), es256Key("2")
	p := &provider{}
	p.serve(keySetOf(first))
	bubble(t, p, func(t *testing.T, v *Verifier) {
		token := first.token(t, fresh(), "1")
		wantAccepted(t, v, token)
		p.serve(keySetOf(second))
		sleep(fetchEvery - 1)
		wantAccepted(t, v, token)
		sleep(1)
		wantRefused(t, v, token, KeyUnknown)
		wantAccepted(t, v, second.token(t, fresh(), "2"))
		p.serve(`{"keys":[]}`)
		sleep(fetchEvery)
		wantRefused(t, v, second.token(t, fresh(), "2"), KeyUnknown)
		if v.Ready() == nil {
			t.Error("it is ready without a key")
		}
	})
}

func TestAnOutageIsSurvivedForADay(t *testing.T) {
	es := es256Key("e")
	p := &provider{}
	p.serve(keySetOf(es))
	bubble(t, p, func(t *testing.T, v *Verifier) {
		token := es.token(t, fresh(), "e")
		p.answer(http.StatusBadGateway, "")
		sleep(keysLife)
		wantAccepted(t, v, token)
		if err := v.Ready(); err != nil {
			t.Error(err)
		}
		before := time.Now()
		wantRefused(t, v, es.token(t, fresh(), "new"), KeysUnavailable)
		if waited := time.Since(before); waited != 0 {
			t.Errorf("a made up kid waited %v for a provider that is down", waited)
		}
		sleep(1)
		wantRefused(t, v, token, KeysUnavailable)
		if v.Ready() == nil {
			t.Error("it is ready with old keys")
		}
		p.serve(keySetOf(es))
		sleep(retryMost)
		wantAccepted(t, v, token)
		if err := v.Ready(); err != nil {
			t.Error(err)
		}
	})
}

func TestRetriesBecomeRare(t *testing.T) {
	p := &provider{}
	p.answer(http.StatusInternalServerError, "")
	bubble(t, p, func(t *testing.T, v *Verifier) {
		for _, want := range []struct {
			after    time.Duration
			requests int64
		}{{0, 1}, {time.Second, 2}, {2 * time.Second, 3}, {57 * time.Second, 6}, {time.Hour, 66}} {
			sleep(want.after)
			if n := p.requests.Load(); n != want.requests {
				t.Errorf("after %v more: %d requests, want %d", want.after, n, want.requests)
			}
		}
		p.serve(keySetOf(es256Key("e")))
		sleep(retryMost)
		if err := v.Ready(); err != nil {
			t.Error(err)
		}
	})
}

func TestMadeUpKidsCauseAFetchEveryThirtySeconds(t *testing.T) {
	es := es256Key("e")
	p := &provider{}
	p.serve(keySetOf(es))
	bubble(t, p, func(t *testing.T, v *Verifier) {
		for i := range 601 {
			if _, err := v.Verify(t.Context(), es.token(t, fresh(), fmt.Sprint(i))); err == nil {
				t.Fatal("accepted")
			}
			sleep(time.Second)
		}
		if n := p.requests.Load(); n < 20 || n > 22 {
			t.Errorf("%d requests in ten minutes", n)
		}
	})
}

func TestAProviderThatHangsHoldsNobodyLong(t *testing.T) {
	es := es256Key("e")
	p := &provider{}
	p.serve(keySetOf(es))
	bubble(t, p, func(t *testing.T, v *Verifier) {
		release := p.hold()
		known, unknown := es.token(t, fresh(), "e"), es.token(t, fresh(), "x")
		begin := time.Now()
		wait := func() time.Duration {
			before := time.Now()
			if _, err := v.Verify(t.Context(), unknown); err == nil {
				t.Error("accepted")
			}
			return time.Since(before)
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if waited := wait(); waited != joinTimeout {
					t.Errorf("an unknown kid waited %v", waited)
				}
			})
		}
		wantAccepted(t, v, known)
		if time.Since(begin) != 0 {
			t.Error("a known key waited")
		}
		wg.Wait()
		sleep(fetchTimeout)
		if waited := wait(); waited != 0 {
			t.Errorf("once the fetch has failed, an unknown kid waits %v", waited)
		}
		release()
	})
}

func TestCloseEndsAFetch(t *testing.T) {
	es := es256Key("e")
	p := &provider{}
	p.serve(keySetOf(es))
	bubble(t, p, func(t *testing.T, v *Verifier) {
		p.hold()
		time.Sleep(fetchEvery) //nolint:forbidigo // The bubble's clock.
		synctest.Wait()
		if n := p.requests.Load(); n != 2 {
			t.Fatalf("%d requests", n)
		}
		before := time.Now()
		v.Close()
		v.Close()
		if time.Since(before) != 0 {
			t.Error("Close waited")
		}
		wantAccepted(t, v, es.token(t, fresh(), "e"))
		if _, err := v.Verify(t.Context(), es.token(t, fresh(), "x")); err == nil {
			t.Error("accepted")
		}
		if time.Since(before) != 0 {
			t.Error("an unknown kid waited though nobody fetches")
		}
	})
}

func TestTheContextEndsTheFetching(t *testing.T) {
	es := es256Key("e")
	p := &provider{}
	p.serve(keySetOf(es))
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		v, err := NewVerifier(ctx, Config{Service: schema.Dhruva, JWKS: "https://id.example/"}, &http.Client{Transport: inMemory{p}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		<-v.keys.ended
		wantAccepted(t, v, es.token(t, fresh().with("exp", time.Now().Add(time.Hour).Unix()), "e"))
		wantRefused(t, v, es.token(t, fresh(), "x"), KeyUnknown)
	})
}

func BenchmarkVerifyJWKS(b *testing.B) {
	keys := []issuerKey{rsaKey("r", makeRSA()), es256Key("e"), edKey("d")}
	p := &provider{}
	p.serve(keySetOf(keys...))
	v, _ := withProvider(b, p, nil)
	for _, key := range keys {
		token := key.token(b, claimsOf(), key.jwk["kid"])
		b.Run("alg="+key.method.Alg(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzKeySet serves anything as a JWKS: no panic, and no key that is not good enough.
func FuzzKeySet(f *testing.F) {
	f.Add(keySetOf(es256Key("e"), edKey("d")))
	f.Add(keySetOf(rsaKey("weak", makeBad())))
	f.Add(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"RSA","n":"","e":""},{"kty":"OKP","crv":"Ed25519","x":"AA"},null,1]}`)
	f.Add(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA","x5c":["AA"],"x5u":"http://127.0.0.1:1/"}]}`)
	cfg, err := (Config{Service: schema.Dhruva, JWKS: "https://id.example/"}).withDefaults()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s := &keySet{log: cfg.Logger, families: []family{rsaFamily, p256Family, ed25519Family}}
		var set struct{ Keys []json.RawMessage }
		if json.Unmarshal([]byte(body), &set) != nil {
			return
		}
		for _, key := range s.choose(set.Keys) {
			switch public := key.Key().(type) {
			case *rsa.PublicKey:
				if public.N.BitLen() < 2048 {
					t.Fatal("a weak key")
				}
			case *ecdsa.PublicKey:
				ecdsa.VerifyASN1(public, make([]byte, sha256.Size), nil)
			case ed25519.PublicKey:
				if len(public) != ed25519.PublicKeySize {
					t.Fatal("a short key")
				}
			default:
				t.Fatalf("a %T", public)
			}
		}
	})
}
