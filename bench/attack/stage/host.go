//go:build linux

package stage

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bodhisattva/indranet/bench/storm/swarm"
)

// clockTick is the unit of times in /proc, which is this long on every Linux that Go
// runs on.
const clockTick = 10 * time.Millisecond

// Ticks adds up times of /proc.
func Ticks(fields []string) (sum time.Duration, err error) {
	for _, field := range fields {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, fmt.Errorf("stage: stat: %w", err)
		}
		sum += time.Duration(n) * clockTick
	}
	return sum, nil
}

// MachineCPU is the time that all processors have worked so far, and that they could not
// because the host of this virtual machine gave it to others.
func MachineCPU() (worked, withheld time.Duration, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, fmt.Errorf("stage: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	// user, nice, system; idle and iowait are rest; irq, softirq; steal.
	worked, err = Ticks(append(append([]string(nil), fields[1:4]...), fields[6:8]...))
	if err == nil {
		withheld, err = Ticks(fields[8:9])
	}
	return worked, withheld, err
}

const (
	// disturbing is what a host may withhold of the processors' time in a second that
	// counts as quiet.
	disturbing = 50 * time.Millisecond
	// hostEvery is how often it is asked.
	hostEvery = 250 * time.Millisecond
)

// Host remembers when the host of this virtual machine did not give it its processors. It
// is safe for concurrent use.
type Host struct {
	// Guarded by mu.
	mu    sync.Mutex
	looks []look // In the order of time.
}

// look is what a host had withheld until a moment of swarm.Now.
type look struct {
	at       int64
	withheld time.Duration
}

// Watch looks until ctx ends.
func (h *Host) Watch(ctx context.Context) error {
	ticker := time.NewTicker(hostEvery)
	defer ticker.Stop()
	for {
		_, withheld, err := MachineCPU()
		if err != nil {
			return err
		}
		h.add(look{swarm.Now(), withheld})
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *Host) add(l look) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looks = append(h.looks, l)
}

// Quiet reports whether a second, of those that second counts, is known to have been
// quiet.
func (h *Host) Quiet(n int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := func(moment int64) int {
		i, _ := slices.BinarySearchFunc(h.looks, moment, func(l look, moment int64) int { return int(l.at - moment) })
		return i
	}
	from, to := at(n*int64(time.Second)+1)-1, at((n+1)*int64(time.Second))
	return from >= 0 && to < len(h.looks) && h.looks[to].withheld-h.looks[from].withheld <= disturbing
}

// second is the number of the one that a moment of swarm.Now lies in.
func second(moment int64) int64 { return moment / int64(time.Second) }
