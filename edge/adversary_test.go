package edge_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/schema"
)

// TestAHastyClientIsReadOnceItsTokenWasAccepted: whatever it sends behind its token waits
// in the network, however much that is and however fast it comes.
func TestAHastyClientIsReadOnceItsTokenWasAccepted(t *testing.T) {
	_, e := guarded(t, func(c *edge.Config) {
		every(c, func(s *edge.Service) { s.Limits.MessagesPerSecond = 10 })
		c.Failures.Max = 10
	})
	hurry := func(token string, pings int) *client {
		c, _, err := knock(t, e, schema.Dhruva, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.send(`{"type":"request","event":"auth","data":{"token":"` + token + `"}}`)
		for range pings {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			_ = c.ws.Write(ctx, websocket.MessageText, []byte(`{"type":"ping"}`)) // It may be closed already.
			cancel()
		}
		return c
	}
	for range 3 { // Each answer comes later than the one before.
		before := hurry("bad", 100).wantClosed(conn.CloseUnauthorized)
		if len(before) != 1 || before[0].Code != "AUTH_FAILED" {
			t.Errorf("%+v", before)
		}
	}
	good := hurry(reader(t, "u1"), 0)
	var list []string
	for i := range 90 {
		list = append(list, fmt.Sprintf(`{"channel":"adapter:%0190d"}`, i))
	}
	for range 5 { // 100 KB in a hurry.
		good.send(`{"type":"request","event":"subscribe","data":{"channels":[` + strings.Join(list, ",") + `]}}`)
	}
	good.want("response", "auth")
	good.want("event", "welcome")
	for range 5 {
		if m := good.answer(); m.Code != "" {
			t.Errorf("%s %s", m.Code, m.Text)
		}
	}
}
