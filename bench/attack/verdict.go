//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/bodhisattva/indranet/bench/attack/foe"
	"github.com/bodhisattva/indranet/bench/attack/good"
)

// ok reports whether everything held.
func (r *result) ok() bool { return len(r.verdict()) == 0 }

// verdict is what did not hold, in words.
func (r *result) verdict() (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, name := range slices.Sorted(maps.Keys(r.good.Faults)) {
		add("good clients: %s: %d", name, r.good.Faults[name])
	}
	if r.good.Behind > 0 {
		add("good clients: lost: %d clients lack %d events", r.good.Behind, r.good.Missing)
	}
	for _, one := range r.rounds {
		for _, why := range slices.Sorted(maps.Keys(one.turned)) {
			add("newcomers turned away in the round %q: %s: %d", one.name, why, one.turned[why])
		}
		if one.latency.Count == 0 {
			add("no event came in the round %q", one.name)
		}
	}
	if attack := r.attackRound().quiet; !enough(attack) || !enough(r.calm) {
		add("the host gave the machine its processors in %s of the attack and %s of the calm rounds: too few to compare them, run it again", seconds(attack), seconds(r.calm))
	} else if p99 := attack.Latency.P99; p99 > r.allowed() {
		add("good clients' p99 in the attack is %v, at most %v is allowed", p99, r.allowed())
	}
	for _, what := range slices.Sorted(maps.Keys(r.foe.Breaches)) {
		add("breach: %s: %d", what, r.foe.Breaches[what])
	}
	list = append(list, r.judgeKinds()...)
	most := r.attackRound().most
	if bound := r.maxQueued(); int64(most.queued) > bound {
		add("%s were queued for clients, at most %s are allowed", mebi(int64(most.queued)), mebi(bound))
	}
	if most.feeds > maxFeeds {
		add("the edge had %.0f feeds, at most %d are allowed", most.feeds, maxFeeds)
	}
	if r.after.Peak > r.maxMemory() {
		add("the edge's memory was %s, its bound is %s", mebi(r.after.Peak), mebi(r.maxMemory()))
	}
	for _, what := range r.remains {
		add("left: %s", what)
	}
	for _, what := range r.log {
		add("the edge's log: %s", what)
	}
	if r.disorder > 0 {
		add("the publisher: %d events were stored in another order than they were sent: the counters prove nothing", r.disorder)
	}
	return list
}

// judgeKinds says, kind by kind, what did not become of it what must.
func (r *result) judgeKinds() (list []string) {
	rates := r.settings.rates()
	for _, k := range foe.Kinds() {
		if rates[k.Name] == 0 {
			continue
		}
		o := foe.Outcome{Kind: k.Name, Asked: rates[k.Name]}
		for _, one := range r.foe.Outcomes {
			if one.Kind == k.Name {
				o = one
			}
		}
		list = append(list, k.Expect.Judge(o, r.foe.Took)...)
	}
	return list
}

// maxQueued is what the edge may hold for its clients, in bytes.
func (r *result) maxQueued() int64 {
	bound := r.settings.queued
	for _, k := range foe.Kinds() {
		for _, o := range r.foe.Outcomes {
			if o.Kind == k.Name {
				bound += o.Most * int64(k.Queues)
			}
		}
	}
	return bound
}

// programBytes is what the program itself takes of resident memory, which the memory limit
// does not count, in bytes.
const programBytes = 24 << 20

// maxMemory is what the edge's resident memory may be, in bytes.
func (r *result) maxMemory() int64 { return r.settings.memory + programBytes }

func (r *result) attackRound() *round {
	for _, one := range r.rounds {
		if one.name == inAttack {
			return one
		}
	}
	return &round{}
}

// allowed is the p99 that good clients may have in the attack.
func (r *result) allowed() time.Duration {
	return time.Duration(r.settings.bound*float64(r.calm.Latency.P99)) + r.settings.slack
}

// tells is how many quiet seconds tell of any number of them.
const tells = 30

// enough reports whether so many seconds were quiet that they tell of all.
func enough(q good.Quiet) bool { return q.Seconds >= min(tells, (q.Of+2)/3) }

// seconds says how many were quiet.
func seconds(q good.Quiet) string { return fmt.Sprintf("%d of %d seconds", q.Seconds, q.Of) }

// maxLine is the longest line of a log that is looked at, in bytes.
const maxLine = 1 << 20

// readLog looks for what the edge's log must not hold.
func (f *fleet) readLog() (found []string, err error) {
	file, err := os.Open(f.log)
	if err != nil {
		return nil, fmt.Errorf("attack: %w", err)
	}
	defer func() { _ = file.Close() }()
	var needles [][]byte
	for _, secret := range f.secrets {
		needles = append(needles, []byte(secret))
		// The signature of a token is enough to be one.
		if i := bytes.LastIndexByte([]byte(secret), '.'); i > 0 {
			needles = append(needles, []byte(secret[i+1:]))
		}
	}
	count := map[string]int{}
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		line := lines.Bytes()
		for _, needle := range needles {
			if bytes.Contains(line, needle) {
				count["a secret or a token"]++
			}
		}
		if bytes.Contains(line, []byte(`"level":"ERROR"`)) {
			count["an error"]++
		}
		if bytes.Contains(line, []byte("panic")) {
			count["a panic"]++
		}
	}
	for _, what := range slices.Sorted(maps.Keys(count)) {
		found = append(found, fmt.Sprintf("%s: %d lines", what, count[what]))
	}
	if err := lines.Err(); err != nil {
		return found, fmt.Errorf("attack: the edge's log: %w", err)
	}
	return found, nil
}
