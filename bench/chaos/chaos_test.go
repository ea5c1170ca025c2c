//go:build unix

package main

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// TestMain lets the test's own program play the children.
func TestMain(m *testing.M) {
	if text := os.Getenv(roleKey); text != "" {
		if err := play(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestPromisesAreKeptWhileThingsBreak(t *testing.T) {
	s := settings{seed: uint64(time.Now().UnixNano()) % 1_000_000, duration: time.Minute, clients: 30, channels: 12, rate: 60, settle: time.Minute}
	r, err := run(t.Context(), s, t.Output())
	if err != nil {
		t.Fatalf("seed %d: %v", s.seed, err)
	}
	r.print(t.Output())
	if !r.ok() {
		t.Errorf("seed %d: a promise was broken", s.seed)
	}
}
