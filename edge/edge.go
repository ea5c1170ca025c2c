package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/request"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/schema"
)

// Edge is one edge. New makes it, Start makes it serve, Stop ends it; it is not
// used again. All methods are safe for concurrent use.
type Edge struct {
	// Static after construction.
	cfg     Config
	logger  *slog.Logger
	engine  conn.Engine
	metrics *metrics.Set

	// Static after Start.
	bus       *stream.Bus
	servers   map[schema.Service]*request.Server
	listeners map[schema.Service]net.Listener
	shared    net.Listener
	wg        sync.WaitGroup

	// undo ends what Start began, last first. Guarded by mu.
	mu   sync.Mutex
	undo []func(context.Context)
}

// New checks the configuration and returns an edge that does nothing yet.
func New(cfg Config, logger *slog.Logger) (*Edge, error) {
	cfg = cfg.withDefaults()
	if cfg.NATS.URL == "" {
		return nil, errors.New("edge: no NATS URL")
	}
	for service := range cfg.Services {
		if service.Port() == 0 {
			return nil, fmt.Errorf("edge: %w: %q", schema.ErrUnknownService, service)
		}
	}
	engine, err := conn.New(cfg.Conn)
	if err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	return &Edge{
		cfg: cfg, logger: logger, engine: engine, metrics: metrics.NewSet(),
		servers: map[schema.Service]*request.Server{}, listeners: map[schema.Service]net.Listener{},
	}, nil
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
	if e.cfg.HTTP != "" {
		if e.shared, err = listen("", e.cfg.HTTP); err != nil {
			return err
		}
		e.onStop(func(context.Context) { _ = e.shared.Close() })
	}
	for _, service := range schema.Services() { // In order: the first taken port is named.
		addr := e.cfg.Services[service]
		if addr == "" {
			continue
		}
		l, err := listen(service, addr)
		if err != nil {
			return err
		}
		e.listeners[service] = l
		e.onStop(func(context.Context) { _ = l.Close() })
	}
	if e.bus, err = stream.Connect(e.cfg.NATS, e.logger); err != nil {
		return err
	}
	e.onStop(func(context.Context) { e.bus.Close() })
	for _, service := range schema.Services() {
		e.startService(service)
	}
	e.register()
	e.onStop(func(ctx context.Context) {
		if err := e.engine.Shutdown(ctx, conn.CloseGoingAway, spread(e.engine.Len())); err != nil {
			e.logger.Warn("connections were cut at the end", "error", err)
		}
	})
	if e.shared != nil {
		e.serve(e.shared, e.sharedHandler())
	}
	for service, l := range e.listeners {
		e.serve(l, e.serviceHandler(service))
	}
	return nil
}

// spread tells each of n connections when to come back, so that they do not all come to
// another edge at once: within a second, or 5,000 a second.
func spread(n int) func() string {
	longest := max(1000, n/5)
	return func() string { return "retry_after_ms=" + strconv.Itoa(rand.IntN(longest)) }
}

func (e *Edge) startService(service schema.Service) {
	log := e.bus.Service(service)
	feeds := feed.New(service, e.cfg.Catalogue, log, log, e.cfg.Feed, e.logger)
	log.OnSuspect(feeds.Suspect)
	e.onStop(func(context.Context) { feeds.Close() })
	about := request.About{Service: service, Server: e.cfg.Server, Edge: e.cfg.Name, Version: e.cfg.Version}
	server := request.NewServer(about, e.cfg.Catalogue, feeds, e.cfg.Shards, e.cfg.Limits, e.bus.Connected, e.logger)
	e.servers[service] = server
	e.onStop(func(context.Context) { server.Close() })
}

// serve runs an HTTP server on a listener until Stop.
func (e *Edge) serve(l net.Listener, handler http.Handler) {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 8 << 10, ErrorLog: slog.NewLogLogger(e.logger.Handler(), slog.LevelDebug),
	}
	e.wg.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			e.logger.Error("a listener ended", "address", l.Addr().String(), "error", err)
		}
	})
	e.onStop(func(ctx context.Context) {
		if err := server.Shutdown(ctx); err != nil {
			_ = server.Close()
		}
	})
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
func (e *Edge) HTTPAddr() net.Addr {
	if e.shared == nil {
		return nil
	}
	return e.shared.Addr()
}

// Addr is the address of a service's own listener, nil where there is none.
func (e *Edge) Addr(service schema.Service) net.Addr {
	if l := e.listeners[service]; l != nil {
		return l.Addr()
	}
	return nil
}

// Connections is the number of a service's open connections.
func (e *Edge) Connections(service schema.Service) int {
	if server := e.servers[service]; server != nil {
		return server.Connections()
	}
	return 0
}

// Ready reports whether the edge can serve: NATS is connected and no stream is
// fenced.
func (e *Edge) Ready() error {
	if !e.bus.Connected() {
		return errors.New("nats is away")
	}
	for service, server := range e.servers {
		if !server.Feeds.Serving() {
			return fmt.Errorf("the stream of %s is not served until it is repaired", service)
		}
	}
	return nil
}
