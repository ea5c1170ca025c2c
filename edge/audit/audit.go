// Package audit is the record of what concerns security: every refusal and every
// connection that lost its right to be there, counted always and logged as long as a
// flood of them leaves room.
//
// All lines have the message "security event" and their facts in the group
// "security", so that one filter selects them: in JSON they are the lines with the
// key "security", in text those with "security.event=". They name the event, the
// reason, the service, and where they are known the address, the connection and the
// user; never a token, a payload or a secret. Attributes are what the edge knows
// itself, or what has been checked.
//
// They are of level WARN and do not ask the logger whether that is enabled: a log that
// is to be quiet is not to be blind.
package audit

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/time/rate"
)

// Event is what happened. It is the label event of the metric
// indranet_security_events_total.
type Event string

// The events.
const (
	// AuthRefused: a token was shown and refused; the reason is that of auth.Refusal.
	AuthRefused Event = "auth_refused"
	// AuthMissing: a connection did not show a token where one is required.
	AuthMissing Event = "auth_missing"
	// Forbidden: somebody asked for what the token does not allow; the reason is the
	// request.
	Forbidden Event = "forbidden"
	// TokenExpired: a connection was closed because its token had expired.
	TokenExpired Event = "token_expired"
	// TokenRevoked: a connection was closed because its token was revoked.
	TokenRevoked Event = "token_revoked"
	// TokenWeakened: a subscription ended because a new token no longer covers it.
	TokenWeakened Event = "token_weakened"
	// OriginRefused: a page of an origin that is not allowed tried to connect.
	OriginRefused Event = "origin_refused"
	// HandshakeRefused: a connection was cut before it was a WebSocket; the reason is a
	// limit.Reason.
	HandshakeRefused Event = "handshake_refused"
	// ConnectionRefused: there was no place for a connection; the reason is the limit.
	ConnectionRefused Event = "connection_refused"
	// RateLimited: messages came faster than allowed; the reason is "message" for one
	// that was refused, "closed" for a connection that kept on, and "frames" for one
	// that sent too many of any sort.
	RateLimited Event = "rate_limited"
	// ProtocolViolation: a connection was closed for what it sent; the reason is the
	// label of the close code.
	ProtocolViolation Event = "protocol_violation"
	// AdminRefused: somebody was refused at a listener of the operator; the reason is a
	// limit.Reason, or "host" for a request under a name that is not the edge's.
	AdminRefused Event = "admin_refused"
)

// Lines of one event of a service with one reason that are logged: a second, and at once
// after a pause.
const (
	linesPerSecond = 10
	linesAtOnce    = 100
)

// Log records events. It is safe for concurrent use.
type Log struct {
	// Static after construction.
	logger *slog.Logger
	set    *metrics.Set

	// Guarded by mu.
	mu     sync.RWMutex
	counts map[series]*count
}

type series struct {
	event           Event
	service, reason string
}

// count is what is known of a series. A flood of one hides nothing of another.
type count struct {
	all        *metrics.Counter
	lines      *rate.Limiter
	suppressed atomic.Uint64
}

// New returns a log that counts in set.
func New(logger *slog.Logger, set *metrics.Set) *Log {
	return &Log{logger: logger, set: set, counts: map[series]*count{}}
}

// Record counts an event and logs it, unless too many of its service and reason were
// logged just now: the next line then says how many were not. service may be empty; it and reason
// must be of a small fixed set, since they are labels.
func (l *Log) Record(event Event, service, reason string, attrs ...slog.Attr) {
	count := l.find(series{event, service, reason})
	count.all.Inc()
	if !count.lines.Allow() {
		count.suppressed.Add(1)
		return
	}
	facts := append([]slog.Attr{slog.String("event", string(event)), slog.String("reason", reason)}, attrs...)
	if service != "" {
		facts = append(facts, slog.String("service", service))
	}
	if n := count.suppressed.Swap(0); n > 0 {
		facts = append(facts, slog.Uint64("not_logged", n))
	}
	record := slog.NewRecord(time.Now(), slog.LevelWarn, "security event", 0)
	record.AddAttrs(slog.Attr{Key: "security", Value: slog.GroupValue(facts...)})
	_ = l.logger.Handler().Handle(context.Background(), record) // As slog.Logger, which has nobody to tell either.
}

// Count is how often an event was recorded for a service and a reason.
func (l *Log) Count(event Event, service, reason string) uint64 {
	return l.find(series{event, service, reason}).all.Get()
}

func (l *Log) find(s series) *count {
	l.mu.RLock()
	one := l.counts[s]
	l.mu.RUnlock()
	if one != nil {
		return one
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts[s] == nil {
		l.counts[s] = &count{
			all:   l.set.NewCounter(fmt.Sprintf(`indranet_security_events_total{service=%q,event=%q,reason=%q}`, s.service, s.event, s.reason)),
			lines: rate.NewLimiter(linesPerSecond, linesAtOnce),
		}
	}
	return l.counts[s]
}
