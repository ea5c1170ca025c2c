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

// distance is the mode in which one client returns from further and further back.
type distance struct {
	distances      []int
	missed, others int
	size, rounds   int
	settle         time.Duration
}

// law is what catching up costs for every message of the stream between the position
// and the head, in nanoseconds, as it was measured without an edge.
const law = 60

// returner is the client of one distance.
type returner struct {
	flock
	distance int
	goals    []swarm.Goal
}

func (m distance) run(ctx context.Context, out, progress io.Writer) ([]*figures, error) {
	fmt.Fprintf(out, "One client with %d missed events returns to a fresh edge; between its position and the head the stream holds\n", m.missed)
	fmt.Fprintf(out, "so many other messages of %d bytes on %d other channels; from subscribe to caught_up; %s\n", m.size, m.others, machine())
	d, err := deploy(ctx, progress)
	if err != nil {
		return nil, err
	}
	defer d.close()
	returners, err := m.prepare(d)
	if err != nil {
		return nil, err
	}
	f := &figures{}
	for round := range m.rounds {
		d.say("distance: round %d", round+1)
		for _, r := range returners {
			took, err := m.once(d, f, r)
			if err != nil {
				return nil, err
			}
			f.add(m.name(r.distance), float64(took)/float64(time.Millisecond))
		}
	}
	for _, far := range m.distances {
		if far > 0 {
			more := (f.median(m.name(far)) - f.median(m.name(0))) * 1e6 / float64(far)
			f.add(fmt.Sprintf("%d messages: ns for each, beyond 0 messages (the law: %d)", far, law), more)
		}
	}
	f.print(out, "")
	return []*figures{f}, nil
}

func (m distance) name(far int) string { return fmt.Sprintf("%d messages: ms", far) }

// prepare fills the stream, from the furthest position to the head, and has every
// client take its position on the way.
func (m distance) prepare(d *deployment) ([]returner, error) {
	first, err := d.edge("first edge", edgeRole{})
	if err != nil {
		return nil, err
	}
	defer first.end(syscall.SIGTERM)
	var list []returner
	names := channelNames("other", m.others)
	furthest := 0
	for _, far := range m.distances {
		name := channelNames(fmt.Sprintf("distance-%d", far), 1)
		f, err := d.swarm(fmt.Sprintf("client %d", far), swarm.Config{Channels: name, Clients: 1})
		if err != nil {
			return nil, err
		}
		list = append(list, returner{flock: f, distance: far})
		names = append(names, name...)
		furthest = max(furthest, far)
	}
	d.say("distance: publishing %d messages", furthest)
	feeder, err := swarm.NewFeeder(d.nats.address, names)
	if err != nil {
		return nil, err
	}
	defer feeder.Close()
	for i := range furthest + 1 {
		for k, r := range list {
			if err := m.pass(d, feeder, first, r.flock, m.others+k, r.distance, i-(furthest-r.distance)); err != nil {
				return nil, err
			}
		}
		if i < furthest {
			if err := feeder.Send(d.ctx, i%m.others, m.size); err != nil {
				return nil, err
			}
		}
	}
	goals, err := feeder.Settle(d.ctx)
	for k := range list {
		list[k].goals = goals[m.others+k:][:1]
	}
	return list, err
}

// pass does what is due for a client when so many other messages were published since
// its position: it takes the position, or misses an event.
func (m distance) pass(d *deployment, feeder *swarm.Feeder, edge *process, client flock, channel, far, since int) error {
	if since < 0 {
		return nil
	}
	if since == 0 {
		if err := feeder.Flush(d.ctx); err != nil {
			return err
		}
		if _, err := client.all(
			swarm.Order{Do: swarm.Go, Address: edge.address, Subscribe: true}, wait(swarm.Caught),
			swarm.Order{Do: swarm.Save}, swarm.Order{Do: swarm.Leave},
		); err != nil {
			return err
		}
	}
	// The events are spread evenly over the distance.
	due := func(i int) int {
		if far == 0 || i >= far {
			return m.missed
		}
		return i * m.missed / far
	}
	before := 0
	if since > 0 {
		before = due(since - 1)
	}
	for range due(since) - before {
		if err := feeder.Send(d.ctx, channel, m.size); err != nil {
			return err
		}
	}
	return nil
}

// once lets a client return to a fresh edge and returns the time from its subscribe to
// its caught_up.
func (m distance) once(d *deployment, f *figures, r returner) (time.Duration, error) {
	edge, err := d.edge("edge", edgeRole{})
	if err != nil {
		return 0, err
	}
	defer edge.end(syscall.SIGTERM)
	if _, err := r.all(
		swarm.Order{Do: swarm.Restore}, swarm.Order{Do: swarm.Expect, Goals: r.goals, Stored: true},
		swarm.Order{Do: swarm.Go, Address: edge.address}, wait(swarm.Open),
	); err != nil {
		return 0, err
	}
	if err := d.rest(m.settle); err != nil {
		return 0, err
	}
	at, err := r.all(swarm.Order{Do: swarm.Ask}, wait(swarm.Caught), swarm.Order{Do: swarm.Check})
	if err != nil {
		return 0, err
	}
	gone, err := r.all(swarm.Order{Do: swarm.Leave}, swarm.Order{Do: swarm.Forget})
	f.blame(gone)
	return time.Duration(at.LastCaught - at.FirstAsk), err
}
