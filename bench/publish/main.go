//go:build unix

// Command publish measures what publishing a typed event costs, against publishing
// the same bytes with nats.go alone: µs of CPU an event, of the client and of client
// and server together. The two ways take turns in one run, on one connection, with the
// server in a process of its own.
//
//	go run ./bench/publish [-n events] [-rounds n] [-size bytes]
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// stallWait is how long the bare way may wait for room.
const stallWait = 30 * time.Second

func main() {
	serveIfChild()
	n := flag.Int("n", 20_000, "events a round")
	rounds := flag.Int("rounds", 11, "rounds, of which the median counts")
	size := flag.Int("size", 256, "bytes of a payload, about")
	flag.Parse()
	if err := run(os.Stdout, *n, *rounds, *size); err != nil {
		fmt.Fprintln(os.Stderr, "publish:", err)
		os.Exit(1)
	}
}

// cost is CPU and wall time of one event.
type cost struct{ client, total, wall time.Duration }

func run(out io.Writer, n, rounds, size int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "bench-publish")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c, err := startChild(ctx, dir)
	if err != nil {
		return err
	}
	defer c.stop()
	pairs, stop, err := ways(c.nc)
	if err != nil {
		return err
	}
	defer stop()
	l, err := newLoad(size, "main-")
	if err != nil {
		return err
	}

	fmt.Fprintf(out, "%d events a round, %d rounds, payload %d bytes, %d channels, %d in flight, %s, %d CPUs\n\n",
		n, rounds, len(l.payloads[0]), channels, inFlight, runtime.Version(), runtime.NumCPU())
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "way\tclient µs/event\tclient+server\twall\tratio of client\tof both\t")
	for _, pair := range pairs {
		costs, ratios, err := compare(ctx, c, l, pair, n, rounds)
		if err != nil {
			return err
		}
		for i, w := range pair {
			fmt.Fprintf(table, "%s\t%.2f\t%.2f\t%.2f\t", w.name, micros(costs[i].client), micros(costs[i].total), micros(costs[i].wall))
			if i == 1 {
				fmt.Fprintf(table, "%.2f\t%.2f\t", ratios[0], ratios[1])
			} else {
				fmt.Fprint(table, "\t\t")
			}
			fmt.Fprintln(table)
		}
	}
	return table.Flush()
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// compare runs both ways in turns. It returns the median costs and the medians of the
// ratios of each round's two costs, of the client and of client and server.
func compare(ctx context.Context, c *child, l *load, pair [2]way, n, rounds int) ([2]cost, [2]float64, error) {
	var all [2][]cost
	var ratios [2][]float64
	for round := -1; round < rounds; round++ {
		var one [2]cost
		for k := range pair {
			// Who goes first changes.
			i := (k + round + 1) % 2
			got, err := measure(ctx, c, l, pair[i], n)
			if err != nil {
				return [2]cost{}, [2]float64{}, fmt.Errorf("%s: %w", pair[i].name, err)
			}
			one[i] = got
		}
		if round < 0 {
			// The first round warms up.
			continue
		}
		for i := range pair {
			all[i] = append(all[i], one[i])
		}
		ratios[0] = append(ratios[0], float64(one[1].client)/float64(one[0].client))
		ratios[1] = append(ratios[1], float64(one[1].total)/float64(one[0].total))
	}
	var costs [2]cost
	for i := range pair {
		costs[i] = cost{
			client: median(all[i], func(c cost) time.Duration { return c.client }),
			total:  median(all[i], func(c cost) time.Duration { return c.total }),
			wall:   median(all[i], func(c cost) time.Duration { return c.wall }),
		}
	}
	identity := func(r float64) float64 { return r }
	return costs, [2]float64{median(ratios[0], identity), median(ratios[1], identity)}, nil
}

func median[T any, N time.Duration | float64](all []T, of func(T) N) N {
	values := make([]N, len(all))
	for i, one := range all {
		values[i] = of(one)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// measure publishes n events one way.
func measure(ctx context.Context, c *child, l *load, w way, n int) (cost, error) {
	// Each way pays for its own garbage.
	runtime.GC()
	serverBefore, err := c.cpu()
	if err != nil {
		return cost{}, err
	}
	clientBefore, start := cpu(), time.Now()
	if err := w.publish(ctx, l, n); err != nil {
		return cost{}, err
	}
	wall, client := time.Since(start), cpu()-clientBefore
	serverAfter, err := c.cpu()
	if err != nil {
		return cost{}, err
	}
	each := func(d time.Duration) time.Duration { return d / time.Duration(n) }
	return cost{client: each(client), total: each(client + serverAfter - serverBefore), wall: each(wall)}, nil
}
