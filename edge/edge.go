package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/bodhisattva/indranet/edge/audit"
	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/certs"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/edge/request"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/schema"
)

// Edge is one edge. New makes it, Start makes it serve, Stop ends it; it is not
// used again. All methods are safe for concurrent use.
type Edge struct {
	// Static after construction.
	cfg      Config
	logger   *slog.Logger
	metrics  *metrics.Set
	audit    *audit.Log
	services map[schema.Service]*service
	gate     *limit.Gate
	waiting  *limit.Counter[netip.Prefix] // Connections that are not let in, by client.
	budget   *request.Budget
	memory   *memory
	revoked  auth.Revocations
	ctx      context.Context // Ends with Stop.
	cancel   context.CancelFunc

	// Static after Start.
	bus       *stream.Bus
	follower  *stream.Follower // Nil where no service takes tokens.
	listeners map[string]net.Listener
	gated     map[string]*limit.Listener // What is below those.
	pairs     map[string]*certs.Pair
	servers   []*http.Server
	wg        sync.WaitGroup

	// undo ends what Start began, last first. Guarded by mu.
	mu   sync.Mutex
	undo []func(context.Context)
}

// New checks the configuration and returns an edge that does nothing yet. The error has
// everything that is wrong.
func New(cfg Config, logger *slog.Logger) (*Edge, error) {
	cfg = cfg.withDefaults()
	var problems []error
	if cfg.NATS.URL == "" {
		problems = append(problems, errors.New("edge: no NATS URL"))
	}
	if len(cfg.Services) == 0 {
		problems = append(problems, errors.New("edge: no service to serve"))
	}
	set := metrics.NewSet()
	budget := request.NewBudget(cfg.QueuedBytes)
	e := &Edge{
		cfg: cfg, logger: logger, metrics: set, audit: audit.New(logger, set),
		services: map[schema.Service]*service{},
		waiting:  limit.NewCounter[netip.Prefix](cfg.Gate.MaxHalfOpenPerAddress),
		budget:   budget, memory: newMemory(cfg.MemoryLimit, budget),
		listeners: map[string]net.Listener{}, gated: map[string]*limit.Listener{}, pairs: map[string]*certs.Pair{},
	}
	for name, one := range cfg.Services {
		if one.Conn.Inbound == nil {
			one.Conn.Inbound = budget.Inbound
		}
		one.Feed.MaxFeeds = e.memory.feeds(one.Feed.MaxFeeds)
		s, err := newService(name, one, cfg.Failures)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		e.services[name] = s
	}
	var err error
	if e.gate, err = limit.NewGate(cfg.Gate); err != nil {
		problems = append(problems, fmt.Errorf("edge: %w", err))
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.onStop(func(context.Context) { e.cancel() })
	e.onStop(e.shutdown) // The engines live already.
	if err := errors.Join(problems...); err != nil {
		_ = e.Stop(context.Background()) // There is nothing yet to wait for.
		return nil, err
	}
	return e, nil
}

// Start listens, connects to NATS and serves. When it fails, everything that it
// began has been ended. A *ListenError tells which address is taken.
func (e *Edge) Start(ctx context.Context) error {
	if err := e.start(); err != nil {
		_ = e.Stop(ctx) // The first error says what to do.
		return err
	}
	return nil
}

func (e *Edge) start() (err error) {
	if err := e.listenAll(); err != nil {
		return err
	}
	if e.bus, err = stream.Connect(e.cfg.NATS, e.logger); err != nil {
		return err
	}
	e.onStop(func(context.Context) { e.bus.Close() })
	for _, s := range e.inOrder() {
		if err := e.startService(e.ctx, s); err != nil {
			return err
		}
	}
	e.bus.Probe()
	if e.takesTokens() {
		e.followRevocations()
	}
	e.wg.Go(func() { e.memory.run(e.ctx) })
	e.register()
	e.onStop(e.shutdown)
	e.onStop(e.stopServing)
	for name, l := range e.listeners {
		e.serve(l, e.handler(name))
	}
	return nil
}

// shutdown closes all connections.
func (e *Edge) shutdown(ctx context.Context) {
	n := 0
	for _, s := range e.services {
		n += s.engine.Len()
	}
	when := spread(n)
	var wg sync.WaitGroup
	for _, s := range e.services {
		wg.Go(func() {
			if err := s.engine.Shutdown(ctx, conn.CloseGoingAway, when); err != nil {
				e.logger.Warn("connections were cut at the end", "service", s.name, "error", err)
			}
		})
	}
	wg.Wait()
}

// spread tells each of n connections when to come back, so that they do not all come to
// another edge at once: within a second, or 5,000 a second.
func spread(n int) func() string {
	longest := max(1000, n/5)
	return func() string { return "retry_after_ms=" + strconv.Itoa(rand.IntN(longest)) }
}

// answerTimeout bounds the answer to a plain HTTP request; a profile takes half of it.
const answerTimeout = time.Minute

// serve runs an HTTP server on a listener until Stop.
func (e *Edge) serve(l net.Listener, handler http.Handler) {
	server := &http.Server{
		// Hijacked connections lose these times: they are for what never becomes one.
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: answerTimeout, IdleTimeout: 15 * time.Second,
		MaxHeaderBytes: 16 << 10, Protocols: onlyHTTP1(), ErrorLog: slog.NewLogLogger(e.logger.Handler(), slog.LevelDebug),
		DisableGeneralOptionsHandler: true, // It would answer OPTIONS * and not end the connection.
	}
	e.wg.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			e.logger.Error("a listener ended", "address", l.Addr().String(), "error", err)
		}
	})
	e.servers = append(e.servers, server)
}

