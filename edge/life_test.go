package edge_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
)

// TestARevokedTokenGetsNothingAfterASecond: under load, on every connection of the user,
// and on no other.
func TestARevokedTokenGetsNothingAfterASecond(t *testing.T) {
	srv, e := guarded(t)
	nc := srv.Connect(t)
	const each = 50
	type ended struct {
		code websocket.StatusCode
		last time.Time // When the last event came.
	}
	ends := make(chan ended, each)
	var good sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var staying []*client
	for i := range 2 * each {
		user := "staying"
		if i%2 == 0 {
			user = "leaving"
		}
		c := enter(t, e, reader(t, user))
		c.subscribe("adapter:a", "")
		if user == "staying" {
			staying = append(staying, c)
			continue
		}
		good.Go(func() {
			var end ended
			for {
				m, err := c.read()
				if err != nil {
					end.code = websocket.CloseStatus(err)
					ends <- end
					return
				}
				if m.Type == "event" {
					end.last = time.Now()
				}
			}
		})
	}
	s := newStore(t, srv)
	var load sync.WaitGroup
	load.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			s.put(schema.Dhruva, "adapter.activated", adapter("a", n))
		}
	})
	defer load.Wait()
	defer stop()
	r := auth.Revocation{User: "leaving", Before: time.Now(), At: time.Now()}
	value, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.PutRevocation(t.Context(), nc, r.Key(), func([]byte, time.Time) []byte { return value }); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	good.Wait()
	close(ends)
	worst := time.Duration(0)
	for end := range ends {
		if end.code != websocket.StatusCode(conn.CloseRevoked) {
			t.Errorf("closed with %d", end.code)
		}
		worst = max(worst, end.last.Sub(at))
	}
	if worst > time.Second {
		t.Errorf("an event came %v after the token was revoked", worst)
	}
	t.Logf("the last event came %v after the revocation", worst)
	for _, c := range staying {
		c.events(1, 0)
	}
	again, _, err := knock(t, e, schema.Dhruva, bearer(reader(t, "staying")))
	if err != nil {
		t.Fatal(err)
	}
	again.want("event", "welcome")
	until(t, "the others stay", func() bool { return e.Connections(schema.Dhruva) == each+1 })
}

func TestAnExpiredTokenGetsNothing(t *testing.T) {
	srv, e := guarded(t, func(c *edge.Config) {
		every(c, func(s *edge.Service) { s.Auth.Leeway = -1 })
	})
	s := newStore(t, srv)
	token := tokenOf(t, auth.MintClaims{User: "u1", Permissions: []string{"dhruva:read"}, Life: 4 * time.Second})
	c := enter(t, e, token)
	c.subscribe("adapter:a", "")
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			s.put(schema.Dhruva, "adapter.activated", adapter("a", n))
		}
	})
	defer load.Wait()
	defer stop()
	var warned, told bool
	var expires time.Time
	for _, m := range c.wantClosed(conn.CloseTokenExpired) {
		switch {
		case m.Event == "token.expiring":
			var data struct {
				Expires time.Time `json:"expires_at"`
			}
			unmarshal(t, m.Data, &data)
			warned, expires = true, data.Expires
		case m.Code == "TOKEN_EXPIRED":
			told = true
		case m.Type == "event" && told:
			t.Error("an event came after the end was told")
		}
	}
	if late := time.Since(expires); !warned || !told || late > 3*time.Second {
		t.Errorf("warned %v, told %v, closed %v after the end", warned, told, late)
	}
	refused, _, err := knock(t, e, schema.Dhruva, bearer(token))
	if err != nil {
		t.Fatal(err)
	}
	refused.wantClosed(conn.CloseUnauthorized)
}

// TestATokenEndsByTheLeewayAfterItsTime: which is that of the verifier, 10 s.
func TestATokenEndsByTheLeewayAfterItsTime(t *testing.T) {
	_, e := guarded(t)
	c := enter(t, e, signed(t, jwt.MapClaims{"sub": "u1", "scopes": []string{"dhruva:read"}, "exp": time.Now().Add(-7 * time.Second).Unix()}))
	began := time.Now()
	c.wantClosed(conn.CloseTokenExpired)
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("after %v", took)
	}
}

// TestARevocationThatIsTakenBackIsNone: and who was closed comes in again.
func TestARevocationThatIsTakenBackIsNone(t *testing.T) {
	srv, e := guarded(t)
	nc, token := srv.Connect(t), reader(t, "u1")
	c := enter(t, e, token)
	r := auth.Revocation{User: "u1", Before: time.Now().Add(time.Minute), At: time.Now()}
	value, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.PutRevocation(t.Context(), nc, r.Key(), func([]byte, time.Time) []byte { return value }); err != nil {
		t.Fatal(err)
	}
	c.wantClosed(conn.CloseRevoked)
	refused, _, err := knock(t, e, schema.Dhruva, bearer(token))
	if err != nil {
		t.Fatal(err)
	}
	refused.wantClosed(conn.CloseUnauthorized)
	if _, err := stream.DeleteRevocation(t.Context(), nc, r.Key()); err != nil {
		t.Fatal(err)
	}
	until(t, "it is taken back", func() bool { return metric(t, e, "indranet_revocations_current") == 0 })
	enter(t, e, token)
}

// TestWhileRevocationsAreUnknown: who is in stays, the edge is not ready, and after the
// grace nobody subscribes to more.
func TestWhileRevocationsAreUnknown(t *testing.T) {
	srv, e := guarded(t, func(c *edge.Config) { c.RevocationGrace = 3 * time.Second })
	c := enter(t, e, reader(t, "u1"))
	c.subscribe("adapter:a", "")
	c.untilCaughtUp("adapter:a")
	js, err := srv.Connect(t).JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(stream.RevocationsStream); err != nil {
		t.Fatal(err)
	}
	isReady(t, e, false)
	if err := e.Ready(); !errors.Is(err, stream.ErrNoRevocations) {
		t.Errorf("the reason is %v", err)
	}
	c.subscribe("adapter:b", "") // Within the grace.
	until(t, "subscribes are refused", func() bool {
		c.send(`{"type":"request","event":"subscribe","data":{"channel":"adapter:c"}}`)
		m := c.answer()
		return m.Code == "UNAVAILABLE"
	})
	newStore(t, srv).put(schema.Dhruva, "adapter.activated", adapter("a", 1))
	c.events(1, 0)
	if _, err := stream.EnsureRevocations(t.Context(), srv.Connect(t), 1); err != nil {
		t.Fatal(err)
	}
	isReady(t, e, true)
	enter(t, e, reader(t, "u2"))
}

func TestNobodyEntersBeforeRevocationsAreKnown(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Services()...))
	e := edgeOn(t, srv, closedDoor)
	c, _, err := knock(t, e, schema.Dhruva, bearer(reader(t, "u1")))
	if err != nil {
		t.Fatal(err)
	}
	if before := c.wantClosed(conn.CloseTryLater); len(before) != 1 || before[0].Code != "UNAVAILABLE" {
		t.Errorf("%+v", before)
	}
	isReady(t, e, false)
}
