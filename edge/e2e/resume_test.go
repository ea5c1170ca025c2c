package e2e_test

import (
	"fmt"
	"testing"
)

// repo goes through every JSON encoder and decoder on the way.
const repo = "github.com/indra/ネット \"🕸\" \u2028 </script>"

// position is what a client keeps to resume with.
type position struct {
	Seq   uint64 `json:"seq"`
	Epoch string `json:"epoch"`
}

// TestClientsReceiveEverythingOnceAcrossReconnects goes through the life of a
// client: the plain subscribe of older clients, the whole history, going away while
// events happen, and coming back with a position; each in Python, Node and a
// browser's page.
func TestClientsReceiveEverythingOnceAcrossReconnects(t *testing.T) {
	s := startServer(t)
	for name, newPeer := range map[string]func(*testing.T, *server) *peer{
		"python": pythonPeer, "node": nodePeer, "browser": browserPeer,
	} {
		t.Run(name, func(t *testing.T) {
			c := client{peer: newPeer(t, s), server: s, adapter: "e2e-" + name}
			c.publish(t, 3)

			// As older clients subscribe: live events only.
			c.open(t, s, "dhruva")
			c.subscribe(t, nil)
			c.wantCaughtUp(t)
			c.last = c.wantFirst(t, c.publish(t, 1))
			c.want(t, c.publish(t, 1))
			c.close(t)

			// The whole history, in order, then live.
			c.open(t, s, "dhruva")
			ack := c.subscribe(t, "start")
			if !ack.Recovered {
				t.Errorf("a subscription since the start is not recovered: %+v", ack)
			}
			c.last = c.wantFirst(t, 0)
			c.want(t, 1, 2, 3, 4)
			c.wantCaughtUp(t)
			c.want(t, c.publish(t, 1))
			c.close(t)

			// Away, back with the position of the last event.
			have := position{Seq: c.last, Epoch: ack.Epoch}
			c.publish(t, 3)
			c.open(t, s, "dhruva")
			c.wantRecovered(t, have)
			c.want(t, 6, 7, 8)
			have.Seq = c.wantCaughtUp(t)
			c.close(t)

			// Away, back with the position of caught_up; nothing comes twice.
			c.publish(t, 2)
			c.open(t, s, "dhruva")
			c.wantRecovered(t, have)
			c.want(t, 9, 10)
			c.wantCaughtUp(t)
			c.want(t, c.publish(t, 1))
			c.close(t)
		})
	}
}

// TestUnknownEpochIsNeverSilentlyResumed: a position of another log is refused by
// name, and what follows is the whole log that there is.
func TestUnknownEpochIsNeverSilentlyResumed(t *testing.T) {
	s := startServer(t)
	c := client{peer: nodePeer(t, s), server: s, adapter: "e2e-epoch"}
	c.publish(t, 2)
	c.open(t, s, "dhruva")
	ack := c.subscribe(t, position{Seq: 1, Epoch: "of-another-log"})
	if ack.Recovered || ack.Reason != "epoch_changed" {
		t.Errorf("a position of another log: %+v", ack)
	}
	c.last = c.wantFirst(t, 0)
	c.want(t, 1)
	c.wantCaughtUp(t)
	c.close(t)
}

// client is a peer that follows one channel of dhruva. The events of the channel
// are numbered from 0 in the order in which they were published.
type client struct {
	*peer
	server    *server
	adapter   string
	published int
	requests  int
	last      uint64 // the sequence of the last event received
}

func (c *client) channel() string { return "adapter:" + c.adapter }

// publish publishes the next n events and returns the number of the last.
func (c *client) publish(t *testing.T, n int) int {
	t.Helper()
	for range n {
		c.server.publish(t, "dhruva", "adapter.activated", map[string]any{
			"adapter_id": c.adapter,
			"repo":       repo,
			"version":    "1.0.0",
			"config":     map[string]int{"number": c.published},
		})
		c.published++
	}
	return c.published - 1
}

