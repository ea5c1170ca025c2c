package stream

import (
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher"
)

// Bounds of what is told again and again.
const (
	// reportEvery is how often the same thing is logged at most.
	reportEvery = time.Minute
	// maxReports bounds the things that are told apart. What comes in excess is counted
	// as one.
	maxReports = 1000
)

// reports lets each thing be logged once a minute. It is safe for concurrent use.
type reports struct {
	// Guarded by mu.
	mu   sync.Mutex
	last map[string]report
}

type report struct {
	at time.Time
	// held counts what was not logged since.
	held int
}

// due reports whether key may be logged now, and how often it was not since it last was.
func (r *reports) due(key string, now time.Time) (held int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.last[key]; !known && len(r.last) >= maxReports {
		for k, old := range r.last {
			if now.Sub(old.at) >= reportEvery {
				delete(r.last, k)
			}
		}
		if len(r.last) >= maxReports {
			key = ""
		}
	}
	old, known := r.last[key]
	if known && now.Sub(old.at) < reportEvery {
		old.held++
		r.last[key] = old
		return 0, false
	}
	if r.last == nil {
		r.last = make(map[string]report)
	}
	r.last[key] = report{at: now}
	return old.held, true
}

// denied counts a permission violation and logs it once a minute for each subject. The
// inboxes of requests, which are all different, count as one subject.
func (b *Bus) denied(err error) {
	b.Stats.Denied.Add(1)
	operation, subject := "unknown", ""
	if f := publisher.Forbidden(err); f != nil {
		operation, subject = "publish", f.Subject
		if f.Subscribe {
			operation = "subscription"
		}
	}
	if len(subject) > len(nats.InboxPrefix) && subject[:len(nats.InboxPrefix)] == nats.InboxPrefix {
		subject = nats.InboxPrefix + ">"
	}
	b.refuse(operation, subject)
	if held, ok := b.reports.due(operation+" "+subject, time.Now()); ok {
		b.logger.Error("nats refuses for lack of permission", slog.String("operation", operation),
			slog.String("subject", subject), slog.Int("held_back", held))
	}
}

// refused logs, once a minute, why a connection does not come back: a file that cannot
// be read, or credentials that the server does not accept.
func (b *Bus) refused(role string, err error) {
	if held, ok := b.reports.due("reconnect "+role+" "+err.Error(), time.Now()); ok {
		b.logger.Error("nats cannot be reached again", slog.String("connection", role),
			slog.Any("error", err), slog.Int("held_back", held))
	}
}
