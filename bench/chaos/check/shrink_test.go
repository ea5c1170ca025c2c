package check_test

import (
	"testing"
	"time"

	"github.com/bodhisattva/indranet/bench/chaos/check"
)

// long is a subscription to everything that sees what stored holds many times over, with
// a reconnect after each round, and then another log's worth of it with one mistake.
func long(rounds int, mistake []check.Delivery) check.History {
	h := check.History{Service: "s", Channel: "global", Notes: []check.Note{ack(0)}}
	for range rounds {
		h.Deliveries = append(h.Deliveries, chain(0, 1, 2, 3, 4, 5, 6, 7, 8)...)
		h.Notes = append(h.Notes, told(len(h.Deliveries), 8), resumed(len(h.Deliveries), 0))
	}
	h.Deliveries = append(h.Deliveries, mistake...)
	return h
}

func TestTheShortestHistoryIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		history           check.History
		violation         check.Violation
		notes, deliveries int
	}{
		"lost":         {long(100, chain(0, 1, 2, 3, 5, 6, 7, 8)), check.Lost, 2, 0},
		"lost at last": {long(100, chain(0, 1, 2, 3, 4, 5, 6, 7)), check.Lost, 1, 0},
		"twice":        {long(100, join(chain(0, 1, 2, 3), chain(2, 3, 4, 5, 6, 7, 8))), check.Twice, 1, 2},
		"disorder":     {long(0, join(chain(0, 1, 2, 4), chain(2, 3), chain(4, 5, 6, 7, 8))), check.Disorder, 1, 2},
		"refused": {func() check.History {
			h := long(100, chain(0, 1, 2, 3, 4, 5, 6, 7, 8))
			h.Notes = append(h.Notes, under("e", late+1, refused(len(h.Deliveries), 8, 0, "position_ahead")))
			h.Deliveries = append(h.Deliveries, chain(0, 1, 2, 3, 4, 5, 6, 7, 8)...)
			return h
		}(), check.Refused, 2, 0},
		"a history request": {func() check.History {
			h := long(100, chain(0, 1, 2, 3, 4, 5, 6, 7, 8))
			h.Pasts = []check.Past{past(nil, 1, 2, 3, 4, 5, 6, 7, 8), past(nil, 1, 3, 5, 7)}
			return h
		}(), check.Pasts, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			log := stored()
			findings := check.Check(log, []check.History{c.history}).Broken()
			if len(findings) != 1 || findings[0].Violation != c.violation {
				t.Fatalf("found %v", findings)
			}
			short := check.Shrink(log, findings[0], time.Now().Add(time.Minute))
			if len(short.Notes) != c.notes || len(short.Deliveries) != c.deliveries {
				t.Errorf("what is left: %+v", short)
			}
			if near := check.Around(findings[0]); len(near.Notes)+len(near.Deliveries)+len(near.Pasts) > 20 {
				t.Errorf("around it: %+v", near)
			}
		})
	}
}

func TestShrinkEndsInTime(t *testing.T) {
	h := long(1000, chain(0, 1, 2, 3, 5, 6, 7, 8))
	f := check.Check(stored(), []check.History{h}).Broken()[0]
	if short := check.Shrink(stored(), f, time.Now()); len(short.Deliveries) != len(h.Deliveries) {
		t.Errorf("%d of %d deliveries are left", len(short.Deliveries), len(h.Deliveries))
	}
}
