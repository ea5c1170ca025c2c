package request

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/bodhisattva/indranet/edge/wire"
)

// What a request costs of Limits.ReplayRate beside what it has read of the log.
const (
	// channelCost is for looking at a channel: some questions to the log, in bytes of it.
	channelCost = 16 << 10
	// replayBurst is how much may be asked for at once, as seconds of the rate.
	replayBurst = 16
)

// work bounds how fast a connection makes the edge read the log: who has used up what is
// free waits with the next request of the kind, and nobody else does. It is owned by the
// goroutine that handles the session's requests.
type work struct {
	limiter *rate.Limiter // Made at the first request.
	until   time.Time     // When what was asked for has been paid.
}

// costs reports whether a request reads the log.
func costs(r wire.Request) bool { return r.Name == wire.History || r.Name == wire.Subscribe }

// wait waits until the next request that costs may be handled.
func (w *work) wait(ctx context.Context) { pause(ctx, time.Until(w.until)) }

// pay takes what a request has cost, in bytes.
func (w *work) pay(perSecond, bytes int, now time.Time) {
	if perSecond <= 0 {
		return
	}
	if w.limiter == nil {
		w.limiter = rate.NewLimiter(rate.Limit(perSecond), perSecond*replayBurst)
	}
	w.until = now.Add(w.limiter.ReserveN(now, min(bytes, perSecond*replayBurst)).DelayFrom(now))
}
