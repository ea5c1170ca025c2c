package publisher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
)

// Publisher publishes events over one connection. See the package's promises. It is
// safe for concurrent use.
type Publisher struct {
	// Static after construction.
	cfg    config
	nc     *nats.Conn
	read   *directget.Client
	prefix string
	sub    *nats.Subscription
	status chan nats.Status
	// refusals is what the connection may not do.
	refusals *refusals
	logs     map[schema.Service]*serviceLog
	wake     chan struct{}
	life     context.Context
	end      context.CancelCauseFunc
	run      sync.WaitGroup
	reload   *debouncer
	pool     pool

	// Guarded by mu. Whoever holds it lets go by unlock, never by mu.Unlock.
	mu     sync.Mutex
	closed bool
	table  table
	// flushed is the last error of the connection that Flush has told.
	flushed error
}

// New returns a publisher over nc, which must stay open until Close. It makes no
// request: the streams are looked at when their services' first events come, see
// EnsureStreams for creating them.
//
// The connection should be made with nats.MaxReconnects(-1) and a short
// nats.PingInterval (1 or 2 s), since the default notices a dead server after minutes
// only. New puts itself before the connection's nats.ErrorHandler, which hears of
// everything as before, to learn what NATS does not permit (ErrForbidden): a handler of
// your own is to be set before. A service connects with the key of its role:
// nats.NkeyOptionFromSeed.
func New(nc *nats.Conn, opts ...Option) (*Publisher, error) {
	cfg := defaults()
	for _, opt := range opts {
		if err := opt(&cfg); err != nil {
			return nil, err
		}
	}
	cfg.attempt = min(cfg.attempt, cfg.timeout)
	p := &Publisher{
		cfg:    cfg,
		nc:     nc,
		read:   directget.New(nc).WithStall(cfg.attempt),
		prefix: nc.NewInbox() + ".",
		logs:   make(map[schema.Service]*serviceLog),
		wake:   make(chan struct{}, 1),
	}
	for _, service := range schema.Services() {
		p.logs[service] = newServiceLog(service)
	}
	p.table.init()
	p.refusals = hearRefusals(nc)
	var err error
	if p.sub, err = nc.Subscribe(p.prefix+"*", p.answered); err != nil {
		return nil, fmt.Errorf("publisher: %w", err)
	}
	// Answers are small and MaxPending bounds them: none may be dropped.
	if err := p.sub.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("publisher: %w", err)
	}
	p.life, p.end = context.WithCancelCause(context.Background())
	p.status = nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	p.reload = newDebouncer(cfg.debounce, p.sendReload)
	p.run.Go(p.keep)
	return p, nil
}

// Publish stores event and returns its receipt, or sends it, if it is transient.
//
// It returns when the event is acknowledged, when it cannot be stored any more, or
// when ctx is done: then the error is ErrUnavailable or ErrUnknownOutcome, and also
// ctx's. Where ctx has no deadline, WithTimeout sets one. The receipt names the event
// also beside an error.
//
// hot_reload.triggered without options is debounced: see WithDebounce. Publish returns
// at once with the receipt of the merged event that will be sent, the same for all that
// are merged into it; that sending fails can only be told to WithErrorHandler's
// function.
func (p *Publisher) Publish(ctx context.Context, event schema.Event, opts ...PublishOption) (Receipt, error) {
	settings := Settings(opts...)
	e := p.pool.get()
	if err := e.fill(event, &settings); err != nil {
		e.free()
		return Receipt{}, err
	}
	if event.EventTransient() {
		defer e.free()
		return p.transient(&e.message, event, opts)
	}
	e.prepare(&settings)
	e.waiter = true
	var ok bool
	if e.deadline, ok = ctx.Deadline(); !ok {
		e.deadline = time.Now().Add(p.cfg.timeout)
	}
	if err := p.accept(ctx, e); err != nil {
		receipt := e.receipt
		e.free()
		return receipt, err
	}
	select {
	case <-e.done:
	case <-ctx.Done():
		p.abandon(e, context.Cause(ctx))
		<-e.done
	}
	p.mu.Lock()
	receipt, err := e.receipt, e.err
	p.table.unref(e)
	p.unlock()
	return receipt, err
}

