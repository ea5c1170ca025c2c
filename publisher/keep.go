package publisher

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// scanEvery is how often deadlines are looked at, and so how late one may be noticed.
const scanEvery = 250 * time.Millisecond

// wakeBy has the keeper look at the table by then. mu is held.
func (p *Publisher) wakeBy(then time.Time) {
	if !then.Before(p.table.planned) {
		return
	}
	p.table.planned = then
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// keep sends again what was not answered, and looks at the streams after a reconnect,
// until the publisher is closed.
func (p *Publisher) keep() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p.mu.Lock()
		now := time.Now()
		next := p.sweep(now)
		p.table.planned = now.Add(next)
		p.unlock()
		timer.Reset(next)
		select {
		case <-p.life.Done():
			return
		case <-p.wake:
		case <-p.refusals.wake:
			p.refused()
		case <-timer.C:
		case status, open := <-p.status:
			if !open {
				p.status = nil
			}
			if status == nats.CONNECTED {
				p.reconnected()
			}
		}
	}
}

// sweep sends what is due, fails what is too late, and returns how long nothing will
// come up. mu is held.
func (p *Publisher) sweep(now time.Time) time.Duration {
	t := &p.table
	for e := t.sent.oldest; e != nil && !e.due.After(now); e = t.sent.oldest {
		e.cause = errNoAnswer
		p.launch(e, now)
	}
	next := time.Hour
	// What is launched may be parked again, at the end of the list.
	last := t.parked.newest
	for e := t.parked.oldest; e != nil; {
		after, isLast := e.newer, e == last
		if e.due.After(now) {
			next = min(next, e.due.Sub(now))
		} else {
			p.launch(e, now)
		}
		if e = after; isLast {
			break
		}
	}
	if now.Sub(t.scanned) >= scanEvery {
		t.scanned = now
		for _, e := range t.byToken {
			if !now.Before(e.deadline) {
				p.expire(e)
			}
		}
	}
	if e := t.sent.oldest; e != nil {
		next = min(next, e.due.Sub(now))
	}
	if len(t.byToken) > 0 {
		next = min(next, scanEvery)
	}
	return max(next, time.Millisecond)
}

// reconnected has the streams looked at again: they may have been replaced. What was
// sent before is sent again after that, for its answers are lost.
func (p *Publisher) reconnected() {
	p.mu.Lock()
	var known []*serviceLog
	if !p.closed {
		for _, l := range p.logs {
			if l.ready {
				l.ready = false
				known = append(known, l)
			}
		}
	}
	p.unlock()
	for _, l := range known {
		p.run.Go(func() { p.reopen(l) })
	}
}

func (p *Publisher) reopen(l *serviceLog) {
	for try := 0; ; try++ {
		kind, cause := p.open(p.life, l)
		if kind == nil {
			break
		}
		if errors.Is(kind, ErrForbidden) {
			// Perhaps this server has not heard of it yet, and another one has: who was
			// accepted before waits until the deadline.
			p.mu.Lock()
			l.cause = cause
			p.unlock()
		}
		if p.nc.IsClosed() || !pause(p.life, backoff(try)) {
			return
		}
	}
	now := time.Now()
	p.mu.Lock()
	for _, e := range p.table.byToken {
		if e.log == l && e.list != nil {
			e.leave()
			e.due = now
			p.table.parked.push(e)
		}
	}
	p.wakeBy(now)
	p.unlock()
}
