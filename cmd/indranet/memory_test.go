package main

import (
	"math"
	"os"
	"runtime/debug"
	"testing"
)

// TestCollectionsAreRareWithinALimitOnly holds what the reference says of memory_limit. It
// changes the process's settings, and is not parallel.
func TestCollectionsAreRareWithinALimitOnly(t *testing.T) {
	const usual = 123
	limit, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(usual)
	t.Cleanup(func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
	})
	for _, c := range []struct {
		name       string
		configured int64
		gogc       string
	}{
		{"a limit", 256 << 20, ""}, {"a limit and GOGC", 256 << 20, "150"}, {"what the container has", 0, ""},
	} {
		debug.SetMemoryLimit(math.MaxInt64)
		debug.SetGCPercent(usual)
		t.Setenv("GOGC", c.gogc)
		if err := limitMemory(c.configured); err != nil {
			t.Logf("%s: %v", c.name, err) // There may be no container.
		}
		got := debug.SetMemoryLimit(-1)
		if c.configured > 0 && got != c.configured/10*9 {
			t.Errorf("%s: the limit is %d", c.name, got)
		}
		want := usual
		if got < math.MaxInt64 && os.Getenv("GOGC") == "" {
			want = rareCollections
		}
		if percent := debug.SetGCPercent(usual); percent != want {
			t.Errorf("%s: GC percent %d, not %d", c.name, percent, want)
		}
	}
}
