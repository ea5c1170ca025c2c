package edge

import (
	"context"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/request"
)

// Shares of the memory limit at which the edge begins and ends to save memory, in
// percent. What is measured is what lives; above that the collector needs room, or it
// takes the processors for itself.
const (
	scarceAt = 75
	enoughAt = 65
)

// memoryEvery is the time between two looks at the memory.
const memoryEvery = time.Second

// inboundShare is the share of the memory limit that messages may take together which
// have not been handled yet, as a divisor; more than conn.DefaultInboundBytes they never do.
const inboundShare = 8

// feedShare is the share of the memory limit that feeds without events may take, of each
// service, as a divisor; feedBytes is what one takes.
const (
	feedShare = 8
	feedBytes = 3500
)

// memory keeps the process below its memory limit: when little is left, it takes no
// new connections, serves no new channels and lets slow readers have only small pages and
// few answers, until there is enough again. Nobody is cut off but those of whose unfinished
// messages too much lies in memory then.
type memory struct {
	// Static after construction.
	limit  uint64 // In bytes; 0 for none.
	used   func() uint64
	budget *request.Budget

	scarce atomic.Bool
}

// newMemory takes the limit from the configuration, else the runtime's (GOMEMLIMIT).
func newMemory(limit int64, budget *request.Budget) *memory {
	if limit <= 0 {
		limit = debug.SetMemoryLimit(-1)
	}
	if limit == math.MaxInt64 {
		limit = 0
	} else {
		budget.Inbound = conn.NewInbound(min(conn.DefaultInboundBytes, max(1, limit/inboundShare)))
	}
	return &memory{limit: uint64(limit), used: living, budget: budget}
}

// feeds is how many feeds a service may have of those that are configured, 0 for the
// default.
func (m *memory) feeds(configured int) int {
	if configured <= 0 {
		configured = feed.DefaultMaxFeeds
	}
	if m.limit == 0 {
		return configured
	}
	return int(max(1, min(uint64(configured), m.limit/feedShare/feedBytes)))
}

// run looks until ctx ends.
func (m *memory) run(ctx context.Context) {
	if m.limit == 0 {
		return
	}
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.look()
		case <-ctx.Done():
			return
		}
	}
}

func (m *memory) look() {
	at := m.limit / 100 * scarceAt
	if m.scarce.Load() {
		at = m.limit / 100 * enoughAt
	}
	scarce := m.used() >= at
	m.scarce.Store(scarce)
	m.budget.Tighten(scarce)
}

// living is the memory that is in use and not merely not collected yet, in bytes: what
// the last collection left, stacks, and what the runtime needs for itself.
func living() (bytes uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/os-stacks:bytes"},
		{Name: "/memory/classes/metadata/mcache/inuse:bytes"}, {Name: "/memory/classes/metadata/mspan/inuse:bytes"},
		{Name: "/memory/classes/metadata/other:bytes"}, {Name: "/memory/classes/other:bytes"},
	}
	metrics.Read(samples)
	for _, sample := range samples {
		bytes += sample.Value.Uint64()
	}
	return bytes
}
