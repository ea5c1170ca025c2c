package publisher

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/schema"
)

// Limits of a batch.
const (
	// MaxBatch bounds the events of a batch. It is the server's limit.
	MaxBatch = 1000
	// MaxBatchBytes bounds their payloads together. The server keeps a batch aside
	// until it is complete.
	MaxBatchBytes = 16 << 20
)

// group holds the places of a batch in its channels.
type group struct {
	// missing counts the channels in which other events come first. Guarded by
	// Publisher.mu.
	missing int
	// ready is closed when there are none.
	ready chan struct{}
}

func (g *group) arrived() {
	if g.missing--; g.missing == 0 {
		close(g.ready)
	}
}

// batch is one PublishBatch on its way. It belongs to the goroutine that called it.
type batch struct {
	pool     *pool
	events   []*pending
	bytes    int
	log      *serviceLog
	givenID  bool
	expected *uint64
	// floor is a sequence that the stream had reached before the first try.
	floor uint64
	// first is when the first try without an answer was made, if there is one.
	first    time.Time
	unknown  bool
	attempts int
}

// PublishBatch stores events, 1 to MaxBatch durable ones of one service, next to each
// other in this order, or none of them. It returns a receipt for each. The rules and
// errors are those of Publish; the error of a bad event says which one it is. Options
// hold for the whole batch, see WithID and WithExpectedSeq. Events of the same channels
// that were published before are stored before. A batch counts in no bound of
// WithMaxPending.
//
// With WithID, a batch that is published again must hold the same events in the same
// order: the first event tells whether it is stored.
func (p *Publisher) PublishBatch(ctx context.Context, events []schema.Event, opts ...PublishOption) ([]Receipt, error) {
	settings := Settings(opts...)
	b := &batch{pool: &p.pool, givenID: settings.ID != "", expected: settings.ExpectedSeq}
	defer b.free()
	if err := b.fill(events, settings); err != nil {
		return nil, err
	}
	if !settings.FirstSent.IsZero() {
		b.first, b.unknown = settings.FirstSent, true
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.cfg.timeout)
		defer cancel()
	}
	ctx, stop := p.refusals.during(ctx, string(b.events[0].service), b.subjects()...)
	defer stop()
	leave, err := p.enter(ctx, b)
	if err != nil {
		return b.receipts(), err
	}
	defer leave()
	err = p.sendBatch(ctx, b)
	return b.receipts(), err
}

// fill makes the messages.
func (b *batch) fill(events []schema.Event, settings PublishSettings) error {
	switch {
	case len(events) == 0:
		return invalid("an empty batch")
	case len(events) > MaxBatch:
		return fmt.Errorf("publisher: %w: a batch of %d events, at most %d are allowed", ErrTooLarge, len(events), MaxBatch)
	}
	id := settings.ID
	for i, event := range events {
		one := settings
		if i > 0 {
			one.ExpectedSeq = nil
		}
		if id != "" {
			one.ID = id + "/" + strconv.Itoa(i+1)
		}
		e := b.pool.get()
		b.events = append(b.events, e)
		if err := e.fill(event, &one); err != nil {
			return fmt.Errorf("publisher: event %d of the batch: %w", i+1, err)
		}
		switch {
		case event.EventTransient():
			return invalid("event %d of the batch: %s is never stored", i+1, e.event)
		case e.service != b.events[0].service:
			return invalid("event %d of the batch is of %s, the first one of %s", i+1, e.service, b.events[0].service)
		}
		b.bytes += len(e.Data)
	}
	if b.bytes > MaxBatchBytes {
		return fmt.Errorf("publisher: %w: a batch of %d bytes, at most %d are allowed", ErrTooLarge, b.bytes, MaxBatchBytes)
	}
	return nil
}

