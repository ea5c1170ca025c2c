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
	counts [(64 - 6) * steps]uint32
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

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.most = max(h.most, other.most)
	h.total += other.total
}

// quantile is the value that a part q of all values does not exceed, 0 for none.
func (h *histogram) quantile(q float64) time.Duration {
	rank, seen := uint64(q*float64(h.total)), uint64(0)
	for i, n := range h.counts {
		if seen += uint64(n); n > 0 && seen > rank {
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
	mu      sync.Mutex
	windows []*window // The last one may be open.
}

type window struct {
	name, pool string
	from, to   int64                // to is 0 while it is open.
	seconds    map[int64]*histogram // What began in them, by number.
}

// Open begins a window at a moment of swarm.Now.
func (m *Meter) Open(name, pool string, from int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.windows = append(m.windows, &window{name: name, pool: pool, from: from, seconds: map[int64]*histogram{}})
}

// Shut ends the window at a moment; what began before it may still be added.
func (m *Meter) Shut(to int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.windows[len(m.windows)-1].to = to
}

// Add adds what began and ended at such moments.
func (m *Meter) Add(began, ended int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.windows) == 0 {
		return
	}
	w := m.windows[len(m.windows)-1]
	if began < w.from || w.to != 0 && began >= w.to {
		return
	}
	h := w.seconds[second(began)]
	if h == nil {
		h = &histogram{}
		w.seconds[second(began)] = h
	}
	h.add(ended - began)
}

// Latencies are those of all windows and pools by name, of all seconds or of some.
func (m *Meter) Latencies(some func(second int64) bool) map[string]swarm.Latency {
	all := map[string]*histogram{}
	m.each(some, func(name string, h *histogram) {
		if all[name] == nil {
			all[name] = &histogram{}
		}
		all[name].merge(h)
	})
	list := map[string]swarm.Latency{}
	for name, h := range all {
		list[name] = h.latency()
	}
	return list
}

// Seconds counts, by window and by pool, the seconds, all or some, in which anything began.
func (m *Meter) Seconds(some func(second int64) bool) map[string]int {
	list := map[string]int{}
	m.each(some, func(name string, _ *histogram) { list[name]++ })
	return list
}

func (m *Meter) each(some func(int64) bool, do func(name string, h *histogram)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.windows {
		for at, h := range w.seconds {
			if some == nil || some(at) {
				do(w.name, h)
				if w.pool != w.name {
					do(w.pool, h)
				}
			}
		}
	}
}
