//go:build unix

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	serveIfChild()
	goleak.VerifyTestMain(m)
}

func TestTheTableHasAllWays(t *testing.T) {
	var out bytes.Buffer
	if err := run(&out, 200, 1, 256); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"async/bare", "async/typed", "sync/bare", "sync/typed"} {
		if !strings.Contains(out.String(), name) {
			t.Errorf("%s is not in\n%s", name, &out)
		}
	}
}

// eventsPerOp is how many events one iteration of BenchmarkPublish publishes.
const eventsPerOp = 1000

// BenchmarkPublish publishes eventsPerOp events an iteration and waits for all answers.
// Time and memory are the client's, with the server in another process; cpu-µs/event is
// the client's CPU time.
func BenchmarkPublish(b *testing.B) {
	dir, err := os.MkdirTemp(b.TempDir(), "")
	if err != nil {
		b.Fatal(err)
	}
	c, err := startChild(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	defer c.stop()
	pairs, stop, err := ways(c.nc)
	if err != nil {
		b.Fatal(err)
	}
	defer stop()
	l, err := newLoad(256, "bench-")
	if err != nil {
		b.Fatal(err)
	}
	for _, pair := range pairs {
		for _, w := range pair {
			b.Run(w.name+"/size=256", func(b *testing.B) {
				b.ReportAllocs()
				before := cpu()
				events := 0
				for b.Loop() {
					if err := w.publish(b.Context(), l, eventsPerOp); err != nil {
						b.Fatal(err)
					}
					events += eventsPerOp
				}
				b.ReportMetric(micros(cpu()-before)/float64(events), "cpu-µs/event")
			})
		}
	}
}
