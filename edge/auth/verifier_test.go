package auth

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

func TestBothShapesOfClaims(t *testing.T) {
	v := verifier(t, nil)
	tests := []struct {
		name   string
		claims base
		user   string
		grants []string // Services that may be read.
	}{
		{"user_id and permissions", claimsOf(), "ada", []string{"dhruva"}},
		{"sub and scopes", claimsOf().without("user_id", "permissions").with("sub", "bob").with("scopes", []string{"akosha:read"}), "bob", []string{"akosha"}},
		{"user_id wins, lists are joined", claimsOf().with("sub", "bob").with("scopes", []string{"akosha:read"}), "ada", []string{"dhruva", "akosha"}},
		{"null is none", claimsOf().with("user_id", nil).with("permissions", nil).with("sub", "bob").with("aud", nil).with("nbf", nil), "bob", nil},
		{"no permissions at all", claimsOf().without("permissions"), "ada", nil},
		{"OAuth's scope is not read", claimsOf().without("permissions").with("scope", "admin"), "ada", nil},
		{"names of other spelling are not read", claimsOf().without("permissions").with("Permissions", []string{"admin"}).with("USER_ID", "eve"), "ada", nil},
		{"others nest", claimsOf().with("realm_access", map[string]any{"roles": []any{"a", map[string]any{"b": []int{1}}}}), "ada", []string{"dhruva"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			id := wantAccepted(t, v, test.claims.token(t))
			if id.User != test.user || id.TokenID != "t-1" || !id.Expires.Equal(now.Add(time.Hour)) || !id.IssuedAt.Equal(now.Add(-time.Minute)) {
				t.Errorf("the identity is %+v", id)
			}
			for service, channel := range map[schema.Service]string{"dhruva": "registry", "akosha": "insights"} {
				want := slices.Contains(test.grants, string(service))
				if got := id.Permissions.Allows(Read, target(t, service, channel), Restricted{}); got != want {
					t.Errorf("reading %s: %t, want %t", service, got, want)
				}
			}
		})
	}
}

