package publisher

import (
	"context"
	"errors"
	"time"

	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
)

// lookup is a question to the log about an event, with its answer.
type lookup struct {
	// duplicate is the sequence at which the server says that it has the event's id; 0
	// asks where the event is after a mismatch, which told actual.
	duplicate uint64
	actual    int64
	// found is where the event is, 0 if it is not there.
	found uint64
	// resend says that the mismatch was an old leader's: the event is sent again.
	resend bool
	// unclear says that the log no longer holds what would tell.
	unclear bool
	// err is ErrIDTaken, or why the log could not be asked.
	err error
}

// look asks the log about e on a goroutine of its own. mu is held.
func (p *Publisher) look(e *pending, q lookup) {
	e.leave()
	e.looking = true
	// Until the log has answered, the event may be stored.
	e.outstanding = max(e.outstanding, 1)
	token, stream, subject := e.token, e.log.stream, e.Subject
	id, event := e.receipt.ID, e.event
	expected, floor, deadline := e.expected, e.floor, e.deadline
	log := e.log
	p.run.Go(func() {
		ctx, cancel := context.WithDeadline(p.life, deadline)
		defer cancel()
		ctx, stop := p.refusals.asking(ctx, log, apiMessage, apiInfo)
		defer stop()
		for try := 0; ; try++ {
			if q.duplicate > 0 {
				q.confirm(ctx, p.read, stream, subject, id, event)
			} else {
				q.search(ctx, p.read, stream, subject, id, expected, floor)
			}
			if q.err == nil || errors.Is(q.err, ErrIDTaken) || !pause(ctx, backoff(try)) {
				break
			}
		}
		p.mu.Lock()
		if e := p.table.byToken[token]; e != nil {
			p.looked(e, q)
		}
		p.unlock()
	})
}

// looked acts on what the log said. mu is held.
func (p *Publisher) looked(e *pending, q lookup) {
	e.looking = false
	switch {
	case errors.Is(q.err, ErrIDTaken):
		p.finish(e, e.fail(ErrIDTaken, nil))
	case q.unclear:
		p.finish(e, e.failed(ErrUnknownOutcome, ErrTrimmed))
	case q.err != nil:
		p.finish(e, e.failed(ErrUnknownOutcome, q.err))
	case q.found > 0:
		p.stored(e, q.found, true)
	case q.resend:
		p.retry(e, directget.ErrStalled)
	default:
		p.finish(e, e.conflict(q.actual))
	}
}

// confirm looks whether what the server calls a duplicate is this event: message ids
// are the stream's, so it may be another channel's.
func (q *lookup) confirm(ctx context.Context, read *directget.Client, stream, subject, id, event string) {
	m, err := read.Leader(ctx, stream, directget.LeaderRequest{Seq: q.duplicate})
	switch {
	case errors.Is(err, directget.ErrNotFound):
		// Already trimmed; the server still knows the id.
		q.found, q.err = q.duplicate, nil
	case err != nil:
		q.err = err
	case m.Subject != subject || directget.Last(m.Header, headerID) != id || directget.Last(m.Header, schema.HeaderEvent) != event:
		q.err = ErrIDTaken
	default:
		q.found, q.err = m.Seq, nil
	}
}

// search looks where the event is after "wrong last sequence". With one replica the
// server says so also to a repeated attempt whose first one was stored. An event that
// was stored under a condition stands right behind the expected position, so the first
// event of the channel after that decides.
func (q *lookup) search(ctx context.Context, read *directget.Client, stream, subject, id string, expected, floor uint64) {
	m, err := read.Leader(ctx, stream, directget.LeaderRequest{NextBySubj: subject, Seq: expected + 1})
	if errors.Is(err, directget.ErrNotFound) {
		q.behind(ctx, read, stream, subject, expected)
		return
	}
	if q.err = err; err != nil {
		return
	}
	if directget.Last(m.Header, headerID) == id {
		q.found = m.Seq
		return
	}
	if m.Seq > uint64(max(q.actual, 0)) {
		q.actual = int64(m.Seq)
	}
	// Somebody else's: then ours is nowhere, unless it was there and was trimmed.
	info, err := read.Info(ctx, stream)
	q.err = err
	q.unclear = err == nil && info.FirstSeq > max(expected, floor)+1 && time.Since(info.FirstTime) < DedupWindow
}

// behind handles a channel that has nothing after the expected position: the caller
// expected too much, or the mismatch came from a leader that had been replaced.
func (q *lookup) behind(ctx context.Context, read *directget.Client, stream, subject string, expected uint64) {
	m, err := read.Leader(ctx, stream, directget.LeaderRequest{LastBySubj: subject})
	switch {
	case errors.Is(err, directget.ErrNotFound):
		q.actual, q.resend, q.err = 0, expected == 0, nil
	case err != nil:
		q.err = err
	default:
		q.actual, q.resend, q.err = int64(m.Seq), m.Seq == expected, nil
	}
}
