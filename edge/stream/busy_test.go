package stream_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// leaky is a live path that loses one message.
type leaky struct {
	feed.Live
	n *int
}

func (l leaky) Watch(c schema.Channel, transient bool, deliver func(feed.Message)) (feed.Watch, error) {
	return l.Live.Watch(c, transient, func(m feed.Message) {
		if *l.n++; *l.n != 100 {
			deliver(m)
		}
	})
}

// TestABusyServiceGoesOverToLive loses one message of a channel that gets many events a second.
func TestABusyServiceGoesOverToLive(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Dhruva))
	bus, nc := connect(t, srv), srv.Connect(t)
	s := bus.Service(schema.Dhruva)
	c := channel(t, "adapter:a")
	put(t, nc, c)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if n%2 == 0 {
				_ = nc.FlushTimeout(time.Second)
			}
			{
				m := nats.NewMsg(schema.Subject(schema.Stored, schema.Dhruva, []schema.Channel{c, channel(t, "adapter:b")}[n%2]))
				m.Data = []byte(`{"adapter_id":"a"}`)
				m.Header.Set(schema.HeaderEvent, "adapter.activated")
				_ = nc.PublishMsg(m)
			}
		}
	}()
	<-time.After(200 * time.Millisecond)
	set := feed.New(schema.Dhruva, catalogue.Default(), s, leaky{s, new(int)}, feed.Config{}, slog.New(slog.DiscardHandler))
	defer set.Close()
	target, err := catalogue.Default().Lookup(schema.Dhruva, c)
	if err != nil {
		t.Fatal(err)
	}
	f, err := set.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	for i := range 3 {
		reads, delivered := set.Stats.Reads.Load(), set.Stats.Delivered.Load()
		<-time.After(time.Second)
		t.Logf("second %d: %d reads, %d delivered", i+1, set.Stats.Reads.Load()-reads, set.Stats.Delivered.Load()-delivered)
	}
	close(stop)
	<-ended
	if n := set.Stats.Reads.Load(); n > 100 {
		t.Errorf("%d reads in three seconds in which one message was lost", n)
	}
}
