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
	// Restless reconnects at random, mostly to another edge, and subscribes again or
	// unsubscribes in between.
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

// whim is what a client does between two frames.
type whim uint8

const (
	goOn whim = iota
	rest
	leave
	repeat
	unsubscribe
	recall
)

// mood decides what a client does between two frames. It belongs to its client.
type mood struct {
	temper Temper
	rng    *rand.Rand
	// due is when it does something again, and past when it asks for a history.
	due, past time.Time
}

func newMood(temper Temper, rng *rand.Rand) *mood {
	m := &mood{temper: temper, rng: rng}
	m.plan(time.Now())
	m.past = time.Now().Add(m.between(time.Second, 10*time.Second))
	return m
}

// between is a random time between two.
func (m *mood) between(low, high time.Duration) time.Duration {
	return low + time.Duration(m.rng.Int64N(int64(high-low)))
}

func (m *mood) plan(now time.Time) {
	switch m.temper {
	case Frozen:
		m.due = now.Add(m.between(2*time.Second, 10*time.Second))
	case Restless:
		m.due = now.Add(m.between(100*time.Millisecond, 4*time.Second))
	}
}

// next is what to do now, and for how long where it is to rest.
func (m *mood) next(now time.Time) (whim, time.Duration) {
	switch {
	case now.After(m.past):
		m.past = now.Add(m.between(2*time.Second, 10*time.Second))
		return recall, 0
	case m.temper == Slow && m.rng.IntN(8) == 0:
		return rest, m.between(time.Millisecond, 200*time.Millisecond)
	case m.temper == Frozen && now.After(m.due):
		m.plan(now)
		return rest, m.between(time.Second, 8*time.Second)
	case m.temper == Restless && now.After(m.due):
		m.plan(now)
		return []whim{leave, leave, repeat, repeat, unsubscribe}[m.rng.IntN(5)], 0
	}
	return goOn, 0
}