// PrepareBatch checks and encodes a batch like PublishBatch, with the same errors, and
// sends nothing.
func PrepareBatch(events []schema.Event, opts ...PublishOption) ([]Prepared, error) {
	settings := Settings(opts...)
	b := batch{pool: &pool{}}
	defer b.free()
	if err := b.fill(events, settings); err != nil {
		return nil, err
	}
	list := make([]Prepared, len(b.events))
	for i, e := range b.events {
		one := settings
		one.ID = e.receipt.ID
		if i > 0 {
			one.ExpectedSeq = nil
		}
		list[i] = Prepared{Receipt: e.receipt, Event: e.event, Payload: e.Data, Settings: one}
	}
	return list, nil
}

func (b *batch) free() {
	for _, e := range b.events {
		e.free()
	}
}

// subjects are those that b is published to.
func (b *batch) subjects() []string {
	list := make([]string, len(b.events))
	for i, e := range b.events {
		list[i] = e.Subject
	}
	return list
}

func (b *batch) receipts() []Receipt {
	receipts := make([]Receipt, len(b.events))
	for i, e := range b.events {
		receipts[i] = e.receipt
	}
	return receipts
}

// fail is the error of b, about its first event.
func (b *batch) fail(kind, cause error) error {
	err := b.events[0].fail(kind, cause)
	err.Attempts = b.attempts
	if b.unknown && !errors.Is(kind, ErrIDTaken) {
		err.Kind, err.FirstSent = ErrUnknownOutcome, b.first
	}
	return err
}

// enter takes the batch's place in each of its channels and waits until it is the
// first in all of them. The places are taken at once, so batches cannot block each
// other.
func (p *Publisher) enter(ctx context.Context, b *batch) (leave func(), err error) {
	b.log = p.logs[b.events[0].service]
	p.mu.Lock()
	for p.closed || !b.log.ready {
		closed := p.closed
		p.unlock()
		if closed {
			return nil, b.fail(ErrClosed, nil)
		}
		if kind, cause := p.open(ctx, b.log); kind != nil {
			return nil, b.fail(kind, cause)
		}
		p.mu.Lock()
	}
	if !b.log.atomic {
		p.unlock()
		return nil, b.fail(ErrUnavailable, fmt.Errorf("stream %s takes no batches, see EnsureStreams", b.log.stream))
	}
	g := &group{ready: make(chan struct{})}
	var places []*pending
	for _, e := range b.events {
		last := p.table.lanes[e.Subject].tail
		if last != nil && last.group == g {
			continue
		}
		place := b.pool.get()
		place.Subject, place.group = e.Subject, g
		places = append(places, place)
		if !p.table.enter(place) {
			g.missing++
		}
	}
	if g.missing == 0 {
		close(g.ready)
	}
	b.floor = b.log.floor
	turn := p.table.now
	turn.open++
	p.unlock()

	leave = func() {
		p.mu.Lock()
		now := time.Now()
		for _, place := range places {
			if next := p.table.exit(place); next != nil {
				p.launch(next, now)
			}
			place.free()
		}
		turn.leave()
		p.unlock()
	}
	select {
	case <-g.ready:
		return leave, nil
	case <-ctx.Done():
		cause := context.Cause(ctx)
		err = b.fail(kindOf(ErrUnavailable, cause), errors.Join(errNeverAsked, cause))
	case <-p.life.Done():
		err = b.fail(ErrClosed, nil)
	}
	leave()
	return nil, err
}

