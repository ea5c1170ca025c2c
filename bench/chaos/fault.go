//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bodhisattva/indranet/bench/chaos/link"
)

// faults breaks things until it is stopped. What belongs together is on one track,
// where one fault ends before the next begins: so two NATS nodes are never away at
// once, but for the outages that are meant.
type faults struct {
	// Static after construction.
	fleet *fleet
	book  *book
	seed  uint64
	only  []string
	start time.Time
	// duration is that of the run: in a short one the pauses are short too.
	duration time.Duration
	say      func(format string, args ...any)

	// Guarded by mu.
	mu    sync.Mutex
	count map[string]int
	all   []happening
}

// happening is a fault that happened, and how long it was there.
type happening struct {
	what     string
	from, to time.Duration
}

// fault is one thing that can break. begin breaks it and returns what it did and how
// to mend it, or "" where it was not possible.
type fault struct {
	name string
	// weight says how often, compared with the others of the track.
	weight int
	// low and high bound how long it lasts.
	low, high time.Duration
	begin     func(ctx context.Context, rng *rand.Rand) (what string, mend func() error)
}

// track is a sequence of faults with pauses between them.
type track struct {
	low, high time.Duration
	faults    []fault
	// alone are held while there is a fault, by tracks that exclude each other.
	alone []*sync.Mutex
}

