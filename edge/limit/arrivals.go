package limit

import (
	"net/netip"
	"sync"
	"time"
)

// arrivalKeys bounds the addresses whose arrivals are remembered. One that has not come
// for as long as its burst takes to refill, a second, is forgotten anyway. They take 10 MB
// at most.
const arrivalKeys = 1 << 16

// arrivals limits the new connections a second of each address: a token bucket each, of
// which only the instant is kept at which it is full again. Safe for concurrent use.
type arrivals struct {
	// Static after construction.
	every  time.Duration // between two arrivals at the limit
	burst  time.Duration // what the burst may be ahead of that
	origin time.Time

	// Guarded by mu.
	mu   sync.Mutex
	full *recent[netip.Prefix, time.Duration] // since origin
}

// newArrivals returns nil, which refuses nobody, for a limit of 0. The burst is one
// second's worth.
func newArrivals(perSecond int) *arrivals {
	if perSecond <= 0 {
		return nil
	}
	every := max(1, time.Second/time.Duration(perSecond))
	return &arrivals{
		every: every, burst: every * time.Duration(perSecond), origin: time.Now(),
		full: newRecent[netip.Prefix, time.Duration](arrivalKeys),
	}
}

// take reports whether one more may come. One that may not costs the address nothing.
func (a *arrivals) take(key netip.Prefix, now time.Time) bool {
	if a == nil || !key.IsValid() {
		return true
	}
	at := now.Sub(a.origin)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.full.sweep(func(full *time.Duration) bool { return *full <= at })
	next := at + a.every
	if full := a.full.get(key); full != nil {
		next = max(*full, at) + a.every
	}
	if next-at > a.burst {
		return false
	}
	full, _ := a.full.touch(key)
	*full = next
	return true
}
