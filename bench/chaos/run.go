//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bodhisattva/indranet/bench/chaos/check"
	"github.com/bodhisattva/indranet/bench/chaos/client"
	"github.com/bodhisattva/indranet/bench/chaos/link"
)

// settings are what a run is told.
type settings struct {
	seed     uint64
	duration time.Duration
	clients  int
	channels int
	// rate is the number of publishing calls a second, all channels together.
	rate float64
	// calm leaves the faults out, only all but those whose names have one of the parts.
	calm bool
	only []string
	// settle bounds how long, after the last fault, clients may need to get to the
	// markers.
	settle time.Duration
	// plant is the fault that the edges have, empty for none.
	plant string
}

// settlePublish bounds how long, after the last fault, publishers may need to have all
// their receipts.
const settlePublish = 2 * time.Minute

// result is what came of a run.
type result struct {
	settings settings
	report   *check.Report
	book     *book
	fleet    *fleet
	clients  []*client.Client
	faults   *faults
	// behind are the clients that did not get to their markers in time, settled is
	// how long the others took.
	behind  int
	settled time.Duration
	// notReady says why an edge does not serve although everything is healed.
	notReady error
}

// ok reports whether every promise was kept.
func (r *result) ok() bool {
	return r.report.OK() && r.behind == 0 && r.notReady == nil && r.crashes() == 0 && len(r.brokenFrames()) == 0
}

// brokenFrames are what edges sent that the protocol does not allow.
func (r *result) brokenFrames() map[string]int {
	sum := map[string]int{}
	for _, c := range r.clients {
		c.Stats.Broken.Into(sum)
	}
	return sum
}

func (r *result) crashes() (n int64) {
	for _, p := range r.fleet.processes() {
		n += p.crashes.Load()
	}
	return n
}

// run does one run. The error is for what went wrong with the run itself; whether
// promises were kept is in the result. The directory with the logs is removed where
// all is well.
func run(ctx context.Context, s settings, out io.Writer) (_ *result, err error) {
	dir, err := os.MkdirTemp("", fmt.Sprintf("chaos-%d-", s.seed))
	if err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	var r *result
	defer func() {
		if err == nil && r.ok() {
			_ = os.RemoveAll(dir) // At worst, something is left in the temporary directory.
			return
		}
		fmt.Fprintf(out, "the logs are in %s\n", dir)
		if r != nil {
			err = errors.Join(err, r.keep(dir, out))
		}
	}()
	f, err := newFleet(ctx, dir, s)
	if err != nil {
		return nil, err
	}
	defer f.close()
	var said sync.Mutex
	say := func(format string, args ...any) {
		said.Lock()
		defer said.Unlock()
		fmt.Fprintf(out, format+"\n", args...)
	}
	r, err = drive(ctx, s, f, say)
	return r, err
}

