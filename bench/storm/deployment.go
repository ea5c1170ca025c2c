//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/bench/storm/swarm"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
)

// service is the one that everything happens in.
const service = schema.Mahavishnu

// deployment is one NATS server and what was started beside it. Its methods belong to
// one goroutine.
type deployment struct {
	ctx      context.Context
	progress io.Writer
	began    time.Time
	dir      string
	nats     *process
	release  func() bool

	// Guarded by mu.
	mu       sync.Mutex
	children []*process
}

// deploy starts a server with the service's stream. close must be called.
func deploy(ctx context.Context, progress io.Writer) (*deployment, error) {
	dir, err := os.MkdirTemp("", "indranet-storm-")
	if err != nil {
		return nil, fmt.Errorf("storm: %w", err)
	}
	d := &deployment{ctx: ctx, progress: progress, began: time.Now(), dir: dir}
	d.release = context.AfterFunc(ctx, d.killAll)
	if d.nats, err = d.start("nats", role{NATS: &natsRole{Dir: filepath.Join(dir, "nats")}}); err != nil {
		d.close()
		return nil, err
	}
	if err := d.ensure(); err != nil {
		d.close()
		return nil, err
	}
	// Nobody's position is the beginning of the log, nor an event of the own channel.
	if _, err := d.bulk(channelNames("past", 10), 10, 256); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *deployment) ensure() error {
	nc, err := nats.Connect(d.nats.address)
	if err != nil {
		return fmt.Errorf("storm: %w", err)
	}
	defer nc.Close()
	// Edges want the streams of all services. The one that is used may not lose its front.
	_, err = publisher.EnsureStreams(d.ctx, nc, publisher.StreamConfig{MaxBytes: 64 << 20}, schema.Services()...)
	if err == nil {
		_, err = publisher.EnsureStreams(d.ctx, nc, publisher.StreamConfig{MaxBytes: 16 << 30}, service)
	}
	return err
}

// close ends everything, the edges first.
func (d *deployment) close() {
	d.release()
	for _, p := range d.children {
		p.kill()
	}
	_ = os.RemoveAll(d.dir) // It is in the directory for temporary files.
}

// killAll makes whoever waits for a child's answer go on.
func (d *deployment) killAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.children {
		p.signal(syscall.SIGKILL)
	}
}

func (d *deployment) start(name string, r role) (*process, error) {
	p, err := start(name, r)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.children = append(d.children, p)
	return p, d.ctx.Err()
}

// say tells who watches what is going on.
func (d *deployment) say(format string, args ...any) {
	fmt.Fprintf(d.progress, "%7.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// rest waits, for things to become calm.
func (d *deployment) rest(pause time.Duration) error {
	select {
	case <-time.After(pause):
		return nil
	case <-d.ctx.Done():
		return d.ctx.Err()
	}
}

// edge starts an edge.
func (d *deployment) edge(name string, e edgeRole) (*process, error) {
	e.NATS = d.nats.address
	return d.start(name, role{Edge: &e})
}

// memory asks an edge for its heap, and starts a new peak.
func (p *process) memory() (m memory, err error) {
	err = p.exchange(question{Forget: true}, &m)
	return m, err
}

// flock is a swarm in a process of its own.
type flock struct{ *process }

func (d *deployment) swarm(name string, cfg swarm.Config) (flock, error) {
	cfg.Service, cfg.NATS = string(service), d.nats.address
	p, err := d.start(name, role{Swarm: &cfg})
	return flock{p}, err
}

// do gives an order.
func (f flock) do(order swarm.Order) (r swarm.Report, err error) {
	if err = f.exchange(order, &r); err == nil && r.Error != "" {
		err = fmt.Errorf("storm: %s: %s (%s)", f.name, r.Error, faultText(r))
	}
	return r, err
}

// all gives orders until one fails, and returns the last report.
func (f flock) all(orders ...swarm.Order) (r swarm.Report, err error) {
	for _, order := range orders {
		if r, err = f.do(order); err != nil {
			return r, err
		}
	}
	return r, nil
}

// patience bounds every wait for a swarm.
const patience = 20 * time.Minute

// wait is the order to wait for something.
func wait(what string) swarm.Order { return swarm.Order{Do: swarm.Wait, For: what, Timeout: patience} }

// channelNames are n channels that nobody else uses.
func channelNames(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("workflow:%s-%d", prefix, i)
	}
	return names
}

// bulk publishes n events of about size bytes to every channel.
func (d *deployment) bulk(channels []string, n, size int) ([]swarm.Goal, error) {
	f, err := swarm.NewFeeder(d.nats.address, channels)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Bulk(d.ctx, n, size)
}

// spent measures the CPU time of processes from now until the returned function is
// called.
func spent(processes ...*process) (func() ([]time.Duration, error), error) {
	read := func() ([]time.Duration, error) {
		times := make([]time.Duration, len(processes))
		for i, p := range processes {
			u, err := p.usage()
			if err != nil {
				return nil, err
			}
			times[i] = u.CPU
		}
		return times, nil
	}
	before, err := read()
	return func() ([]time.Duration, error) {
		after, err := read()
		for i := range after {
			after[i] -= before[i]
		}
		return after, err
	}, err
}

// conditions is what the figures were made under.
func conditions() string {
	load := "unknown"
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	return "load average at the start " + load
}

var errVerdict = errors.New("storm: something was lost, repeated or out of order, or a goal was missed")
