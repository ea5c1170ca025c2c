package edge_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// published is one event on its way, and the rooms where it must arrive.
type published struct {
	row   catalogue.Row
	id    string
	seq   uint64
	rooms []string
}

// TestEveryCataloguedEventArrivesEverywhereOnce publishes the example of each of
// the 53 pairs with the SDK: it arrives on its home channel and on every view that
// selects it, once; who comes later gets the same sequence, who comes back exactly
// the rest, also from another edge after the server was restarted.
func TestEveryCataloguedEventArrivesEverywhereOnce(t *testing.T) {
	srv, e := started(t)
	pub, err := publisher.New(srv.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	cat := catalogue.Default()
	byService := map[schema.Service][]*published{}
	rooms := map[schema.Service][]string{}
	pairs := 0
	for _, row := range cat.Rows() {
		p := &published{row: row}
		event, err := cat.Parse(row.Service, row.Name, []byte(row.Example))
		if err != nil {
			t.Fatal(err)
		}
		home, err := event.EventChannel()
		if err != nil {
			t.Fatal(err)
		}
		p.rooms = cat.Views([]string{home.String()}, row.Service, row.Name, home, []byte(row.Example))
		slices.Sort(p.rooms)
		p.rooms = slices.Compact(p.rooms)
		rooms[row.Service] = append(rooms[row.Service], p.rooms...)
		byService[row.Service] = append(byService[row.Service], p)
		pairs++
	}
	if pairs != 53 {
		t.Fatalf("%d pairs, want 53", pairs)
	}
	for service := range byService {
		slices.Sort(rooms[service])
		rooms[service] = slices.Compact(rooms[service])
	}
	live := map[schema.Service]*client{}
	for service := range byService {
		live[service] = subscribeAll(t, e, service, rooms[service], `"now"`)
	}
	for service, list := range byService {
		want := map[string][]string{} // room → ids
		n := 0
		for _, p := range list {
			event, err := cat.Parse(service, p.row.Name, []byte(p.row.Example))
			if err != nil {
				t.Fatal(err)
			}
			receipt, err := pub.Publish(t.Context(), event)
			if err != nil {
				t.Fatalf("%s %s: %v", service, p.row.Name, err)
			}
			p.id, p.seq = receipt.ID, receipt.Seq
			for _, room := range p.rooms {
				want[room] = append(want[room], p.id)
				n++
			}
		}
		got := map[string][]string{}
		transient := 0
		for range n {
			m := live[service].next()
			if m.Type != "event" {
				t.Fatalf("%s: got %s %s", service, m.Type, m.Event)
			}
			got[m.Room] = append(got[m.Room], m.ID)
			if m.Seq == 0 {
				transient++
			}
		}
		for room := range want {
			slices.Sort(want[room])
			slices.Sort(got[room])
		}
		if !maps.EqualFunc(got, want, slices.Equal[[]string]) {
			t.Errorf("%s: got %v, want %v", service, got, want)
		}
	}
	check := func(t *testing.T, e *edge.Edge) {
		for service, list := range byService {
			for _, room := range rooms[service] {
				var want []uint64
				for _, p := range list {
					if p.seq > 0 && slices.Contains(p.rooms, room) {
						want = append(want, p.seq)
					}
				}
				if len(want) == 0 {
					continue
				}
				c := dial(t, e, service)
				ack := c.subscribe(room, `"start"`)
				replayed, _ := c.untilCaughtUp(room)
				sameSeqs(t, replayed, want)
				checkChain(t, replayed, *ack.Seq)
				_ = c.ws.CloseNow()
				c = dial(t, e, service)
				c.subscribe(room, fmt.Sprintf(`{"seq":%d,"epoch":%q}`, want[0], ack.Epoch))
				replayed, _ = c.untilCaughtUp(room)
				sameSeqs(t, replayed, want[1:])
				_ = c.ws.CloseNow()
			}
		}
	}
	t.Run("afterwards", func(t *testing.T) { check(t, e) })
	srv.Restart(t)
	t.Run("from another edge after a restart", func(t *testing.T) { check(t, edgeOn(t, srv)) })
}

// subscribeAll subscribes to all rooms on one connection and waits until all are
// caught up.
func subscribeAll(t *testing.T, e *edge.Edge, service schema.Service, rooms []string, since string) *client {
	t.Helper()
	c := dial(t, e, service)
	for chunk := range slices.Chunk(rooms, 100) {
		var list []map[string]any
		for _, room := range chunk {
			list = append(list, map[string]any{"channel": room, "since": json.RawMessage(since)})
		}
		text, err := json.Marshal(map[string]any{"type": "request", "event": "subscribe", "data": map[string]any{"channels": list}})
		if err != nil {
			t.Fatal(err)
		}
		c.send(string(text))
		m := c.want("response", "subscribe")
		var data struct {
			Results []answer `json:"results"`
		}
		if err := json.Unmarshal(m.Data, &data); err != nil {
			t.Fatal(err)
		}
		for _, a := range data.Results {
			if a.ErrorCode != "" {
				t.Fatalf("%s %s: %s", service, a.Channel, a.ErrorCode)
			}
		}
		for range chunk {
			c.want("ack", "caught_up")
		}
	}
	return c
}
