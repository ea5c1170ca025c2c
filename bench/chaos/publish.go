//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/bench/chaos/link"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/dhruva"
	"github.com/bodhisattva/indranet/schema/excalidraw"
	"github.com/bodhisattva/indranet/schema/mahavishnu"
)

// author publishes the events of one channel, one call after the other.
type author struct {
	pub     *publisher.Publisher
	book    *book
	start   time.Time
	service schema.Service
	id      string
	rng     *rand.Rand
	gate    *sync.RWMutex // Held for reading while a call has no receipt.
	begin   time.Duration // When the channel has its first event.
	pace    time.Duration // The mean time between two calls.
	counter uint64
	padding string
}

// calls are how an author publishes: mostly one event, sometimes a burst, together or
// one behind the other.
const (
	maxBatch = 100
	maxAsync = 20
)

// run publishes until stop is closed, and then one last event, the marker.
func (a *author) run(ctx context.Context, stop <-chan struct{}) error {
	for pause := a.begin; ; pause = time.Duration(a.rng.ExpFloat64() * float64(a.pace)) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-stop:
			timer.Stop()
			return a.publish(ctx, 1)
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		var err error
		switch dice := a.rng.IntN(200); {
		case dice == 0:
			err = a.publish(ctx, 2+a.rng.IntN(maxBatch-1))
		case dice < 5:
			err = a.async(ctx, 2+a.rng.IntN(maxAsync-1))
		case dice < 10:
			err = a.publish(ctx, 2+a.rng.IntN(5))
		default:
			err = a.publish(ctx, 1)
		}
		if err != nil {
			return err
		}
	}
}

func (a *author) event(n uint64) schema.Event {
	body := map[string]any{"n": n, "pad": a.padding[:a.rng.IntN(len(a.padding))]}
	switch a.service {
	case schema.Dhruva:
		return dhruva.AdapterActivated{AdapterID: a.id, Repo: "chaos", Version: strconv.FormatUint(n, 10), Config: body}
	case schema.Excalidraw:
		return excalidraw.UserJoined{RoomID: a.id, UserID: "author", Name: strconv.FormatUint(n, 10)}
	}
	return mahavishnu.WorkflowStageCompleted{WorkflowID: a.id, StageName: "chaos", Result: body}
}

// next makes n events and the ids that they have: of a batch by the rule of the SDK.
func (a *author) next(n int) (events []schema.Event, first uint64, id string) {
	first = a.counter + 1
	for range n {
		a.counter++
		events = append(events, a.event(a.counter))
	}
	return events, first, fmt.Sprintf("%s-%d", a.id, first)
}

func batchIDs(id string, n int) []string {
	ids := []string{id}
	if n > 1 {
		ids = nil
		for i := range n {
			ids = append(ids, fmt.Sprintf("%s/%d", id, i+1))
		}
	}
	return ids
}

// publish stores n events, as one batch, and tries under the same id until it knows
// that they are stored.
func (a *author) publish(ctx context.Context, n int) error {
	a.gate.RLock()
	defer a.gate.RUnlock()
	events, first, id := a.next(n)
	a.book.try(batchIDs(id, n))
	sent := time.Since(a.start)
	opts := []publisher.PublishOption{publisher.WithID(id)}
	var firstSent time.Time
	for {
		receipts, err := a.attempt(ctx, events, opts)
		if err == nil {
			a.book.acknowledged(receipts, first, sent, time.Since(a.start))
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, publisher.ErrTrimmed) {
			a.book.retry("the log has dropped it")
			return nil // It is stored, or was: the log may hold it, but nobody was told.
		}
		if !errors.Is(err, publisher.ErrUnknownOutcome) && !errors.Is(err, publisher.ErrUnavailable) {
			return fmt.Errorf("chaos: publish %s: %w", id, err)
		}
		a.book.retry(kind(err))
		var failed *publisher.Error
		if errors.As(err, &failed) && firstSent.IsZero() && !failed.FirstSent.IsZero() {
			firstSent = failed.FirstSent
			opts = append(opts, publisher.WithFirstSent(firstSent))
		}
	}
}

func (a *author) attempt(ctx context.Context, events []schema.Event, opts []publisher.PublishOption) ([]publisher.Receipt, error) {
	// Sometimes too short for an election, so that the outcome stays unknown.
	ctx, cancel := context.WithTimeout(ctx, time.Second+time.Duration(a.rng.Int64N(int64(15*time.Second))))
	defer cancel()
	if len(events) > 1 {
		return a.pub.PublishBatch(ctx, events, opts...)
	}
	receipt, err := a.pub.Publish(ctx, events[0], opts...)
	return []publisher.Receipt{receipt}, err
}

// async sends n events without waiting in between; the publisher tries them for longer
// than any fault lasts.
func (a *author) async(ctx context.Context, n int) error {
	a.gate.RLock()
	defer a.gate.RUnlock()
	acks := make([]*publisher.Ack, 0, n)
	sent := time.Since(a.start)
	first := a.counter + 1
	for range n {
		events, _, id := a.next(1)
		a.book.try([]string{id})
		ack, err := a.pub.PublishAsync(ctx, events[0], publisher.WithID(id))
		if err != nil {
			return fmt.Errorf("chaos: publish %s: %w", id, err)
		}
		acks = append(acks, ack)
	}
	for i, ack := range acks {
		receipt, err := ack.Wait(ctx)
		if err != nil {
			return fmt.Errorf("chaos: publish %s #%d: %w", a.id, first+uint64(i), err)
		}
		a.book.acknowledged([]publisher.Receipt{receipt}, first+uint64(i), sent, time.Since(a.start))
	}
	return nil
}

func kind(err error) string {
	if errors.Is(err, publisher.ErrUnknownOutcome) {
		return "unknown outcome"
	}
	return "unavailable"
}

// pubsOf are the publishers that authors share, one for each service.
type pubsOf map[schema.Service]*publisher.Publisher

// publishers connects one for each service.
func publishers(links []*link.Link) (_ pubsOf, stop func(), err error) {
	var urls []string
	for _, l := range links {
		urls = append(urls, "nats://"+l.Addr())
	}
	all := pubsOf{}
	var undo []func()
	stop = func() {
		for _, f := range undo {
			f()
		}
	}
	for _, service := range services {
		nc, err := nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1), nats.PingInterval(time.Second),
			nats.ReconnectWait(100*time.Millisecond), nats.IgnoreDiscoveredServers(),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			stop()
			return nil, nil, fmt.Errorf("chaos: %w", err)
		}
		pub, err := publisher.New(nc, publisher.WithTimeout(9*time.Minute))
		if err != nil {
			nc.Close()
			stop()
			return nil, nil, err
		}
		undo = append(undo, pub.Close, nc.Close)
		all[service] = pub
	}
	return all, stop, nil
}
