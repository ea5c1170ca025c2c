package publisher

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

var (
	errNoAnswer   = errors.New("no answer in time")
	errTooOld     = errors.New("the first attempt is too long ago to repeat it")
	errNotReady   = errors.New("the stream is being looked at after a reconnect")
	errNeverAsked = errors.New("not sent before the deadline")
)

// accept takes e into the table, waiting for room and for a first look at its stream,
// and sends it, unless others of its channel come first. With an error e was not
// accepted.
func (p *Publisher) accept(ctx context.Context, e *pending) error {
	if ctx.Err() != nil {
		return e.failed(ErrUnavailable, context.Cause(ctx))
	}
	l := p.logs[e.service]
	p.mu.Lock()
	for p.closed || !l.ready || p.full(e) {
		if p.closed {
			p.unlock()
			return e.failed(ErrClosed, nil)
		}
		if kind, cause := p.admit(ctx, e, l); kind != nil {
			return e.failed(kind, cause)
		}
		p.mu.Lock()
	}
	now := time.Now()
	if e.deadline.IsZero() {
		e.deadline = now.Add(p.cfg.timeout)
	}
	e.log, e.floor = l, l.floor
	e.receipt.Epoch = l.epoch
	first := p.table.add(e)
	e.Reply = p.prefix + strconv.FormatUint(e.token, 36)
	p.wakeBy(now.Add(scanEvery))
	if first {
		p.launch(e, now)
	}
	p.unlock()
	return nil
}

func (p *Publisher) full(e *pending) bool {
	n := len(p.table.byToken)
	return n >= p.cfg.maxPending || n > 0 && p.table.bytes+e.bytes > p.cfg.maxBytes
}

// admit waits for what keeps e from being accepted. It is called with mu held and lets
// go of it.
func (p *Publisher) admit(ctx context.Context, e *pending, l *serviceLog) (kind, cause error) {
	ready := l.ready
	if ready && p.table.room == nil {
		p.table.room = make(chan struct{})
	}
	room := p.table.room
	p.unlock()
	var cancel context.CancelFunc
	switch {
	case e.waiter:
		ctx, cancel = context.WithDeadline(ctx, e.deadline)
		defer cancel()
	case !ready:
		// For room PublishAsync waits as long as its context says.
		ctx, cancel = context.WithTimeout(ctx, p.cfg.timeout)
		defer cancel()
	}
	if !ready {
		return p.open(ctx, l)
	}
	select {
	case <-room:
		return nil, nil
	case <-ctx.Done():
		return ErrUnavailable, context.Cause(ctx)
	case <-p.life.Done():
		return ErrClosed, nil
	}
}

// unlock lets go of mu, and sends and tells what came up while it was held.
func (p *Publisher) unlock() {
	for {
		out, failures := p.table.out, p.table.failures
		p.table.out, p.table.outLast, p.table.failures = nil, nil, nil
		p.mu.Unlock()
		if out == nil && failures == nil {
			return
		}
		for _, f := range failures {
			p.cfg.onError(f.receipt, f.err)
		}
		p.transmit(out)
	}
}

// transmit sends the events linked behind e, and returns with mu held.
func (p *Publisher) transmit(e *pending) {
	if e == nil {
		p.mu.Lock()
		return
	}
	for {
		// Read first: once sent, e may be linked elsewhere.
		next := e.nextOut
		err := p.nc.PublishMsg(&e.Msg)
		p.mu.Lock()
		p.handed(e, err)
		p.table.unref(e)
		if next == nil {
			return
		}
		p.mu.Unlock()
		e = next
	}
}

// handed notes that the connection has taken e, or has not.
func (p *Publisher) handed(e *pending, err error) {
	e.sending = false
	switch {
	case e.turn == nil || e.looking:
		// Answered, or given up, in the meantime.
	case err != nil:
		e.outstanding--
		if kind := sendKind(err); !errors.Is(kind, ErrUnavailable) {
			p.finish(e, e.failed(kind, err))
			return
		}
		p.retry(e, err)
	case e.again:
		p.retry(e, e.cause)
	default:
		e.due = time.Now().Add(p.cfg.attempt)
		p.table.sent.push(e)
		p.wakeBy(e.due)
	}
}

