//go:build linux

package foe

import (
	"context"
	"sync"
	"time"
)

// maxShots bounds the shots of one kind that are under way.
const maxShots = 2000

// shoot fires at the kind's rate, at random moments, until ctx ends.
func (a *attack) shoot(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	slots := make(chan struct{}, maxShots)
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Now()
	for n := 0; ; n++ {
		a.mu.Lock()
		gap := time.Duration(a.rng.ExpFloat64() / a.rate * float64(time.Second))
		a.mu.Unlock()
		// What is late is made up for, but for more than a second.
		next = next.Add(gap)
		if now := time.Now(); next.Before(now.Add(-time.Second)) {
			next = now
		}
		timer.Reset(time.Until(next))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			a.skipped.Add(1)
			continue
		}
		group.Go(func() {
			defer func() { <-slots }()
			a.done.Add(1)
			a.end(a.kind.shot(ctx, a, n))
		})
	}
}
