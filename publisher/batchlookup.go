package publisher

import (
	"context"
	"errors"
	"time"

	"github.com/bodhisattva/indranet/publisher/directget"
)

// settled finds out what became of a batch of which the server has an id already, or
// whose condition no longer holds. done is false when the log could not tell, and the
// batch should be tried again.
func (p *Publisher) settled(ctx context.Context, b *batch, a answer) (done bool, err error) {
	ctx, stop := p.refusals.asking(ctx, b.log, apiInfo, apiMessage, apiDirect)
	defer stop()
	seq, err := p.findBatch(ctx, b)
	switch {
	case errors.Is(err, ErrForbidden):
		b.unknown = true
		return true, b.fail(ErrForbidden, err)
	case err != nil && !errors.Is(err, ErrIDTaken):
		// The server has the id of one of them, whosever that is.
		if !b.unknown {
			b.unknown = true
		}
		return false, err
	case err == nil && seq > 0:
		p.mu.Lock()
		b.log.saw(seq)
		epoch := b.log.epoch
		p.unlock()
		b.settle(seq, epoch, true)
		return true, nil
	}
	trimmed, asked := p.trimmed(ctx, b, seq)
	switch {
	case asked != nil:
		b.unknown = true
		if errors.Is(asked, ErrForbidden) {
			return true, b.fail(ErrForbidden, asked)
		}
		return false, asked
	case trimmed:
		b.unknown = true
		return true, b.fail(ErrUnknownOutcome, ErrTrimmed)
	case a.verdict == mismatch && err == nil:
		return true, b.conflict(a.actual)
	}
	return true, b.fail(ErrIDTaken, nil)
}

// trimmed reports whether the log has dropped b, or may have, if it was not found or, at
// seq, not in full.
func (p *Publisher) trimmed(ctx context.Context, b *batch, seq uint64) (bool, error) {
	info, err := p.read.Info(ctx, b.log.stream)
	if err != nil {
		return false, err
	}
	if seq > 0 {
		return info.FirstSeq > seq, nil
	}
	// What was dropped within the window may have been b.
	return info.FirstSeq > 1 && (info.Messages == 0 || time.Since(info.FirstTime) < DedupWindow), nil
}

// findBatch returns the sequence of b's first event, 0 if the stream does not have it
// within the dedup window. The error is ErrIDTaken if what follows it is not b.
func (p *Publisher) findBatch(ctx context.Context, b *batch) (uint64, error) {
	first := b.events[0]
	var seq uint64
	// What an earlier try of this call stored stands behind the floor. An earlier call
	// may have stored it at any time within the window, by the server's clock.
	starts := []directget.Request{
		{Seq: b.floor + 1},
		{StartTime: time.Now().Add(-DedupWindow - time.Minute)},
	}
	for _, start := range starts {
		start.NextBySubj, start.Batch = first.Subject, 500
		var err error
		if seq, err = p.scan(ctx, b.log.stream, start, first.receipt.ID); err != nil {
			return 0, err
		}
		if seq > 0 {
			break
		}
	}
	if seq == 0 {
		return 0, nil
	}
	return seq, p.matches(ctx, b, seq)
}

// scan looks for an event's id among the messages of a subject: in what any replica
// has, and, behind that, in what only the leader has.
func (p *Publisher) scan(ctx context.Context, stream string, req directget.Request, id string) (uint64, error) {
	var found uint64
	errFound := errors.New("found")
	for {
		end, err := p.read.Get(ctx, stream, req, func(m *directget.Message) error {
			if directget.Last(m.Header, headerID) == id {
				found = m.Seq
				return errFound
			}
			return nil
		})
		if found > 0 {
			return found, nil
		}
		if end.LastSeq > 0 {
			req.Seq, req.StartTime = end.LastSeq+1, time.Time{}
		}
		if err != nil && (end.LastSeq == 0 || !errors.Is(err, directget.ErrIncomplete)) {
			return 0, err
		}
		if err == nil && (end.None || end.NumPending == 0) {
			break
		}
	}
	for {
		m, err := p.read.Leader(ctx, stream, directget.LeaderRequest{
			NextBySubj: req.NextBySubj, Seq: req.Seq, StartTime: req.StartTime,
		})
		switch {
		case errors.Is(err, directget.ErrNotFound):
			return 0, nil
		case err != nil:
			return 0, err
		case directget.Last(m.Header, headerID) == id:
			return m.Seq, nil
		}
		req.Seq, req.StartTime = m.Seq+1, time.Time{}
	}
}

// matches checks that the stream has the events of b from seq on.
func (p *Publisher) matches(ctx context.Context, b *batch, seq uint64) error {
	for i := 0; i < len(b.events); {
		at := i
		_, err := p.read.Get(ctx, b.log.stream, directget.Request{Seq: seq + uint64(i), Batch: len(b.events) - i},
			func(m *directget.Message) error {
				e := b.events[i]
				if m.Seq != seq+uint64(i) || m.Subject != e.Subject || directget.Last(m.Header, headerID) != e.receipt.ID {
					return ErrIDTaken
				}
				i++
				return nil
			})
		if err != nil && (i == at || !errors.Is(err, directget.ErrIncomplete)) {
			return err
		}
		if i == at {
			// A replica that lags does not have it yet; the leader has.
			m, err := p.read.Leader(ctx, b.log.stream, directget.LeaderRequest{Seq: seq + uint64(i)})
			switch {
			case errors.Is(err, directget.ErrNotFound):
				return ErrIDTaken
			case err != nil:
				return err
			case directget.Last(m.Header, headerID) != b.events[i].receipt.ID:
				return ErrIDTaken
			}
			i++
		}
	}
	return nil
}
