package request

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/bodhisattva/indranet/edge/audit"
	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/conn"
)

// TestAnswersForWhoHasGoneAreNotCountedForEver: a client that asks and goes, again and
// again, would use the budget of all others up.
func TestAnswersForWhoHasGoneAreNotCountedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		h.log.act("a", 10)
		hold := make(chan struct{})
		h.log.mu.Lock()
		h.log.hold["adapter:a"] = hold
		h.log.mu.Unlock()
		for _, request := range []string{"history", "subscribe"} {
			g := h.open("good")
			g.drain()
			g.ask(`{"type":"request","event":%q,"data":{"channel":"adapter:a","since":"start"}}`, request)
			g.end()
		}
		close(hold)
		synctest.Wait()
		if n := h.server.budget.Used(); n != 0 {
			t.Errorf("%d bytes are counted for nobody", n)
		}
	})
}

// TestAnswersThatWaitAreNotSentAfterARevocation: a client that does not read asks for
// history, and reads when its token has been revoked.
func TestAnswersThatWaitAreNotSentAfterARevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		h.log.act("a", 10)
		waiting, reading := h.open("good"), h.open("good")
		waiting.drain()
		reading.drain()
		waiting.ask(`{"type":"request","event":"history","data":{"channel":"adapter:a","since":"start"}}`)
		hold := make(chan struct{})
		h.log.mu.Lock()
		h.log.hold["adapter:a"] = hold
		h.log.mu.Unlock()
		reading.ask(`{"type":"request","event":"history","data":{"channel":"adapter:a","since":"start"}}`)
		h.gate.mu.Lock()
		h.gate.revoked["good"] = true
		h.gate.mu.Unlock()
		h.server.Recheck()
		synctest.Wait()
		close(hold) // What is read now is for nobody.
		waiting.wants(conn.CloseRevoked, "error AUTH_FAILED")
		reading.wants(conn.CloseRevoked, "error AUTH_FAILED")
	})
}

// TestAnExpiredTokenLearnsNothingBeforeTheNextTick: neither what was answered before its
// end nor what is asked after it, positions included.
func TestAnExpiredTokenLearnsNothingBeforeTheNextTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		h.gate.issue("good", "u1", time.Minute, "dhruva:read")
		h.log.act("a", 10)
		g := h.open("good")
		g.subscribe("adapter:a", `"now"`)
		g.drain()
		g.ask(`{"type":"request","event":"history","data":{"channel":"adapter:a","since":"start"}}`)
		<-time.After(time.Minute)
		g.ask(`{"type":"request","event":"get_status"}`)
		g.ask(`{"type":"ping"}`)
		g.wants(conn.CloseTokenExpired, "error TOKEN_EXPIRED")
	})
}

// TestNothingBehindATokenIsReadBeforeItIsAccepted: so that no answer, not even that
// messages come too fast, goes ahead of the answer to the token.
func TestNothingBehindATokenIsReadBeforeItIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{MessagesPerSecond: 1}, nil)
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		g := h.open("")
		wait := make(chan struct{})
		h.server.door.Verify = func(ctx context.Context, token string) (auth.Identity, error) {
			<-wait
			return h.gate.verify(ctx, token)
		}
		if g.session.Receive([]byte(`{"type":"request","event":"auth","data":{"token":"good"}}`)) {
			t.Error("more is read while the token is being looked at")
		}
		synctest.Wait()
		g.session.Tick(time.Now().Add(authTimeout - 1))
		g.wants(0)
		if g.conn.resumes.Load() != 0 {
			t.Error("reading goes on before the token was accepted")
		}
		close(wait)
		g.wants(0, "response auth", "event welcome")
		if n := g.conn.resumes.Load(); n != 1 {
			t.Errorf("reading was resumed %d times", n)
		}
	})
}

// TestWhoWasNotLetInFillsNoLog: of who was not let in there are the security events, which
// are bounded; of who was, one line.
func TestWhoWasNotLetInFillsNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		var log bytes.Buffer
		h.server.logger = slog.New(slog.NewTextHandler(&log, nil))
		for range 100 {
			h.open("bad").end()
			h.open("").end()
		}
		h.open("good").end()
		if n := bytes.Count(log.Bytes(), []byte("\n")); n != 1 {
			t.Errorf("%d lines", n)
		}
	})
}

// TestAThousandRevocationsAreOneWalkOverAllConnections: who tells of revocations goes on to
// the next at once, however many connections there are to look at.
func TestAThousandRevocationsAreOneWalkOverAllConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		h.gate.issue("other", "u2", time.Hour, "dhruva:read")
		g, other := h.open("good"), h.open("other")
		g.drain()
		other.drain()
		looks := 0
		h.gate.mu.Lock()
		h.server.door.Revoked = func(identity auth.Identity) bool {
			h.gate.mu.Lock()
			defer h.gate.mu.Unlock()
			looks++
			return h.gate.revoked[identity.TokenID]
		}
		for range 1000 {
			h.server.Recheck() // While a walk is held.
		}
		h.gate.revoked["good"] = true
		h.server.Recheck()
		h.gate.mu.Unlock()
		g.wants(conn.CloseRevoked, "error AUTH_FAILED")
		other.wants(0)
		if looks > 2*3 {
			t.Errorf("%d looks at two connections", looks)
		}
	})
}

// TestARefusedTokenIsRecordedWithItsConnection: where there is one.
func TestARefusedTokenIsRecordedWithItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		var log bytes.Buffer
		h.server.door.Audit = audit.New(slog.New(slog.NewTextHandler(&log, nil)), metrics.NewSet())
		h.open("bad")
		if text := log.String(); !strings.Contains(text, "reason=signature") || strings.Contains(text, "connection=") {
			t.Errorf("of a handshake: %s", text)
		}
		log.Reset()
		h.open("").show("auth", "bad")
		if text := log.String(); !strings.Contains(text, "reason=signature") || !strings.Contains(text, "security.connection=a") {
			t.Errorf("of a message: %s", text)
		}
	})
}
