// Package publishertest stands in for a publisher in the tests of a domain service:
// a Recorder takes the same calls, checks events like the real one, keeps them, and
// gives receipts. Nothing is sent. For tests against a real server see natstest.
//
// A service that wants to use it takes an interface of the methods it calls:
//
//	type Publisher interface {
//		Publish(ctx context.Context, event schema.Event, opts ...publisher.PublishOption) (publisher.Receipt, error)
//	}
package publishertest

import (
	"context"
	"slices"
	"sync"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
)

// Epoch is the epoch of every receipt of a Recorder.
const Epoch = "recorded"

// Recorded is one event that a Recorder took.
type Recorded struct {
	publisher.Prepared
	// Typed is the event as it was given.
	Typed schema.Event
}

// Recorder takes events in place of a publisher.Publisher. Positions count up per
// service, an id that was seen is a duplicate, and expected positions are checked. The
// zero value is ready; all methods are safe for concurrent use.
type Recorder struct {
	// Guarded by mu.
	mu     sync.Mutex
	events []Recorded
	byID   map[key]publisher.Receipt
	last   map[schema.Service]uint64
	tail   map[key]uint64
	fail   []error
}

// key names something within a service: an id, or a channel.
type key struct {
	service schema.Service
	name    string
}

// Fail makes the next calls fail with these errors, one each, without recording. A nil
// lets a call through.
func (r *Recorder) Fail(errs ...error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = append(r.fail, errs...)
}

// Publish records an event. Its errors are ErrInvalid, ErrTooLarge, ErrConflict,
// ErrIDTaken, ctx's, and those of Fail.
func (r *Recorder) Publish(ctx context.Context, event schema.Event, opts ...publisher.PublishOption) (publisher.Receipt, error) {
	prepared, err := publisher.Prepare(event, opts...)
	if err != nil {
		return prepared.Receipt, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.failure(ctx); err != nil {
		return prepared.Receipt, err
	}
	return r.record(prepared, event)
}

// PublishAsync records an event at once. A bad event is refused here, everything else
// is told by the Ack.
func (r *Recorder) PublishAsync(ctx context.Context, event schema.Event, opts ...publisher.PublishOption) (*publisher.Ack, error) {
	if _, err := publisher.Prepare(event, opts...); err != nil {
		return nil, err
	}
	receipt, err := r.Publish(ctx, event, opts...)
	return publisher.Resolved(receipt, err), nil
}

// PublishBatch records all events or, when one is bad, the condition fails, or an id
// was seen, none. The batch of an id that was seen gets the receipts of then.
func (r *Recorder) PublishBatch(ctx context.Context, events []schema.Event, opts ...publisher.PublishOption) ([]publisher.Receipt, error) {
	list, err := publisher.PrepareBatch(events, opts...)
	if err != nil {
		return nil, err
	}
	receipts := make([]publisher.Receipt, len(list))
	for i, prepared := range list {
		receipts[i] = prepared.Receipt
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.failure(ctx); err != nil {
		return receipts, err
	}
	if known := r.known(list); known > 0 && known < len(list) {
		return receipts, publisher.ErrIDTaken
	}
	for i, prepared := range list {
		if receipts[i], err = r.record(prepared, events[i]); err != nil {
			// Only the first event has a condition, so nothing was recorded yet.
			return receipts, err
		}
	}
	return receipts, nil
}

// Flush returns at once: everything is recorded.
func (r *Recorder) Flush(context.Context) error { return nil }

// Events returns what was recorded, in order. Duplicates are not among them.
func (r *Recorder) Events() []Recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Of returns the recorded events of type T, in order.
func Of[T schema.Event](r *Recorder) []T {
	var list []T
	for _, e := range r.Events() {
		if typed, ok := e.Typed.(T); ok {
			list = append(list, typed)
		}
	}
	return list
}

// known counts the events whose id was seen. The caller holds r.mu.
func (r *Recorder) known(list []publisher.Prepared) int {
	n := 0
	for _, p := range list {
		if _, seen := r.byID[key{p.Receipt.Service, p.Receipt.ID}]; seen {
			n++
		}
	}
	return n
}

// failure takes the next error of Fail. The caller holds r.mu.
func (r *Recorder) failure(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(r.fail) == 0 {
		return nil
	}
	err := r.fail[0]
	r.fail = r.fail[1:]
	return err
}

// record keeps one event. The caller holds r.mu.
func (r *Recorder) record(p publisher.Prepared, event schema.Event) (publisher.Receipt, error) {
	receipt := p.Receipt
	if !p.Transient {
		id, channel := key{receipt.Service, receipt.ID}, key{receipt.Service, receipt.Channel}
		if first, seen := r.byID[id]; seen {
			if first.Channel != receipt.Channel {
				return receipt, publisher.ErrIDTaken
			}
			first.Duplicate = true
			return first, nil
		}
		if want := p.Settings.ExpectedSeq; want != nil && *want != r.tail[channel] {
			return receipt, &publisher.ConflictError{
				ID: receipt.ID, Service: receipt.Service, Channel: receipt.Channel,
				Expected: *want, Actual: r.tail[channel],
			}
		}
		if r.byID == nil {
			r.byID, r.last, r.tail = map[key]publisher.Receipt{}, map[schema.Service]uint64{}, map[key]uint64{}
		}
		r.last[receipt.Service]++
		receipt.Epoch, receipt.Seq = Epoch, r.last[receipt.Service]
		r.byID[id], r.tail[channel] = receipt, receipt.Seq
	}
	p.Receipt = receipt
	r.events = append(r.events, Recorded{Prepared: p, Typed: event})
	return receipt, nil
}