func TestRulesOfClaims(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	number := func(text string) json.Number { return json.Number(text) }
	many := make([]string, 1001)
	for i := range many {
		many[i] = "a"
	}
	tests := []struct {
		name   string
		claims base
		want   Reason // Empty for accepted.
	}{
		{"exp is missing", claimsOf().without("exp"), NoExpiry},
		{"exp is null", claimsOf().with("exp", nil), NoExpiry},
		{"exp is text", claimsOf().with("exp", fmt.Sprint(nowSeconds+60)), Claims},
		{"exp is a list", claimsOf().with("exp", []int{nowSeconds + 60}), Claims},
		{"exp is an object", claimsOf().with("exp", map[string]int{}), Claims},
		{"exp is true", claimsOf().with("exp", true), Claims},
		{"exp has a fraction", claimsOf().with("exp", nowSeconds+60.75), ""},
		{"exp has an exponent", claimsOf().with("exp", number("1.79543526e9")), ""},
		{"exp is huge", claimsOf().with("exp", number("1e300")), Claims},
		{"exp is beyond int64", claimsOf().with("exp", number("9223372036854775808")), Claims},
		{"exp overflows a float", claimsOf().with("exp", number("1e999")), Claims},
		{"exp is negative", claimsOf().with("exp", -1), Claims},
		{"exp is 0", claimsOf().with("exp", 0), Expired},
		{"exp is the year 9999", claimsOf().with("exp", number("253402300799")), LivesTooLong},
		{"exp is the year 10000", claimsOf().with("exp", number("253402300800")), Claims},
		{"expired within the leeway", claimsOf().with("exp", nowSeconds-9), ""},
		{"expired beyond the leeway", claimsOf().with("exp", nowSeconds-10), Expired},
		{"expired long ago", claimsOf().with("exp", nowSeconds-86400), Expired},
		{"nbf has come", claimsOf().with("nbf", nowSeconds), ""},
		{"nbf within the leeway", claimsOf().with("nbf", nowSeconds+10), ""},
		{"nbf beyond the leeway", claimsOf().with("nbf", nowSeconds+11), NotYetValid},
		{"nbf is text", claimsOf().with("nbf", "0"), Claims},
		{"iat in the future", claimsOf().with("iat", nowSeconds+11), NotYetValid},
		{"iat within the leeway", claimsOf().with("iat", nowSeconds+10), ""},
		{"iat is text", claimsOf().with("iat", "0"), Claims},
		{"iat is missing", claimsOf().without("iat"), ""},
		{"lives a day from iat", claimsOf().with("iat", nowSeconds-3600).with("exp", nowSeconds-3600+86400), ""},
		{"lives longer than a day from iat", claimsOf().with("iat", nowSeconds-3600).with("exp", nowSeconds-3600+86401), LivesTooLong},
		{"lives too long, though it ends soon", claimsOf().with("iat", nowSeconds-86400*300).with("exp", nowSeconds+60), LivesTooLong},
		{"lives a day from now without iat", claimsOf().without("iat").with("exp", nowSeconds+86400), ""},
		{"lives longer than a day without iat", claimsOf().without("iat").with("exp", nowSeconds+86401), LivesTooLong},
		{"no user", claimsOf().without("user_id"), NoUser},
		{"empty user", claimsOf().with("user_id", ""), NoUser},
		{"empty user_id wins over sub", claimsOf().with("user_id", "").with("sub", "bob"), NoUser},
		{"user is a number", claimsOf().with("user_id", 7), Claims},
		{"sub is a number, though user_id wins", claimsOf().with("sub", 7), Claims},
		{"user of 200 bytes", claimsOf().with("user_id", long(200)), ""},
		{"user of 201 bytes", claimsOf().with("user_id", long(201)), Claims},
		{"user with a line break", claimsOf().with("user_id", "ada\nadmin"), Claims},
		{"user with a C1 control", claimsOf().with("user_id", "ada\u0085"), Claims},
		{"user with a replacement character", claimsOf().with("user_id", "a\ufffd"), Claims},
		{"user in another script", claimsOf().with("user_id", "आदा 👩"), ""},
		{"jti of 200 bytes", claimsOf().with("jti", long(200)), ""},
		{"jti of 201 bytes", claimsOf().with("jti", long(201)), Claims},
		{"jti is a number", claimsOf().with("jti", 1), Claims},
		{"jti is missing", claimsOf().without("jti"), ""},
		{"iss is a number", claimsOf().with("iss", 1), Claims},
		{"aud is a number", claimsOf().with("aud", 1), Claims},
		{"aud holds a number", claimsOf().with("aud", []any{"a", 1}), Claims},
		{"aud holds null", claimsOf().with("aud", []any{"a", nil}), Claims},
		{"permissions are one text", claimsOf().with("permissions", "admin"), Claims},
		{"permissions hold a number", claimsOf().with("permissions", []any{"admin", 1}), Claims},
		{"permissions hold null", claimsOf().with("permissions", []any{"admin", nil}), Claims},
		{"permissions hold a list", claimsOf().with("permissions", []any{[]string{"admin"}}), Claims},
		{"permissions are an object", claimsOf().with("permissions", map[string]bool{"admin": true}), Claims},
		{"scopes are one text", claimsOf().with("scopes", "admin"), Claims},
		{"1000 permissions", claimsOf().with("permissions", many[:999]).with("scopes", many[:1]), ""},
		{"1001 permissions", claimsOf().with("permissions", many[:999]).with("scopes", many[:2]), Claims},
		{"a permission of 300 bytes", claimsOf().with("permissions", []string{long(300)}), ""},
		{"a permission of 301 bytes", claimsOf().with("permissions", []string{long(301)}), Claims},
	}
	v := verifier(t, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.want == "" {
				wantAccepted(t, v, test.claims.token(t))
			} else {
				wantRefused(t, v, test.claims.token(t), test.want)
			}
		})
	}
}

