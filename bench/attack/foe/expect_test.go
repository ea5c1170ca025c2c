//go:build linux

package foe

import (
	"slices"
	"testing"
	"time"
)

func TestAnExpectationJudgesEnds(t *testing.T) {
	e := must("closed | reset", "HTTP 429").later(time.Minute, "close *").may("left *").within(20*time.Second).most("HTTP 429", 10, 1)
	// right is what holds in a round of a hundred seconds.
	right := func() Outcome {
		return Outcome{
			Kind: "k", Asked: 1, Done: 100, Longest: 20 * time.Second,
			Ends: map[string]uint64{"reset": 1, "HTTP 429": 110, "close 1008": 1, "left at once": 3, endHeld: 5},
		}
	}
	for name, c := range map[string]struct {
		took  time.Duration
		wrong func(*Outcome)
		want  []string
	}{
		"all is well":       {100 * time.Second, func(*Outcome) {}, nil},
		"an end is missing": {100 * time.Second, func(o *Outcome) { delete(o.Ends, "reset") }, []string{`k: none of it ended with "closed or reset"`}},
		"the other name does": {100 * time.Second, func(o *Outcome) {
			delete(o.Ends, "reset")
			o.Ends["closed"] = 1
		}, nil},
		"a count of nothing is none": {100 * time.Second, func(o *Outcome) { o.Ends["reset"] = 0 }, []string{`k: none of it ended with "closed or reset"`}},
		"a late end is missing":      {100 * time.Second, func(o *Outcome) { delete(o.Ends, "close 1008") }, []string{`k: none of it ended with "close *"`}},
		"it is too early for that": {59 * time.Second, func(o *Outcome) {
			delete(o.Ends, "close 1008")
			o.Ends["HTTP 429"] = 69
		}, nil},
		"an end that must not be": {100 * time.Second, func(o *Outcome) { o.Ends["HTTP 101"] = 2 }, []string{`k: 2 of it ended with "HTTP 101", which must not be`}},
		"it lasts too long":       {100 * time.Second, func(o *Outcome) { o.Longest += time.Second }, []string{"k: a connection of it lasted 21s, at most 20s is allowed"}},
		"a short round cannot tell": {29 * time.Second, func(o *Outcome) {
			o.Longest += time.Second
			o.Ends["HTTP 429"] = 1
		}, nil},
		"too often":       {100 * time.Second, func(o *Outcome) { o.Ends["HTTP 429"]++ }, []string{`k: 111 of it ended with "HTTP 429", at most 110 are allowed`}},
		"it hardly acted": {100 * time.Second, func(o *Outcome) { o.Done = 4 }, []string{"k: it acted 4 times of 100 that were asked for: it proves nothing"}},
		"it acted enough": {100 * time.Second, func(o *Outcome) { o.Done = 5 }, nil},
		"it did nothing": {time.Second, func(o *Outcome) { o.Done, o.Ends = 0, nil }, []string{
			"k: it acted 0 times of 1 that were asked for: it proves nothing", `k: none of it ended with "closed or reset"`, `k: none of it ended with "HTTP 429"`,
		}},
	} {
		o := right()
		c.wrong(&o)
		if got := e.Judge(o, c.took); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
}

// TestEveryKindMustShowSomething: a kind without an end that must be would hold always.
func TestEveryKindMustShowSomething(t *testing.T) {
	for _, k := range kinds {
		if len(k.expect.Must) == 0 {
			t.Errorf("%s need not end in any way", k.name)
		}
		if k.expect.allows(endSilent) || k.expect.allows("HTTP 101") {
			t.Errorf("%s may go unnoticed", k.name)
		}
	}
}
