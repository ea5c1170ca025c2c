//go:build linux

package foe

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"
)

// Config is what attackers know.
type Config struct {
	// Edge is the address of the public listener, Metrics and Admin those of the
	// operators'.
	Edge, Metrics, Admin string
	// Weak are tokens, by kind, of as many users as Kind says, that cover the public
	// channels, named one by one, and the channels of the kind pool that are not admin-only.
	Weak map[string][]string
	// Bad are tokens that were right once, or are right elsewhere, by what is wrong
	// with them.
	Bad map[string]string
	// Foreign is a token for everything of another service.
	Foreign string
	// Public are the channels that the weak tokens cover, Forbidden some channels and
	// views that they do not.
	Public, Forbidden []string
	// Rates are the actions a second of each kind; one that is left out rests.
	Rates map[string]float64
	Seed  uint64
}

// Order is what attackers are told.
type Order struct {
	Do string
	// Round: of its number follow the addresses that attackers come from.
	Round int
}

// The orders.
const (
	// Go begins a round.
	Go = "go"
	// Stop ends it and returns when every connection is closed.
	Stop = "stop"
	// Status only answers.
	Status = "status"
)

// Outcome is what came of one kind.
type Outcome struct {
	Kind string
	// Asked is the rate in actions a second; Done counts actions, and Skipped those for
	// which too many were under way.
	Asked         float64
	Done, Skipped uint64
	// Most is the most connections that it had open at once.
	Most int64
	// Longest is how long the longest of those lasted that have ended.
	Longest time.Duration
	// Ends counts what the edge did, by name.
	Ends map[string]uint64
}

// Report is what attackers answer to every order.
type Report struct {
	Outcomes []Outcome
	// Took is how long the round has lasted.
	Took time.Duration
	// Breaches counts, by name, what no attacker may get.
	Breaches map[string]int
	Error    string
}

// Army is all attackers. Do may be called by one goroutine at a time. Close must be
// called.
type Army struct {
	// Static after construction.
	cfg Config

	// Owned by the caller of Do.
	attacks []*attack
	cancel  context.CancelFunc
	began   time.Time
	took    time.Duration
	wg      sync.WaitGroup

	// Guarded by mu.
	mu       sync.Mutex
	breaches map[string]int
}

// New returns attackers at rest.
func New(cfg Config) *Army { return &Army{cfg: cfg, breaches: map[string]int{}} }

// Close ends a round that is under way.
func (a *Army) Close() { a.stop() }

// Do carries out an order.
func (a *Army) Do(ctx context.Context, o Order) (r Report) {
	switch o.Do {
	case Go:
		a.stop()
		ctx, a.cancel = context.WithCancel(ctx)
		a.began, a.attacks = time.Now(), nil
		for i, k := range kinds {
			if rate := a.cfg.Rates[k.name]; rate > 0 {
				one := newAttack(a, k, rate, i, o.Round)
				a.attacks = append(a.attacks, one)
				a.wg.Go(func() { one.run(ctx) })
			}
		}
	case Stop:
		a.stop()
	case Status:
	default:
		r.Error = fmt.Sprintf("foe: no order is called %q", o.Do)
	}
	r.Took = a.took
	if a.cancel != nil {
		r.Took = time.Since(a.began)
	}
	for _, one := range a.attacks {
		r.Outcomes = append(r.Outcomes, one.outcome())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r.Breaches = maps.Clone(a.breaches)
	return r
}

func (a *Army) stop() {
	if a.cancel == nil {
		return
	}
	a.took = time.Since(a.began)
	a.cancel()
	a.wg.Wait()
	a.cancel = nil
}

func (a *Army) breach(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.breaches[what]++
}
