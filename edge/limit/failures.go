package limit

import (
	"net/netip"
	"sync"
	"time"
)

// FailuresConfig says when an address that keeps failing is blocked.
type FailuresConfig struct {
	// Max is the number of failures within Window after which a key is blocked.
	// 0 switches delays and blocks off.
	Max int
	// Window is how long a failure counts, Block how long a key is blocked. 0 means
	// 10 minutes.
	Window, Block time.Duration
	// Keys bounds how many keys are remembered. 0 means 65,536: at most 20 MB with
	// a Max of 10, reached only when as many addresses fail within Window.
	Keys int
}

// DefaultFailures blocks after 10 failures within 10 minutes for 10 minutes.
func DefaultFailures() FailuresConfig {
	return FailuresConfig{Max: 10, Window: 10 * time.Minute, Block: 10 * time.Minute, Keys: 1 << 16}
}

// Failures counts failed authentications by address: each one delays the answer more
// than the one before, and too many block the address for a time. Nothing but time
// forgives: who guesses may well have a token that is accepted. The zero Prefix (no
// address) is never counted. It is safe for concurrent use; now is the caller's clock,
// and should not run backwards.
type Failures struct {
	// Static after construction.
	config FailuresConfig

	// Guarded by mu.
	mu      sync.Mutex
	origin  time.Time // instants are kept as durations since the first failure
	keys    *recent[netip.Prefix, failing]
	evicted uint64
}

// failing is what is known of a key.
type failing struct {
	at    []time.Duration // failures within the window, oldest first; fewer than Max
	until time.Duration   // the end of the block, 0 if there was none
}

// longestDelay is what the delay of an answer grows to.
const longestDelay = 4 * time.Second

// NewFailures returns an empty set.
func NewFailures(config FailuresConfig) *Failures {
	defaults := DefaultFailures()
	if config.Window <= 0 {
		config.Window = defaults.Window
	}
	if config.Block <= 0 {
		config.Block = defaults.Block
	}
	if config.Keys <= 0 {
		config.Keys = defaults.Keys
	}
	return &Failures{config: config, keys: newRecent[netip.Prefix, failing](config.Keys)}
}

// Fail counts a failure and returns how long to wait before telling the client: 0 for
// the first one within the window, then 250 ms, 500 ms, 1 s, 2 s, and 4 s for all that
// follow. A failure of a key that is already blocked does not make the block longer.
func (f *Failures) Fail(key netip.Prefix, now time.Time) time.Duration {
	if f.config.Max <= 0 || !key.IsValid() {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.origin.IsZero() {
		f.origin = now
	}
	at := f.since(now)
	f.keys.sweep(func(k *failing) bool {
		return k.until <= at && (len(k.at) == 0 || k.at[len(k.at)-1]+f.config.Window <= at)
	})
	k, evicted := f.keys.touch(key)
	if evicted {
		f.evicted++
	}
	if at < k.until {
		return longestDelay
	}
	kept := k.at[:0]
	for _, t := range k.at {
		if at < t+f.config.Window {
			kept = append(kept, t)
		}
	}
	k.at, k.until = append(kept, at), 0
	n := len(k.at)
	if n >= f.config.Max {
		k.at, k.until = nil, at+f.config.Block
	}
	return delay(n)
}

// delay is how long the answer to the nth failure waits.
func delay(n int) time.Duration {
	if n < 2 {
		return 0
	}
	return min(longestDelay, 250*time.Millisecond<<min(n-2, 10))
}

// Blocked reports whether the key is blocked, and until when. The caller refuses it
// without looking at what it brings.
func (f *Failures) Blocked(key netip.Prefix, now time.Time) (until time.Time, blocked bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.keys.get(key)
	if k == nil || f.since(now) >= k.until {
		return time.Time{}, false
	}
	return f.origin.Add(k.until), true
}

// Len is how many keys are remembered, blocked or not.
func (f *Failures) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.keys.nodes)
}

// Evicted is how many keys were forgotten because there were too many.
func (f *Failures) Evicted() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.evicted
}

func (f *Failures) since(now time.Time) time.Duration { return max(0, now.Sub(f.origin)) }
