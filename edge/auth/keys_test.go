package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

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
	for location, want := range map[string]Reason{"https://other.example/": "", "http://127.0.0.1/": "",
		"http://other.example/": KeysUnavailable, "https://a:b@other.example/": KeysUnavailable} {
		keys := &provider{}
		keys.serve(keySetOf(es))
		synctest.Test(t, func(t *testing.T) {
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Host == "id.example" {
					http.Redirect(w, r, location, http.StatusFound)
				} else {
					keys.ServeHTTP(w, r)
				}
			})
			v, err := NewVerifier(t.Context(), Config{Service: schema.Dhruva, JWKS: "https://id.example/"}, &http.Client{Transport: inMemory{handler}})
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			synctest.Wait()
			token := es.token(t, fresh().with("exp", time.Now().Add(time.Hour).Unix()), "e")
			if want == "" {
				wantAccepted(t, v, token)
				return
			}
			wantRefused(t, v, token, want)
			if n := keys.requests.Load(); n != 0 {
				t.Errorf("%s was asked %d times", location, n)
			}
		})
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
		<-time.After(fetchEvery)
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
