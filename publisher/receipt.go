package publisher

import (
	"context"
	"sync"

	"github.com/bodhisattva/indranet/schema"
)

// Receipt says what became of an event. With an error, Seq is 0 and the rest names
// the event, so that it can be published again under the same id.
type Receipt struct {
	// ID is the event's id.
	ID string `json:"id"`
	// Service is who the event belongs to.
	Service schema.Service `json:"service"`
	// Channel is the event's home channel, for example "workflow:42".
	Channel string `json:"channel"`
	// Subject is where NATS has it.
	Subject string `json:"subject"`
	// Epoch is the incarnation of the log, "" for a transient event.
	Epoch string `json:"epoch,omitempty"`
	// Seq is the event's position in the service's log, 0 for a transient event.
	Seq uint64 `json:"seq,omitempty"`
	// Duplicate is true when the log had the event under this id already: from an
	// earlier call, or from an earlier attempt of this one whose answer was lost.
	Duplicate bool `json:"duplicate"`
}

// Ack is the answer that an event of PublishAsync will have. It is safe for
// concurrent use.
type Ack struct {
	// Guarded by mu.
	mu       sync.Mutex
	resolved bool
	done     chan struct{}
	receipt  Receipt
	err      error
}

// Resolved returns an Ack that has its answer, for those who stand in for a Publisher.
func Resolved(receipt Receipt, err error) *Ack {
	return &Ack{resolved: true, receipt: receipt, err: err}
}

// resolve gives the answer, once.
func (a *Ack) resolve(receipt Receipt, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.resolved, a.receipt, a.err = true, receipt, err
	if a.done != nil {
		close(a.done)
	}
}

// Done is closed when the answer is there.
func (a *Ack) Done() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done == nil {
		a.done = make(chan struct{})
		if a.resolved {
			close(a.done)
		}
	}
	return a.done
}

// Wait returns the answer, with the errors of Publish, when it is there. If ctx is
// done before, it returns ctx's error alone: the event stays on its way, and Wait may
// be called again.
func (a *Ack) Wait(ctx context.Context) (Receipt, error) {
	a.mu.Lock()
	if a.resolved {
		defer a.mu.Unlock()
		return a.receipt, a.err
	}
	a.mu.Unlock()
	select {
	case <-a.Done():
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.receipt, a.err
	case <-ctx.Done():
		return Receipt{}, context.Cause(ctx)
	}
}
