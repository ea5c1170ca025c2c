package publisher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
)

// dedupMargin is how long before the end of the dedup window the last attempt is
// made: for what is still on its way, and for clocks that run unevenly.
const dedupMargin = 30 * time.Second

// serviceLog is what the publisher knows of one service's stream.
type serviceLog struct {
	// Static after construction.
	service schema.Service
	stream  string
	// gate lets one goroutine look at the stream at a time.
	gate chan struct{}

	// Guarded by Publisher.mu.

	// ready is false until the stream was looked at, and after every reconnect.
	ready bool
	// cause is why it is not ready, if that is more than a reconnect.
	cause error
	epoch string
	// window is how long an id may be sent again.
	window time.Duration
	// floor is a sequence that the stream has reached.
	floor uint64
	// atomic says that the stream takes batches.
	atomic bool
}

func newServiceLog(service schema.Service) *serviceLog {
	return &serviceLog{service: service, stream: service.Stream(), gate: make(chan struct{}, 1)}
}

// saw notes that the stream has reached seq.
func (l *serviceLog) saw(seq uint64) { l.floor = max(l.floor, seq) }

// open looks at the stream of l unless that has been done, again and again until ctx
// is done or the stream turns out not to exist, or NATS does not permit it. The error's
// kind is ErrUnavailable, ErrForbidden or ErrClosed.
func (p *Publisher) open(ctx context.Context, l *serviceLog) (kind, cause error) {
	select {
	case l.gate <- struct{}{}:
		defer func() { <-l.gate }()
	case <-ctx.Done():
		return ErrUnavailable, context.Cause(ctx)
	case <-p.life.Done():
		return ErrClosed, nil
	}
	// Ends with the publisher too.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.life, func() { cancel(ErrClosed) })()
	ctx, stop := p.refusals.asking(ctx, l, apiInfo)
	defer stop()
	for try := 0; ; try++ {
		p.mu.Lock()
		ready := l.ready
		p.unlock()
		if ready {
			return nil, nil
		}
		info, err := p.read.Info(ctx, l.stream)
		if err == nil {
			p.mu.Lock()
			epoch := info.Metadata[EpochKey]
			if epoch != l.epoch {
				l.floor = 0
			}
			l.epoch, l.ready, l.cause, l.atomic = epoch, true, nil, info.AtomicBatches
			l.window = info.DedupWindow - dedupMargin
			l.saw(info.LastSeq)
			p.unlock()
			return nil, nil
		}
		if errors.Is(err, directget.ErrNotFound) {
			return ErrUnavailable, fmt.Errorf("stream %s does not exist, create it with EnsureStreams: %w", l.stream, err)
		}
		if p.life.Err() != nil {
			return ErrClosed, err
		}
		if p.nc.IsClosed() {
			return ErrClosed, err
		}
		if !pause(ctx, backoff(try)) {
			cause := context.Cause(ctx)
			if errors.Is(cause, ErrForbidden) {
				return ErrForbidden, cause
			}
			return ErrUnavailable, errors.Join(err, cause)
		}
	}
}

// Bounds of the pause before an attempt is repeated.
const (
	backoffFirst = 25 * time.Millisecond
	backoffMost  = time.Second
)

// backoff is the pause after try attempts: growing, and different for everybody.
func backoff(try int) time.Duration {
	most := min(backoffFirst<<min(try, 10), backoffMost)
	return most/2 + rand.N(most/2+1)
}

// pause waits for d. It returns false as soon as ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