// subscribed is the data of the response to subscribe.
type subscribed struct {
	Status    string `json:"status"`
	Channel   string `json:"channel"`
	Epoch     string `json:"epoch"`
	Recovered bool   `json:"recovered"`
	Reason    string `json:"reason"`
}

// subscribe subscribes to the channel. Without since, the frame is what older
// clients send.
func (c *client) subscribe(t *testing.T, since any) subscribed {
	t.Helper()
	c.requests++
	id := fmt.Sprintf("sub_%s_%d", c.channel(), c.requests)
	data := map[string]any{"channel": c.channel()}
	if since != nil {
		data["since"] = since
	}
	c.tell(t, command{Do: "send", Frame: map[string]any{
		"type": "request", "event": "subscribe", "data": data, "id": id,
	}})
	f := c.wantFrame(t)
	if f.Type != "response" || f.Event != "subscribe" || f.CorrelationID != id {
		t.Fatalf("want the response to %s, got %+v", id, f)
	}
	var ack subscribed
	f.decode(t, &ack)
	if ack.Status != "subscribed" || ack.Channel != c.channel() || ack.Epoch == "" {
		t.Fatalf("response to subscribe: %s", f.Data)
	}
	if f.Status != ack.Status || f.Channel != ack.Channel {
		t.Errorf("older clients read status %q and channel %q of the response", f.Status, f.Channel)
	}
	return ack
}

func (c *client) wantRecovered(t *testing.T, since position) {
	t.Helper()
	if ack := c.subscribe(t, since); !ack.Recovered || ack.Epoch != since.Epoch {
		t.Fatalf("back with %+v: %+v", since, ack)
	}
}

// wantCaughtUp is the position of the caught_up that must come next.
func (c *client) wantCaughtUp(t *testing.T) uint64 {
	t.Helper()
	f := c.wantFrame(t)
	if f.Type != "ack" || f.Event != "caught_up" || f.Room != c.channel() {
		t.Fatalf("want caught_up of %s, got %+v", c.channel(), f)
	}
	var at struct {
		Seq uint64 `json:"seq"`
	}
	f.decode(t, &at)
	if at.Seq < c.last {
		t.Fatalf("caught up at %d, behind the event %d", at.Seq, c.last)
	}
	return at.Seq
}

// wantFirst is the sequence of the next event, which must be that of the number and
// may follow any other.
func (c *client) wantFirst(t *testing.T, number int) uint64 {
	t.Helper()
	f := c.wantEvent(t, number)
	if f.Prev >= f.Seq {
		t.Fatalf("event %d: prev %d is not before seq %d", number, f.Prev, f.Seq)
	}
	return f.Seq
}

// want takes the events of the numbers, each of which must follow the one before.
func (c *client) want(t *testing.T, numbers ...int) {
	t.Helper()
	for _, number := range numbers {
		f := c.wantEvent(t, number)
		if f.Seq <= c.last || f.Prev != c.last {
			t.Fatalf("event %d has seq %d and prev %d after %d", number, f.Seq, f.Prev, c.last)
		}
		c.last = f.Seq
	}
}

func (c *client) wantEvent(t *testing.T, number int) *frame {
	t.Helper()
	f := c.wantFrame(t)
	if f.Type != "event" || f.Event != "adapter.activated" || f.Room != c.channel() || f.ID == "" {
		t.Fatalf("want event %d of %s, got %+v: %s", number, c.channel(), f, f.Data)
	}
	var data struct {
		AdapterID string `json:"adapter_id"`
		Repo      string `json:"repo"`
		Config    struct {
			Number int `json:"number"`
		} `json:"config"`
	}
	f.decode(t, &data)
	if data.AdapterID != c.adapter || data.Repo != repo || data.Config.Number != number {
		t.Fatalf("want event %d, got %s", number, f.Data)
	}
	return f
}
