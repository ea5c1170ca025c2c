//go:build unix

package main

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bodhisattva/indranet/bench/chaos/check"
	"github.com/bodhisattva/indranet/bench/chaos/client"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
)

// book is what publishers were told, and what became of the streams. It is safe for concurrent use.
type book struct {
	// gates are closed, one for each service, while its stream is created anew: then no
	// call is on its way, and every event is of the life that the stream has.
	gates map[schema.Service]*sync.RWMutex

	// passed counts transient events.
	passed atomic.Uint64

	mu sync.Mutex

	// Guarded by mu.
	published int
	events    []check.Event
	epochs    []check.Epoch
	trims     []check.Trim
	unknown   map[uint64]bool
	retries   map[string]int
}

// newBook begins with the streams as they were made.
func newBook(report publisher.Report) *book {
	b := &book{gates: map[schema.Service]*sync.RWMutex{}, unknown: map[uint64]bool{}, retries: map[string]int{}}
	for _, s := range report {
		b.gates[s.Service] = &sync.RWMutex{}
		b.epochs = append(b.epochs, check.Epoch{Service: string(s.Service), Name: s.Epoch})
	}
	return b
}

// epoch is the newest one of a service. The caller holds mu.
func (b *book) epoch(service string) check.Epoch {
	for _, e := range slices.Backward(b.epochs) {
		if e.Service == service {
			return e
		}
	}
	return check.Epoch{Service: service}
}

// begin notes an epoch that begins now: of the same life or the next.
func (b *book) begin(service schema.Service, name string, begun time.Duration, anew bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.epoch(string(service))
	e.Name, e.Begun = name, begun
	if anew {
		e.Life++
	}
	b.epochs = append(b.epochs, e)
}

// trim notes that the front of a service's stream goes: up to first, or from now on all
// but the newest keep events.
func (b *book) trim(service schema.Service, first, keep uint64, begun time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trims = append(b.trims, check.Trim{Service: string(service), Life: b.epoch(string(service)).Life, First: first, Keep: keep, Begun: begun})
}

// log is everything that was noted. Call it when nobody publishes any more.
func (b *book) log() *check.Log {
	return &check.Log{Events: b.events, Unknown: b.unknown, Epochs: b.epochs, Trims: b.trims}
}

// try notes ids that are sent.
func (b *book) try(ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.published += len(ids)
	for _, id := range ids {
		b.unknown[check.Fingerprint(id)] = true
	}
}

func (b *book) retry(why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retries[why]++
}

// acknowledged notes receipts, in the order of their counters from first on.
func (b *book) acknowledged(receipts []publisher.Receipt, first uint64, sent, acked time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, r := range receipts {
		id := check.Fingerprint(r.ID)
		delete(b.unknown, id)
		b.events = append(b.events, check.Event{
			Service: string(r.Service), Channel: r.Channel, Life: b.epoch(string(r.Service)).Life, Seq: r.Seq, ID: id,
			Counter: first + uint64(i), Sent: sent, Acked: acked,
		})
	}
}

// goals are the last positions of every home channel, by service, and the last epochs.
func (b *book) goals() *goals {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := &goals{last: map[string]map[string]uint64{}, epoch: map[string]string{}}
	for _, service := range services {
		e := b.epoch(string(service))
		last := map[string]uint64{}
		for _, one := range b.events {
			if one.Service == e.Service && one.Life == e.Life {
				last[one.Channel] = max(last[one.Channel], one.Seq)
			}
		}
		g.last[e.Service], g.epoch[e.Service] = last, e.Name
	}
	return g
}

// goals is what everybody must get to.
type goals struct {
	last  map[string]map[string]uint64
	epoch map[string]string
}

// of is the goal of a subscription.
func (g *goals) of(service, channel string) client.Goal {
	goal := client.Goal{Epoch: g.epoch[service]}
	for home, seq := range g.last[service] {
		if check.Selects(channel, home) {
			goal.Seq = max(goal.Seq, seq)
		}
	}
	return goal
}

// stored is the number of acknowledged events.
func (b *book) stored() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.events)
}

// outage is the longest time from the first try of an event to its receipt.
func (b *book) outage() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	var longest time.Duration
	for _, e := range b.events {
		longest = max(longest, e.Acked-e.Sent)
	}
	return longest
}