// drive publishes, subscribes and breaks for the run's duration, then heals and waits,
// and checks.
func drive(ctx context.Context, s settings, f *fleet, say func(string, ...any)) (*result, error) {
	start := time.Now()
	r := &result{settings: s, fleet: f, book: newBook(f.streams)}
	scraping := background(ctx, f.scrapeAlways)
	defer scraping.end()

	stop := make(chan struct{})
	pubs, closePublishers, err := publishers(f.publish)
	if err != nil {
		return nil, err
	}
	defer closePublishers()
	publishing := background(ctx, func(ctx context.Context) error {
		return publishAll(ctx, authors(s, pubs, r.book, start), stop)
	})
	defer publishing.end()
	passing := background(ctx, func(ctx context.Context) error { return moveCursors(ctx, f.publish, r.book, s) })
	defer passing.end()

	calm, known := make(chan struct{}), make(chan struct{})
	var all *goals
	r.clients = newClients(s, f, start, calm)
	reading := background(ctx, func(ctx context.Context) error {
		var group sync.WaitGroup
		for _, c := range r.clients {
			group.Go(func() { c.Run(ctx, goalsOf(known, &all, c.Service())) })
		}
		group.Wait()
		return nil
	})
	defer reading.end()

	telling := background(ctx, func(ctx context.Context) error { return r.tell(ctx, start, say) })
	defer telling.end()
	r.faults = &faults{fleet: f, book: r.book, seed: s.seed, only: s.only, duration: s.duration, start: start, say: say}
	if err := breakFor(ctx, s, r.faults, publishing); err != nil {
		return nil, err
	}
	if err := f.heal(); err != nil {
		return nil, err
	}
	telling.end()
	say("%7.2fs everything is healed", time.Since(start).Seconds())
	// Nothing follows the markers that could show that they are missing.
	mend := misbehave(slices.Concat(f.toNATS[:]...), link.Rules{Drop: 1}, false)
	close(calm)
	close(stop)
	if !publishing.within(settlePublish) {
		return nil, errors.New("chaos: publishers have no receipts although everything is healed")
	}
	if publishing.err != nil {
		return nil, publishing.err
	}
	if err := mend(); err != nil {
		return nil, err
	}
	all = r.book.goals()
	close(known)
	say("%7.2fs the markers are stored", time.Since(start).Seconds())
	healed := time.Now()
	reading.within(s.settle)
	r.settled = time.Since(healed)
	reading.end()
	r.notReady = f.until(ctx, "an edge", func() error { return f.ready(ctx) })
	f.scrape(ctx)
	var histories []check.History
	for _, c := range r.clients {
		if c.Stats.Missing.Load() > 0 {
			r.behind++
		}
		histories = append(histories, c.Histories()...)
	}
	r.report = check.Check(r.book.log(), histories)
	return r, nil
}

// tellEvery is the time between two lines that say how far a run is.
const tellEvery = 30 * time.Second

// tell says how far the run is until ctx is done.
func (r *result) tell(ctx context.Context, start time.Time, say func(string, ...any)) error {
	for wait(ctx, tellEvery) {
		var delivered uint64
		for _, c := range r.clients {
			delivered += c.Stats.Events.Load()
		}
		say("%7.2fs so far: %d acknowledged, %d delivered, %d crashes, frames against the protocol: %s", time.Since(start).Seconds(),
			r.book.stored(), delivered, r.crashes(), counted(r.brokenFrames()))
	}
	return nil
}

// breakFor breaks things for the run's duration, unless the publishers fail before.
func breakFor(ctx context.Context, s settings, f *faults, publishing *task) error {
	breaking := background(ctx, func(ctx context.Context) error {
		if s.calm {
			return nil
		}
		return f.run(ctx)
	})
	var early error
	if publishing.within(s.duration) {
		early = errors.Join(errors.New("chaos: the publishers ended"), publishing.err)
	}
	breaking.end()
	return errors.Join(early, breaking.err, ctx.Err())
}

// publishAll runs all authors until stop is closed and each has stored its marker.
func publishAll(ctx context.Context, all []*author, stop <-chan struct{}) error {
	errs := make([]error, len(all))
	var group sync.WaitGroup
	for i, a := range all {
		group.Go(func() { errs[i] = a.run(ctx, stop) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// maxPadding is the most that an event's payload is filled up with, in bytes.
const maxPadding = 1000

// authors are one for each channel. Some channels are busy and some quiet, about one in
// four is used for the first time in the middle of the run, and half of these only once.
func authors(s settings, pubs pubsOf, b *book, start time.Time) []*author {
	var list []*author
	padding := strings.Repeat("x", maxPadding)
	mean := time.Duration(float64(time.Second) * float64(s.channels) / s.rate)
	for _, service := range services {
		for _, id := range names(service, s.channels/len(services)) {
			a := &author{
				pub: pubs[service], book: b, gate: b.gates[service], start: start, service: service, id: id, padding: padding,
				rng: rand.New(rand.NewPCG(s.seed, uint64(1000+len(list)))),
			}
			a.pace = mean / 2
			switch a.rng.IntN(4) {
			case 0:
				a.pace = 20 * mean
			case 1:
				if a.rng.IntN(2) == 0 {
					a.pace = 24 * time.Hour // One event, and then nothing but the marker.
				}
				a.begin = time.Duration(a.rng.Int64N(int64(s.duration)))
			}
			list = append(list, a)
		}
	}
	return list
}