// sendBatch tries until the batch is stored, or cannot be.
func (p *Publisher) sendBatch(ctx context.Context, b *batch) error {
	var cause error
	for try := 0; ; try++ {
		if try > 0 && !p.pauseBatch(ctx, try) {
			if p.life.Err() != nil {
				return b.fail(ErrClosed, cause)
			}
			ended := context.Cause(ctx)
			return b.fail(kindOf(ErrUnavailable, ended), p.withRefusal(errors.Join(cause, ended)))
		}
		p.mu.Lock()
		ready, window := b.log.ready, b.log.window
		p.unlock()
		now := time.Now()
		switch {
		case b.unknown && elapsed(b.first, now) > window:
			return b.fail(ErrUnknownOutcome, errors.Join(errTooOld, cause))
		case p.nc.IsClosed():
			return b.fail(ErrClosed, nats.ErrConnectionClosed)
		case !ready:
			cause = errNotReady
			continue
		case !p.nc.IsConnected():
			cause = nats.ErrDisconnected
			continue
		}
		if !b.unknown {
			b.first = now
		}
		b.attempts++
		a := p.tryBatch(ctx, b)
		cause = a.cause
		switch {
		case a.verdict == stored:
			p.mu.Lock()
			b.log.saw(a.seq)
			epoch := b.log.epoch
			p.unlock()
			b.settle(a.seq-uint64(len(b.events))+1, epoch, false)
			return nil
		case a.verdict == unclear:
			b.unknown = true
		case a.verdict == repeated, a.verdict == mismatch && (b.unknown || b.givenID):
			done, err := p.settled(ctx, b, a)
			if done {
				return err
			}
			cause = err
		case a.verdict == mismatch:
			return b.conflict(a.actual)
		case a.verdict == fatal:
			return b.fail(a.kind, a.cause)
		}
	}
}

// pauseBatch waits before the next try.
func (p *Publisher) pauseBatch(ctx context.Context, try int) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.life, cancel)()
	return pause(ctx, backoff(try))
}

// tryBatch sends all events under a new batch id, so that what is left of an earlier
// try cannot mix with this one. Only the last one asks for an answer: the server
// commits there, and counts.
func (p *Publisher) tryBatch(ctx context.Context, b *batch) answer {
	id := rand.Text()
	n := len(b.events)
	for i, e := range b.events {
		e.batchID[0], e.batchSeq[0] = id, strconv.Itoa(i+1)
		e.Header[headerBatchID], e.Header[headerBatchSeq] = e.batchID[:], e.batchSeq[:]
		if i == n-1 {
			break
		}
		if err := p.nc.PublishMsg(&e.Msg); err != nil {
			// Without its end the batch is never stored.
			return sendFailed(err)
		}
	}
	last := b.events[n-1]
	last.commit[0] = "1"
	last.Header[headerBatchCommit] = last.commit[:]
	// Large batches take the server longer.
	ctx, cancel := context.WithTimeout(ctx, p.cfg.attempt*time.Duration(1+b.bytes>>22))
	defer cancel()
	defer context.AfterFunc(p.life, cancel)()
	m, err := p.nc.RequestMsgWithContext(ctx, &last.Msg)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return answer{verdict: refused, cause: err}
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrReconnectBufExceeded):
		return sendFailed(err)
	case err != nil && errors.Is(context.Cause(ctx), ErrForbidden):
		// Without the event that was refused the batch is never stored.
		return answer{verdict: fatal, kind: ErrForbidden, cause: context.Cause(ctx)}
	case err != nil:
		return answer{verdict: unclear, cause: errors.Join(errNoAnswer, err)}
	}
	a := readAnswer(m, b.log.stream)
	if a.verdict == stored && (a.batch != id && n > 1 || a.batch == id && a.count != n) {
		return answer{verdict: unclear, cause: errForeignAnswer}
	}
	return a
}

func sendFailed(err error) answer {
	if kind := sendKind(err); !errors.Is(kind, ErrUnavailable) {
		return answer{verdict: fatal, kind: kind, cause: err}
	}
	return answer{verdict: refused, cause: err}
}

// settle writes the receipts of a batch that begins at seq.
func (b *batch) settle(seq uint64, epoch string, duplicate bool) {
	for i, e := range b.events {
		e.receipt.Epoch, e.receipt.Seq, e.receipt.Duplicate = epoch, seq+uint64(i), duplicate
	}
}

func (b *batch) conflict(actual int64) error {
	e := b.events[0]
	e.expected = *b.expected
	return e.conflict(actual)
}
