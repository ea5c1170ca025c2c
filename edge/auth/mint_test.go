package auth

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

func TestAMintedTokenIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, err := NewVerifier(t.Context(), Config{Service: schema.Dhruva, Secret: secret, Issuer: "i", Audience: "a"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		token, err := Mint(secret, MintClaims{User: "ada", Permissions: []string{"dhruva:read", "admin"}, Issuer: "i", Audience: "a"})
		if err != nil {
			t.Fatal(err)
		}
		id, err := v.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if id.User != "ada" || len(id.TokenID) < 20 || !id.Permissions.Allows(Write, target(t, schema.Dhruva, "registry"), Restricted{}) ||
			!id.IssuedAt.Equal(time.Now()) || !id.Expires.Equal(time.Now().Add(time.Hour)) {
			t.Errorf("the identity is %+v", id)
		}
		<-time.After(time.Hour + DefaultLeeway - time.Nanosecond)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Error(err)
		}
		<-time.After(time.Nanosecond)
		wantRefused(t, v, token, Expired)
	})
}

func TestMintedTokensHaveTheirOwnIDs(t *testing.T) {
	v := verifier(t, nil)
	ids := map[string]bool{}
	for range 10 {
		token, err := Mint(secret, MintClaims{User: "ada", IssuedAt: now})
		if err != nil {
			t.Fatal(err)
		}
		ids[wantAccepted(t, v, token).TokenID] = true
	}
	token, err := Mint(secret, MintClaims{User: "ada", IssuedAt: now, TokenID: "mine", Life: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if id := wantAccepted(t, v, token); id.TokenID != "mine" || !id.Expires.Equal(now.Add(time.Second)) || len(ids) != 10 {
		t.Errorf("the identity is %+v, the others' ids %v", id, ids)
	}
}

func TestMintRefusesWhatNobodyWouldAccept(t *testing.T) {
	many := make([]string, MaxPermissions)
	for i := range many {
		many[i] = "workflow:read"
	}
	tests := []struct {
		secret string
		claims MintClaims
		want   []string
	}{
		{"", MintClaims{}, []string{"secret is empty", "no user"}},
		{"your-256-bit-secret", MintClaims{User: "a\n", TokenID: "\x00", Life: -1, Permissions: []string{"dhruva:reed", "x"}},
			[]string{"known default", "the user's name", "the token's id", "the life", `"dhruva:reed", "x"; the forms are admin, {service}:read|write|admin, `}},
		{secret, MintClaims{User: "a", Permissions: append(many, "admin")}, []string{"1001 permissions"}},
		{secret, MintClaims{User: "a", Permissions: many}, []string{"the token has"}},
		{secret, MintClaims{User: "a", Permissions: []string{"workflow:" + strings.Repeat("x", 300)}}, []string{"permission 1"}},
		{secret, MintClaims{User: "a", Life: RevocationLife + 1}, []string{"the life"}},
		{secret, MintClaims{User: "a", IssuedAt: time.Unix(-1, 0)}, []string{"year of issue"}},
	}
	for _, test := range tests {
		token, err := Mint(test.secret, test.claims)
		if err == nil || token != "" {
			t.Errorf("%v is minted", test.want)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("no %q in %v", want, err)
			}
		}
	}
}
