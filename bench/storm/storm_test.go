//go:build linux

package main

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// TestMain lets the test's own program play the children.
func TestMain(m *testing.M) {
	if os.Getenv(roleKey) != "" {
		if err := play(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// settle is how long things may become calm here, where nobody looks at the time.
const settle = 100 * time.Millisecond

// noFaults runs a mode and wants that nothing was lost, repeated or out of order. The
// goals, which are about time, are not the test's.
func noFaults(t *testing.T, m mode) []*figures {
	t.Helper()
	all, err := m.run(t.Context(), t.Output(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for name, n := range f.faults {
			t.Errorf("%s: %d", name, n)
		}
	}
	return all
}

func TestAStormLosesNothing(t *testing.T) {
	t.Parallel()
	for _, f := range noFaults(t, &storm{
		clients: 150, channels: []int{20}, missed: 20, size: 256, jitters: []time.Duration{0},
		runs: 1, probes: 5, probeRate: 50, calm: 200 * time.Millisecond, settle: settle,
	}) {
		if n := f.median(readsEach); n > 8 { // Less than one for each of the channel's clients.
			t.Errorf("%.1f log reads a channel", n)
		}
	}
}

func TestAReturnLosesNothing(t *testing.T) {
	t.Parallel()
	for _, f := range noFaults(t, &comeback{clients: 200, channels: []int{1}, missed: []int{50}, size: 256, rounds: 1, settle: settle}) {
		for _, name := range []string{"from subscribe: log reads", "with handshakes: log reads"} {
			if n := f.median(name); n > 20 {
				t.Errorf("%s: %.0f", name, n)
			}
		}
	}
}

func TestDistanceLosesNothing(t *testing.T) {
	t.Parallel()
	noFaults(t, &distance{distances: []int{0, 500}, missed: 20, others: 10, size: 256, rounds: 1})
}

func TestFrozenClientsCostLittleAndLoseNothing(t *testing.T) {
	t.Parallel()
	for _, f := range noFaults(t, &frozen{
		frozen: 100, healthy: 20, rate: 500, size: 512, duration: 2 * time.Second, settle: settle, pairs: 1, thaws: 1,
	}) {
		// Not the resident memory, which under the race detector is another.
		for _, name := range []string{frozenHeap, thawingHeap} {
			if f.median(name) > f.goals[name] {
				t.Errorf("%s: %.1f, not at most %.1f", name, f.median(name), f.goals[name])
			}
		}
	}
}
