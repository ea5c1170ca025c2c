// Package demo plays what an ecosystem of the seven services looks like from
// outside: a workflow fails because an adapter does, the adapter is swapped, the
// workflow is repeated, its change is tested and gated, a page is rebuilt, people
// draw what happened, and the analytics notice. It exists so that `indranet dev` has
// something to show, and every catalogued event of every service comes by.
//
// The demo is a sequence of acts of 45 seconds. An act is a script: a pure function
// of the seed and the act's number lays out what is published at which moment, and
// Run plays it. So the demo is the same for the same seed, and the stories can be
// tested without waiting for them.
package demo

import (
	"context"
	"log/slog"
	"time"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
)

// Publisher is what the demo needs of a *publisher.Publisher.
type Publisher interface {
	Publish(ctx context.Context, event schema.Event, opts ...publisher.PublishOption) (publisher.Receipt, error)
}

var _ Publisher = (*publisher.Publisher)(nil)

// patience bounds how long one event may hold up the others.
const patience = 5 * time.Second

// lag is how late an event may be before the rest of the act moves with it: after
// an outage the demo goes on at its own rate instead of catching up in a burst.
const lag = time.Second

// Run publishes until ctx ends. An event that cannot be published is logged and left
// out. At most about 20 events a second are published. Run works on the caller's
// goroutine alone: when it returns, nothing of it is left.
func Run(ctx context.Context, pub Publisher, seed uint64, logger *slog.Logger) {
	for n := uint64(0); ctx.Err() == nil; n++ {
		began := time.Now()
		for _, b := range newAct(seed, n, began).beats {
			if !waitUntil(ctx, began.Add(b.at)) {
				return
			}
			if late := time.Since(began.Add(b.at)); late > lag {
				began = began.Add(late)
			}
			publish(ctx, pub, b.event, logger)
		}
		waitUntil(ctx, began.Add(actLength))
	}
}

func publish(ctx context.Context, pub Publisher, event schema.Event, logger *slog.Logger) {
	attempt, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := pub.Publish(attempt, event); err != nil && ctx.Err() == nil {
		logger.Warn("the demo could not publish an event",
			"service", event.EventService(), "event", event.EventName(), "error", err)
	}
}

// waitUntil reports whether ctx still lives at the moment.
func waitUntil(ctx context.Context, moment time.Time) bool {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
