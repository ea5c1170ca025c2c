//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/bodhisattva/indranet/bench/attack/foe"
	"github.com/bodhisattva/indranet/bench/attack/good"
	"github.com/bodhisattva/indranet/bench/attack/stage"
	"github.com/bodhisattva/indranet/bench/storm/swarm"
)

// Names of the rounds, and of both calm ones together.
const (
	calmBefore = "calm before"
	inAttack   = "attack"
	calmAfter  = "calm after"
	calmPool   = "calm, both"
)

// Rounds of attackers.
const (
	rehearsalRound = 0
	attackRound    = 1
)

const (
	// connectWithin is how long all good clients may take to connect, catchUp how long
	// to get the last events.
	connectWithin = 3 * time.Minute
	catchUp       = time.Minute
	// lookEvery is the time between two looks at the edge in a round.
	lookEvery = 500 * time.Millisecond
	// settle is how long things that were begun may take effect.
	settle = time.Second
)

// round is what one round gave.
type round struct {
	name string
	took time.Duration
	// cpu is by process, in the order of fleet.workers; others is the rest of the machine,
	// stolen what its host did not give it.
	cpu            []time.Duration
	others, stolen time.Duration
	most           load
	// Of the good clients; quiet is of the seconds in which the host withheld nothing.
	events                     uint64
	latency, control, entering swarm.Latency
	quiet                      good.Quiet
	turned                     map[string]int
	again                      int
}

// result is what came of a run.
type result struct {
	settings settings
	rounds   []*round
	// calm is of both calm rounds together.
	calm good.Quiet
	// share is the CPU, in processors, that attackers used in the rehearsal and in the
	// attack.
	share [2]float64
	foe   foe.Report
	good  good.Report
	// disorder counts events that the log holds in another order than they were sent.
	disorder int
	// rest is the edge before all attacks, after it some time after, which took restTook;
	// remains is what is left beyond rest.
	rest, after load
	restTook    took
	remains     []string
	// before and end are the edge's counters before and after the attack.
	before, end counters
	// log is what the edge's log must not have said.
	log []string
	dir string
}

// run does one run. The error is for what went wrong with the run itself; whether
// all held is in the result. The directory with the logs is removed where all is well.
func run(ctx context.Context, s settings, progress io.Writer) (r *result, err error) {
	say := logged(progress, time.Now())
	f, err := newFleet(ctx, s)
	if err != nil {
		return nil, err
	}
	r = &result{settings: s, dir: f.dir}
	err = r.drive(ctx, f, say)
	if f.edge.gone() {
		err = errors.Join(errors.New("attack: the edge ended"), err)
	}
	if err == nil {
		r.log, err = f.readLog()
	}
	f.close()
	if err == nil && r.ok() {
		_ = os.RemoveAll(f.dir) // At worst, something is left in the temporary directory.
	} else {
		say("the edge's log is in %s", f.dir)
	}
	return r, err
}

// drive goes from an empty log to the end of the last round.
func (r *result) drive(ctx context.Context, f *fleet, say func(string, ...any)) error {
	s := r.settings
	say("publishing what was before")
	before, err := f.tellPublisher(stage.Order{Do: stage.Bulk, Each: s.prefill})
	if err != nil {
		return err
	}
	say("%d good clients connect", s.clients)
	if _, err := f.tellGood(good.Order{Do: good.Go, Counts: before.Counts, Timeout: connectWithin}); err != nil {
		return err
	}
	if _, err := f.tellPublisher(stage.Order{Do: stage.Steady, Rate: s.events}); err != nil {
		return err
	}
	if err := pause(ctx, 2*settle); err != nil {
		return err
	}
	if r.rest, err = f.baseline(ctx); err != nil {
		return err
	}
	if err := r.rehearse(ctx, f, say); err != nil {
		return err
	}
	burn := func(share float64) func() error { return func() error { return f.burnAt(share) } }
	if err := r.play(ctx, f, say, calmBefore, calmPool, s.calm, burn(r.share[0]), burn(0)); err != nil {
		return err
	}
	if err := r.attack(ctx, f, say); err != nil {
		return err
	}
	if err := r.play(ctx, f, say, calmAfter, calmPool, s.calm, burn(r.share[1]), burn(0)); err != nil {
		return err
	}
	return r.settle(f, say)
}

// rehearse measures the CPU that attackers need.
func (r *result) rehearse(ctx context.Context, f *fleet, say func(string, ...any)) error {
	say("rehearsal, %v", r.settings.rehearsal)
	from, err := f.foe.usage()
	if err != nil {
		return err
	}
	if _, err := f.tellFoe(foe.Order{Do: foe.Go, Round: rehearsalRound}); err != nil {
		return err
	}
	if err := pause(ctx, r.settings.rehearsal); err != nil {
		return err
	}
	to, err := f.foe.usage()
	if err != nil {
		return err
	}
	report, err := f.tellFoe(foe.Order{Do: foe.Stop})
	if err != nil {
		return err
	}
	r.share[0] = (to.CPU - from.CPU).Seconds() / report.Took.Seconds()
	say("attackers used %.2f processors", r.share[0])
	remains, took, _, err := f.untilRest(ctx, r.rest, r.settings.linger)
	for _, what := range remains {
		r.remains = append(r.remains, "after the rehearsal: "+what)
	}
	say("rest after %v", took)
	return err
}

