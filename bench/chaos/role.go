//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/request"
	"github.com/bodhisattva/indranet/edge/stream"
)

// roleKey is the environment variable that makes this program a child.
const roleKey = "INDRANET_CHAOS_ROLE"

// role is what a child process is told. One of NATS and Edge is set.
type role struct {
	Name string
	Log  string
	NATS *natsRole
	Edge *edgeRole
}

type natsRole struct {
	Dir         string
	Port, Route int
	// Advertise is the address of the link to Route, Routes those to all nodes.
	Advertise string
	Routes    []string
}

type edgeRole struct {
	HTTP string
	NATS string
	Feed feed.Config
	// Plant is the fault that the edge has, empty for none.
	Plant string
}

// play runs a child until it is asked to end, by SIGTERM or the end of its standard
// input, which comes when its parent dies.
func play(text string) error {
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return fmt.Errorf("chaos: role: %w", err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	signal.Ignore(syscall.SIGINT) // The parent has it too, and ends its children.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(2) // Nobody is left who could ask for more.
	}()
	if r.NATS != nil {
		return r.NATS.play(ctx, r)
	}
	return r.Edge.play(ctx, r)
}

func (n *natsRole) play(ctx context.Context, r role) error {
	opts := &server.Options{
		ServerName: r.Name, Host: loopback, Port: n.Port, NoSigs: true,
		LogFile: r.Log, Logtime: true,
		JetStream: true, StoreDir: n.Dir, JetStreamMaxStore: 8 << 30, JetStreamMaxMemory: 64 << 20,
		// Nobody may learn a way past the links.
		Cluster: server.ClusterOpts{Name: "chaos", Host: loopback, Port: n.Route, Advertise: n.Advertise, NoAdvertise: true},
	}
	for _, route := range n.Routes {
		u, err := url.Parse(route)
		if err != nil {
			return fmt.Errorf("chaos: route: %w", err)
		}
		opts.Routes = append(opts.Routes, u)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("chaos: nats: %w", err)
	}
	srv.ConfigureLogger()
	srv.Start()
	<-ctx.Done()
	srv.Shutdown()
	srv.WaitForShutdown()
	return nil
}

func (e *edgeRole) play(ctx context.Context, r role) error {
	out, err := os.OpenFile(r.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("chaos: log: %w", err)
	}
	defer func() { _ = out.Close() }()
	logger := slog.New(slog.NewTextHandler(out, nil))
	for {
		app, err := edge.New(edge.Config{
			NATS: stream.Config{URL: e.NATS, Options: []nats.Option{nats.IgnoreDiscoveredServers()}},
			HTTP: e.HTTP, Name: r.Name, Version: "chaos",
			Services: edge.Public(edge.Service{
				Conn:   conn.Config{PingInterval: 3 * time.Second, PingTimeout: 5 * time.Second, SlowTimeout: 20 * time.Second, MaxConnections: 10_000},
				Limits: request.Limits{PositionEvery: 2 * time.Second},
				Feed:   e.Feed,
			}),
			OpenMetrics: true,
		}, logger)
		if err != nil {
			return err
		}
		if err = app.Start(ctx); err == nil {
			<-ctx.Done()
			stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			return app.Stop(stop)
		}
		// As a supervisor would, when NATS is away.
		logger.Warn("the edge does not start", "error", err)
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil
		}
	}
}
