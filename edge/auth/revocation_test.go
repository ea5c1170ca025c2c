package auth

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func identityAt(user, id string, issued time.Time) Identity {
	return Identity{User: user, TokenID: id, IssuedAt: issued, Expires: issued.Add(time.Hour)}
}

func TestWhatARevocationCovers(t *testing.T) {
	early, late := now.Add(-time.Hour), now.Add(time.Minute)
	tests := []struct {
		name    string
		revoked Revocation
		id      Identity
		want    bool
	}{
		{"the token", Revocation{Token: "t", At: now}, identityAt("ada", "t", early), true},
		{"the token, issued later", Revocation{Token: "t", At: now}, identityAt("ada", "t", late), true},
		{"another token", Revocation{Token: "t", At: now}, identityAt("ada", "T", early), false},
		{"a token without id", Revocation{Token: "t", At: now}, identityAt("ada", "", early), false},
		{"a user of the token's name", Revocation{Token: "t", At: now}, identityAt("t", "x", early), false},
		{"the user, before", Revocation{User: "ada", Before: now, At: now}, identityAt("ada", "t", early), true},
		{"the user, at that moment", Revocation{User: "ada", Before: now, At: now}, identityAt("ada", "t", now), false},
		{"the user, within the second", Revocation{User: "ada", Before: now.Add(1), At: now.Add(1)}, identityAt("ada", "t", now), true},
		{"the user, after", Revocation{User: "ada", Before: now, At: now}, identityAt("ada", "t", late), false},
		{"the user, nobody knows when", Revocation{User: "ada", Before: now, At: now}, identityAt("ada", "", time.Time{}), true},
		{"another user", Revocation{User: "ada", Before: now, At: now}, identityAt("Ada", "t", early), false},
		{"everybody, before", Revocation{Before: now, At: now}, identityAt("bob", "t", early), true},
		{"everybody, after", Revocation{Before: now, At: now}, identityAt("bob", "t", late), false},
		{"everybody, nobody knows when", Revocation{Before: now, At: now}, identityAt("bob", "", time.Time{}), true},
		{"the anonymous", Revocation{Before: now, At: now}, Identity{}, false},
	}
	for _, test := range tests {
		var s Revocations
		if s.Covers(test.id) || s.Len() != 0 {
			t.Errorf("%s: the empty set covers", test.name)
		}
		s.Put(test.revoked)
		if s.Covers(test.id) != test.want || s.Len() != 1 {
			t.Errorf("%s: covers %t of %d, want %t", test.name, !test.want, s.Len(), test.want)
		}
		s.Put(test.revoked)
		s.Delete(strings.ToUpper(test.revoked.Key()))
		s.Delete(test.revoked.Key() + "0")
		s.Delete("")
		if s.Len() != 1 {
			t.Errorf("%s: a wrong key deletes", test.name)
		}
		s.Delete(test.revoked.Key())
		if s.Covers(test.id) || s.Len() != 0 {
			t.Errorf("%s: it is not deleted", test.name)
		}
	}
}

func TestNoAcceptedTokenOutlivesItsRevocation(t *testing.T) {
	for _, leeway := range []time.Duration{-1, 0, MaxLeeway} {
		v := verifier(t, func(c *Config) { c.MaxLife, c.Leeway = RevocationLife, leeway })
		clock := now
		v.now = func() time.Time { return clock }
		leeway := v.cfg.Leeway
		// The issuer's clock is ahead as far as is accepted, the token as long.
		issued := now.Add(leeway)
		token, err := Mint(secret, MintClaims{User: "ada", TokenID: "t", IssuedAt: issued, Life: v.cfg.MaxLife})
		if err != nil {
			t.Fatal(err)
		}
		id := wantAccepted(t, v, token)
		var s Revocations
		s.Put(Revocation{Token: "t", At: now})
		s.Put(Revocation{User: "ada", Before: issued.Add(1), At: now})
		if !s.Covers(id) {
			t.Error("it is not covered")
		}
		clock = now.Add(RevocationLife)
		wantRefused(t, v, token, Expired)
	}
}

func TestALaterRevocationOfAUserReplacesTheFirst(t *testing.T) {
	var s Revocations
	id := identityAt("ada", "t", now)
	s.Put(Revocation{User: "ada", Before: now, At: now})
	s.Put(Revocation{User: "ada", Before: now.Add(time.Minute), At: now.Add(time.Minute)})
	if s.Len() != 1 || !s.Covers(id) {
		t.Error("the second does not count")
	}
}

var badRevocations = []Revocation{
	{}, {Token: "t"}, {User: "ada", At: now}, {At: now}, {Token: "t", User: "ada", At: now}, {Token: "t", Before: now, At: now},
	{Token: strings.Repeat("x", 201), At: now}, {User: strings.Repeat("x", 201), Before: now, At: now}, {Token: "a\x00", At: now},
	{User: "\xff", Before: now, At: now}, {User: "\ufffd", Before: now, At: now}, {Before: now.Add(time.Minute + time.Second + 1), At: now},
	{Token: "t", At: time.Unix(maxDate+1, 0)}, {Before: time.Unix(-5, 0), At: now},
}

