//go:build linux

package good

import (
	"slices"
	"testing"

	"github.com/bodhisattva/indranet/bench/attack/stage"
)

func TestALedgerFindsWhatIsWrong(t *testing.T) {
	channels := stage.Channels(4, 2) // public-0, public-1, member-0, payroll
	body := func(c int, n uint64) stage.Body { return stage.Body{C: c, N: n, Mark: channels[c].For.Mark()} }
	type event struct {
		seq, prev uint64
		body      stage.Body
	}
	for name, c := range map[string]struct {
		of     string
		events []event
		want   []string
	}{
		"all well":                {"workflow:member-0", []event{{11, 9, body(2, 6)}, {15, 11, body(2, 7)}}, nil},
		"all well in a view":      {"workflow:*", []event{{11, 9, body(2, 6)}, {12, 11, body(0, 6)}, {15, 12, body(2, 7)}}, nil},
		"twice":                   {"workflow:member-0", []event{{11, 9, body(2, 6)}, {11, 9, body(2, 6)}}, []string{faultRepeated}},
		"backwards":               {"workflow:member-0", []event{{12, 9, body(2, 6)}, {11, 9, body(2, 7)}}, []string{faultOrder}},
		"a hole":                  {"workflow:member-0", []event{{11, 9, body(2, 6)}, {15, 13, body(2, 8)}}, []string{faultChain, faultCounter}},
		"a hole in the counters":  {"workflow:member-0", []event{{11, 9, body(2, 7)}}, []string{faultCounter}},
		"another event, new seq":  {"workflow:member-0", []event{{11, 9, body(2, 5)}}, []string{faultCounterAgain}},
		"another channel's":       {"workflow:member-0", []event{{11, 9, body(0, 6)}}, []string{faultAlien}},
		"the admins' in the view": {"workflow:*", []event{{11, 9, body(3, 6)}}, []string{faultAlien}},
		"with another's mark":     {"workflow:*", []event{{11, 9, stage.Body{C: 2, N: 6, Mark: stage.Public.Mark()}}}, []string{faultAlien}},
	} {
		l := newLedger(c.of, []uint64{5, 5, 5, 5})
		l.upTo(10)
		var got []string
		for _, e := range c.events {
			got = append(got, l.event(channels, e.seq, e.prev, e.body)...)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
	l := newLedger("workflow:*", []uint64{5, 5, 5, 5})
	if n := l.missing(channels, []uint64{7, 5, 6, 99}); n != 3 {
		t.Errorf("%d missing", n)
	}
}
