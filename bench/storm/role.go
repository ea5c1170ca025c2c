//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/metrics"
	"runtime/pprof"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/bodhisattva/indranet/bench/storm/swarm"
	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/stream"
)

// roleKey is the environment variable that makes this program a child.
const roleKey = "INDRANET_STORM_CHILD"

// role is what a child is: one of NATS, Edge and Swarm is set.
type role struct {
	Name  string
	NATS  *natsRole     `json:",omitempty"`
	Edge  *edgeRole     `json:",omitempty"`
	Swarm *swarm.Config `json:",omitempty"`
}

type natsRole struct{ Dir string }

type edgeRole struct {
	NATS        string
	SlowTimeout time.Duration
	// CPUProfile is a file for the profile of the process' whole life, empty for none.
	CPUProfile string
}

// dialogue is a child's side of the talk with its parent.
type dialogue struct {
	in  *bufio.Reader
	out *json.Encoder
}

// play runs a child until it is asked to end, by SIGTERM or the end of its standard
// input, which comes when its parent dies.
func play() error {
	d := dialogue{bufio.NewReaderSize(os.Stdin, 64<<10), json.NewEncoder(os.Stdout)}
	var r role
	if err := d.hear(&r); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	signal.Ignore(syscall.SIGINT) // The parent has it too, and ends its children.
	var err error
	switch {
	case r.NATS != nil:
		err = r.NATS.play(ctx, d)
	case r.Edge != nil:
		err = r.Edge.play(ctx, d, r.Name)
	case r.Swarm != nil:
		err = playSwarm(ctx, d, *r.Swarm)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	return nil
}

// hear takes one line. It fails with io.EOF when the parent has ended or asks to end.
func (d dialogue) hear(into any) error {
	line, err := d.in.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, into)
}

// ready tells the parent where the child can be reached, or why it can't be.
func (d dialogue) ready(address string, err error) error {
	answer := map[string]string{"address": address}
	if err != nil {
		answer["error"] = err.Error()
	}
	return errors.Join(err, d.out.Encode(answer))
}

func (n *natsRole) play(_ context.Context, d dialogue) error {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: n.Dir, JetStreamMaxStore: 64 << 30,
	})
	if err != nil {
		return d.ready("", err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(10 * time.Second) {
		return d.ready("", errors.New("the server does not start"))
	}
	if err := d.ready(srv.ClientURL(), nil); err != nil {
		return err
	}
	return d.hear(nil)
}

// question is what an edge is asked.
type question struct{ Forget bool }

// memory is what an edge answers: its heap in use, now and at most since it was told to
// forget, in bytes.
type memory struct{ Heap, Peak int64 }

func (e *edgeRole) play(ctx context.Context, d dialogue, name string) error {
	if e.CPUProfile != "" {
		f, err := os.Create(e.CPUProfile)
		if err != nil {
			return d.ready("", err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return d.ready("", err)
		}
		defer pprof.StopCPUProfile()
	}
	app, err := edge.New(edge.Config{
		NATS: stream.Config{URL: e.NATS}, HTTP: "127.0.0.1:0", Name: name, Version: "storm",
		Services:    edge.Public(edge.Service{Conn: conn.Config{MaxConnections: 20_000, SlowTimeout: e.SlowTimeout}}),
		OpenMetrics: true,
	}, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})).With("edge", name))
	if err == nil {
		err = app.Start(ctx)
	}
	if err != nil {
		return d.ready("", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = app.Stop(ctx) // Who was cut off is in its log.
	}()
	var watch heapWatch
	go watch.run(ctx)
	if err := d.ready(app.HTTPAddr().String(), nil); err != nil {
		return err
	}
	asked := make(chan error, 1)
	go func() { asked <- watch.answer(d) }()
	select {
	case <-ctx.Done():
		return nil
	case err := <-asked:
		return err
	}
}

// heapWatch looks at the heap again and again.
type heapWatch struct{ now, peak atomic.Int64 }

// heapEvery is how often: a look takes microseconds and stops nobody.
const heapEvery = 20 * time.Millisecond

func (w *heapWatch) run(ctx context.Context) {
	ticker := time.NewTicker(heapEvery)
	defer ticker.Stop()
	for {
		w.look()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look reads what the runtime calls HeapInuse.
func (w *heapWatch) look() {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	metrics.Read(samples)
	n := int64(samples[0].Value.Uint64() + samples[1].Value.Uint64())
	w.now.Store(n)
	if n > w.peak.Load() {
		w.peak.Store(n)
	}
}

func (w *heapWatch) answer(d dialogue) error {
	for {
		var q question
		if err := d.hear(&q); err != nil {
			return err
		}
		w.look()
		m := memory{Heap: w.now.Load(), Peak: w.peak.Load()}
		if q.Forget {
			w.peak.Store(m.Heap)
		}
		if err := d.out.Encode(m); err != nil {
			return err
		}
	}
}

func playSwarm(ctx context.Context, d dialogue, cfg swarm.Config) error {
	s, err := swarm.New(cfg)
	if err != nil {
		return d.ready("", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if err := d.ready("", nil); err != nil {
		return err
	}
	for {
		var order swarm.Order
		if err := d.hear(&order); err != nil {
			cancel()
			return errors.Join(err, <-ended)
		}
		if err := d.out.Encode(s.Do(ctx, order)); err != nil {
			return err
		}
	}
}
