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

// comeback is the mode in which clients with missed events come to a fresh edge.
type comeback struct {
	clients, size    int
	missed, channels []int
	rounds           int
	dials            int
	goal, settle     time.Duration
	profile          string
}

// Names of figures that goals are about.
const (
	withHandshake = "with handshakes: first connection to last caught_up, s"
	fromSubscribe = "from subscribe: first subscribe to last caught_up, s"
	// goalMissed is the number of missed events that the goal is for.
	goalMissed = 50
)

func (m comeback) run(ctx context.Context, out, progress io.Writer) ([]*figures, error) {
	fmt.Fprintf(out, "%d clients come from one edge to another, fresh one; events of %d bytes; %s\n", m.clients, m.size, machine())
	fmt.Fprint(out, "\"with handshakes\" begins with the first TCP connection to the second edge; \"from subscribe\" begins with the\n"+
		"first subscribe, on connections that are open already; both end when the last client has its last event and caught_up.\n\n")
	d, err := deploy(ctx, progress)
	if err != nil {
		return nil, err
	}
	defer d.close()
	var all []*figures
	for _, channels := range m.channels {
		for _, missed := range m.missed {
			f := &figures{}
			if err := m.setting(d, f, channels, missed); err != nil {
				return nil, err
			}
			if missed == goalMissed && m.goal > 0 {
				f.goal(withHandshake, m.goal.Seconds())
				f.goal(fromSubscribe, m.goal.Seconds())
			}
			f.print(out, fmt.Sprintf("%d clients × %d missed events, %d channels", m.clients, missed, channels))
			all = append(all, f)
		}
	}
	return all, nil
}

// setting measures all rounds of one number of channels and missed events.
func (m comeback) setting(d *deployment, f *figures, channels, missed int) error {
	names := channelNames(fmt.Sprintf("return-%d-%d", channels, missed), channels)
	clients, err := d.swarm("clients", swarm.Config{Channels: names, Clients: m.clients, Dials: m.dials})
	if err != nil {
		return err
	}
	defer clients.kill()
	first, err := d.edge("first edge", edgeRole{})
	if err != nil {
		return err
	}
	defer first.kill()
	if _, err := clients.all(
		swarm.Order{Do: swarm.Go, Address: first.address, Subscribe: true}, wait(swarm.Caught),
		swarm.Order{Do: swarm.Save}, swarm.Order{Do: swarm.Leave},
	); err != nil {
		return err
	}
	first.end(syscall.SIGTERM)
	goals, err := d.bulk(names, missed, m.size)
	if err != nil {
		return err
	}
	for round := range m.rounds {
		for _, connected := range []bool{false, true} {
			d.say("return: %d clients × %d events on %d channels, round %d, connected before: %t", m.clients, missed, channels, round+1, connected)
			if err := m.once(d, f, clients, goals, connected); err != nil {
				return err
			}
		}
	}
	return nil
}

// once lets all clients come to a fresh edge.
func (m comeback) once(d *deployment, f *figures, clients flock, goals []swarm.Goal, connected bool) error {
	edge, err := d.edge("edge", edgeRole{CPUProfile: m.profile})
	if err != nil {
		return err
	}
	defer edge.end(syscall.SIGTERM)
	if _, err := clients.all(swarm.Order{Do: swarm.Restore}, swarm.Order{Do: swarm.Expect, Goals: goals, Stored: true}); err != nil {
		return err
	}
	begin := swarm.Order{Do: swarm.Go, Address: edge.address, Subscribe: true}
	if connected {
		begin.Subscribe = false
		if _, err := clients.all(begin, wait(swarm.Open)); err != nil {
			return err
		}
		begin = swarm.Order{Do: swarm.Ask}
	}
	if err := d.rest(m.settle); err != nil {
		return err
	}
	before, err := snapshot(edge)
	if err != nil {
		return err
	}
	cpu, err := spent(edge, clients.process, d.nats)
	if err != nil {
		return err
	}
	r, err := clients.all(begin, wait(swarm.Caught))
	if err != nil {
		return err
	}
	used, err := cpu()
	if err != nil {
		return err
	}
	at, err := snapshot(edge)
	if err != nil {
		return err
	}
	if r, err = clients.do(swarm.Order{Do: swarm.Check}); err != nil {
		return err
	}
	name, how := fromSubscribe, "from subscribe: "
	if connected {
		f.add(name, seconds(r.FirstAsk, r.LastCaught))
	} else {
		name, how = withHandshake, "with handshakes: "
		f.add(name, seconds(r.FirstDial, r.LastCaught))
		f.add(how+"of which until the last handshake, s", seconds(r.FirstDial, r.LastOpen))
	}
	f.add(how+"log reads", at.reads)
	f.add(how+"clients served by another's read", at.shared)
	f.add(how+"edge writes / client", (at.flushes-before.flushes)/float64(m.clients))
	for i, who := range []string{"edge", "clients", "NATS"} {
		f.add(how+"CPU of "+who+", s", used[i].Seconds())
	}
	f.add(how+"edge RSS peak, MiB", mebi(at.usage.Peak))
	f.add(how+"edge heap peak, MiB", mebi(at.memory.Peak))
	r, err = clients.all(swarm.Order{Do: swarm.Leave}, swarm.Order{Do: swarm.Forget})
	f.blame(r)
	return err
}
