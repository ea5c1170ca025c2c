package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/schema"
	"github.com/golang-jwt/jwt/v5"
)

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
	p.serve(keySetOf(es, edKey("d")))
	two, _ := withProvider(t, p, nil)
	before := p.requests.Load()
	wantRefused(t, two, es.token(t, claimsOf(), nil), KeyUnknown)
	if n := p.requests.Load() - before; n != 0 {
		t.Errorf("a token without kid made %d requests", n)
	}
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
