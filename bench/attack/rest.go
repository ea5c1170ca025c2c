//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// load is what an edge holds at a moment.
type load struct {
	usage
	inside
	connections, halfOpen, subscriptions, feeds, queued, pages, failing float64
	scarce                                                              float64
}

// look reads what the edge holds.
func (f *fleet) look(ctx context.Context, collect bool) (l load, m counters, err error) {
	if l.usage, err = f.edge.usage(); err != nil {
		return l, nil, err
	}
	if err = f.edge.exchange(question{collect}, &l.inside); err != nil {
		return l, nil, err
	}
	if m, err = scrape(ctx, f.edge.ready.Metrics); err != nil {
		return l, nil, err
	}
	l.connections, l.halfOpen = m.sum("websocket_connections_current"), m.sum("indranet_handshakes_half_open_current")
	l.subscriptions, l.feeds = m.sum("indranet_subscriptions_current"), m.sum("indranet_feeds_current")
	l.queued, l.pages = m.sum("indranet_queued_bytes_current"), m.sum("indranet_replay_bytes_current")
	l.failing, l.scarce = m.sum("indranet_auth_failing_addresses_current"), m.sum("indranet_memory_scarce")
	return l, m, nil
}

// most is the larger of both, figure by figure.
func (l load) most(o load) load {
	l.RSS, l.Peak, l.Files = max(l.RSS, o.RSS), max(l.Peak, o.Peak), max(l.Files, o.Files)
	l.Heap, l.Goroutines = max(l.Heap, o.Heap), max(l.Goroutines, o.Goroutines)
	l.connections, l.halfOpen = max(l.connections, o.connections), max(l.halfOpen, o.halfOpen)
	l.subscriptions, l.feeds = max(l.subscriptions, o.subscriptions), max(l.feeds, o.feeds)
	l.queued, l.pages = max(l.queued, o.queued), max(l.pages, o.pages)
	l.failing, l.scarce = max(l.failing, o.failing), max(l.scarce, o.scarce)
	return l
}

// What may differ between two moments at rest: good clients are served all the time, for
// which goroutines come and go, and bytes are queued for a moment.
const (
	spareGoroutines = 30
	spareFiles      = 3
	spareQueued     = 256 << 10
)

// left says what an edge holds now beyond what it held at rest.
func left(rest, now load) (list []string) {
	for _, one := range []struct {
		what                string
		before, after, more float64
	}{
		{"connections", rest.connections, now.connections, 0},
		{"half-open places", rest.halfOpen, now.halfOpen, 0},
		{"subscriptions", rest.subscriptions, now.subscriptions, 0},
		{"feeds", rest.feeds, now.feeds, 0},
		{"queued bytes", rest.queued, now.queued, spareQueued},
		{"bytes of pages", rest.pages, now.pages, spareQueued},
		{"goroutines", float64(rest.Goroutines), float64(now.Goroutines), spareGoroutines},
		{"file descriptors", float64(rest.Files), float64(now.Files), spareFiles},
	} {
		if one.after > one.before+one.more {
			list = append(list, fmt.Sprintf("%.0f %s, %.0f before", one.after, one.what, one.before))
		}
	}
	return list
}

// Times of looking.
const (
	restEvery   = 250 * time.Millisecond
	restSamples = 8
	// restWithin is how long everything may take to go, beyond the time that a feed stays
	// without subscribers.
	restWithin = 30 * time.Second
	// feedLinger is that time where it is not set.
	feedLinger = 30 * time.Second
)

// baseline is what the edge holds at rest: the most of some looks.
func (f *fleet) baseline(ctx context.Context) (l load, err error) {
	for range restSamples {
		now, _, err := f.look(ctx, false)
		if err != nil {
			return l, err
		}
		l = l.most(now)
		if err := pause(ctx, restEvery); err != nil {
			return l, err
		}
	}
	now, _, err := f.look(ctx, true)
	l.Heap, l.RSS = now.Heap, now.RSS
	return l, err
}

// took is how long something took: all, and all but the feeds, which linger.
type took struct{ all, butFeeds time.Duration }

// String is both times.
func (t took) String() string {
	return fmt.Sprintf("%s, but for feeds %s", brief(t.all), brief(t.butFeeds))
}

// untilRest waits until the edge holds no more than at rest, and says what it holds
// beyond, how long it took, and how it is then.
func (f *fleet) untilRest(ctx context.Context, rest load, linger time.Duration) (remains []string, t took, now load, err error) {
	if linger == 0 {
		linger = feedLinger
	}
	began := time.Now()
	for {
		if now, _, err = f.look(ctx, false); err != nil {
			return nil, t, now, err
		}
		t.all = time.Since(began)
		remains = left(rest, now)
		onlyFeeds := now
		onlyFeeds.feeds = 0
		if t.butFeeds == 0 && len(left(rest, onlyFeeds)) == 0 {
			t.butFeeds = t.all
		}
		if len(remains) == 0 || t.all > linger+restWithin {
			break
		}
		if err := pause(ctx, restEvery); err != nil {
			return nil, t, now, err
		}
	}
	if len(remains) > 0 {
		remains = append(remains, "goroutines as they were: "+f.goroutines(ctx))
	}
	collected, _, err := f.look(ctx, true)
	now.Heap, now.RSS = collected.Heap, collected.RSS
	return remains, t, now, err
}

// goroutines keeps a profile of the edge's goroutines, and says where.
func (f *fleet) goroutines(ctx context.Context) string {
	text, err := fetch(ctx, f.edge.ready.Admin, "/debug/pprof/goroutine?debug=1")
	name := filepath.Join(f.dir, fmt.Sprintf("goroutines-%d.txt", time.Now().UnixNano()))
	if err == nil {
		err = os.WriteFile(name, text, 0o600)
	}
	if err != nil {
		return err.Error()
	}
	return name
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