// launch sends e, or parks it, or gives up. mu is held.
func (p *Publisher) launch(e *pending, now time.Time) {
	e.leave()
	switch {
	case e.group != nil:
		e.group.arrived()
		return
	case p.closed:
		p.finish(e, e.failed(ErrClosed, nil))
		return
	case e.outstanding > 0 && elapsed(e.first, now) > e.log.window:
		p.finish(e, e.failed(ErrUnknownOutcome, errors.Join(errTooOld, e.cause)))
		return
	case !now.Before(e.deadline):
		p.expire(e)
		return
	case !e.log.ready:
		p.park(e, now, backoffMost, cmp.Or(e.log.cause, errNotReady))
		return
	case !p.nc.IsConnected():
		// What the connection would keep for later would escape the dedup window.
		if p.nc.IsClosed() {
			p.finish(e, e.failed(ErrClosed, nats.ErrConnectionClosed))
			return
		}
		p.park(e, now, backoffMost, nats.ErrDisconnected)
		return
	}
	if e.outstanding == 0 {
		e.first = now
	}
	e.attempts++
	e.outstanding++
	e.again = false
	p.table.send(e)
}

// elapsed is the time between two moments by whichever clock says more: one stands
// still while the machine sleeps, the other may be set back.
func elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// park has e sent again after a pause. mu is held.
func (p *Publisher) park(e *pending, now time.Time, pause time.Duration, cause error) {
	e.cause = cause
	e.due = now.Add(pause)
	p.table.parked.push(e)
	p.wakeBy(e.due)
}

// retry parks e, once the connection has taken it. mu is held.
func (p *Publisher) retry(e *pending, cause error) {
	e.cause = cause
	if e.sending {
		e.again = true
		return
	}
	e.leave()
	p.park(e, time.Now(), backoff(e.attempts), cause)
}

// expire fails e at its deadline. mu is held.
func (p *Publisher) expire(e *pending) {
	cause := errors.Join(e.cause, context.DeadlineExceeded)
	if e.attempts == 0 && e.cause == nil {
		cause = errors.Join(errNeverAsked, context.DeadlineExceeded)
	}
	p.finish(e, e.failed(kindOf(ErrUnavailable, cause), p.withRefusal(cause)))
}

// withRefusal adds what else the connection may not do, such as subscribe to the
// answers.
func (p *Publisher) withRefusal(cause error) error {
	if last := p.nc.LastError(); errors.Is(last, nats.ErrPermissionViolation) && !errors.Is(cause, ErrForbidden) {
		return errors.Join(cause, last)
	}
	return cause
}

// abandon fails e because its caller waits no longer.
func (p *Publisher) abandon(e *pending, cause error) {
	p.mu.Lock()
	if e.turn != nil {
		p.finish(e, e.failed(ErrUnavailable, p.withRefusal(errors.Join(cause, e.cause))))
	}
	p.unlock()
}

// stored ends e well. mu is held.
func (p *Publisher) stored(e *pending, seq uint64, duplicate bool) {
	e.log.saw(seq)
	e.receipt.Epoch, e.receipt.Seq, e.receipt.Duplicate = e.log.epoch, seq, duplicate
	p.finish(e, nil)
}

// finish ends e and sends the next event of its channel. mu is held.
func (p *Publisher) finish(e *pending, err error) {
	p.table.remove(e)
	e.turn = nil
	e.err = err
	if e.ack != nil {
		e.ack.resolve(e.receipt, err)
		if err != nil && p.cfg.onError != nil {
			p.table.failures = append(p.table.failures, failure{e.receipt, err})
		}
	}
	if e.waiter {
		e.done <- struct{}{}
	}
	if !e.unordered {
		if next := p.table.exit(e); next != nil {
			p.launch(next, time.Now())
		}
	}
	p.table.unref(e)
}

// answered takes what comes to the publisher's reply subjects.
func (p *Publisher) answered(m *nats.Msg) {
	token, err := strconv.ParseUint(m.Subject[len(p.prefix):], 36, 64)
	if err != nil {
		return
	}
	p.mu.Lock()
	if e := p.table.byToken[token]; e != nil {
		p.judge(e, readAnswer(m, e.log.stream))
	}
	p.unlock()
}

// judge acts on an answer to one of e's attempts. mu is held.
func (p *Publisher) judge(e *pending, a answer) {
	if a.verdict != stored && a.verdict != unclear {
		e.outstanding--
	}
	switch {
	case a.verdict == stored && (!a.duplicate || !e.givenID):
		p.stored(e, a.seq, a.duplicate)
	case e.looking:
		// Its result decides.
	case a.verdict == stored:
		p.look(e, lookup{duplicate: a.seq})
	case a.verdict == mismatch && e.conditional && (e.outstanding > 0 || e.givenID):
		p.look(e, lookup{actual: a.actual})
	case a.verdict == mismatch && e.conditional:
		p.finish(e, e.conflict(a.actual))
	case a.verdict == refused || a.verdict == unclear:
		p.retry(e, a.cause)
	default:
		p.finish(e, e.failed(a.kind, a.cause))
	}
}

func (e *pending) conflict(actual int64) error {
	return &ConflictError{
		ID: e.receipt.ID, Service: e.service, Channel: e.receipt.Channel,
		Expected: e.expected, Actual: uint64(max(actual, 0)),
	}
}
