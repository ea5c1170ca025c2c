package edge

import (
	"context"
	"io"
	"math"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/request"
)

func TestMessagesThatAreBeingReceivedHaveAShareOfTheMemory(t *testing.T) {
	for _, c := range []struct{ limit, tight int64 }{{800 << 10, 12 << 10}, {8 << 30, conn.DefaultInboundBytes / 8}} {
		budget := request.NewBudget(0)
		m := newMemory(c.limit, budget)
		engine, err := conn.New(conn.Config{Inbound: budget.Inbound})
		if err != nil {
			t.Fatal(err)
		}
		peers := map[int64]conn.Conn{}
		for _, holds := range []int64{c.tight / 2, c.tight} {
			server, client := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, client) }() // Until the engine ends it.
			if err := engine.Serve(server, nil, func(one conn.Conn) conn.Handler { peers[holds] = one; return quiet{} }); err != nil {
				t.Fatal(err)
			}
			peers[holds].Hold(int(holds))
		}
		if n := budget.Inbound.Shed(); n != 0 {
			t.Errorf("%d are expelled while there is memory", n)
		}
		m.used = func() uint64 { return uint64(c.limit) }
		m.look()
		if n, used := budget.Inbound.Shed(), budget.Inbound.Used(); n != 1 || used != c.tight/2 {
			t.Errorf("when memory is scarce, %d are expelled and %d bytes held", n, used)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = engine.Shutdown(ctx, conn.CloseGoingAway, func() string { return "" }) // It says that it cut them.
	}
}

// quiet is a handler that has nothing to say.
type quiet struct{}

func (quiet) Receive([]byte) bool                     { return true }
func (quiet) Fill(dst net.Buffers, _ int) net.Buffers { return dst }
func (quiet) Tick(time.Time)                          {}
func (quiet) Closed(conn.Reason)                      {}

func TestLittleMemoryIsSavedUntilThereIsEnough(t *testing.T) {
	budget := request.NewBudget(0)
	m := newMemory(1000, budget)
	for _, step := range []struct {
		used   uint64
		scarce bool
	}{{0, false}, {749, false}, {750, true}, {700, true}, {651, true}, {649, false}, {749, false}, {2000, true}} {
		m.used = func() uint64 { return step.used }
		if m.look(); m.scarce.Load() != step.scarce || budget.Over() != step.scarce {
			t.Errorf("at %d: scarce %v, over %v", step.used, m.scarce.Load(), budget.Over())
		}
	}
	// What other tests left behind goes at the first collection and not between the two.
	const size, tolerance = 256 << 20, 32 << 20
	runtime.GC()
	before := int64(living())
	ballast := make([]byte, size)
	runtime.GC()
	if grown := int64(living()) - before; grown < size-tolerance || grown > size+tolerance {
		t.Errorf("%d bytes that live count as %d", size, grown)
	}
	runtime.KeepAlive(ballast)
}

func TestFeedsFitIntoTheMemory(t *testing.T) {
	for _, c := range []struct {
		limit      int64
		configured int
		want       int
	}{
		{256 << 20, 0, 9586}, {256 << 20, 100, 100}, {24 << 30, 0, feed.DefaultMaxFeeds}, {math.MaxInt64, 0, feed.DefaultMaxFeeds},
		{math.MaxInt64, 7, 7}, {1000, 50, 1},
	} {
		if got := newMemory(c.limit, request.NewBudget(0)).feeds(c.configured); got != c.want {
			t.Errorf("%d of %d with %d bytes, want %d", got, c.configured, c.limit, c.want)
		}
	}
}
