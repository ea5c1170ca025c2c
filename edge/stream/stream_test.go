package stream_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t *testing.T, srv *natstest.Server) *stream.Bus {
	t.Helper()
	bus, err := stream.Connect(stream.Config{URL: srv.URL()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	return bus
}

func channel(t *testing.T, name string) schema.Channel {
	t.Helper()
	c, err := schema.ParseChannel(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// put stores a message on a channel of dhruva, with headers of the publisher's own.
func put(t *testing.T, nc *nats.Conn, c schema.Channel, headers ...string) {
	t.Helper()
	putData(t, nc, c, `{}`, headers...)
}

func putData(t *testing.T, nc *nats.Conn, c schema.Channel, data string, headers ...string) {
	t.Helper()
	m := nats.NewMsg(schema.Subject(schema.Stored, schema.Dhruva, c))
	m.Data = []byte(data)
	m.Header.Set(schema.HeaderEvent, "adapter.activated")
	for i := 0; i < len(headers); i += 2 {
		m.Header.Add(headers[i], headers[i+1])
	}
	if _, err := nc.RequestMsg(m, 10*time.Second); err != nil {
		t.Fatal(err)
	}
}

func TestConnectErrorsHideSecrets(t *testing.T) {
	_, err := stream.Connect(stream.Config{URL: "nats://me:hunter2@127.0.0.1:1,nats://hunter2@127.0.0.1:1"}, slog.New(slog.DiscardHandler))
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("error %v", err)
	}
}

func TestLiveMessagesCarryTheServersPositionNotThePublishers(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Dhruva))
	bus, nc := connect(t, srv), srv.Connect(t)
	s := bus.Service(schema.Dhruva)
	got := make(chan feed.Message, 10)
	w, err := s.Watch(channel(t, "adapter:a"), false, func(m feed.Message) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, nc, channel(t, "adapter:b"))
	put(t, nc, channel(t, "adapter:a"), "Nats-Sequence", "99", "Nats-Last-Sequence", "98", "Nats-Time-Stamp", "2001-01-01T00:00:00Z", nats.MsgIdHdr, "one")
	put(t, nc, channel(t, "adapter:a"), nats.MsgIdHdr, "two")
	for i, want := range []feed.Message{{Seq: 2, Prev: 0, ID: "one"}, {Seq: 3, Prev: 2, ID: "two"}} {
		m := <-got
		if m.Seq != want.Seq || m.Prev != want.Prev || m.ID != want.ID || time.Since(m.Time) > time.Hour || m.Event != "adapter.activated" {
			t.Errorf("message %d: %+v", i, m)
		}
	}
	w.Stop()
	w.Stop() // Harmless.
}

func TestForgedLiveMessagesAreDroppedAndCounted(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Dhruva))
	bus, nc := connect(t, srv), srv.Connect(t)
	s := bus.Service(schema.Dhruva)
	got := make(chan feed.Message, 10)
	c := channel(t, "adapter:a")
	if _, err := s.Watch(c, false, func(m feed.Message) { got <- m }); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	forged := []nats.Header{
		{},
		{"Nats-Sequence": {"7"}},
		{"Nats-Sequence": {"7"}, "Nats-Stream": {"OTHER"}, "Nats-Last-Sequence": {"1"}, "Nats-Time-Stamp": {"2026-01-01T00:00:00Z"}},
		{"Nats-Sequence": {"x"}, "Nats-Stream": {"IND_DHRUVA"}, "Nats-Last-Sequence": {"1"}, "Nats-Time-Stamp": {"2026-01-01T00:00:00Z"}},
		{"Nats-Sequence": {"7"}, "Nats-Stream": {"IND_DHRUVA"}, "Nats-Last-Sequence": {"-1"}, "Nats-Time-Stamp": {"2026-01-01T00:00:00Z"}},
		{"Nats-Sequence": {"7"}, "Nats-Stream": {"IND_DHRUVA"}, "Nats-Last-Sequence": {"1"}, "Nats-Time-Stamp": {"now"}},
	}
	for _, h := range forged {
		if err := nc.PublishMsg(&nats.Msg{Subject: schema.Subject(schema.Live, schema.Dhruva, c), Header: h}); err != nil {
			t.Fatal(err)
		}
	}
	put(t, nc, c)
	if m := <-got; m.Seq != 1 {
		t.Errorf("got %+v", m)
	}
	if n := bus.Stats.Forged.Load(); n != uint64(len(forged)) {
		t.Errorf("%d forged, want %d", n, len(forged))
	}
}