func TestIssuerAndAudienceAreRequiredWhereTheyAreSet(t *testing.T) {
	v := verifier(t, func(c *Config) { c.Issuer, c.Audience = "https://id.example", "indranet" })
	good := func() base { return claimsOf().with("iss", "https://id.example").with("aud", "indranet") }
	wantAccepted(t, v, good().token(t))
	wantAccepted(t, v, good().with("aud", []string{"other", "indranet"}).token(t))
	wantRefused(t, v, good().without("iss").token(t), Issuer)
	wantRefused(t, v, good().with("iss", "https://id.example/").token(t), Issuer)
	wantRefused(t, v, good().without("aud").token(t), Audience)
	wantRefused(t, v, good().with("aud", []string{}).token(t), Audience)
	wantRefused(t, v, good().with("aud", []string{"Indranet", "indranet2"}).token(t), Audience)
}

func TestPayloadsThatOthersMayReadDifferently(t *testing.T) {
	v := verifier(t, nil)
	rest := fmt.Sprintf(`"user_id":"ada","exp":%d`, nowSeconds+60)
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	for payload, want := range map[string]Reason{
		`{` + rest + `}`:                         "",
		`{` + rest + `,"exp":99}`:                Claims,
		`{` + rest + `,"user_id":"eve"}`:         Claims,
		`{` + rest + `,"user\u005fid":"eve"}`:    Claims,
		`{` + rest + `,"a":{"b":1,"b":2}}`:       Claims,
		`{` + rest + `,"a":[1,[{"b":1,"b":2}]]}`: Claims,
		`{` + rest + `,"a":` + deep(15) + `}`:    "",
		`{` + rest + `,"a":` + deep(16) + `}`:    Claims,
		`{` + rest + `,"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`: Claims,
		`{` + rest + `,"EXP":1}`:                "",
		`{` + rest + `} {}`:                     Malformed,
		`{` + rest + `,}`:                       Malformed,
		`{"user_id":"` + "\xff" + `","exp":99}`: Claims,
		`{"user_id":"\ud800","exp":` + fmt.Sprint(nowSeconds+60) + `}`: Claims,
		`null`: Claims, `[]`: Claims, `"text"`: Claims, `1`: Claims, `{}`: NoExpiry, ``: Malformed, ` { } `: NoExpiry,
	} {
		token := hs256(secret, plainHeader, payload)
		if want == "" {
			wantAccepted(t, v, token)
		} else {
			wantRefused(t, v, token, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	v := verifier(t, nil)
	payload := claimsOf().json(t)
	for header, want := range map[string]Reason{
		`{"alg":"HS256"}`: "",
		`{"alg":"HS256","typ":"at+jwt","kid":"any"}`:                                                             "",
		`{"alg":"HS256","jku":"http://127.0.0.1:1/","x5u":"http://127.0.0.1:1/","jwk":{"kty":"oct","k":"AAAA"}}`: "",
		`{"alg":"HS256","alg":"HS256"}`:                                                                          Claims,
		`{"alg":"none","alg":"HS256"}`:                                                                           Claims,
		`{"alg":"HS256","x":{"a":1,"a":1}}`:                                                                      Claims,
		`{"alg":"HS256","crit":["exp"],"exp":1}`:                                                                 Malformed,
		`{"alg":"HS256","crit":["b64"],"b64":false}`:                                                             Malformed,
		`{"alg":"none"}`:    Algorithm,
		`{"alg":"None"}`:    Algorithm,
		`{"alg":"hs256"}`:   Algorithm,
		`{"alg":"HS384"}`:   Algorithm,
		`{"alg":"RS256"}`:   Algorithm,
		`{"ALG":"HS256"}`:   Algorithm,
		`{"alg":""}`:        Algorithm,
		`{"alg":null}`:      Algorithm,
		`{"alg":["HS256"]}`: Algorithm,
		`{}`:                Algorithm,
		`null`:              Algorithm,
		`[]`:                Malformed,
		`{"alg":"HS256"`:    Malformed,
		``:                  Malformed,
	} {
		token := hs256(secret, header, payload)
		if want == "" {
			wantAccepted(t, v, token)
		} else {
			wantRefused(t, v, token, want)
		}
	}
}

func TestShapesOfTokens(t *testing.T) {
	v := verifier(t, nil)
	good := claimsOf().token(t)
	parts := strings.Split(good, ".")
	wantAccepted(t, v, good)
	for token, want := range map[string]Reason{
		"":                        Missing,
		".":                       Malformed,
		"..":                      Malformed,
		"...":                     Malformed,
		"a.b.c":                   Malformed,
		parts[0] + "." + parts[1]: Malformed,
		good + ".":                Malformed,
		good + "." + parts[2]:     Malformed,
		good + "=":                Malformed,
		good + "\n":               Malformed,
		" " + good:                Malformed,
		"Bearer " + good:          Malformed,
		good[:len(good)-5] + "\n" + good[len(good)-5:]:                                      Malformed,
		good[:len(good)-1] + string(rune(good[len(good)-1]+1)):                              Malformed, // Other unused bits of base64.
		parts[0] + "." + parts[1] + ".":                                                     Signature,
		good[:len(good)-3]:                                                                  Signature,
		parts[0] + "." + encode(claimsOf().with("user_id", "eve").json(t)) + "." + parts[2]: Signature,
		hs256(stranger, plainHeader, claimsOf().json(t)):                                    Signature,
		hs256("", plainHeader, claimsOf().json(t)):                                          Signature,
		// The signature comes before the claims.
		hs256(stranger, plainHeader, `{"a":1,"a":2}`): Signature,
		strings.Repeat("a", MaxToken+1):               TooLong,
		good + strings.Repeat("a", 10<<20):            TooLong,
		strings.Repeat(".", MaxToken):                 Malformed,
	} {
		wantRefused(t, v, token, want)
	}
	// As long as may be.
	token := claimsOf().with("pad", "").token(t)
	token = claimsOf().with("pad", strings.Repeat("x", (MaxToken-len(token))*3/4-1)).token(t)
	if len(token) < MaxToken-8 {
		t.Fatalf("the token has only %d bytes", len(token))
	}
	wantAccepted(t, v, token)
}

func TestThePreviousSecretIsAcceptedWhileItIsThere(t *testing.T) {
	old := hs256(previous, plainHeader, claimsOf().json(t))
	wantRefused(t, verifier(t, nil), old, Signature)
	v := verifier(t, func(c *Config) { c.Previous = previous })
	wantAccepted(t, v, old)
	wantAccepted(t, v, claimsOf().token(t))
	wantRefused(t, v, hs256(stranger, plainHeader, claimsOf().json(t)), Signature)
}

func TestHS512NeedsItsOwnNameAndALongSecret(t *testing.T) {
	long := secret + previous
	mac := hmac.New(sha512.New, []byte(long))
	signed := encode(`{"alg":"HS512"}`) + "." + encode(claimsOf().json(t))
	mac.Write([]byte(signed))
	token := signed + "." + encode(string(mac.Sum(nil)))
	wantRefused(t, verifier(t, func(c *Config) { c.Secret = long }), token, Algorithm)
	wantAccepted(t, verifier(t, func(c *Config) { c.Secret, c.Algorithms = long, []string{"HS512"} }), token)
	if _, err := NewVerifier(t.Context(), Config{Service: schema.Dhruva, Secret: secret, Algorithms: []string{"HS512"}}, nil); err == nil {
		t.Error("HS512 takes a secret of 44 bytes")
	}
}

func TestLeewayAndLife(t *testing.T) {
	none := verifier(t, func(c *Config) { c.Leeway = -1 })
	wantRefused(t, none, claimsOf().with("exp", nowSeconds).token(t), Expired)
	wantAccepted(t, none, claimsOf().with("exp", nowSeconds+1).token(t))
	wantRefused(t, none, claimsOf().with("nbf", nowSeconds+1).token(t), NotYetValid)
	minute := verifier(t, func(c *Config) { c.Leeway = time.Minute })
	wantAccepted(t, minute, claimsOf().with("exp", nowSeconds-59).token(t))
	most := verifier(t, func(c *Config) { c.MaxLife = RevocationLife })
	life := int64(RevocationLife / time.Second)
	wantAccepted(t, most, claimsOf().with("iat", nowSeconds).with("exp", nowSeconds+life-20).token(t))
	wantRefused(t, most, claimsOf().with("iat", nowSeconds).with("exp", nowSeconds+life-19).token(t), LivesTooLong)
}

func TestEveryProblemOfAConfigIsReported(t *testing.T) {
	tests := []struct {
		cfg  Config
		want []string
	}{
		{Config{}, []string{"no known service", "neither a secret nor a JWKS"}},
		{Config{Service: "dhruvo", Secret: "short", Previous: "changeme", Leeway: time.Hour, MaxLife: -1, Algorithms: []string{"none", "RS256"}},
			[]string{"no known service", "the secret has 5 bytes", "previous secret has 8 bytes, at least 32 are needed; is a placeholder", "the leeway",
				"less than nothing", "algorithm 1 of the list", "RS256 needs a JWKS", "no algorithm that uses it"}},
		{Config{Service: schema.Dhruva, Previous: previous, JWKS: "http://id.example/keys", MaxLife: RevocationLife + 1},
			[]string{"must be https", "but no secret", "revocations are kept"}},
		{Config{Service: schema.Dhruva, JWKS: "https://u:p@id.example/"}, []string{"a user or a password"}},
		{Config{Service: schema.Dhruva, JWKS: "https:///keys"}, []string{"no host"}},
		{Config{Service: schema.Dhruva, JWKS: "://"}, []string{"no URL"}},
		{Config{Service: schema.Dhruva, JWKS: "file:///etc/passwd"}, []string{"no host"}},
		{Config{Service: schema.Dhruva, JWKS: "http://127.0.0.1.example/"}, []string{"must be https"}},
		{Config{Service: schema.Dhruva, Secret: secret, JWKS: "https://id.example/", Algorithms: []string{"HS256"}}, []string{"there is a JWKS, but no algorithm"}},
		{Config{Service: schema.Dhruva, JWKS: "https://id.example/", Algorithms: []string{"RS256", "HS256"}}, []string{"HS256 needs a secret"}},
	}
	for _, test := range tests {
		v, err := NewVerifier(t.Context(), test.cfg, nil)
		if err == nil {
			v.Close()
			t.Errorf("%v is accepted", test.want)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("no %q in %v", want, err)
			}
		}
	}
}

func TestWhereKeysMayBeReadFrom(t *testing.T) {
	for text, want := range map[string]bool{
		"https://id.example/keys": true, "https://10.0.0.1:8443": true, "http://localhost:1/": true, "http://127.9.9.9/": true,
		"http://[::1]:1/": true, "http://[::ffff:127.0.0.1]/": true, "HTTPS://id.example/": true,
		"http://id.example/": false, "http://10.0.0.1/": false, "http://localhost.example/": false, "http://0.0.0.0/": false,
		"http://[::1%25lo]x/": false, "//id.example/": false, "id.example": false, "https://": false, "https://:443/": false, "": false,
		"ftp://localhost/": false, "data:application/json,{}": false, "https://a:b@localhost/": false,
	} {
		if _, err := parseJWKS(text); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestReasonsAreLabels(t *testing.T) {
	seen := map[Reason]bool{}
	for _, reason := range Reasons() {
		if seen[reason] || strings.Trim(string(reason), "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("%q is no label, or there twice", reason)
		}
		seen[reason] = true
	}
	if len(seen) != 16 {
		t.Errorf("there are %d reasons", len(seen))
	}
	Reasons()[0] = "changed"
	if Reasons()[0] != Missing {
		t.Error("Reasons gives its own list away")
	}
	cause := errors.New("cause")
	if err := (&Refusal{Reason: Revoked, Err: cause}); !errors.Is(err, cause) || err.Error() != "auth: the token is refused (revoked): cause" {
		t.Error(err)
	}
	if (&Refusal{Reason: Revoked}).Error() == "" {
		t.Error("a refusal without a cause has no text")
	}
}

func TestVerifyFromManyGoroutines(t *testing.T) {
	v := verifier(t, func(c *Config) { c.Previous = previous })
	good, bad := claimsOf().token(t), hs256(stranger, plainHeader, claimsOf().json(t))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := v.Verify(t.Context(), good); err != nil {
					t.Error(err)
				}
				if _, err := v.Verify(t.Context(), bad); err == nil {
					t.Error("accepted")
				}
				v.Explain(t.Context(), good)
			}
		})
	}
	wg.Wait()
}

