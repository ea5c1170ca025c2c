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

// storm is the mode in which an edge is killed.
type storm struct {
	clients, missed, size int
	channels              []int
	jitters               []time.Duration
	runs                  int
	dials                 int
	probes                int
	probeRate             float64
	calm, settle          time.Duration
	profile               string
}

// Names of figures that goals are about.
const (
	probeRatio = "probes: p99 in the storm / calm"
	readsEach  = "log reads / channel"
	probeGoal  = 2
	readsGoal  = 2
	probeSize  = 256
)

func (m storm) run(ctx context.Context, out, progress io.Writer) ([]*figures, error) {
	fmt.Fprintf(out, "%d clients of an edge that is killed, %d missed events of %d bytes on the channel of each;\n", m.clients, m.missed, m.size)
	fmt.Fprintf(out, "they go to another edge, on which %d probes on channels of their own get %.0f events/s; %s\n\n", m.probes, m.probeRate, machine())
	d, err := deploy(ctx, progress)
	if err != nil {
		return nil, err
	}
	defer d.close()
	var all []*figures
	for _, channels := range m.channels {
		for _, jitter := range m.jitters {
			f := &figures{}
			for run := range m.runs {
				d.say("storm: %d clients on %d channels, jitter %v, run %d", m.clients, channels, jitter, run+1)
				if err := m.once(d, f, channels, jitter, run); err != nil {
					return nil, err
				}
			}
			f.goal(probeRatio, probeGoal)
			f.goal(readsEach, readsGoal)
			f.print(out, fmt.Sprintf("%d channels, reconnects spread over %v", channels, jitter))
			all = append(all, f)
		}
	}
	return all, nil
}

// once is one storm.
func (m storm) once(d *deployment, f *figures, channels int, jitter time.Duration, run int) error {
	prefix := fmt.Sprintf("storm-%d-%d-%d", channels, jitter, run)
	names := channelNames(prefix, channels)
	first, err := d.edge("edge A", edgeRole{})
	if err != nil {
		return err
	}
	defer first.kill()
	second, err := d.edge("edge B", edgeRole{CPUProfile: m.profile})
	if err != nil {
		return err
	}
	defer second.end(syscall.SIGTERM)
	clients, err := d.swarm("clients", swarm.Config{Channels: names, Clients: m.clients, Dials: m.dials})
	if err != nil {
		return err
	}
	defer clients.kill()
	probes, err := d.swarm("probes", swarm.Config{Channels: channelNames(prefix+"-probe", m.probes), Clients: m.probes})
	if err != nil {
		return err
	}
	defer probes.kill()

	if _, err := clients.all(swarm.Order{Do: swarm.Go, Address: first.address, Subscribe: true}, wait(swarm.Caught), swarm.Order{Do: swarm.Save}); err != nil {
		return err
	}
	calm, err := m.probe(d, probes, second)
	if err != nil {
		return err
	}

	// What is published while the edge stands still, it can't pass on.
	first.signal(syscall.SIGSTOP)
	goals, err := d.bulk(names, m.missed, m.size)
	if err != nil {
		return err
	}
	if _, err := clients.all(
		swarm.Order{Do: swarm.Expect, Goals: goals, Stored: true},
		swarm.Order{Do: swarm.Plan, Address: second.address, Subscribe: true, Jitter: jitter},
	); err != nil {
		return err
	}
	if err := d.rest(m.settle); err != nil {
		return err
	}
	before, err := snapshot(second)
	if err != nil {
		return err
	}
	cpu, err := spent(second, clients.process, d.nats, probes.process)
	if err != nil {
		return err
	}
	killed := swarm.Now()
	if _, err := probes.do(swarm.Order{Do: swarm.Window, From: killed}); err != nil {
		return err
	}
	first.signal(syscall.SIGKILL)
	back, err := clients.all(wait(swarm.Gone), wait(swarm.Caught))
	if err != nil {
		return err
	}
	used, err := cpu()
	if err != nil {
		return err
	}
	peak, err := snapshot(second)
	if err != nil {
		return err
	}
	stormy, err := m.window(d, probes, back.LastCaught)
	if err != nil {
		return err
	}
	if err := d.rest(2 * m.settle); err != nil {
		return err
	}
	after, err := snapshot(second)
	if err != nil {
		return err
	}
	if err := m.verify(f, clients, probes); err != nil {
		return err
	}

	f.add("from the kill: first client noticed, s", seconds(killed, back.FirstLoss))
	f.add("from the kill: all connected, s", seconds(killed, back.LastOpen))
	f.add("from the kill: half caught up, s", seconds(killed, back.CaughtMid))
	f.add("from the kill: 99 % caught up, s", seconds(killed, back.CaughtMost))
	f.add("from the kill: all caught up, s", seconds(killed, back.LastCaught))
	f.add("from the first reconnect: all caught up, s", seconds(back.FirstDial, back.LastCaught))
	f.add("connecting: first reconnect to last handshake, s", seconds(back.FirstDial, back.LastOpen))
	f.add("catching up: first subscribe to last caught_up, s", seconds(back.FirstAsk, back.LastCaught))
	f.add("after the last handshake until all caught up, s", seconds(back.LastOpen, back.LastCaught))
	f.add("log reads", peak.reads-before.reads)
	f.add(readsEach, (peak.reads-before.reads)/float64(channels))
	f.add("clients served by another's read", peak.shared-before.shared)
	for _, part := range []struct {
		when string
		swarm.Report
	}{{"calm", calm}, {"storm", stormy}} {
		f.add("probes: "+part.when+" p50, µs", micros(part.Latency.P50))
		f.add("probes: "+part.when+" p99, µs", micros(part.Latency.P99))
		f.add("probes: "+part.when+" max, µs", micros(part.Latency.Max))
		f.add("probes: "+part.when+" p99 without an edge, from NATS itself, µs", micros(part.Control.P99))
	}
	f.add("probes: events in the storm", float64(stormy.Latency.Count))
	f.add(probeRatio, float64(stormy.Latency.P99)/float64(max(calm.Latency.P99, 1)))
	f.add("the same ratio without an edge", float64(stormy.Control.P99)/float64(max(calm.Control.P99, 1)))
	f.add("edge writes / client (probes included)", (peak.flushes-before.flushes)/float64(m.clients))
	for i, name := range []string{"edge", "clients", "NATS", "probes"} {
		f.add("CPU of "+name+", s", used[i].Seconds())
	}
	f.add("edge RSS before, MiB", mebi(before.RSS))
	f.add("edge RSS peak, MiB", mebi(peak.usage.Peak))
	f.add("edge RSS after, MiB", mebi(after.RSS))
	f.add("edge heap before, MiB", mebi(before.Heap))
	f.add("edge heap peak, MiB", mebi(peak.memory.Peak))
	f.add("edge heap after, MiB", mebi(after.Heap))
	return nil
}