func TestReadsOfTheLog(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Dhruva))
	bus, nc := connect(t, srv), srv.Connect(t)
	s := bus.Service(schema.Dhruva)
	a, b := channel(t, "adapter:a"), channel(t, "adapter:b")
	if last, checked, err := s.Tails(t.Context(), []schema.Channel{a}, 0, 0); err != nil || checked != 0 || len(last) != 0 {
		t.Errorf("tails of an empty stream: %v, checked %d, %v", last, checked, err)
	}
	for range 5 {
		put(t, nc, a)
		put(t, nc, b)
	}
	for _, c := range []struct {
		name string
		q    feed.Query
		want []uint64
		more bool
	}{
		{"a channel", feed.Query{Channel: a, From: 2, Count: 10, Bytes: 1 << 20}, []uint64{3, 5, 7, 9}, false},
		{"a bound", feed.Query{Channel: a, From: 1, Count: 2, Bytes: 1 << 20}, []uint64{1, 3}, true},
		{"one event over the bytes", feed.Query{Channel: a, From: 1, Count: 9, Bytes: 1}, []uint64{1}, true},
		{"the service", feed.Query{From: 8, Count: 10, Bytes: 1 << 20}, []uint64{8, 9, 10}, false},
		{"the leader", feed.Query{Channel: b, From: 5, Count: 2, Bytes: 1 << 20, Leader: true}, []uint64{6, 8}, true},
		{"the leader to the end", feed.Query{Channel: b, From: 9, Count: 9, Bytes: 1 << 20, Leader: true}, []uint64{10}, false},
		{"the leader from a time", feed.Query{Channel: b, Time: time.Unix(0, 0), Count: 2, Bytes: 1 << 20, Leader: true}, []uint64{2, 4}, true},
		{"the leader at a time to come", feed.Query{Channel: b, Time: time.Now().Add(time.Hour), Count: 2, Bytes: 1 << 20, Leader: true}, nil, false},
		{"past the end", feed.Query{Channel: a, From: 10, Count: 10, Bytes: 1 << 20}, nil, false},
		{"a channel never used", feed.Query{Channel: channel(t, "adapter:c"), From: 1, Count: 10, Bytes: 1 << 20}, nil, false},
		{"a time before all", feed.Query{Channel: a, Time: time.Unix(0, 0), Count: 2, Bytes: 1 << 20}, []uint64{1, 3}, true},
		{"a time to come", feed.Query{Channel: a, Time: time.Now().Add(time.Hour), Count: 2, Bytes: 1 << 20}, nil, false},
	} {
		var got []uint64
		more, err := s.Read(t.Context(), c.q, func(m feed.Message) { got = append(got, m.Seq) })
		if err != nil || more != c.more || len(got) != len(c.want) {
			t.Errorf("%s: %v, more %v, %v; want %v, %v", c.name, got, more, err, c.want, c.more)
		}
		for i := range min(len(got), len(c.want)) {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
	}
	last, checked, err := s.Tails(t.Context(), []schema.Channel{a, b, channel(t, "adapter:c")}, 9, 0)
	if err != nil || checked != 10 || len(last) != 1 || last[b] != 10 {
		t.Errorf("tails %v, checked %d, %v", last, checked, err)
	}
	if last, checked, err = s.Tails(t.Context(), []schema.Channel{channel(t, "adapter:c")}, 0, 0); err != nil || checked != 10 || len(last) != 0 {
		t.Errorf("tails of a channel never used: %v, checked %d, %v", last, checked, err)
	}
	if last, _, err = s.Tails(t.Context(), []schema.Channel{a, b}, 0, 6); err != nil || last[a] != 5 || last[b] != 6 {
		t.Errorf("tails up to 6: %v, %v", last, err)
	}
	st, err := s.State(t.Context())
	if err != nil || st.First != 1 || st.Last != 10 || st.Epoch == "" {
		t.Errorf("state %+v, %v", st, err)
	}
}

func TestReconnectMakesEverybodySuspicious(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Dhruva))
	bus := connect(t, srv)
	suspect := make(chan struct{}, 10)
	bus.Service(schema.Dhruva).OnSuspect(func() { suspect <- struct{}{} })
	srv.Restart(t)
	select {
	case <-suspect:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was told of the reconnect")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := bus.Service(schema.Dhruva).Flush(ctx); err != nil {
		t.Error(err)
	}
}

func TestTailsOfLargeEventsAreComplete(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Dhruva))
	s, nc := connect(t, srv).Service(schema.Dhruva), srv.Connect(t)
	var channels []schema.Channel
	data := `{"adapter_id":"` + strings.Repeat("x", 250<<10) + `"}`
	for i := range 8 {
		c := channel(t, fmt.Sprintf("adapter:%d", i))
		channels = append(channels, c)
		putData(t, nc, c, data)
	}
	last, checked, err := s.Tails(t.Context(), channels, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range channels {
		if last[c] != uint64(i+1) {
			t.Errorf("%s: last %d, want %d, although checked up to %d", c, last[c], i+1, checked)
		}
	}
}

func TestSuspectAndSubscribeDoNotDeadlock(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Dhruva))
	bus := connect(t, srv)
	s := bus.Service(schema.Dhruva)
	set := feed.New(schema.Dhruva, catalogue.Default(), s, s, feed.Config{Linger: time.Nanosecond}, slog.New(slog.DiscardHandler))
	s.OnSuspect(set.Suspect)
	done := make(chan struct{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				bus.Suspect()
			}
		}
	})
	go func() {
		defer close(done)
		for i := range 200 {
			target, err := catalogue.Default().Lookup(schema.Dhruva, channel(t, fmt.Sprintf("adapter:%d", i)))
			if err != nil {
				t.Error(err)
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			f, err := set.Open(ctx, target)
			cancel()
			if err == nil {
				f.Release()
			}
		}
	}()
	select {
	case <-done:
		close(stop)
		wg.Wait()
		set.Close()
	case <-time.After(30 * time.Second):
		panic("deadlock") // The dump shows who waits for whom.
	}
}

func TestALookupOfLongNamesFitsIntoARequest(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Dhruva))
	s := connect(t, srv).Service(schema.Dhruva)
	var channels []schema.Channel
	for i := range 300 { // About as many names of 200 bytes as a feed looks up at once.
		channels = append(channels, channel(t, "adapter:"+fmt.Sprintf("%04d", i)+strings.Repeat("<", 196)))
	}
	if _, _, err := s.Tails(t.Context(), channels, 0, 0); err != nil {
		t.Errorf("a chunk of 1000 channels: %v", err)
	}
}
