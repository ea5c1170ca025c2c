//go:build unix

package client

import (
	"math/rand/v2"
	"time"
)

// Temper is how a client behaves while faults happen. At the end all are well-behaved.
type Temper uint8

// The tempers.
const (
	// Steady reads as fast as it can and reconnects only when it must.
	Steady Temper = iota
	// Slow pauses between reads.
	Slow
	// Frozen takes nothing for seconds, again and again.
	Frozen
	// Restless reconnects at random, mostly to another edge.
	Restless
	// Late comes in the middle of the run and reads from the start.
	Late
	tempers
)

// String is the temper's name.
func (t Temper) String() string {
	return [...]string{"steady", "slow", "frozen", "restless", "late"}[t]
}

// Tempers are all of them.
func Tempers() []Temper {
	list := make([]Temper, tempers)
	for i := range list {
		list[i] = Temper(i)
	}
	return list
}

// mood decides what a client does between two reads. It belongs to its client.
type mood struct {
	temper Temper
	rng    *rand.Rand
	// next is when it freezes or leaves.
	next time.Time
}

func newMood(temper Temper, rng *rand.Rand) *mood {
	m := &mood{temper: temper, rng: rng}
	m.plan(time.Now())
	return m
}

// between is a random time between two.
func (m *mood) between(low, high time.Duration) time.Duration {
	return low + time.Duration(m.rng.Int64N(int64(high-low)))
}

func (m *mood) plan(now time.Time) {
	switch m.temper {
	case Frozen:
		m.next = now.Add(m.between(2*time.Second, 10*time.Second))
	case Restless:
		m.next = now.Add(m.between(200*time.Millisecond, 6*time.Second))
	}
}

// pause is how long to read nothing now, and whether to leave instead.
func (m *mood) pause(now time.Time) (pause time.Duration, leave bool) {
	switch {
	case m.temper == Slow && m.rng.IntN(8) == 0:
		return m.between(time.Millisecond, 200*time.Millisecond), false
	case m.temper == Frozen && now.After(m.next):
		m.plan(now)
		return m.between(time.Second, 8*time.Second), false
	case m.temper == Restless && now.After(m.next):
		m.plan(now)
		return 0, true
	}
	return 0, false
}
