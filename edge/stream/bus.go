package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
)

// Config says how an edge reaches NATS.
type Config struct {
	// URL names one or more servers, separated by commas.
	URL string
	// Name is how the connections are called in NATS' monitoring.
	Name string
	// Security says how the edge proves who it is and knows the servers.
	Security Security
	// Options are added to those of the Bus, for example an in-process server.
	Options []nats.Option
	// Pending bounds the live messages that wait for the edge, all services
	// together. Default 65,536. What comes in excess is dropped by nats.go and
	// read from the log again.
	Pending int
}

// Bus is an edge's three NATS connections. All methods are safe for concurrent
// use.
type Bus struct {
	// Stats may be read at any time.
	Stats Stats

	// Static after construction.
	live, repair, history *nats.Conn
	urgent, get           *directget.Client // Over repair, over history.
	messages              chan *nats.Msg
	logger                *slog.Logger
	reports               reports
	rights                rights
	wg                    sync.WaitGroup
	done                  chan struct{}

	// Guarded by mu.
	mu       sync.RWMutex
	deliver  map[*nats.Subscription]func(*nats.Msg)
	services map[schema.Service]*Service
}

// Stats counts what the live path did. All fields only grow.
type Stats struct {
	// Forged counts live messages that are neither the copy of a stored event nor a
	// transient one, Slow the signals that nats.go dropped messages, Reconnects those of
	// any connection, Denied what NATS refused for lack of permission.
	Forged, Slow, Reconnects, Denied atomic.Uint64
}

// Connect connects. It fails when no server can be reached; afterwards the Bus
// reconnects for ever.
func Connect(cfg Config, logger *slog.Logger) (*Bus, error) {
	if cfg.Pending <= 0 {
		cfg.Pending = 1 << 16
	}
	b := &Bus{
		messages: make(chan *nats.Msg, cfg.Pending), logger: logger, done: make(chan struct{}),
		deliver: map[*nats.Subscription]func(*nats.Msg){}, services: map[schema.Service]*Service{},
	}
	security, err := cfg.Security.Options()
	if err != nil {
		return nil, err
	}
	cfg.Options = append(security, cfg.Options...)
	for _, one := range []struct {
		role string
		nc   **nats.Conn
	}{{"live", &b.live}, {"repair", &b.repair}, {"history", &b.history}} {
		nc, err := b.connect(cfg, one.role)
		if err != nil {
			b.closeAll()
			return nil, err
		}
		*one.nc = nc
	}
	b.urgent, b.get = directget.New(b.repair), directget.New(b.history)
	b.wg.Go(b.dispatch)
	return b, nil
}

func (b *Bus) connect(cfg Config, role string) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name(cfg.Name + " " + role),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectJitter(500*time.Millisecond, 500*time.Millisecond),
		nats.PingInterval(2 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.ReconnectBufSize(-1),            // A request that can't be sent now fails now.
		nats.FlusherTimeout(5 * time.Second), // A server that stands still does not block who writes for ever.
		// Credentials may be renewed while the server refuses the old ones.
		nats.IgnoreAuthErrorAbort(),
		nats.ErrorHandler(b.asyncError),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.refused(role, err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			b.Stats.Reconnects.Add(1)
			b.logger.Info("nats is back", "connection", role)
			b.Suspect()
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.logger.Warn("nats is away", "connection", role, "error", err)
			}
		}),
	}
	nc, err := nats.Connect(cfg.URL, append(options, cfg.Options...)...)
	if err != nil {
		return nil, fmt.Errorf("stream: connect to %s: %w", redacted(cfg.URL), err)
	}
	return nc, nil
}

// redacted is a list of URLs without passwords and tokens.
func redacted(urls string) string {
	list := strings.Split(urls, ",")
	for i, text := range list {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil {
			list[i] = "a URL that cannot be read"
			continue
		}
		if u.User != nil {
			u.User = url.User("redacted")
		}
		list[i] = u.String()
	}
	return strings.Join(list, ",")
}

// Close ends the connections and waits for the goroutine of the live path.
func (b *Bus) Close() {
	b.closeAll()
	close(b.done)
	b.wg.Wait()
}

func (b *Bus) closeAll() {
	for _, nc := range []*nats.Conn{b.live, b.repair, b.history} {
		if nc != nil {
			nc.Close()
		}
	}
}

// Connected reports whether all connections are up.
func (b *Bus) Connected() bool {
	return b.live.IsConnected() && b.repair.IsConnected() && b.history.IsConnected()
}

// asyncError is nats.go's way to say that a subscription lost messages, or that a
// permission is missing.
func (b *Bus) asyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) {
		b.Stats.Slow.Add(1)
		b.Suspect()
		return
	}
	if errors.Is(err, nats.ErrPermissionViolation) {
		b.denied(err)
		return
	}
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	if held, ok := b.reports.due("error "+subject+" "+err.Error(), time.Now()); ok {
		b.logger.Error("nats reported an error", "subject", subject, "error", err, "held_back", held)
	}
}

// Suspect makes every service compare itself with the log. The Bus calls it itself
// when live messages may have been lost.
func (b *Bus) Suspect() {
	var calls []func()
	b.mu.RLock()
	for _, s := range b.services {
		if s.suspect != nil {
			calls = append(calls, s.suspect)
		}
	}
	b.mu.RUnlock()
	// Without the lock: who is called may be subscribing.
	for _, call := range calls {
		call()
	}
}

// dispatch hands live messages to whom they are for.
func (b *Bus) dispatch() {
	for {
		select {
		case <-b.done:
			return
		case m := <-b.messages:
			b.mu.RLock()
			deliver := b.deliver[m.Sub]
			b.mu.RUnlock()
			if deliver != nil {
				deliver(m)
			}
		}
	}
}

// watch is one subscription of the live path.
type watch struct {
	bus *Bus
	sub *nats.Subscription
}

// Stop ends the subscription.
func (w *watch) Stop() {
	w.bus.mu.Lock()
	delete(w.bus.deliver, w.sub)
	w.bus.mu.Unlock()
	// It fails only where the connection is closed, and then there is nothing to end.
	_ = w.sub.Unsubscribe()
}

func (b *Bus) watch(subject string, deliver func(*nats.Msg)) (*watch, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sub, err := b.live.ChanSubscribe(subject, b.messages)
	if err != nil {
		return nil, fmt.Errorf("stream: subscribe: %w", err)
	}
	b.deliver[sub] = deliver
	return &watch{b, sub}, nil
}

// flushTimeout bounds a flush whose caller sets no other bound.
const flushTimeout = 10 * time.Second

// flush returns when the server has all subscriptions.
func (b *Bus) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout) // nats.go wants a deadline.
	defer cancel()
	if err := b.live.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("stream: flush: %w", err)
	}
	return nil
}