func TestBadRevocationsAreRefused(t *testing.T) {
	for _, r := range badRevocations {
		if data, err := r.Marshal(); err == nil {
			t.Errorf("%+v becomes %s", r, data)
		}
		var s Revocations
		s.Put(r)
		if s.Len() != 0 {
			t.Errorf("%+v is put", r)
		}
	}
}

func TestParseRevocationIsStrict(t *testing.T) {
	good := Revocation{User: "ada", Before: now, At: now}
	value := `{"user":"ada","before":"2026-11-23T12:00:00Z","at":"2026-11-23T12:00:00Z"}`
	if data, err := good.Marshal(); err != nil || string(data) != value {
		t.Fatalf("%s, %v", data, err)
	}
	if got, err := ParseRevocation(good.Key(), []byte(value)); err != nil || got != good {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, bad := range []struct{ key, value string }{
		{"all", value}, {"", value}, {Revocation{User: "bob"}.Key(), value}, {Revocation{Token: "ada"}.Key(), value},
		{strings.ToUpper(good.Key()), value}, {good.Key() + " ", value},
		{good.Key(), value + " x"}, {good.Key(), strings.Replace(value, `"at"`, `"At"`, 1)}, {good.Key(), strings.Replace(value, "{", `{"user":"ada",`, 1)},
		{good.Key(), strings.Replace(value, "{", `{"why":"",`, 1)}, {good.Key(), strings.Replace(value, `"ada"`, `["ada"]`, 1)},
		{good.Key(), strings.Replace(value, `"ada"`, `null`, 1)}, {good.Key(), strings.Replace(value, "12:00", "25:00", 1)},
		{good.Key(), ""}, {good.Key(), "null"}, {good.Key(), "[]"}, {good.Key(), value[:20]},
		{good.Key(), value + strings.Repeat(" ", maxRevocation)},
		{"all", `{"at":"2026-11-23T12:00:00Z"}`},
	} {
		got, err := ParseRevocation(bad.key, []byte(bad.value))
		if err == nil || got != (Revocation{}) {
			t.Errorf("%s %s is read as %+v", bad.key, bad.value, got)
		} else if strings.Contains(err.Error(), "ada") {
			t.Errorf("the error repeats the value: %v", err)
		}
	}
}

// FuzzRevocation wants whatever is read to be written again as the same, under its key,
// and to be counted by the set.
func FuzzRevocation(f *testing.F) {
	for _, r := range append(badRevocations, Revocation{Token: "t", At: now}, Revocation{User: "ada", Before: now, At: now}, Revocation{Before: now, At: now.Add(1)}) {
		data, _ := r.Marshal()
		f.Add(r.Key(), data)
	}
	f.Add("all", []byte(`{"before":"2026-11-23T12:00:00+23:59","at":"2026-11-23T12:00:00.5Z"}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		r, err := ParseRevocation(key, value)
		if err != nil {
			return
		}
		data, err := r.Marshal()
		if err != nil || r.Key() != key {
			t.Fatalf("%+v: %v", r, err)
		}
		again, err := ParseRevocation(key, data)
		if err != nil || !again.Before.Equal(r.Before) || !again.At.Equal(r.At) || again.Token != r.Token || again.User != r.User {
			t.Fatalf("%+v became %+v: %v", r, again, err)
		}
		var s Revocations
		s.Put(r)
		if s.Len() != 1 {
			t.Fatalf("%+v is not put", r)
		}
		id := Identity{User: "nobody", TokenID: r.Token}
		if r.User != "" {
			id.User = r.User
		}
		if covered := s.Covers(id); !covered {
			t.Fatalf("%+v does not cover %+v", r, id)
		}
		s.Delete(key)
		if s.Len() != 0 {
			t.Fatalf("%q deletes nothing", key)
		}
	})
}

func TestCoversDoesNotAllocate(t *testing.T) {
	var s Revocations
	s.Put(Revocation{Token: "x", At: now})
	s.Put(Revocation{User: "x", Before: now, At: now})
	s.Put(Revocation{Before: now.Add(-time.Hour), At: now})
	id := identityAt(strings.Repeat("u", MaxUser), strings.Repeat("t", MaxTokenID), now)
	if n := testing.AllocsPerRun(100, func() { s.Covers(id) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRevocationsFromManyGoroutines(t *testing.T) {
	var s Revocations
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 200 {
				r := Revocation{Token: fmt.Sprint(worker, i), At: now}
				s.Put(r)
				s.Put(Revocation{User: fmt.Sprint(worker), Before: now, At: now})
				if !s.Covers(identityAt("someone", r.Token, now)) {
					t.Error("a revocation is not there")
				}
				s.Delete(r.Key())
				s.Len()
			}
		})
	}
	wg.Wait()
	if s.Len() != 4 {
		t.Errorf("%d are left", s.Len())
	}
}

func BenchmarkCovers(b *testing.B) {
	var s Revocations
	for i := range 10_000 {
		s.Put(Revocation{Token: fmt.Sprint(i), At: now})
		s.Put(Revocation{User: fmt.Sprint(i), Before: now, At: now})
	}
	id := identityAt("ada", "01JDCS5Z6V7W8X9Y0Z1A2B3C4D", now)
	b.ReportAllocs()
	for b.Loop() {
		s.Covers(id)
	}
}