// attack is the round of the attackers, and the wait for what they leave.
func (r *result) attack(ctx context.Context, f *fleet, say func(string, ...any)) (err error) {
	if _, r.before, err = f.look(ctx, false); err != nil {
		return err
	}
	begin := func() error {
		_, err := f.tellFoe(foe.Order{Do: foe.Go, Round: attackRound})
		return err
	}
	end := func() (err error) {
		r.foe, err = f.tellFoe(foe.Order{Do: foe.Stop})
		return err
	}
	if err := r.play(ctx, f, say, inAttack, inAttack, r.settings.duration, begin, end); err != nil {
		return err
	}
	this := r.rounds[len(r.rounds)-1]
	r.share[1] = this.cpu[0].Seconds() / this.took.Seconds()
	say("attackers used %.2f processors", r.share[1])
	remains, took, after, err := f.untilRest(ctx, r.rest, r.settings.linger)
	if err != nil {
		return err
	}
	r.remains, r.restTook, r.after = append(r.remains, remains...), took, after
	say("rest after %v", took)
	_, r.end, err = f.look(ctx, false)
	return err
}

// play is a round: what begins it goes on until what ends it.
func (r *result) play(ctx context.Context, f *fleet, say func(string, ...any), name, pool string, length time.Duration, begin, end func() error) error {
	say("%s, %v", name, length)
	this := &round{name: name}
	r.rounds = append(r.rounds, this)
	if err := begin(); err != nil {
		return err
	}
	opened, err := f.tellGood(good.Order{Do: good.Open, Window: name, Pool: pool, Newcomers: r.settings.newcomers})
	if err != nil {
		return err
	}
	spent, err := f.spending()
	if err != nil {
		return err
	}
	for began := time.Now(); time.Since(began) < length; {
		now, _, err := f.look(ctx, false)
		if err != nil {
			return err
		}
		this.most = this.most.most(now)
		if err := pause(ctx, min(lookEvery, max(length-time.Since(began), 0))); err != nil {
			return err
		}
	}
	if err := spent(this); err != nil {
		return err
	}
	if _, err := f.tellGood(good.Order{Do: good.Shut}); err != nil {
		return err
	}
	if err := end(); err != nil {
		return err
	}
	if err := pause(ctx, settle); err != nil { // What was sent arrives.
		return err
	}
	report, err := f.tellGood(good.Order{Do: good.Status})
	if err != nil {
		return err
	}
	this.events = report.Events - opened.Events
	this.latency, this.control, this.entering = report.Latency[name], report.Control[name], report.Entering[name]
	this.turned, this.again = report.Turned[name], report.Again[name]
	this.quiet, r.calm = report.Quiet[name], report.Quiet[calmPool]
	say("p99 %v, without an edge %v, in %s; %d newcomers turned away; faults so far: %v", this.quiet.Latency.P99, this.quiet.Control.P99, seconds(this.quiet), total(this.turned), report.Faults)
	return nil
}

// spending measures the CPU time of all processes until it is told to write it into a
// round.
func (f *fleet) spending() (func(*round) error, error) {
	read := func() (list []time.Duration, err error) {
		for _, p := range f.workers() {
			u, err := p.usage()
			if err != nil {
				return nil, err
			}
			list = append(list, u.CPU)
		}
		worked, stolen, err := stage.MachineCPU()
		return append(list, worked, stolen), err
	}
	began := time.Now()
	before, err := read()
	return func(this *round) error {
		this.took = time.Since(began)
		after, err := read()
		if err != nil {
			return err
		}
		for i := range after {
			after[i] -= before[i]
		}
		n := len(after) - 2
		this.cpu, this.others, this.stolen = after[:n], after[n], after[n+1]
		for _, used := range this.cpu {
			this.others -= used
		}
		return nil
	}, err
}

// settle asks whether everything that was published has come.
func (r *result) settle(f *fleet, say func(string, ...any)) error {
	published, err := f.tellPublisher(stage.Order{Do: stage.Halt})
	if err != nil {
		return err
	}
	r.disorder = published.Disorder
	r.good, err = f.tellGood(good.Order{Do: good.Expect, Counts: published.Counts, Timeout: catchUp})
	say("%d good clients lack events", r.good.Behind)
	return err
}

func total(counts map[string]int) (n int) {
	for _, one := range counts {
		n += one
	}
	return n
}