func (f *faults) run(ctx context.Context) error {
	errs := make(chan error, 8)
	var all sync.WaitGroup
	for i, t := range f.tracks() {
		t.faults = slices.DeleteFunc(t.faults, func(one fault) bool { return !f.wanted(one.name) })
		if len(t.faults) == 0 {
			continue
		}
		all.Go(func() {
			if err := f.follow(ctx, t, rand.New(rand.NewPCG(f.seed, uint64(100+i)))); err != nil {
				errs <- err
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

// carelessly is the fault that does what must not be done: it only happens where it is
// asked for.
const carelessly = "limits lowered carelessly"

// wanted reports whether the run has faults of this name.
func (f *faults) wanted(name string) bool {
	return len(f.only) == 0 && name != carelessly || slices.ContainsFunc(f.only, func(part string) bool { return strings.Contains(name, part) })
}

func (f *faults) tracks() []track {
	// A stream is only changed while every node is there and hears of it at once.
	var nodes, routes sync.Mutex
	return []track{
		{2 * time.Second, 8 * time.Second, f.natsFaults(), []*sync.Mutex{&nodes}},
		{3 * time.Second, 10 * time.Second, f.edgeFaults(), nil},
		{time.Second, 5 * time.Second, f.linkFaults(), nil},
		{2 * time.Second, 8 * time.Second, f.clientFaults(), nil},
		{3 * time.Second, 12 * time.Second, f.publishFaults(), nil},
		{2 * time.Second, 10 * time.Second, f.replicaFaults(), []*sync.Mutex{&routes}},
		{4 * time.Second, 16 * time.Second, f.streamFaults(), []*sync.Mutex{&nodes, &routes}},
	}
}

func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(rng.Int64N(int64(high-low)))
}

func (f *faults) follow(ctx context.Context, t track, rng *rand.Rand) error {
	total := 0
	for _, one := range t.faults {
		total += one.weight
	}
	for wait(ctx, between(rng, min(t.low, f.duration/16), min(t.high, f.duration/4))) {
		if err := f.one(ctx, t, total, rng); err != nil {
			return err
		}
	}
	return nil
}

// one makes one fault of a track happen, and ends it.
func (f *faults) one(ctx context.Context, t track, total int, rng *rand.Rand) error {
	for _, m := range t.alone {
		m.Lock()
		defer m.Unlock()
	}
	if ctx.Err() != nil {
		return nil
	}
	dice := rng.IntN(total)
	i := 0
	for ; dice >= t.faults[i].weight; i++ {
		dice -= t.faults[i].weight
	}
	one := t.faults[i]
	last := between(rng, one.low, one.high)
	from := time.Since(f.start)
	what, mend := one.begin(ctx, rng)
	if what == "" {
		return nil
	}
	f.note(one.name, what, last)
	wait(ctx, last)
	err := mend()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, happening{one.name + ": " + what, from, time.Since(f.start)})
	return err
}

// around are the faults that were there some seconds before or after a moment.
func (f *faults) around(moment time.Duration) (list []happening) {
	const some = 5 * time.Second
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.all {
		if h.from <= moment+some && h.to >= moment-some {
			list = append(list, h)
		}
	}
	return list
}

// wait reports whether ctx is still alive after the time.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (f *faults) note(name, what string, last time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count == nil {
		f.count = map[string]int{}
	}
	f.count[name]++
	f.say("%7.2fs %s: %s, %s", time.Since(f.start).Seconds(), name, what, last.Round(10*time.Millisecond))
}

func nothing() error { return nil }

func (f *faults) natsFaults() []fault {
	leader := func(ctx context.Context, rng *rand.Rand) *process {
		if i := f.fleet.leader(ctx, services[rng.IntN(len(services))]); i >= 0 {
			return f.fleet.nats[i]
		}
		return nil
	}
	node := func(_ context.Context, rng *rand.Rand) *process { return f.fleet.nats[rng.IntN(nodes)] }
	end := func(pick func(context.Context, *rand.Rand) *process, sig syscall.Signal) func(context.Context, *rand.Rand) (string, func() error) {
		return func(ctx context.Context, rng *rand.Rand) (string, func() error) {
			p := pick(ctx, rng)
			if p == nil {
				return "", nil
			}
			p.end(sig)
			return p.role.Name, p.start
		}
	}
	pause := func(pick func(context.Context, *rand.Rand) *process) func(context.Context, *rand.Rand) (string, func() error) {
		return func(ctx context.Context, rng *rand.Rand) (string, func() error) {
			p := pick(ctx, rng)
			if p == nil {
				return "", nil
			}
			p.signal(syscall.SIGSTOP)
			return p.role.Name, func() error { p.signal(syscall.SIGCONT); return nil }
		}
	}
	return []fault{
		{"nats leader killed", 3, time.Second, 6 * time.Second, end(leader, syscall.SIGKILL)},
		{"nats node killed", 2, time.Second, 6 * time.Second, end(node, syscall.SIGKILL)},
		{"nats leader ended", 2, time.Second, 4 * time.Second, end(leader, syscall.SIGTERM)},
		{"nats node ended", 1, time.Second, 4 * time.Second, end(node, syscall.SIGTERM)},
		{"nats leader paused", 2, time.Second, 7 * time.Second, pause(leader)},
		{"nats node paused", 2, time.Second, 7 * time.Second, pause(node)},
		{"leader steps down", 6, 0, 0, func(ctx context.Context, rng *rand.Rand) (string, func() error) {
			stream := services[rng.IntN(len(services))].Stream()
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			if _, err := f.fleet.admin.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil); err != nil {
				return "", nil
			}
			return stream, nothing
		}},
		{"all nats paused", 1, 500 * time.Millisecond, 3 * time.Second, func(context.Context, *rand.Rand) (string, func() error) {
			for _, p := range f.fleet.nats {
				p.signal(syscall.SIGSTOP)
			}
			return "all", func() error {
				for _, p := range f.fleet.nats {
					p.signal(syscall.SIGCONT)
				}
				return nil
			}
		}},
		{"all nats killed", 1, 100 * time.Millisecond, time.Second, func(context.Context, *rand.Rand) (string, func() error) {
			for _, p := range f.fleet.nats {
				p.end(syscall.SIGKILL)
			}
			return "all", func() error {
				for _, p := range f.fleet.nats {
					if err := p.start(); err != nil {
						return err
					}
				}
				return nil
			}
		}},
	}
}

func (f *faults) edgeFaults() []fault {
	end := func(sig syscall.Signal) func(context.Context, *rand.Rand) (string, func() error) {
		return func(ctx context.Context, rng *rand.Rand) (string, func() error) {
			p := f.fleet.edge[rng.IntN(edges)]
			f.fleet.scrape(ctx)
			p.end(sig)
			return p.role.Name, p.start
		}
	}
	return []fault{
		{"edge killed", 4, 100 * time.Millisecond, 4 * time.Second, end(syscall.SIGKILL)},
		{"edge ended", 3, 100 * time.Millisecond, 4 * time.Second, end(syscall.SIGTERM)},
		{"edge paused", 3, 500 * time.Millisecond, 8 * time.Second, func(_ context.Context, rng *rand.Rand) (string, func() error) {
			p := f.fleet.edge[rng.IntN(edges)]
			p.signal(syscall.SIGSTOP)
			return p.role.Name, func() error { p.signal(syscall.SIGCONT); return nil }
		}},
	}
}

