//go:build linux

package foe

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Expectation is what must come of a kind of attack where the edge holds. No judgement
// depends on how fast the machine is, but that of Share, which asks for little.
type Expectation struct {
	// Must are ends of which each must have occurred, in a round that is long enough.
	Must []Must
	// May are ends that may occur besides those. No others may, but for connections that
	// are held when the round ends, or that the kernel did not make in time. A text that ends in * stands for all that begin so.
	May []string
	// Within is how long a connection may last, 0 for as long as it likes. It is judged in
	// rounds that are half as long again.
	Within time.Duration
	// Most bounds how often an end may occur.
	Most []Most
}

// Must is an end that must have occurred.
type Must struct {
	// Ends are the names that it may have.
	Ends []string
	// After is how long a round has to be for that to be expected.
	After time.Duration
}

// Most is how often an end may occur: Burst times and Rate times a second.
type Most struct {
	End         string
	Burst, Rate float64
}

// must expects ends, with "|" between the names that one may have.
func must(ends ...string) (e Expectation) { return e.later(0, ends...) }

func (e Expectation) later(after time.Duration, ends ...string) Expectation {
	for _, one := range ends {
		e.Must = append(e.Must, Must{strings.Split(one, " | "), after})
	}
	return e
}

func (e Expectation) may(ends ...string) Expectation {
	e.May = append(e.May, ends...)
	return e
}

func (e Expectation) within(d time.Duration) Expectation {
	e.Within = d
	return e
}

func (e Expectation) most(end string, burst, rate float64) Expectation {
	e.Most = append(e.Most, Most{end, burst, rate})
	return e
}

// is reports whether an end is what a pattern stands for.
func is(end, pattern string) bool {
	prefix, open := strings.CutSuffix(pattern, "*")
	return end == pattern || open && strings.HasPrefix(end, prefix)
}

// Least is how often a kind must have acted of so many times that were asked for: a
// quarter, and less where chance decides much, but once.
func Least(asked float64) uint64 {
	return uint64(max(1, asked/4-2*math.Sqrt(asked)))
}

// Judge says what of the expectation did not come true in a round that took so long.
func (e Expectation) Judge(o Outcome, took time.Duration) (list []string) {
	add := func(format string, args ...any) { list = append(list, o.Kind+": "+fmt.Sprintf(format, args...)) }
	asked := o.Asked * took.Seconds()
	if least := Least(asked); o.Done < least {
		add("it acted %d times of %.0f that were asked for: it proves nothing", o.Done, asked)
	}
	has := func(pattern string) bool {
		for end, n := range o.Ends {
			if n > 0 && is(end, pattern) {
				return true
			}
		}
		return false
	}
	for _, m := range e.Must {
		if took >= m.After && !slices.ContainsFunc(m.Ends, has) {
			add("none of it ended with %q", strings.Join(m.Ends, " or "))
		}
	}
	for _, end := range slices.Sorted(maps.Keys(o.Ends)) {
		if o.Ends[end] > 0 && !e.allows(end) {
			add("%d of it ended with %q, which must not be", o.Ends[end], end)
		}
	}
	if e.Within > 0 && took >= e.Within*3/2 && o.Longest > e.Within {
		add("a connection of it lasted %v, at most %v is allowed", o.Longest.Round(time.Second/10), e.Within)
	}
	for _, m := range e.Most {
		if n, most := o.Ends[m.End], m.Burst+m.Rate*took.Seconds(); float64(n) > most {
			add("%d of it ended with %q, at most %.0f are allowed", n, m.End, most)
		}
	}
	return list
}

func (e Expectation) allows(end string) bool {
	named := func(pattern string) bool { return is(end, pattern) }
	return end == endHeld || end == endUnreached || slices.ContainsFunc(e.May, named) ||
		slices.ContainsFunc(e.Must, func(m Must) bool { return slices.ContainsFunc(m.Ends, named) })
}
