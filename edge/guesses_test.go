package edge_test

import (
	"net/http"
	"testing"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/schema"
)

// TestATokenOfOnesOwnForgivesNoGuess: neither between guesses, nor on another service, nor
// on a connection that is there already.
func TestATokenOfOnesOwnForgivesNoGuess(t *testing.T) {
	_, e := guarded(t, func(c *edge.Config) { c.Failures = limit.FailuresConfig{Max: 3} })
	own := reader(t, "u1")
	in := enter(t, e, own)
	for range 3 {
		enter(t, e, own)
		bad, _, err := knock(t, e, schema.Dhruva, bearer("bad"))
		if err != nil {
			t.Fatal(err)
		}
		bad.wantClosed(conn.CloseUnauthorized)
	}
	if _, response, err := knock(t, e, schema.Dhruva, bearer(own)); err == nil || response.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a new connection: %v", err)
	}
	other, _, err := knock(t, e, schema.Akosha, bearer("bad"))
	if err != nil {
		t.Fatalf("who failed at one service is shut out of another: %v", err)
	}
	other.wantClosed(conn.CloseUnauthorized)
	in.send(`{"type":"request","event":"refresh_token","data":{"token":"` + own + `"}}`)
	if before := in.wantClosed(conn.CloseRateLimited); len(before) != 1 || before[0].Code != "AUTH_FAILED" {
		t.Errorf("on a connection that was there: %+v", before)
	}
	if n := metric(t, e, `indranet_security_events_total{service="dhruva",event="auth_refused",reason="malformed"}`); n != 3 {
		t.Errorf("%v tokens were looked at and refused", n)
	}
}