func BenchmarkVerify(b *testing.B) {
	v := verifier(b, nil)
	for _, bench := range []struct {
		name  string
		token string
	}{
		{"alg=HS256", claimsOf().token(b)},
		{"alg=HS256/refused=signature", hs256(stranger, plainHeader, claimsOf().json(b))},
		{"alg=HS256/refused=signature/size=8k", hs256(stranger, plainHeader, claimsOf().with("pad", strings.Repeat("x", 5900)).json(b))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = v.Verify(b.Context(), bench.token)
			}
		})
	}
}

// FuzzVerify looks for a panic, and for a token that is accepted though its signature is
// not that of the secret, which the test checks without the library.
func FuzzVerify(f *testing.F) {
	good := claimsOf().token(f)
	f.Add(good)
	f.Add(good + ".")
	f.Add(strings.Replace(good, ".", "", 1))
	f.Add(hs256(stranger, plainHeader, claimsOf().json(f)))
	f.Add(hs256(secret, `{"alg":"none"}`, claimsOf().json(f)))
	f.Add(encode(`{"alg":"none"}`) + "." + encode(claimsOf().json(f)) + ".")
	f.Add(hs256(secret, `{"alg":"HS256","crit":[]}`, `{"exp":1e400}`))
	v := verifier(f, nil)
	f.Fuzz(func(t *testing.T, token string) {
		id, err := v.Verify(t.Context(), token)
		findings := v.Explain(t.Context(), token)
		if err != nil {
			var refusal *Refusal
			if !errors.As(err, &refusal) || !slices.Contains(Reasons(), refusal.Reason) || firstReason(findings) != refusal.Reason {
				t.Fatalf("refused by %v, explained by %v", err, findings)
			}
			return
		}
		end := strings.LastIndexByte(token, '.')
		mac := hs256Sum(secret, token[:end])
		if token[end+1:] != encode(mac) {
			t.Fatal("accepted though it is not signed")
		}
		if id.User == "" || firstReason(findings) != "" {
			t.Fatalf("accepted for %q, explained by %v", id.User, findings)
		}
	})
}

