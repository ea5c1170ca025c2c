package request

import (
	"sync"
	"sync/atomic"

	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/schema"
)

// Budget bounds what the connections of a process hold for their clients together:
// pages of the log and answers, in bytes. Past it nobody is cut off and nothing is
// lost: who holds the most gets slower first, since a connection then gets its next
// page only when it has sent all it holds, a small one; histories are cut to the same
// size, and further requests wait until all but a few answers have been sent. So the bound
// is the limit and, for each connection, FirstPage, 16 KiB of answers and one answer more;
// list_channels is refused where that would be longer.
//
// It is safe for concurrent use.
type Budget struct {
	// Inbound bounds what clients send and nobody has handled yet; it is for all engines
	// of the process, and as tight as the budget. It may be replaced before the first of
	// them is made.
	Inbound *conn.Inbound

	// Static after construction.
	limit int64

	// Atomic.
	used  atomic.Int64
	tight atomic.Bool

	// Guarded by mu.
	mu      sync.Mutex
	replays map[schema.Service]*Replay
}

// NewBudget returns a budget of so many bytes; 0 for no bound. Its Inbound is the default.
func NewBudget(limit int64) *Budget {
	return &Budget{limit: limit, Inbound: conn.NewInbound(0), replays: map[schema.Service]*Replay{}}
}

// Used is what is held now, in bytes.
func (b *Budget) Used() int64 { return b.used.Load() }

// Tighten makes the budget act as if it were used up, until it is loosened again:
// for a process that runs out of memory. Then no channel is served either that is not
// served already, and Inbound is tight.
func (b *Budget) Tighten(tight bool) {
	b.tight.Store(tight)
	b.Inbound.Tighten(tight)
}

// Replay is what a service's clients owe for reads of the log.
func (b *Budget) Replay(service schema.Service) *Replay {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.replays[service] == nil {
		b.replays[service] = newReplay()
	}
	return b.replays[service]
}

// reserve takes bytes for something that is about to be made: want, or least where
// that would exceed the budget. The caller gives them back with release when it is
// counted as what it has become.
func (b *Budget) reserve(want, least int) (got int) {
	for {
		used := b.used.Load()
		if got = want; b.tight.Load() || b.limit > 0 && used+int64(want) > b.limit {
			got = least
		}
		if b.used.CompareAndSwap(used, used+int64(got)) {
			return got
		}
	}
}

func (b *Budget) release(bytes int) { b.used.Add(-int64(bytes)) }

// Over reports whether the budget is used up.
func (b *Budget) Over() bool {
	return b.tight.Load() || b.limit > 0 && b.used.Load() >= b.limit
}
