package request

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/audit"
	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// gate is the door of a test: tokens by name, and what has been revoked.
type gate struct {
	mu      sync.Mutex
	tokens  map[string]auth.Identity
	revoked map[string]bool // Tokens by id.
	stale   bool
	inside  map[string]int // Connections by user.
	most    int
	delay   time.Duration
}

func newGate() *gate {
	return &gate{tokens: map[string]auth.Identity{}, revoked: map[string]bool{}, inside: map[string]int{}, most: 1 << 30}
}

// issue makes a token for a user that lives so long.
func (g *gate) issue(token, user string, life time.Duration, permissions ...string) auth.Identity {
	now := time.Now()
	identity := auth.Identity{User: user, TokenID: token, IssuedAt: now, Expires: now.Add(life), Permissions: auth.ParsePermissions(permissions)}
	g.tokens[token] = identity
	return identity
}

func (g *gate) verify(_ context.Context, token string) (auth.Identity, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	identity, ok := g.tokens[token]
	switch {
	case !ok:
		return identity, &auth.Refusal{Reason: auth.Signature, Err: errors.New("no such token")}
	case !time.Now().Before(identity.Expires):
		return identity, &auth.Refusal{Reason: auth.Expired, Err: errors.New("expired")}
	}
	return identity, nil
}

func (g *gate) isRevoked(identity auth.Identity) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.revoked[identity.TokenID]
}

func (g *gate) enter(user string) (func(), bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside[user] >= g.most {
		return nil, false
	}
	g.inside[user]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.inside[user]--
	}, true
}

func (g *gate) door() Door {
	return Door{
		RequireAuth: true, Verify: g.verify, Revoked: g.isRevoked, Enter: g.enter,
		Stale:  func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.stale },
		Failed: func(Peer) time.Duration { return g.delay },
	}
}

// hall is a server behind a gate.
type hall struct {
	t      *testing.T
	log    *shelf
	gate   *gate
	server *Server
}

func newHall(t *testing.T, limits Limits, change func(*Door)) *hall {
	h := &hall{t: t, log: newShelf(), gate: newGate()}
	set := feed.New(schema.Dhruva, catalogue.Default(), h.log, h.log, feed.Config{}, slog.New(slog.DiscardHandler))
	door := h.gate.door()
	if change != nil {
		change(&door)
	}
	h.server = newServerWith(set, limits, door)
	t.Cleanup(func() {
		h.server.Close()
		set.Close()
	})
	return h
}

// guest is a connection of a hall.
type guest struct {
	peer
	conn *awake
	over bool
}

// open connects; token is that of the handshake, empty for none.
func (h *hall) open(token string) *guest {
	h.t.Helper()
	var peer Peer
	if token != "" {
		h.server.Authenticate(h.t.Context(), &peer, token)
	}
	g := &guest{conn: &awake{}}
	g.t = h.t
	g.session = h.server.Open(g.conn, peer).(*Session)
	h.t.Cleanup(g.end)
	return g
}

func (g *guest) end() {
	if !g.over {
		g.over = true
		g.session.Closed(conn.Reason{})
	}
}

// show sends a token in a message.
func (g *guest) show(request, token string) {
	g.ask(`{"type":"request","event":%q,"id":"1","data":{"token":%q}}`, request, token)
}

// wants takes everything and compares kind, name and code of the frames with a list,
// and how the connection was closed.
func (g *guest) wants(code conn.Code, want ...string) {
	g.t.Helper()
	from := len(g.got)
	g.drain()
	var got []string
	for _, f := range g.got[from:] {
		text := f.Type
		for _, part := range []string{f.Event, f.Room, f.ErrorCode} {
			if part != "" {
				text += " " + part
			}
		}
		got = append(got, text)
	}
	if !slices.Equal(got, want) {
		g.t.Errorf("got %q, want %q", got, want)
	}
	if closed := g.conn.closed(); closed != code {
		g.t.Errorf("closed with %d, want %d", closed, code)
	}
}

