//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/edge/request"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/schema"
)

// edgeRole is what an edge is told, beside its secret.
type edgeRole struct {
	NATS string
	Log  string
	// Memory is its limit, and Queued bounds what waits for clients, both in bytes.
	Memory, Queued int64
	// Connections bounds those of a service.
	Connections int
	// Messages and Frames are a connection's a second; Arrivals and HalfOpen an address's.
	Messages, Frames, Arrivals, HalfOpen int
	Linger                               time.Duration
}

// Limits of the edge that is attacked, beside those of the role, limit.DefaultGate and
// limit.DefaultFailures.
const (
	maxPerUser    = 30
	maxPerAddress = 100
	replayRate    = 512 << 10
	// maxFeeds is a fifth of what an edge with more memory has, and more than good clients
	// need by far.
	maxFeeds = 10_000
)

// config is that of an edge which faces the internet. Its operators are on 127.0.0.1, and
// nobody else is.
func (e *edgeRole) config(secret string) (edge.Config, error) {
	operators, err := limit.ParseNetworks([]string{"127.0.0.1/32"})
	if err != nil {
		return edge.Config{}, fmt.Errorf("attack: %w", err)
	}
	gate := limit.DefaultGate()
	gate.ArrivalsPerAddress, gate.MaxHalfOpenPerAddress = e.Arrivals, e.HalfOpen
	services := map[schema.Service]edge.Service{}
	for _, name := range schema.Services() {
		services[name] = edge.Service{
			RequireAuth: true, Auth: auth.Config{Secret: secret},
			MaxPerUser: maxPerUser, MaxPerAddress: maxPerAddress,
			Conn:   conn.Config{MaxConnections: e.Connections, MaxFramesPerSecond: e.Frames},
			Limits: request.Limits{MessagesPerSecond: e.Messages, ReplayRate: replayRate},
			Feed:   feed.Config{Linger: e.Linger, MaxFeeds: maxFeeds},
		}
	}
	mahavishnu := services[schema.Mahavishnu]
	mahavishnu.AdminChannels = []string{"pool:payroll"}
	services[schema.Mahavishnu] = mahavishnu
	return edge.Config{
		NATS: stream.Config{URL: e.NATS}, HTTP: "127.0.0.1:0", Name: "attacked", Version: "attack", Services: services,
		Metrics: edge.Operators{Addr: "127.0.0.1:0", Allow: operators},
		Admin:   edge.Operators{Addr: "127.0.0.1:0", Allow: operators},
		Gate:    gate, Failures: limit.DefaultFailures(),
		QueuedBytes: e.Queued, MemoryLimit: e.Memory,
	}, nil
}

// question is what an edge is asked: to collect its garbage first, or not.
type question struct{ Collect bool }

// inside is what only the edge's own process knows.
type inside struct {
	// Heap is what is in use of it, in bytes.
	Heap       int64
	Goroutines int
}

func (e *edgeRole) play(ctx context.Context, d dialogue, secret string) error {
	// As indranet edge does it.
	debug.SetMemoryLimit(e.Memory / 10 * 9)
	debug.SetGCPercent(400)
	log, err := os.OpenFile(e.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return d.failed(err)
	}
	defer func() { _ = log.Close() }()
	cfg, err := e.config(secret)
	if err != nil {
		return d.failed(err)
	}
	// Debug: what panics in a handler is told there.
	app, err := edge.New(cfg, slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err == nil {
		err = app.Start(ctx)
	}
	if err != nil {
		return d.failed(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = app.Stop(ctx) // Who was cut off is in its log.
	}()
	if err := d.out.Encode(ready{
		Address: app.HTTPAddr().String(), Metrics: app.MetricsAddr().String(), Admin: app.AdminAddr().String(),
	}); err != nil {
		return err
	}
	asked := make(chan error, 1)
	go func() { asked <- d.inside() }()
	select {
	case <-ctx.Done():
		return nil
	case err := <-asked:
		return err
	}
}

// inside answers questions.
func (d dialogue) inside() error {
	for {
		var q question
		if err := d.hear(&q); err != nil {
			return err
		}
		if q.Collect {
			runtime.GC()
		}
		samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(samples)
		if err := d.out.Encode(inside{Heap: int64(samples[0].Value.Uint64()), Goroutines: runtime.NumGoroutine()}); err != nil {
			return err
		}
	}
}
