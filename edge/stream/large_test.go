package stream_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// TestCatchingUpOverLargeEvents reads 8 events of the largest payload after the first.
func TestCatchingUpOverLargeEvents(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Dhruva))
	bus, nc := connect(t, srv), srv.Connect(t)
	s := bus.Service(schema.Dhruva)
	c := channel(t, "adapter:a")
	for range 9 {
		putData(t, nc, c, fmt.Sprintf(`{"adapter_id":"a","x":%q}`, strings.Repeat("x", schema.MaxPayload-40)))
	}
	set := feed.New(schema.Dhruva, catalogue.Default(), s, s, feed.Config{RingFrames: 1}, slog.New(slog.DiscardHandler))
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
	start, err := f.Begin(t.Context(), wire.Since{Kind: wire.SinceSeq, Seq: 1})
	if err != nil {
		t.Fatal(err)
	}
	cursor := f.NewCursor(start)
	began, events, pages := time.Now(), 0, 0
	for {
		_, n, place := cursor.Next(nil, 1<<20)
		events += n
		if place == feed.AtHead {
			break
		}
		if want, ok := cursor.Wants(); ok {
			pages++
			done := make(chan feed.Page, 1)
			f.Fetch(want, func(p feed.Page) { done <- p })
			cursor.Take(want, <-done)
		}
	}
	t.Logf("%d events in %d pages, %v; %d reads of %d events, %d taken for stale", events, pages, time.Since(began), set.Stats.Reads.Load(), set.Stats.ReadEvents.Load(), set.Stats.Stale.Load())
	if set.Stats.Stale.Load() > 0 {
		t.Errorf("a single server cannot lag")
	}
}