func TestNothingIsSaidBeforeATokenIsAccepted(t *testing.T) {
	for name, message := range map[string]string{
		"another request":  `{"type":"request","event":"subscribe","data":{"channel":"adapter:a"}}`,
		"a ping":           `{"type":"ping"}`,
		"no JSON":          `x`,
		"a refresh":        `{"type":"request","event":"refresh_token","data":{"token":"good"}}`,
		"a huge token":     fmt.Sprintf(`{"type":"request","event":"auth","data":{"token":"good","x":"%0*d"}}`, maxAuthFrame, 0),
		"an event to send": `{"type":"event","event":"adapter.activated","data":{"adapter_id":"a"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t, Limits{}, nil)
				h.gate.issue("good", "u1", time.Hour, "dhruva:read")
				g := h.open("")
				g.wants(0)
				g.ask("%s", message)
				g.wants(conn.CloseUnauthorized, "error AUTH_REQUIRED")
				g.show("auth", "good") // Too late.
				g.wants(conn.CloseUnauthorized)
			})
		})
	}
}

func TestATokenMustComeInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		g := h.open("")
		g.session.Tick(time.Now().Add(authTimeout - 1))
		g.wants(0)
		g.session.Tick(time.Now().Add(authTimeout))
		g.wants(conn.CloseUnauthorized, "error AUTH_REQUIRED")
		h.server.door.Crowded = func() bool { return true }
		g = h.open("")
		g.session.Tick(time.Now().Add(crowdedTimeout - 1))
		g.wants(0)
		g.session.Tick(time.Now().Add(crowdedTimeout))
		g.wants(conn.CloseUnauthorized, "error AUTH_REQUIRED")

		// Who has shown one waits for the edge.
		h.gate.delay = 4 * time.Second
		g = h.open("")
		g.session.Receive([]byte(`{"type":"request","event":"auth","data":{"token":"bad"}}`))
		g.session.Tick(time.Now().Add(crowdedTimeout))
		g.wants(0)
		<-time.After(h.gate.delay)
		g.wants(conn.CloseUnauthorized, "error auth AUTH_FAILED")
	})
}

func TestTheFirstMessageOpensTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		g := h.open("")
		h.gate.delay = time.Second // In which a hasty client says more.
		g.show("auth", "good")
		g.wants(0, "response auth", "event welcome")
		wrong := h.open("")
		if wrong.session.Receive([]byte(`{"type":"request","event":"auth","data":{"token":"bad"}}`)) {
			t.Error("what comes behind a token is read at once")
		}
		<-time.After(h.gate.delay)
		wrong.wants(conn.CloseUnauthorized, "error auth AUTH_FAILED")
		g.subscribe("adapter:a", `"now"`)
		g.wants(0, "response subscribe", "ack caught_up adapter:a")
		g.show("auth", "good")
		g.wants(0, "error auth INVALID_REQUEST")
	})
}

func TestABadTokenClosesAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		h.gate.delay = 3 * time.Second
		start := time.Now()
		h.open("bad").wants(conn.CloseUnauthorized, "error AUTH_FAILED")
		if waited := time.Since(start); waited != h.gate.delay {
			t.Errorf("the answer to a handshake came after %v", waited)
		}
		g := h.open("")
		g.show("auth", "bad")
		g.wants(0)
		<-time.After(h.gate.delay)
		g.wants(conn.CloseUnauthorized, "error auth AUTH_FAILED")
		h.gate.issue("old", "u1", -time.Second, "dhruva:read")
		g = h.open("")
		g.show("auth", "old") // It is no guess, and is told at once.
		g.wants(conn.CloseUnauthorized, "error auth TOKEN_EXPIRED")
	})
}

// TestNoTokenOfABlockedPeerIsLookedAt: however it is shown, and the connection ends.
func TestNoTokenOfABlockedPeerIsLookedAt(t *testing.T) {
	for name, show := range map[string]func(h *hall) (*guest, []string){
		"in the handshake": func(h *hall) (*guest, []string) { return h.open("good"), []string{"error AUTH_FAILED"} },
		"in the first message": func(h *hall) (*guest, []string) {
			g := h.open("")
			g.show("auth", "good")
			return g, []string{"error auth AUTH_FAILED"}
		},
		"later": func(h *hall) (*guest, []string) {
			h.server.door.RequireAuth = false
			g := h.open("")
			g.show("auth", "good")
			return g, []string{"event welcome", "error auth AUTH_FAILED"}
		},
		"to stay": func(h *hall) (*guest, []string) {
			h.server.door.Blocked = nil
			g := h.open("good")
			h.server.door.Blocked = func(Peer) bool { return true }
			g.show("refresh_token", "good")
			return g, []string{"event welcome", "error refresh_token AUTH_FAILED"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t, Limits{}, func(d *Door) { d.Blocked = func(Peer) bool { return true } })
				h.gate.issue("good", "u1", time.Hour, "dhruva:read")
				g, want := show(h)
				g.wants(conn.CloseRateLimited, want...)
				if n := h.server.door.Audit.Count(audit.ConnectionRefused, "dhruva", "blocked"); n != 1 {
					t.Errorf("%d are recorded", n)
				}
			})
		})
	}
}

// TestARevokedTokenIsNoGuess: whoever has it did not guess, nor did who shares the address.
func TestARevokedTokenIsNoGuess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, func(d *Door) {
			d.Failed = func(Peer) time.Duration { t.Error("it counts"); return 0 }
		})
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		h.gate.revoked["good"] = true
		h.open("good").wants(conn.CloseUnauthorized, "error AUTH_FAILED")
	})
}

func TestAnonymousConnectionsMayDoWhatTheyAreGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, func(d *Door) {
			d.RequireAuth, d.Anonymous = false, auth.ParsePermissions([]string{"dhruva:read:adapter:a"})
		})
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		g := h.open("")
		g.wants(0, "event welcome")
		g.subscribe("adapter:a", `"now"`)
		g.wants(0, "response subscribe", "ack caught_up adapter:a")
		for _, room := range []string{"adapter:b", "adapter:*", "global", "lifecycle", "registry"} {
			g.subscribe(room, `"now"`)
			g.wants(0, "error subscribe FORBIDDEN")
			g.ask(`{"type":"request","event":"history","data":{"channel":%q}}`, room)
			g.wants(0, "error history FORBIDDEN")
		}
		g.ask(`{"type":"request","event":"history","data":{"channel":"adapter:a"}}`)
		g.wants(0, "response history")
		g.show("auth", "good") // Later it may say who it is.
		g.wants(0, "response auth")
		g.subscribe("adapter:b", `"now"`)
		g.wants(0, "response subscribe", "ack caught_up adapter:b")
	})
}

func TestAWeakerTokenEndsWhatItDoesNotCover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		h.gate.issue("strong", "u1", time.Hour, "dhruva:read")
		h.gate.issue("weak", "u1", time.Hour, "dhruva:read:adapter:a")
		h.gate.issue("other", "u2", time.Hour, "dhruva:read")
		g := h.open("strong")
		g.subscribe("adapter:a", `"now"`)
		g.subscribe("global", `"now"`)
		g.drain()
		for _, bad := range []string{"bad", "other"} {
			g.show("refresh_token", bad)
			g.wants(0, "error refresh_token AUTH_FAILED")
		}
		h.log.act("a", 10)
		from := len(g.got)
		g.drain()
		if n := len(g.got) - from; n != 2 { // The old token is still good.
			t.Errorf("%d events", n)
		}
		h.log.act("a", 10)
		synctest.Wait() // It is there to be sent, of both subscriptions.
		g.show("refresh_token", "weak")
		h.log.act("a", 10)
		g.wants(0, "response refresh_token", "error global FORBIDDEN",
			"event adapter.activated adapter:a", "event adapter.activated adapter:a")
		if n := h.server.Stats.Subscriptions.Load(); n != 1 {
			t.Errorf("%d subscriptions", n)
		}
	})
}

func TestATokenIsWarnedAboutAndThenEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, func(d *Door) { d.Leeway = 5 * time.Second })
		h.gate.issue("hour", "u1", time.Hour, "dhruva:read")
		h.gate.issue("minute", "u1", time.Minute, "dhruva:read")
		long, short := h.open("hour"), h.open("minute")
		tick := func() {
			long.session.Tick(time.Now())
			short.session.Tick(time.Now())
		}
		long.subscribe("adapter:a", `"now"`)
		long.drain()
		short.drain()
		<-time.After(30 * time.Second)
		tick()
		short.wants(0, "event token.expiring") // At half of its life.
		tick()
		short.wants(0) // Once.
		h.gate.issue("next", "u1", time.Hour, "dhruva:read")
		short.show("refresh_token", "next")
		short.wants(0, "response refresh_token")
		<-time.After(time.Hour - 90*time.Second)
		tick()
		long.wants(0, "event token.expiring")
		<-time.After(64 * time.Second)
		h.log.act("a", 10)
		long.wants(0, "event adapter.activated adapter:a") // Within the leeway.
		<-time.After(2 * time.Second)
		h.log.act("a", 10)
		long.wants(conn.CloseTokenExpired, "error TOKEN_EXPIRED") // Nothing after, even before the next tick.
		tick()
		short.wants(0, "event token.expiring")
	})
}

func TestARevokedTokenGetsNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		h.gate.issue("one", "u1", time.Hour, "dhruva:read")
		h.gate.issue("two", "u1", time.Hour, "dhruva:read")
		one, two := h.open("one"), h.open("two")
		for _, g := range []*guest{one, two} {
			g.subscribe("adapter:a", `"now"`)
			g.drain()
		}
		h.log.act("a", 10) // Ready to be sent.
		synctest.Wait()
		h.gate.mu.Lock()
		h.gate.revoked["one"] = true
		h.gate.mu.Unlock()
		h.server.Recheck()
		one.wants(conn.CloseRevoked, "error AUTH_FAILED")
		two.wants(0, "event adapter.activated adapter:a")
		h.open("one").wants(conn.CloseUnauthorized, "error AUTH_FAILED")
		two.show("refresh_token", "one")
		two.wants(0, "error refresh_token AUTH_FAILED")
	})
}

func TestNobodyGetsAnythingNewWhileRevocationsAreUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		h.gate.issue("one", "u1", time.Hour, "dhruva:read")
		g := h.open("one")
		g.subscribe("adapter:a", `"now"`)
		g.drain()
		h.gate.mu.Lock()
		h.gate.stale = true
		h.gate.mu.Unlock()
		g.subscribe("adapter:b", `"now"`)
		g.ask(`{"type":"request","event":"history","data":{"channel":"adapter:a"}}`)
		h.log.act("a", 10)
		g.wants(0, "error subscribe UNAVAILABLE", "error history UNAVAILABLE", "event adapter.activated adapter:a")
		h.server.door.RequireAuth, h.server.door.Anonymous = false, auth.ParsePermissions([]string{"dhruva:read"})
		nobody := h.open("") // Who has no token that could be revoked.
		nobody.subscribe("adapter:b", `"now"`)
		nobody.wants(0, "event welcome", "response subscribe", "ack caught_up adapter:b")
	})
}

func TestAUserHasSoManyConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		h.gate.most = 2
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		first, second := h.open("good"), h.open("")
		second.show("auth", "good")
		third := h.open("")
		third.show("auth", "good")
		h.open("good").wants(conn.CloseTryLater)
		third.wants(conn.CloseTryLater)
		second.wants(0, "response auth", "event welcome")
		first.end()
		h.open("good").wants(0, "event welcome")
	})
}
