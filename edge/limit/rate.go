package limit

import (
	"time"

	"golang.org/x/time/rate"
)

// When a connection that keeps exceeding its rate is given up: more refused messages
// than it may send in hopelessWorth, within hopelessWithin.
const (
	hopelessWorth  = 3 // seconds
	hopelessWithin = 10 * time.Second
)

// Rate limits the messages of one connection. It belongs to one goroutine at a time.
// Before the first message it is three words; the token bucket comes with that, and the
// count of refused ones with the first of them.
type Rate struct {
	perSecond int
	bucket    *rate.Limiter
	refusals  *refusals
}

// Spend takes so many messages more for one that was allowed, because it costs as much. It
// never refuses: what exceeds the burst, the next messages have to wait for.
func (r *Rate) Spend(now time.Time, more int) {
	if r.bucket == nil {
		return
	}
	for most := r.bucket.Burst(); more > 0; more -= most {
		r.bucket.ReserveN(now, min(more, most))
	}
}

// refusals counts the messages refused within a window that the first of them opened.
type refusals struct {
	since time.Time
	n     int
}

// NewRate allows perSecond messages a second and half as many again in a burst. With 0
// or less it allows all.
func NewRate(perSecond int) Rate { return Rate{perSecond: perSecond} }

// Take asks for one message at the time now. Where ok is false, the message is refused
// and retryAfter is how long it takes until one would be allowed. Hopeless says, with a
// refused message, that the client kept on: more than three seconds' worth of messages
// were refused within ten seconds of the first, so the connection is to be closed. It is
// never said too early; at a steady excess of a third of the rate or more it is said
// within ten seconds.
func (r *Rate) Take(now time.Time) (ok bool, retryAfter time.Duration, hopeless bool) {
	if r.perSecond <= 0 {
		return true, 0, false
	}
	if r.bucket == nil {
		r.bucket = rate.NewLimiter(rate.Limit(r.perSecond), r.perSecond+r.perSecond/2)
	}
	if r.bucket.AllowN(now, 1) {
		return true, 0, false
	}
	if r.refusals == nil {
		r.refusals = &refusals{since: now}
	}
	if now.Sub(r.refusals.since) > hopelessWithin {
		*r.refusals = refusals{since: now}
	}
	r.refusals.n++
	missing := 1 - r.bucket.TokensAt(now)
	retryAfter = time.Duration(missing / float64(r.perSecond) * float64(time.Second))
	return false, max(1, retryAfter), r.refusals.n > hopelessWorth*r.perSecond
}
