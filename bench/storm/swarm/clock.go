//go:build linux

package swarm

import (
	"time"

	"golang.org/x/sys/unix"
)

// start is a moment on both clocks.
var start = func() (at struct {
	mono int64
	time time.Time
}) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("swarm: no monotonic clock: " + err.Error()) // Linux always has one.
	}
	at.mono, at.time = ts.Nano(), time.Now()
	return at
}()

// Now is the machine's monotonic clock in nanoseconds: the same in all processes of
// the machine, to a few microseconds.
func Now() int64 { return start.mono + int64(time.Since(start.time)) }
