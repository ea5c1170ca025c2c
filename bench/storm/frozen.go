//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/bodhisattva/indranet/bench/storm/swarm"
)

// frozen is the mode with clients that stop reading.
type frozen struct {
	frozen, healthy  int
	rate             float64
	size             int
	duration, settle time.Duration
	pairs, thaws     int
	profile          string
}

// What an edge may hold for a connection that takes nothing: the bytes of one flush and
// the event that went over it; where it reads history, two pages as well.
const (
	flushBytes = 64 << 10
	pageBytes  = 256 << 10
	ringBytes  = 1 << 20
	// onWire is what an event has on the wire beside its payload, about.
	onWire = 256

	slowTimeout = 120 * time.Second
	// smallBuffer is the frozen clients' SO_RCVBUF: little is in the kernel.
	smallBuffer = 4096
	// ratioGoal is for the healthy clients' p99, with frozen ones beside them.
	ratioGoal = 1.25
)

// Names of figures that goals are about.
const (
	frozenRatio  = "healthy p99: median with / median without frozen clients"
	frozenRSS    = "with frozen: edge RSS peak beyond the run without, MiB"
	frozenHeap   = "with frozen: edge heap peak beyond the run without, MiB"
	thawingHeap  = "thawing: edge heap peak beyond the run without, MiB"
	thawingRSS   = "thawing: edge RSS peak beyond the run without, MiB"
	p99With      = "with frozen: healthy p99, µs"
	p99Without   = "without frozen: healthy p99, µs"
	thawMost     = 10 * time.Minute
	thawDuration = "thawing: all have everything, s"
)

func (m frozen) run(ctx context.Context, out, progress io.Writer) ([]*figures, error) {
	fmt.Fprintf(out, "%d clients stop reading for %v while %.0f events/s of %d bytes come on their channel, %d healthy ones beside\n", m.frozen, m.duration, m.rate, m.size, m.healthy)
	fmt.Fprintf(out, "them; latency is from the publish call to the receipt; %s\n", machine())
	d, err := deploy(ctx, progress)
	if err != nil {
		return nil, err
	}
	defer d.close()
	f := &figures{}
	for pair := range m.pairs {
		without, err := m.once(d, f, pair, false)
		if err != nil {
			return nil, err
		}
		with, err := m.once(d, f, pair, true)
		if err != nil {
			return nil, err
		}
		f.add("healthy p99: with / without, pair by pair", float64(with.latency.P99)/float64(max(without.latency.P99, 1)))
		f.add(frozenRSS, mebi(with.usage.Peak-without.usage.Peak))
		f.add(frozenHeap, mebi(with.memory.Peak-without.memory.Peak))
		if with.thawed.usage.Peak > 0 {
			f.add(thawingRSS, mebi(with.thawed.usage.Peak-without.usage.Peak))
			f.add(thawingHeap, mebi(with.thawed.memory.Peak-without.memory.Peak))
		}
	}
	f.add(frozenRatio, f.median(p99With)/max(f.median(p99Without), 1))
	f.goal(frozenRatio, ratioGoal)
	live, reading := m.bounds()
	f.goal(frozenRSS, live)
	f.goal(frozenHeap, live)
	if m.thaws > 0 {
		f.goal(thawingRSS, reading)
		f.goal(thawingHeap, reading)
		f.goal(thawDuration, thawMost.Seconds())
	}
	f.print(out, "")
	return []*figures{f}, nil
}

// bounds are what the frozen clients may cost, in MiB: at the head, and while they read
// history.
func (m frozen) bounds() (live, reading float64) {
	each := int64(flushBytes + m.size + onWire)
	return mebi(int64(m.frozen)*each + ringBytes), mebi(int64(m.frozen)*(each+2*pageBytes) + ringBytes)
}

// outcome is what one run gave.
type outcome struct {
	shot
	latency swarm.Latency
	thawed  shot
}

