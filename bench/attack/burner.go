//go:build linux

package main

import (
	"context"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// burning is what the burner is told: so many processors' time for nothing, 0 for rest.
type burning struct{ Share float64 }

const (
	// burnEvery and burnAtMost make the pieces as short as those of who serves sockets.
	burnEvery  = time.Millisecond
	burnAtMost = time.Millisecond
	// burners are the threads that share the work.
	burners = 2
)

// burn uses CPU time until ctx ends.
func burn(ctx context.Context, share float64) {
	var group sync.WaitGroup
	defer group.Wait()
	for range burners {
		group.Go(func() {
			runtime.LockOSThread() // Its time is its own.
			defer runtime.UnlockOSThread()
			ticker := time.NewTicker(burnEvery)
			defer ticker.Stop()
			begin, used := time.Now(), threadCPU()
			for {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
				}
				until := time.Duration(share / burners * float64(time.Since(begin)))
				from := threadCPU()
				for now := from; now-used < until && now-from < burnAtMost; now = threadCPU() {
					spin()
				}
			}
		})
	}
}

// threadCPU is the time that the thread has used.
func threadCPU() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0 // Linux always has it.
	}
	return time.Duration(ts.Nano())
}

// spin is about ten microseconds of work.
func spin() {
	x := uint64(1)
	for range 5000 {
		x = x*6364136223846793005 + 1442695040888963407
	}
	runtime.KeepAlive(x)
}
