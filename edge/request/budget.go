package request

import "sync/atomic"

// Budget bounds what the connections of a process hold for their clients together:
// pages of the log and answers, in bytes. Past it nobody is cut off and nothing is
// lost: who holds the most gets slower first, since a connection then gets its next
// page only when it has sent all it holds, a small one, and histories are cut to the
// same size. So the bound is the limit and FirstPage for each connection.
//
// It is safe for concurrent use.
type Budget struct {
	limit int64
	used  atomic.Int64
	tight atomic.Bool
}

// NewBudget returns a budget of so many bytes; 0 for no bound.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Used is what is held now, in bytes.
func (b *Budget) Used() int64 { return b.used.Load() }

// Tighten makes the budget act as if it were used up, until it is loosened again:
// for a process that runs out of memory.
func (b *Budget) Tighten(tight bool) { b.tight.Store(tight) }

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