// FuzzClaims gives any payload and header a right signature: what is accepted must
// obey the rules.
func FuzzClaims(f *testing.F) {
	f.Add(plainHeader, claimsOf().json(f))
	f.Add(plainHeader, `{"user_id":"a","exp":1795435300,"exp":1}`)
	f.Add(`{"alg":"HS256","kid":1}`, `{"sub":"a","exp":1.7954353e9,"scopes":["admin"],"permissions":[]}`)
	f.Add(plainHeader, `{"sub":"\ud800","exp":1795435300,"aud":["x"],"nbf":-0,"a":[[{"b":null}]]}`)
	v := verifier(f, nil)
	f.Fuzz(func(t *testing.T, header, payload string) {
		token := hs256(secret, header, payload)
		id, err := v.Verify(t.Context(), token)
		findings := v.Explain(t.Context(), token)
		if err != nil {
			var refusal *Refusal
			if !errors.As(err, &refusal) || firstReason(findings) != refusal.Reason {
				t.Fatalf("refused by %v, explained by %v", err, findings)
			}
			return
		}
		var loose map[string]any
		if json.Unmarshal([]byte(payload), &loose) != nil {
			t.Fatal("accepted though it is no JSON")
		}
		exp, isNumber := loose["exp"].(float64)
		if !isNumber || math.Floor(exp)+10 <= nowSeconds || float64(id.Expires.Unix()) != math.Floor(exp) {
			t.Fatalf("accepted with exp %v, until %v", loose["exp"], id.Expires)
		}
		user, ok := loose["user_id"]
		if !ok || user == nil {
			user = loose["sub"]
		}
		if user != id.User || id.User == "" || len(id.User) > MaxUser {
			t.Fatalf("accepted for %q, the token says %v", id.User, user)
		}
		if !id.IssuedAt.IsZero() && id.IssuedAt.After(now.Add(DefaultLeeway)) || id.Expires.Sub(now) > DefaultMaxLife+DefaultLeeway {
			t.Fatalf("accepted from %v to %v", id.IssuedAt, id.Expires)
		}
	})
}
