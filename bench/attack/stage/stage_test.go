//go:build linux

package stage

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestChannelsHaveTheirReaders(t *testing.T) {
	list := Channels(5, 2)
	if got := Names(list, Public); !slices.Equal(got, []string{"workflow:public-0", "workflow:public-1"}) {
		t.Errorf("public: %q", got)
	}
	if got := Names(list, Members); !slices.Equal(got, []string{"workflow:member-0", "workflow:member-1"}) {
		t.Errorf("members: %q", got)
	}
	if got := Names(list, Admins); !slices.Equal(got, []string{AdminChannel}) {
		t.Errorf("admins: %q", got)
	}
	for _, c := range []struct {
		name, channel string
		want          bool
	}{
		{"global", AdminChannel, true}, {WorkflowView, AdminChannel, false}, {WorkflowView, "workflow:a", true},
		{"workflow:a", "workflow:a", true}, {"workflow:a", "workflow:ab", false},
	} {
		if got := Selects(c.name, c.channel); got != c.want {
			t.Errorf("%s shows %s: %t", c.name, c.channel, got)
		}
	}
}

func TestAMeterCountsWhatBeganInItsWindow(t *testing.T) {
	var m Meter
	m.Add(1, 2) // Before any window.
	m.Open("a", "both", 100)
	m.Add(99, 200)
	m.Add(100, 200)
	m.Shut(300)
	m.Add(299, 600) // It ended late.
	m.Add(300, 301)
	m.Open("b", "both", 400)
	m.Add(400, 410)
	got := m.Latencies(nil)
	if got["a"].Count != 2 || got["a"].Max != 301 || got["b"].Count != 1 || got["both"].Count != 3 {
		t.Errorf("%+v", got)
	}
}

func TestSecondsInWhichTheHostWithholdsProcessorsAreToldApart(t *testing.T) {
	const quarter = int64(250 * time.Millisecond)
	var h Host
	withheld := time.Duration(0)
	for i := int64(2); i <= 5*4; i++ { // From 0.5 s to 5 s.
		if i == 2*4+2 {
			withheld += disturbing
		} else if i == 3*4+2 {
			withheld += disturbing + 1
		}
		h.add(look{i*quarter + 1, withheld})
	}
	for second, want := range []bool{false, true, true, false, true, false} { // It is not known of the first and the last.
		if got := h.Quiet(int64(second)); got != want {
			t.Errorf("second %d: %t", second, got)
		}
	}
	var m Meter
	m.Open("a", "both", 0)
	for at := range int64(5) {
		m.Add(at*4*quarter, at*4*quarter+at)
	}
	m.Open("b", "both", 10*4*quarter)
	got, count := m.Latencies(h.Quiet), m.Seconds(h.Quiet)
	if got["a"].Count != 3 || got["both"].Count != 3 || got["b"].Count != 0 || got["a"].P50 != 2 || got["a"].Max != 4 {
		t.Errorf("%+v", got)
	}
	m.Open("alone", "alone", 20*4*quarter)
	m.Add(20*4*quarter, 20*4*quarter+1)
	if once := m.Latencies(nil)["alone"].Count; once != 1 {
		t.Errorf("counted %d times", once)
	}
	if count["a"] != 3 || count["both"] != 3 || m.Seconds(nil)["a"] != 5 {
		t.Errorf("%v", count)
	}
}

func TestTheHostIsWatched(t *testing.T) {
	var h Host
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Watch(ctx); err != nil || len(h.looks) != 1 || h.looks[0].withheld < 0 {
		t.Errorf("%+v, %v", h.looks, err)
	}
}

func TestQuantilesAreNearlyExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h histogram
	var all []int64
	for range 20_000 {
		ns := int64(rng.ExpFloat64() * float64(time.Millisecond))
		all = append(all, ns)
		h.add(ns)
	}
	slices.Sort(all)
	for _, q := range []float64{0.5, 0.99} {
		want, got := float64(all[int(q*float64(len(all)))]), float64(h.quantile(q))
		if got < want*0.98 || got > want*1.02 {
			t.Errorf("%v: %v, not %v", q, got, want)
		}
	}
}
