package limit

import "sync"

// Counter counts the holders of each key, up to a limit: the connections of an address
// or of a user, for example. It is safe for concurrent use.
//
// The zero key (no address, no user) is never counted and never refused. Nothing is
// kept for a key that nobody holds.
type Counter[K comparable] struct {
	// Static after construction.
	limit int

	// Guarded by mu.
	mu      sync.Mutex
	holders map[K]int
}

// NewCounter returns a counter that gives each key at most limit holders. With a limit
// of 0 or less it refuses nobody and counts nothing.
func NewCounter[K comparable](limit int) *Counter[K] {
	return &Counter[K]{limit: limit, holders: map[K]int{}}
}

// Acquire makes the caller a holder of the key, until Release. It reports false where
// the key has as many as it may have; then there is nothing to release.
func (c *Counter[K]) Acquire(key K) bool {
	if c.ignores(key) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.holders[key]
	if n >= c.limit {
		return false
	}
	c.holders[key] = n + 1
	return true
}

// Release undoes one successful Acquire. It does nothing for a key without holders.
func (c *Counter[K]) Release(key K) {
	if c.ignores(key) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch n := c.holders[key]; n {
	case 0:
	case 1:
		delete(c.holders, key)
	default:
		c.holders[key] = n - 1
	}
}

// Held is how many holders the key has.
func (c *Counter[K]) Held(key K) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holders[key]
}

// Len is how many keys have a holder.
func (c *Counter[K]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.holders)
}

func (c *Counter[K]) ignores(key K) bool {
	var zero K
	return c.limit <= 0 || key == zero
}
