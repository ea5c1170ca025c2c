//go:build linux

package stage

import (
	"math/bits"
	"sync"
	"time"

	"github.com/bodhisattva/indranet/bench/storm/swarm"
)

// steps is how many buckets an octave has: a quantile is exact to 1.6 %.
const steps = 64

// histogram counts times in buckets of constant relative width.
type histogram struct {
	counts [(64 - 6) * steps]uint64
	total  uint64
	most   int64
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

func (h *histogram) add(ns int64) {
	ns = max(ns, 0)
	h.counts[bucket(uint64(ns))]++
	h.most = max(h.most, ns)
	h.total++
}

// quantile is the value that a part q of all values does not exceed, 0 for none.
func (h *histogram) quantile(q float64) time.Duration {
	rank, seen := uint64(q*float64(h.total)), uint64(0)
	for i, n := range h.counts {
		if seen += n; n > 0 && seen > rank {
			return time.Duration(min(middle(i), h.most))
		}
	}
	return time.Duration(h.most)
}

func (h *histogram) latency() swarm.Latency {
	return swarm.Latency{Count: h.total, P50: h.quantile(0.5), P99: h.quantile(0.99), Max: time.Duration(h.most)}
}

// Meter measures times in windows: those of what began within a window count for it,
// and for all windows of the same pool together. It is safe for concurrent use; the
// zero value is ready and counts nothing.
type Meter struct {
	// Guarded by mu.
	mu       sync.Mutex
	from, to int64
	now      []*histogram // Of the window and of its pool.
	all      map[string]*histogram
}

// Open begins a window at a moment of swarm.Now.
func (m *Meter) Open(name, pool string, from int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[string]*histogram{}
	}
	m.now = nil
	for _, key := range []string{name, pool} {
		if m.all[key] == nil {
			m.all[key] = &histogram{}
		}
		m.now = append(m.now, m.all[key])
	}
	m.from, m.to = from, 0
}

// Shut ends the window at a moment; what began before it may still be added.
func (m *Meter) Shut(to int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.to = to
}

// Add adds what began and ended at such moments.
func (m *Meter) Add(began, ended int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if began < m.from || m.to != 0 && began >= m.to {
		return
	}
	for _, h := range m.now {
		h.add(ended - began)
	}
}

// Latencies are those of all windows and pools by name.
func (m *Meter) Latencies() map[string]swarm.Latency {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := map[string]swarm.Latency{}
	for name, h := range m.all {
		list[name] = h.latency()
	}
	return list
}
