// Package natstest runs real NATS servers with JetStream inside a test: one of them,
// or a cluster. They listen on random ports of the loopback interface, keep their data
// in the test's temporary directory, log nothing, and end with the test.
//
//	srv := natstest.Start(t, natstest.Streams(schema.Mahavishnu))
//	pub, err := publisher.New(srv.Connect(t))
package natstest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
)

const (
	// MaxBytes is the size limit of each stream that Streams creates.
	MaxBytes = 64 << 20
	// patience is how long a server may take to become ready, or a cluster to elect
	// a leader, on a busy machine.
	patience = 30 * time.Second
)

// Option changes what Start and StartCluster start.
type Option func(*options)

type options struct {
	services  []schema.Service
	stream    publisher.StreamConfig
	configure []func(*server.Options)
}

// Streams creates the streams of services before Start returns, with MaxBytes each
// and, in a cluster, as many replicas as it has nodes (3 at most).
func Streams(services ...schema.Service) Option {
	return func(o *options) { o.services = append(o.services, services...) }
}

// StreamConfig replaces the configuration with which Streams creates streams. Zero
// fields keep the defaults of this package.
func StreamConfig(cfg publisher.StreamConfig) Option {
	return func(o *options) { o.stream = cfg }
}

// Configure changes a server's options before it starts, and again before each
// restart, for example to set users or TLS. It is called once for every node.
func Configure(change func(*server.Options)) Option {
	return func(o *options) { o.configure = append(o.configure, change) }
}

// Server is a running NATS server. Its methods are safe for concurrent use, but for
// Shutdown and Restart, which are for one goroutine at a time.
type Server struct {
	// Static after construction.
	opts *server.Options

	// Guarded by mu.
	mu  sync.Mutex
	srv *server.Server
}

// Start runs a server until the test ends.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	s := &Server{opts: serverOptions(t.TempDir(), "natstest", o)}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	ensure(t, s.Connect(t), o, 1)
	return s
}

func serverOptions(dir, name string, o options) *server.Options {
	opts := &server.Options{
		ServerName: name,
		Host:       "127.0.0.1",
		Port:       server.RANDOM_PORT,
		NoLog:      true,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   dir,
		// A limit of its own, so that reservations do not depend on the machine's disk.
		JetStreamMaxStore:  8 << 30,
		JetStreamMaxMemory: 64 << 20,
	}
	for _, configure := range o.configure {
		configure(opts)
	}
	return opts
}

func (s *Server) start() error {
	srv, err := server.NewServer(s.opts)
	if err != nil {
		return fmt.Errorf("natstest: %w", err)
	}
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		srv.Shutdown()
		srv.WaitForShutdown()
		return fmt.Errorf("natstest: %s is not ready after %s", s.opts.ServerName, patience)
	}
	if addr, ok := srv.Addr().(*net.TCPAddr); ok {
		// A restart listens where clients know the server.
		s.opts.Port = addr.Port
	}
	s.mu.Lock()
	s.srv = srv
	s.mu.Unlock()
	return nil
}

// NATS is the running server itself, for what this package does not offer.
func (s *Server) NATS() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.srv
}

// Name is the server's name.
func (s *Server) Name() string { return s.opts.ServerName }

// URL is where clients connect. It stays the same over restarts.
func (s *Server) URL() string { return s.NATS().ClientURL() }

// Connect connects to the server over TCP until the test ends. It reconnects forever
// and at once; opts come after that.
func (s *Server) Connect(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	return connect(t, s.URL(), opts)
}

// ConnectInProcess connects without a socket. Such a connection does not survive
// Restart.
func (s *Server) ConnectInProcess(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	return connect(t, "", append([]nats.Option{nats.InProcessServer(s.NATS()), nats.NoReconnect()}, opts...))
}

func connect(t testing.TB, url string, opts []nats.Option) *nats.Conn {
	t.Helper()
	all := append([]nats.Option{
		nats.MaxReconnects(-1),
		nats.ReconnectWait(20 * time.Millisecond),
		nats.ReconnectJitter(5*time.Millisecond, 5*time.Millisecond),
		nats.PingInterval(time.Second),
		// The default prints to standard error.
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}, opts...)
	nc, err := nats.Connect(url, all...)
	if err != nil {
		t.Fatalf("natstest: connect: %v", err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// Shutdown ends the server in an orderly way and waits for it. Data stay on disk.
// Calling it again does nothing.
func (s *Server) Shutdown() {
	srv := s.NATS()
	srv.Shutdown()
	srv.WaitForShutdown()
}

// Restart ends the server if it runs and starts it again, with the same address and
// the same data.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Shutdown()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// ensure creates the streams that o asks for.
func ensure(t testing.TB, nc *nats.Conn, o options, nodes int) {
	t.Helper()
	if len(o.services) == 0 {
		return
	}
	cfg := o.stream
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = MaxBytes
	}
	if cfg.Replicas == 0 {
		cfg.Replicas = min(nodes, 3)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := publisher.EnsureStreams(ctx, nc, cfg, o.services...); err != nil {
		t.Fatalf("natstest: %v", err)
	}
}
