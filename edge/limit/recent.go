package limit

// recent is a map of bounded size: of a new key too many it forgets the one that was
// touched longest ago. Not safe for concurrent use.
type recent[K comparable, V any] struct {
	max   int
	nodes map[K]*node[K, V]
	// ends closes the ring of nodes: ends.next was touched longest ago, ends.prev
	// last.
	ends node[K, V]
}

type node[K comparable, V any] struct {
	key        K
	value      V
	prev, next *node[K, V]
}

func newRecent[K comparable, V any](maxKeys int) *recent[K, V] {
	r := &recent[K, V]{max: max(1, maxKeys), nodes: map[K]*node[K, V]{}}
	r.ends.prev, r.ends.next = &r.ends, &r.ends
	return r
}

// get is the value of a key, nil where it is unknown.
func (r *recent[K, V]) get(key K) *V {
	if n := r.nodes[key]; n != nil {
		return &n.value
	}
	return nil
}

// touch makes the key the newest and returns its value, which is zero for a new one.
// It reports whether the oldest had to go for it.
func (r *recent[K, V]) touch(key K) (value *V, forgot bool) {
	n := r.nodes[key]
	switch {
	case n != nil:
		n.unlink()
	case len(r.nodes) >= r.max:
		forgot = true
		r.drop(r.ends.next.key)
		fallthrough
	default:
		n = &node[K, V]{key: key}
		r.nodes[key] = n
	}
	n.prev, n.next = r.ends.prev, &r.ends
	n.prev.next, n.next.prev = n, n
	return &n.value, forgot
}

func (r *recent[K, V]) drop(key K) {
	if n := r.nodes[key]; n != nil {
		n.unlink()
		delete(r.nodes, key)
	}
}

// sweep drops the oldest key while it is over, but no more than two: called whenever
// one key is touched, it keeps the map near what is not over at a constant cost.
func (r *recent[K, V]) sweep(over func(*V) bool) {
	for range 2 {
		oldest := r.ends.next
		if oldest == &r.ends || !over(&oldest.value) {
			return
		}
		r.drop(oldest.key)
	}
}

func (n *node[K, V]) unlink() { n.prev.next, n.next.prev = n.next, n.prev }