// probe starts the probes and returns their latency in calm.
func (m storm) probe(d *deployment, probes flock, edge *process) (swarm.Report, error) {
	if _, err := probes.all(
		swarm.Order{Do: swarm.Go, Address: edge.address, Subscribe: true}, wait(swarm.Caught), swarm.Order{Do: swarm.Save},
		swarm.Order{Do: swarm.Publish, Rate: m.probeRate, Size: probeSize, Control: true},
	); err != nil {
		return swarm.Report{}, err
	}
	if err := d.rest(m.settle); err != nil {
		return swarm.Report{}, err
	}
	if _, err := probes.do(swarm.Order{Do: swarm.Window, From: swarm.Now()}); err != nil {
		return swarm.Report{}, err
	}
	if err := d.rest(m.calm); err != nil {
		return swarm.Report{}, err
	}
	return m.window(d, probes, swarm.Now())
}

// window is the latency of what was sent until then, once that has arrived.
func (m storm) window(d *deployment, probes flock, until int64) (swarm.Report, error) {
	if _, err := probes.do(swarm.Order{Do: swarm.Window, To: until}); err != nil {
		return swarm.Report{}, err
	}
	if err := d.rest(m.settle); err != nil {
		return swarm.Report{}, err
	}
	return probes.do(swarm.Order{Do: swarm.Status})
}

// verify compares what everybody got with what was published.
func (m storm) verify(f *figures, clients, probes flock) error {
	r, err := clients.do(swarm.Order{Do: swarm.Check})
	if err != nil {
		return err
	}
	f.blame(r)
	if r, err = probes.do(swarm.Order{Do: swarm.Halt}); err != nil {
		return err
	}
	r, err = probes.all(swarm.Order{Do: swarm.Expect, Goals: r.Goals}, wait(swarm.Complete), swarm.Order{Do: swarm.Check})
	f.blame(r)
	return err
}

// shot is the state of an edge.
type shot struct {
	usage
	memory
	reads, shared float64
	// flushes counts writes to connections.
	flushes float64
}

// snapshot reads the state of an edge, and starts a new peak of its heap.
func snapshot(edge *process) (s shot, err error) {
	if s.usage, err = edge.usage(); err != nil {
		return s, err
	}
	if s.memory, err = edge.memory(); err != nil {
		return s, err
	}
	m, err := scrape(edge.address)
	s.reads, s.shared = m.of("indranet_log_reads_total"), m.of("indranet_log_reads_shared_total")
	s.flushes = m.of("websocket_flushes_total")
	return s, err
}
