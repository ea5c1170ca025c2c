//go:build unix

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/bench/chaos/link"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/excalidraw"
)

// cursorEvery is the time between two movements of the cursor in a room.
const cursorEvery = 100 * time.Millisecond

// moveCursors publishes transient events, whose x counts, on some rooms until ctx is
// done. A user is one of one connection to NATS: what two of them send may overtake
// each other.
func moveCursors(ctx context.Context, links []*link.Link, b *book, s settings) error {
	var urls []string
	for _, l := range links {
		urls = append(urls, "nats://"+l.Addr())
	}
	var life atomic.Int64
	nc, err := nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1), nats.PingInterval(time.Second),
		nats.ReconnectWait(100*time.Millisecond), nats.IgnoreDiscoveredServers(),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { life.Add(1) }),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	defer nc.Close()
	pub, err := publisher.New(nc)
	if err != nil {
		return err
	}
	defer pub.Close()
	var rooms sync.WaitGroup
	for _, room := range names(schema.Excalidraw, s.channels/len(services)) {
		rooms.Go(func() {
			tick := time.NewTicker(cursorEvery)
			defer tick.Stop()
			for n := 1; ; n++ {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				user := fmt.Sprintf("%s-%d", room, life.Load())
				_, err := pub.Publish(ctx, excalidraw.CursorMoved{RoomID: room, UserID: user, X: float64(n)})
				if err == nil {
					b.passed.Add(1)
				}
			}
		})
	}
	rooms.Wait()
	return nil
}
