//go:build linux

package swarm

import (
	"math/bits"
	"time"
)

// steps is how many buckets an octave has: a quantile is exact to 1.6 %.
const steps = 64

// histogram counts times in buckets of constant relative width. The zero value is
// ready. It is not safe for concurrent use.
type histogram struct {
	counts [(64 - 6) * steps]uint64
	total  uint64
	most   int64
}

func (h *histogram) add(ns int64) {
	ns = max(ns, 0)
	h.most = max(h.most, ns)
	h.total++
	h.counts[bucket(uint64(ns))]++
}

// bucket: below 2*steps every value has its own, above they have the width of the
// octave's 64th part.
func bucket(v uint64) int {
	octave := max(bits.Len64(v)-7, 0)
	return octave*steps + int(v>>octave)
}

// middle is the middle of a bucket.
func middle(i int) int64 {
	if i < 2*steps {
		return int64(i)
	}
	octave := i/steps - 1
	low := uint64(i-octave*steps) << octave
	return int64(low + 1<<octave/2)
}

// quantile is the value that a part q of all values does not exceed, 0 for none.
func (h *histogram) quantile(q float64) int64 {
	rank, seen := uint64(q*float64(h.total)), uint64(0)
	for i, n := range h.counts {
		if seen += n; n > 0 && seen > rank {
			return min(middle(i), h.most)
		}
	}
	return h.most
}

// Latency is a distribution of times.
type Latency struct {
	Count         uint64
	P50, P99, Max time.Duration
}

func (h *histogram) latency() Latency {
	return Latency{
		Count: h.total, P50: time.Duration(h.quantile(0.5)), P99: time.Duration(h.quantile(0.99)), Max: time.Duration(h.most),
	}
}
