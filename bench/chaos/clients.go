//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bodhisattva/indranet/bench/chaos/client"
	"github.com/bodhisattva/indranet/schema"
)

// kinds are the kinds of the channels that authors write to.
var kinds = map[schema.Service]string{schema.Dhruva: "adapter", schema.Mahavishnu: "workflow", schema.Excalidraw: "collaboration"}

// names are the ids of the channels of a service.
func names(service schema.Service, channels int) []string {
	var list []string
	for i := range channels {
		list = append(list, fmt.Sprintf("%s-%d", service, i))
	}
	return list
}

// newClients returns n clients: every temper in turn, on channels and views.
func newClients(s settings, f *fleet, start time.Time, calm <-chan struct{}) []*client.Client {
	rng := rand.New(rand.NewPCG(s.seed, 7))
	var at []client.Edge
	for i, l := range f.clients {
		at = append(at, client.Edge{Name: f.edge[i].role.Name, Address: l.Addr()})
	}
	tempers := client.Tempers()
	var list []*client.Client
	for i := range s.clients {
		service := services[rng.IntN(len(services))]
		cfg := client.Config{
			Service: string(service), Edges: at, Temper: tempers[i%len(tempers)], From: from(rng, start),
			Channels: pickChannels(rng, service, s.channels), Begin: time.Duration(rng.Int64N(int64(2 * time.Second))),
			Calm: calm, Start: start, Seed: rng.Uint64(),
		}
		if cfg.Temper == client.Late {
			cfg.From = "start"
			cfg.Begin = s.duration/4 + time.Duration(rng.Int64N(int64(s.duration/2)))
		}
		cfg.Name = fmt.Sprintf("client %d (%s, from %v)", i, cfg.Temper, cfg.From)
		list = append(list, client.New(cfg))
	}
	return list
}

// from is the since of a client that has no position yet.
func from(rng *rand.Rand, start time.Time) any {
	switch rng.IntN(6) {
	case 0:
		return map[string]any{"last": 1 + rng.IntN(100)}
	case 1:
		return map[string]any{"time": start.Add(time.Duration(rng.Int64N(int64(2 * time.Second)))).UTC().Format(time.RFC3339Nano)}
	case 2, 3:
		return "start"
	}
	return "now"
}

// pickChannels is what a client subscribes to: some channels, views, or both, and now
// and then a channel that nobody ever uses.
func pickChannels(rng *rand.Rand, service schema.Service, channels int) []string {
	ids := names(service, channels/len(services))
	var list []string
	if rng.IntN(4) == 0 {
		list = append(list, fmt.Sprintf("%s:unused-%d", kinds[service], rng.IntN(3)))
	}
	if dice := rng.IntN(5); dice > 0 {
		rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		for _, id := range ids[:1+rng.IntN(min(4, len(ids)))] {
			list = append(list, kinds[service]+":"+id)
		}
		if dice > 1 {
			return list
		}
	}
	return append(list, []string{"global", kinds[service] + ":*"}[rng.IntN(2)])
}

// goalsOf tells a client of a service its goals, once they are known.
func goalsOf(known <-chan struct{}, all **goals, service string) func(string) (client.Goal, bool) {
	return func(channel string) (client.Goal, bool) {
		select {
		case <-known:
			return (*all).of(service, channel), true
		default:
			return client.Goal{}, false
		}
	}
}