// once is one run, with or without frozen clients.
func (m frozen) once(d *deployment, f *figures, pair int, withFrozen bool) (o outcome, err error) {
	what := map[bool]string{true: "with frozen: ", false: "without frozen: "}[withFrozen]
	d.say("frozen: pair %d, %s%v", pair+1, what, m.duration)
	channel := channelNames(fmt.Sprintf("frozen-%d-%t", pair, withFrozen), 1)
	edge, err := d.edge("edge", edgeRole{SlowTimeout: slowTimeout, CPUProfile: m.profile})
	if err != nil {
		return o, err
	}
	defer edge.end(syscall.SIGTERM)
	author, err := d.swarm("publisher", swarm.Config{Channels: channel})
	if err != nil {
		return o, err
	}
	defer author.kill()
	healthy, err := d.swarm("healthy", swarm.Config{Channels: channel, Clients: m.healthy})
	if err != nil {
		return o, err
	}
	defer healthy.kill()
	cold, err := d.swarm("frozen", swarm.Config{Channels: channel, Clients: map[bool]int{true: m.frozen}[withFrozen], ReceiveBuffer: smallBuffer})
	if err != nil {
		return o, err
	}
	defer cold.kill()
	for _, s := range []flock{healthy, cold} {
		if _, err := s.all(swarm.Order{Do: swarm.Go, Address: edge.address, Subscribe: true}, wait(swarm.Caught), swarm.Order{Do: swarm.Save}); err != nil {
			return o, err
		}
	}
	if _, err := author.do(swarm.Order{Do: swarm.Publish, Rate: m.rate, Size: m.size}); err != nil {
		return o, err
	}
	if err := d.rest(m.settle); err != nil { // They read for a moment.
		return o, err
	}
	if _, err := cold.do(swarm.Order{Do: swarm.Freeze}); err != nil {
		return o, err
	}
	if err := d.rest(m.settle); err != nil {
		return o, err
	}
	if _, err := edge.memory(); err != nil {
		return o, err
	}
	cpu, err := spent(edge, healthy.process, cold.process, d.nats, author.process)
	if err != nil {
		return o, err
	}
	if _, err := healthy.do(swarm.Order{Do: swarm.Window, From: swarm.Now()}); err != nil {
		return o, err
	}
	if err := d.rest(m.duration); err != nil {
		return o, err
	}
	if _, err := healthy.do(swarm.Order{Do: swarm.Window, To: swarm.Now()}); err != nil {
		return o, err
	}
	used, err := cpu()
	if err != nil {
		return o, err
	}
	if o.shot, err = snapshot(edge); err != nil {
		return o, err
	}
	halted, err := author.do(swarm.Order{Do: swarm.Halt})
	if err != nil {
		return o, err
	}
	expect := swarm.Order{Do: swarm.Expect, Goals: halted.Goals}
	r, err := healthy.all(expect, wait(swarm.Complete), swarm.Order{Do: swarm.Check})
	f.blame(r)
	if err != nil {
		return o, err
	}
	o.latency = r.Latency
	f.add(what+"healthy p50, µs", micros(r.Latency.P50))
	f.add(what+"healthy p99, µs", micros(r.Latency.P99))
	f.add(what+"healthy max, µs", micros(r.Latency.Max))
	f.add(what+"edge RSS peak, MiB", mebi(o.usage.Peak))
	f.add(what+"edge heap peak, MiB", mebi(o.memory.Peak))
	f.add(what+"log reads", o.reads)
	for i, name := range []string{"edge", "healthy clients", "frozen clients", "NATS", "publisher"} {
		f.add(what+"CPU of "+name+", s", used[i].Seconds())
	}
	if withFrozen && pair >= m.pairs-m.thaws {
		o.thawed, err = m.thaw(d, f, edge, cold, expect)
	}
	return o, err
}

// thaw lets the frozen clients read on until they have everything.
func (m frozen) thaw(d *deployment, f *figures, edge *process, cold flock, expect swarm.Order) (after shot, err error) {
	d.say("frozen: thawing %d clients, %d events each", m.frozen, expect.Goals[0].Count)
	before, err := snapshot(edge)
	if err != nil {
		return after, err
	}
	cpu, err := spent(edge, cold.process, d.nats)
	if err != nil {
		return after, err
	}
	r, err := cold.all(expect)
	if err != nil {
		return after, err
	}
	events, bytes, begin := r.Events, r.Bytes, swarm.Now()
	if _, err = cold.do(swarm.Order{Do: swarm.Thaw}); err != nil {
		return after, err
	}
	r, err = cold.do(wait(swarm.Complete))
	if err != nil {
		f.blame(r)
		return after, err
	}
	used, err := cpu()
	if err != nil {
		return after, err
	}
	if after, err = snapshot(edge); err != nil {
		return after, err
	}
	took := seconds(begin, r.LastComplete)
	f.add(thawDuration, took)
	f.add("thawing: events/s", float64(r.Events-events)/took)
	f.add("thawing: MB/s", float64(r.Bytes-bytes)/took/1e6)
	f.add("thawing: log reads", after.reads-before.reads)
	f.add("thawing: clients served by another's read", after.shared-before.shared)
	f.add("thawing: edge RSS peak, MiB", mebi(after.usage.Peak))
	f.add("thawing: edge heap peak, MiB", mebi(after.memory.Peak))
	for i, name := range []string{"edge", "frozen clients", "NATS"} {
		f.add("thawing: CPU of "+name+", s", used[i].Seconds())
	}
	r, err = cold.do(swarm.Order{Do: swarm.Check})
	f.blame(r)
	if r.Losses > 0 {
		f.faults["frozen clients' connections lost"] += r.Losses
	}
	return after, err
}
