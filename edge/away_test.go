package edge_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/request"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/dhruva"
)

// refused asks for a channel and fails unless the answer is an error, whose code it
// returns.
func (c *client) refused(channel string) string {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"type":"request","event":"subscribe","data":{"channel":%q}}`, channel))
	for {
		switch m := c.next(); m.Type {
		case "error":
			return m.Code
		case "ack", "event":
		default:
			c.t.Fatalf("got %s %q, want an error", m.Type, m.Event)
		}
	}
}

func TestWhileNATSIsAwayEdgesServeWhatTheyHoldAndPublishersWait(t *testing.T) {
	srv, e := started(t, func(c *edge.Config) {
		every(c, func(s *edge.Service) { s.Limits = request.Limits{Timeout: time.Second} })
	})
	s := newStore(t, srv)
	faithful := dial(t, e, schema.Dhruva)
	ack := faithful.subscribe("adapter:a", "")
	faithful.untilCaughtUp("adapter:a")
	var want []uint64
	for i := range 5 {
		want = append(want, s.put(schema.Dhruva, "adapter.activated", adapter("a", i)))
	}
	faithful.events(5, 0)
	nc := srv.Connect(t, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	pub, err := publisher.New(nc, publisher.WithTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	last, err := pub.Publish(t.Context(), dhruva.AdapterActivated{AdapterID: "a", Repo: "r", Version: "5"})
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, last.Seq)
	faithful.events(1, want[4])

	srv.Shutdown()
	event, err := pub.PublishAsync(t.Context(), dhruva.AdapterActivated{AdapterID: "a", Repo: "r", Version: "6"})
	if err != nil {
		t.Fatal(err)
	}
	returning := dial(t, e, schema.Dhruva)
	if back := returning.subscribe("adapter:a", fmt.Sprintf(`{"seq":%d,"epoch":%q}`, want[1], ack.Epoch)); !*back.Recovered {
		t.Errorf("ack %+v", back)
	}
	sameSeqs(t, returning.events(4, want[1]), want[2:])
	if code := returning.refused("adapter:never"); code != "UNAVAILABLE" {
		t.Errorf("a channel that the edge knows nothing of: %s", code)
	}
	if e.Ready() == nil {
		t.Error("the edge says that it is ready")
	}

	srv.Restart(t)
	receipt, err := event.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{faithful, returning} {
		sameSeqs(t, c.events(1, last.Seq), []uint64{receipt.Seq})
	}
	for deadline := time.Now().Add(patience); e.Ready() != nil; {
		if time.Now().After(deadline) {
			t.Fatal(e.Ready())
		}
		<-time.After(10 * time.Millisecond)
	}
	returning.subscribe("adapter:never", "")
}