// handshakeGrace is how long a Stop waits for handshakes that have begun.
const handshakeGrace = 2 * time.Second

// stopServing ends the HTTP servers together. What is no connection then is cut: the
// connections that are there have to be told.
func (e *Edge) stopServing(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handshakeGrace)
	defer cancel()
	var wg sync.WaitGroup
	for _, server := range e.servers {
		wg.Go(func() {
			if err := server.Shutdown(ctx); err != nil {
				_ = server.Close()
			}
		})
	}
	wg.Wait()
}

func (e *Edge) onStop(undo func(context.Context)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.undo = append(e.undo, undo)
}

// Stop ends the edge: it refuses new connections, closes the open ones with 1001,
// and returns when everything that Start began has ended. When ctx ends first,
// connections are cut.
func (e *Edge) Stop(ctx context.Context) error {
	e.mu.Lock()
	undo := e.undo
	e.undo = nil
	e.mu.Unlock()
	for i := len(undo) - 1; i >= 0; i-- {
		undo[i](ctx)
	}
	e.wg.Wait()
	return ctx.Err()
}

// HTTPAddr is the address of the shared listener, nil where there is none.
func (e *Edge) HTTPAddr() net.Addr { return e.addr(sharedListener) }

// Addr is the address of a service's own listener, nil where there is none.
func (e *Edge) Addr(service schema.Service) net.Addr { return e.addr(string(service)) }

// MetricsAddr and AdminAddr are the addresses of the operators' listeners, nil where
// there are none.
func (e *Edge) MetricsAddr() net.Addr { return e.addr(metricsListener) }

// AdminAddr is told with MetricsAddr.
func (e *Edge) AdminAddr() net.Addr { return e.addr(adminListener) }

func (e *Edge) addr(name string) net.Addr {
	if l := e.listeners[name]; l != nil {
		return l.Addr()
	}
	return nil
}

// Connections is the number of a service's open connections.
func (e *Edge) Connections(service schema.Service) int {
	if s := e.services[service]; s != nil && s.server != nil {
		return s.server.Connections()
	}
	return 0
}

// Ready reports whether the edge can serve: NATS is connected, no stream is fenced, and
// where tokens are taken, their keys are there and it is known which are revoked.
func (e *Edge) Ready() error {
	if !e.bus.Connected() {
		return errors.New("nats is away")
	}
	if err := e.bus.Permitted(); err != nil {
		return err
	}
	if err := e.revocationsFresh(); err != nil {
		return err
	}
	for _, s := range e.inOrder() {
		if !s.server.Feeds.Serving() {
			return fmt.Errorf("the stream of %s is not served until it is repaired", s.name)
		}
		if s.verifier == nil {
			continue
		}
		if err := s.verifier.Ready(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// Reload reads certificates again, of all listeners. One that is broken stays what it
// was; the error has all of them.
func (e *Edge) Reload() error {
	var problems []error
	for name, pair := range e.pairs {
		if err := pair.Reload(); err != nil {
			problems = append(problems, fmt.Errorf("edge: the listener of %s: %w", name, err))
		}
	}
	return errors.Join(problems...)
}