// PublishAsync sends event and returns a handle on its answer at once, but waits
// while a bound of WithMaxPending is reached. ctx is for this waiting alone: the event
// itself is tried for the time of WithTimeout, also when ctx is done. An error means
// that the event was not accepted and nothing was stored. The event is encoded before
// PublishAsync returns and may be changed then.
func (p *Publisher) PublishAsync(ctx context.Context, event schema.Event, opts ...PublishOption) (*Ack, error) {
	settings := Settings(opts...)
	e := p.pool.get()
	if err := e.fill(event, &settings); err != nil {
		e.free()
		return nil, err
	}
	if event.EventTransient() {
		defer e.free()
		receipt, err := p.transient(&e.message, event, opts)
		if err != nil {
			return nil, err
		}
		return Resolved(receipt, nil), nil
	}
	e.prepare(&settings)
	ack := &Ack{}
	e.ack = ack
	if err := p.accept(ctx, e); err != nil {
		e.free()
		return nil, err
	}
	return ack, nil
}

// Flush waits until every event accepted before has its answer, good or bad, sends
// what is debounced, and waits until the server has the transient ones. The error is
// ctx's, or the connection's, or ErrForbidden where NATS does not permit a transient
// event.
func (p *Publisher) Flush(ctx context.Context) error {
	p.reload.flush()
	p.mu.Lock()
	last := p.table.seal()
	p.unlock()
	for g := last; g != nil; g = g.before {
		select {
		case <-g.done:
		case <-ctx.Done():
			return fmt.Errorf("publisher: flush: %w", context.Cause(ctx))
		}
	}
	if _, ok := ctx.Deadline(); !ok {
		// The connection insists on a deadline.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.cfg.timeout)
		defer cancel()
	}
	if err := p.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("publisher: flush: %w", err)
	}
	if f := p.refusedTransient(); f != nil {
		return fmt.Errorf("%w: %w", ErrForbidden, f)
	}
	return nil
}

// Close ends the publisher and waits for its goroutines. Events without an answer
// fail: with ErrClosed if they were not sent, with ErrUnknownOutcome if they were.
// Call Flush before. A debounced event is sent. Calling Close again does nothing.
func (p *Publisher) Close() {
	p.reload.close()
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	if first {
		for _, e := range p.table.byToken {
			p.finish(e, e.failed(ErrClosed, nil))
		}
	}
	p.unlock()
	if first {
		p.nc.RemoveStatusListener(p.status)
		// The connection being closed is the only way this fails.
		_ = p.sub.Unsubscribe()
		p.refusals.close()
		p.end(ErrClosed)
	}
	p.run.Wait()
}

// transient sends what is never stored.
func (p *Publisher) transient(m *message, event schema.Event, opts []PublishOption) (Receipt, error) {
	if p.reload.takes(event) && len(opts) == 0 {
		return p.reload.add(m)
	}
	return p.sendTransient(m)
}

func (p *Publisher) sendTransient(m *message) (Receipt, error) {
	switch {
	case p.life.Err() != nil:
		return m.receipt, m.fail(ErrClosed, nil)
	case !p.nc.IsConnected():
		// The connection would keep it and send it late, when it says nothing any more.
		return m.receipt, m.fail(ErrUnavailable, nats.ErrDisconnected)
	}
	if err := p.nc.PublishMsg(&m.Msg); err != nil {
		return m.receipt, m.fail(sendKind(err), err)
	}
	return m.receipt, nil
}

// sendKind is the sentinel of an error with which the connection refuses to send.
func sendKind(err error) error {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return ErrTooLarge
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return ErrClosed
	}
	return ErrUnavailable
}

// fail is an Error about m.
func (m *message) fail(kind, cause error) *Error {
	return &Error{
		ID: m.receipt.ID, Event: m.event, Service: m.service, Channel: m.receipt.Channel,
		Kind: kind, Cause: cause,
	}
}

// sendReload sends the merged hot_reload.triggered.
func (p *Publisher) sendReload(m *message) {
	if receipt, err := p.sendTransient(m); err != nil && p.cfg.onError != nil {
		p.run.Go(func() { p.cfg.onError(receipt, err) })
	}
}
