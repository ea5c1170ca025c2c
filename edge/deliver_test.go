package edge_test

import (
	"fmt"
	"testing"

	"github.com/bodhisattva/indranet/schema"
)

func adapter(id string, n int) string {
	return fmt.Sprintf(`{"adapter_id":%q,"repo":"r","version":"%d"}`, id, n)
}

func TestLateJoinerGetsHistoryThenLive(t *testing.T) {
	srv, e := started(t)
	s := newStore(t, srv)
	var want []uint64
	for i := range 5 {
		want = append(want, s.put(schema.Dhruva, "adapter.activated", adapter("a", i)))
		s.put(schema.Dhruva, "adapter.activated", adapter("other", i))
	}
	c := dial(t, e, schema.Dhruva)
	ack := c.subscribe("adapter:a", `"start"`)
	if ack.Status != "subscribed" || ack.Epoch == "" || *ack.Seq != 0 || !*ack.Recovered || *ack.FirstSeq != 1 {
		t.Fatalf("ack %+v", ack)
	}
	list, at := c.untilCaughtUp("adapter:a")
	sameSeqs(t, list, want)
	checkChain(t, list, 0)
	if at < want[4] {
		t.Fatalf("caught up at %d", at)
	}
	live := s.put(schema.Dhruva, "adapter.activated", adapter("a", 9))
	sameSeqs(t, c.events(1, want[4]), []uint64{live})
}

func TestReturningClientGetsExactlyTheRest(t *testing.T) {
	srv, e := started(t)
	s := newStore(t, srv)
	c := dial(t, e, schema.Dhruva)
	ack := c.subscribe("adapter:a", "")
	c.untilCaughtUp("adapter:a")
	first := s.put(schema.Dhruva, "adapter.activated", adapter("a", 1))
	c.events(1, *ack.Seq)
	_ = c.ws.CloseNow()
	var want []uint64
	for i := range 3 {
		want = append(want, s.put(schema.Dhruva, "adapter.activated", adapter("a", i)))
	}
	for range 2 { // From the ring, then from another edge that has none.
		c = dial(t, e, schema.Dhruva)
		ack = c.subscribe("adapter:a", fmt.Sprintf(`{"seq":%d,"epoch":%q}`, first, ack.Epoch))
		if !*ack.Recovered || *ack.Seq != first {
			t.Fatalf("ack %+v", ack)
		}
		sameSeqs(t, c.events(len(want), first), want) // caught_up may come among them.
		e = edgeOn(t, srv)
	}
}
