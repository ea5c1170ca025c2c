package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/schema"
)

// spies are what must never be seen.
type spies []string

func (s spies) wantUnseen(t *testing.T, where, text string) {
	t.Helper()
	for _, spy := range s {
		if strings.Contains(text, spy) {
			t.Errorf("%s shows %.16s…: %s", where, spy, text)
		}
	}
}

func spiesOf(token string) spies {
	list := spies{secret, previous}
	if token != "" {
		list = append(list, token)
	}
	if at := strings.LastIndexByte(token, '.'); at >= 0 && len(token)-at > minHidden {
		list = append(list, token[at+1:])
	}
	return list
}

// TestNothingShowsATokenOrASecret plants secrets and signatures wherever a token has
// room, in tokens that fail in every way, and reads all that comes out.
func TestNothingShowsATokenOrASecret(t *testing.T) {
	es := es256Key("e")
	p := &provider{}
	p.serve(keySetOf(es, es256Key(secret).with("d", previous), es256Key("x").with("alg", secret)))
	lines := &logs{}
	v, _ := withProvider(t, p, func(c *Config) {
		c.Secret, c.Previous, c.Issuer, c.Audience = secret, previous, "i", "a"
		c.Logger = slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	planted := []base{
		claimsOf(),
		claimsOf().with("user_id", secret).with("jti", previous),
		claimsOf().with("user_id", secret+"\n").with("jti", previous+"\x00"),
		claimsOf().with("permissions", []string{secret, "x" + previous + "y", strings.Repeat("z", 100) + secret, "dhruva:read:adapter:" + secret}),
		claimsOf().with("iss", secret).with("aud", []string{previous, "b" + secret}),
		claimsOf().with("exp", secret), claimsOf().with("nbf", previous), claimsOf().with("iat", []string{secret}),
		claimsOf().with("exp", nowSeconds-99).with(secret, previous),
		claimsOf().with("scopes", secret), claimsOf().with("permissions", map[string]string{secret: previous}),
		claimsOf().with("user_id", strings.Repeat(secret, 5)), claimsOf().with("permissions", []string{strings.Repeat(secret, 9)}),
	}
	var tokens []string
	for _, claims := range planted {
		payload := claims.json(t)
		for _, header := range []string{plainHeader, `{"alg":"HS256","kid":"` + secret + `"}`, `{"alg":"` + secret + `"}`,
			`{"alg":"none","kid":"` + previous + `"}`, `{"alg":"HS256","alg":"` + secret + `"}`, `{"alg":"HS256","crit":["` + secret + `"]}`,
			`{"alg":"RS256","kid":"` + secret + `"}`, `{"alg":"HS256","` + secret + `":1,"` + secret + `":1}`, secret} {
			tokens = append(tokens, hs256(secret, header, payload), hs256(stranger, header, payload))
		}
		tokens = append(tokens, es.token(t, claims, "e"), es.token(t, claims, secret), es256Key("e").token(t, claims, "e"))
		// A token that quotes the signature of another, and itself cut short.
		inner := hs256(secret, plainHeader, payload)
		outer := hs256(secret, plainHeader, claimsOf().with("user_id", inner[len(inner)-43:]).json(t))
		tokens = append(tokens, outer, inner+".", inner[:len(inner)-9], inner+strings.Repeat("a", MaxToken), "Bearer "+inner, secret, secret+"."+previous+".x")
		// A made up signature that the claims and the kid repeat.
		made := strings.Repeat("MadeUp", 8)
		tokens = append(tokens, encode(`{"alg":"HS256","kid":"`+made+`"}`)+"."+encode(claimsOf().with("user_id", "x"+made).with("scopes", []string{made}).json(t))+"."+made)
		tokens = append(tokens, hs256(secret, plainHeader, payload+`{"`+secret+`"`), hs256(secret, plainHeader, `{"`+secret+`":1,"`+secret+`":1}`))
	}
	for _, token := range tokens {
		spies := spiesOf(token)
		id, err := v.Verify(t.Context(), token)
		if err != nil {
			spies.wantUnseen(t, "the error", err.Error())
			spies.wantUnseen(t, "the error in detail", fmt.Sprintf("%+v %#v", err, err))
		} else {
			spies[2:].wantUnseen(t, "the identity", fmt.Sprintf("%+v", id))
		}
		text, err := json.Marshal(v.Explain(t.Context(), token))
		if err != nil {
			t.Fatal(err)
		}
		spies.wantUnseen(t, "a finding", string(text))
		for _, finding := range v.Explain(t.Context(), token) {
			spies.wantUnseen(t, "a finding", finding.Detail)
			if strings.ContainsAny(finding.Detail, "\n\x00\x1b") {
				t.Errorf("a finding holds a control character: %q", finding.Detail)
			}
		}
		spies.wantUnseen(t, "the log", lines.String())
	}
	if !strings.Contains(lines.String(), "is not used") {
		t.Errorf("the log says %s", lines)
	}
}

func TestLogsAndConfigsShowNoSecret(t *testing.T) {
	cfg := Config{Service: schema.Dhruva, Secret: secret, Previous: previous, JWKS: "https://id.example/keys?key=" + secret, Algorithms: []string{"HS256", "ES256"}}
	p := &provider{}
	p.answer(http.StatusForbidden, secret)
	server := httptest.NewUnstartedServer(p)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // It complains of who doesn't know its certificate.
	server.StartTLS()
	defer server.Close()
	cfg.JWKS = server.URL + "/keys?key=" + secret
	lines := &logs{}
	cfg.Logger = slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, client := range []*http.Client{server.Client(), nil} { // The second doesn't know the certificate.
		v, err := NewVerifier(t.Context(), cfg, client)
		if err != nil {
			t.Fatal(err)
		}
		v.awaitFlight(t)
		if _, err := v.Verify(t.Context(), es256Key(secret).token(t, claimsOf(), secret)); err == nil {
			t.Error("accepted")
		}
		spiesOf("").wantUnseen(t, "ready", v.Ready().Error())
		spiesOf("").wantUnseen(t, "a printed verifier", fmt.Sprintf("%v %+v %#v %s", v, v, v, v))
		v.Close()
	}
	spiesOf("").wantUnseen(t, "the log", lines.String())
	if !strings.Contains(lines.String(), "403") || !strings.Contains(lines.String(), "certificate") {
		t.Errorf("the log says %s", lines)
	}
	var printed bytes.Buffer
	slog.New(slog.NewJSONHandler(&printed, nil)).Info("config", "config", cfg, "pointer", &cfg)
	fmt.Fprintf(&printed, "%v %+v %#v %s %q %d %x", cfg, cfg, cfg, cfg, cfg, cfg, cfg)
	spiesOf("").wantUnseen(t, "a printed config", printed.String())
	for _, bad := range []Config{
		{Service: schema.Service(secret), Secret: secret[:20]},
		{Service: schema.Dhruva, Secret: "$(" + secret + ")", Previous: strings.Repeat(previous, 2), Algorithms: []string{secret}},
		{Service: schema.Dhruva, JWKS: "https://" + secret + ":" + previous + "@id.example"},
		{Service: schema.Dhruva, JWKS: "http://id.example/?" + secret}, {Service: schema.Dhruva, JWKS: "https://[" + secret},
	} {
		_, err := NewVerifier(t.Context(), bad, nil)
		if err == nil {
			t.Fatal("a bad config is accepted")
		}
		spiesOf("").wantUnseen(t, "the error", err.Error())
		spies{secret[:20]}.wantUnseen(t, "the error", err.Error())
	}
	for _, claims := range []MintClaims{{User: secret + "\n"}, {User: "a", Permissions: []string{secret}}, {User: "a", TokenID: secret + "\x00"}} {
		_, err := Mint(secret, claims)
		if err == nil {
			t.Fatal("a bad token is minted")
		}
		spiesOf("").wantUnseen(t, "the error", err.Error())
	}
}

func TestExplainTellsWhatVerifyDoes(t *testing.T) {
	v := verifier(t, func(c *Config) { c.Audience = "indranet" })
	token := hs256(stranger, `{"alg":"HS256","kid":"k\u001b[31m"}`, claimsOf().with("exp", nowSeconds-70).with("iat", nowSeconds-3670).
		with("permissions", []string{"dhruva:read", "dhruva:raed", "evil\x1b[2J"}).json(t))
	var got []string
	for _, f := range v.Explain(t.Context(), token) {
		got = append(got, fmt.Sprintf("%s|%s|%t|%s", f.Check, f.Reason, f.Warning, f.Detail))
	}
	want := []string{
		fmt.Sprintf("form||false|%d bytes", len(token)),
		`signature|signature|false|the signature is not that of the key (alg "HS256", kid "k\x1b[31m"; another service's token or secret?)`,
		"claims||false|well formed",
		"expiry|expired|false|it expired 1m10s ago (2026-11-23T11:58:50Z)",
		"not before||false|nbf none, iat 2026-11-23T10:58:50Z, 1h1m10s ago",
		"life||false|1h0m0s",
		"issuer||false|none",
		"audience|audience|false|its aud does not hold the one that is required (none)",
		`user||false|"ada"`,
		`token id||false|"t-1"`,
		`permissions||false|"dhruva:read", "dhruva:raed", "evil\x1b[2J"`,
		`permission||true|"dhruva:raed" has no known form and grants nothing; the forms are ` + forms,
		`permission||true|"evil\x1b[2J" has no known form and grants nothing; the forms are ` + forms,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	rules := " expiry not before life issuer audience user token id permissions"
	for token, want := range map[string]string{
		"":                                  "form",
		"x\n":                               "form",
		"x":                                 "form",
		"a.b.c":                             "form",
		hs256(secret, `{"alg":"XY"}`, `{}`): "form signature claims" + rules + " permission",
		hs256(secret, `{"alg":"HS256","alg":"HS256"}`, `{}`):  "form signature claims" + rules + " permission",
		hs256(stranger, plainHeader, `{"exp":"1","exp":1}`):   "form signature claims",
		hs256(stranger, plainHeader, `{"exp":1}{"exp":1}`):    "form",
		hs256(stranger, plainHeader, `null`):                  "form signature",
		hs256(stranger, `{"alg":"none"}`, claimsOf().json(t)): "form signature claims" + rules,
	} {
		var checks []string
		for _, f := range v.Explain(t.Context(), token) {
			checks = append(checks, f.Check)
		}
		if text := strings.Join(checks, " "); text != want {
			t.Errorf("%q: the checks are %q, want %q", token, text, want)
		}
	}
	many := make([]string, 300)
	for i := range many {
		many[i] = "workflow:read"
	}
	for _, f := range v.Explain(t.Context(), claimsOf().with("permissions", many).token(t)) {
		if f.Check == "permissions" && (!strings.HasSuffix(f.Detail, "and 250 more") || len(f.Detail) > 2000) {
			t.Errorf("a long list is told as %s", f.Detail)
		}
	}
}

// TestExplainSaysEverythingOnceAndHowToGoOn looks at single findings.
func TestExplainSaysEverythingOnceAndHowToGoOn(t *testing.T) {
	v := verifier(t, nil)
	good := claimsOf().token(t)
	for _, test := range []struct{ token, check, want string }{
		{claimsOf().with("exp", nowSeconds-1).token(t), "expiry", "2026-11-23T11:59:59Z, 1s ago, within the leeway of 10s"},
		{claimsOf().with("exp", nowSeconds).token(t), "expiry", "2026-11-23T12:00:00Z, in 0s, within the leeway of 10s"},
		{claimsOf().without("exp").token(t), "expiry", "it has no exp"},
		{claimsOf().with("iat", nowSeconds+5).token(t), "not before", "nbf none, iat 2026-11-23T12:00:05Z, in 5s, within the leeway of 10s"},
		{claimsOf().with("iat", nowSeconds+60).token(t), "not before", "its iat lies 1m0s in the future (nbf none, iat 2026-11-23T12:01:00Z)"},
		{claimsOf().with("exp", nowSeconds-60+48*3600).token(t), "life", "it lives for 48h0m0s, at most 24h0m0s is accepted"},
		{claimsOf().without("iat").token(t), "life", "1h0m0s from now, since it has no iat: it may outlive a revocation, which is kept for 720h"},
		{claimsOf().without("iat").with("exp", nowSeconds+48*3600).token(t), "life",
			"it lives for 48h0m0s, at most 24h0m0s is accepted (counted from now, since it has no iat)"},
		{"Bearer " + good, "form", `it begins with "Bearer ", which belongs to the header and not to the token (` + fmt.Sprint(len(good)+7) + " bytes)"},
		{good[:strings.LastIndexByte(good, '.')], "form",
			fmt.Sprintf("it has 2 parts with dots between, not 3: is it all there? (%d bytes)", strings.LastIndexByte(good, '.'))},
		{claimsOf().with("permissions", []string{}).token(t), "permission", "there is none, so the token grants nothing; with dhruva:read it would read"},
		{claimsOf().with("permissions", []string{"mahavishnu:read"}).token(t), "permission", `"mahavishnu:read" grants nothing at dhruva`},
	} {
		findings := v.Explain(t.Context(), test.token)
		at := slices.IndexFunc(findings, func(f Finding) bool { return f.Check == test.check })
		if at < 0 || findings[at].Detail != test.want {
			t.Errorf("%s: %+v\nwant %s", test.check, findings, test.want)
		}
	}
}