// misbehave sets rules on links for a while, and cuts them first if asked to.
func misbehave(links []*link.Link, rules link.Rules, cut bool) func() error {
	for _, l := range links {
		l.Set(rules)
		if cut {
			l.Cut()
		}
	}
	return func() error {
		for _, l := range links {
			l.Set(link.Rules{})
		}
		return nil
	}
}

// upset makes the links of pick misbehave by rules.
func upset(pick func(*rand.Rand) (string, []*link.Link), rules func(*rand.Rand) link.Rules, cut bool) func(context.Context, *rand.Rand) (string, func() error) {
	return func(_ context.Context, rng *rand.Rand) (string, func() error) {
		name, links := pick(rng)
		r := rules(rng)
		what := name
		if r.Drop > 0 || r.Twice > 0 {
			what = fmt.Sprintf("%s, drop %.2f, twice %.2f", name, r.Drop, r.Twice)
		}
		return what, misbehave(links, r, cut)
	}
}

func fixed(r link.Rules) func(*rand.Rand) link.Rules { return func(*rand.Rand) link.Rules { return r } }

func delayed(rng *rand.Rand) link.Rules {
	return link.Rules{Delay: between(rng, 10*time.Millisecond, 300*time.Millisecond)}
}

func (f *faults) linkFaults() []fault {
	pick := func(rng *rand.Rand) (string, []*link.Link) {
		i := rng.IntN(edges)
		return f.fleet.edge[i].role.Name, f.fleet.toNATS[i]
	}
	return []fault{
		{"edge cut from nats", 3, 0, 4 * time.Second, upset(pick, fixed(link.Rules{Refuse: true}), true)},
		{"edge to nats stalled", 2, 500 * time.Millisecond, 6 * time.Second, upset(pick, fixed(link.Rules{Stall: true}), false)},
		{"edge to nats delayed", 2, time.Second, 5 * time.Second, upset(pick, delayed, false)},
		{"live messages lost", 4, 50 * time.Millisecond, 3 * time.Second, upset(pick, fixed(link.Rules{Drop: 1}), false)},
		{"live messages lost in part", 4, time.Second, 6 * time.Second, upset(pick, func(rng *rand.Rand) link.Rules {
			return link.Rules{Drop: rng.Float64() / 2, Twice: rng.Float64() / 4}
		}, false)},
	}
}

func (f *faults) clientFaults() []fault {
	pick := func(rng *rand.Rand) (string, []*link.Link) {
		i := rng.IntN(edges)
		return "of " + f.fleet.edge[i].role.Name, f.fleet.clients[i : i+1]
	}
	return []fault{
		{"clients cut", 3, 0, 2 * time.Second, upset(pick, fixed(link.Rules{Refuse: true}), true)},
		{"clients stalled", 2, 500 * time.Millisecond, 8 * time.Second, upset(pick, fixed(link.Rules{Stall: true}), false)},
		{"clients delayed", 2, time.Second, 4 * time.Second, upset(pick, delayed, false)},
	}
}

func (f *faults) publishFaults() []fault {
	pick := func(*rand.Rand) (string, []*link.Link) { return "all", f.fleet.publish }
	return []fault{
		{"publishers cut", 3, 0, 2 * time.Second, upset(pick, fixed(link.Rules{Refuse: true}), true)},
		{"publishers stalled", 2, 500 * time.Millisecond, 4 * time.Second, upset(pick, fixed(link.Rules{Stall: true}), false)},
		{"publishers delayed", 2, time.Second, 4 * time.Second, upset(pick, delayed, false)},
	}
}

// replicaFaults make the followers of a stream lag behind its leader, whose live
// messages come at once.
func (f *faults) replicaFaults() []fault {
	pick := func(*rand.Rand) (string, []*link.Link) { return "all", f.fleet.routes }
	return []fault{
		{"replicas lag", 1, 2 * time.Second, 8 * time.Second, upset(pick, func(rng *rand.Rand) link.Rules {
			return link.Rules{Delay: between(rng, 100*time.Millisecond, 600*time.Millisecond)}
		}, false)},
	}
}
