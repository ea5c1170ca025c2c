package check_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/bench/chaos/check"
)

// changed is stored, whose front goes at 10 s up to position 4, whose epoch becomes f
// at 20 s, and which is created anew at 30 s under epoch g: its positions 1 to 4 are the
// events that count on.
func changed() *check.Log {
	l := stored()
	l.Trims = []check.Trim{{Service: "s", First: 5, Begun: 10 * time.Second}}
	l.Epochs = append(l.Epochs,
		check.Epoch{Service: "s", Name: "f", Begun: 20 * time.Second},
		check.Epoch{Service: "s", Name: "g", Life: 1, Begun: 30 * time.Second})
	for seq := uint64(1); seq <= 4; seq++ {
		d := anew(seq, 0)
		l.Events = append(l.Events, check.Event{
			Service: "s", Channel: d.Channel, Life: 1, Seq: seq, ID: d.ID, Counter: d.Counter, Sent: 31 * time.Second, Acked: 31 * time.Second,
		})
	}
	return l
}

// anew is what stands at a position of the second life.
func anew(seq, prev uint64) check.Delivery {
	d := event(seq+8, 0)
	d.Seq, d.Prev = seq, prev
	return d
}

func chainAnew(prev uint64, positions ...uint64) []check.Delivery {
	var list []check.Delivery
	for _, seq := range positions {
		list = append(list, anew(seq, prev))
		prev = seq
	}
	return list
}

// as says of which epoch the position was that a note's request named.
func as(epoch string, n check.Note) check.Note {
	n.Under = epoch
	return n
}

func under(epoch string, at time.Duration, n check.Note) check.Note {
	n.Epoch, n.At = epoch, at
	return n
}

func reset(before int, asked, seq uint64, reason string) check.Note {
	return check.Note{Kind: check.Reset, Before: before, Asked: asked, Seq: seq, Reason: reason}
}

// last is what a client is told in the end that was at position asked of epoch e.
func last(before int, asked uint64) check.Note {
	return under("g", late, refused(before, asked, 0, "epoch_changed"))
}

const (
	early     = 5 * time.Second
	afterTrim = 15 * time.Second
	afterF    = 25 * time.Second
)

func TestChangesThatAreToldAreNoViolations(t *testing.T) {
	for name, c := range map[string]struct {
		history check.History
		want    map[string]int
	}{
		"a position that expired": {check.History{
			Notes:      []check.Note{under("e", early, ack(0)), under("e", afterTrim, refused(1, 1, 4, "position_expired")), last(3, 7)},
			Deliveries: join(chain(0, 1), chain(0, 5, 7), chainAnew(0, 1, 3)),
		}, map[string]int{"position_expired": 1, "epoch_changed": 1}},
		"a running subscription whose position expired": {check.History{
			Notes:      []check.Note{under("e", early, ack(0)), under("e", afterTrim, reset(1, 1, 4, "position_expired")), last(3, 7)},
			Deliveries: join(chain(0, 1), chain(0, 5, 7), chainAnew(0, 1, 3)),
		}, map[string]int{"position_expired": 1, "epoch_changed": 1}},
		"a front that went too late to matter": {check.History{
			Notes:      []check.Note{under("e", early, ack(0)), under("e", afterTrim, resumed(2, 4)), last(4, 7)},
			Deliveries: join(chain(0, 1, 3), chain(3, 5, 7), chainAnew(0, 1, 3)),
		}, map[string]int{"epoch_changed": 1}},
		"an epoch of the same life": {check.History{
			Notes:      []check.Note{under("e", early, ack(0)), under("f", afterF, reset(4, 7, 4, "epoch_changed")), as("f", last(6, 7))},
			Deliveries: join(chain(0, 1, 3, 5, 7), chain(0, 5, 7), chainAnew(0, 1, 3)),
		}, map[string]int{"epoch_changed": 2}},
		"both epochs at once": {check.History{
			Notes:      []check.Note{under("e", early, ack(0)), last(2, 3)},
			Deliveries: join(chain(0, 1, 3), chainAnew(0, 1, 3)),
		}, map[string]int{"epoch_changed": 1}},
		"events of the new life before the reset": {check.History{
			Notes:      []check.Note{under("f", afterF, ack(0)), {Kind: check.Told, Before: 1, Seq: 4, At: late}, as("f", under("f", late, resumed(1, 4))), as("f", last(2, 4))},
			Deliveries: join(chainAnew(0, 1), chainAnew(4, 3), chainAnew(0, 1, 3)),
		}, map[string]int{"epoch_changed": 1}},
		"another epoch while a request is on its way": {check.History{
			Notes: []check.Note{
				under("e", early, ack(0)), under("f", afterF, reset(2, 3, 4, "epoch_changed")),
				under("f", afterF, refused(3, 3, 4, "epoch_changed")), as("f", last(5, 7)),
			},
			Deliveries: join(chain(0, 1, 3), chain(0, 5), chain(0, 5, 7), chainAnew(0, 1, 3)),
		}, map[string]int{"epoch_changed": 3}},
		"only the new life": {check.History{
			Notes: []check.Note{under("g", late, ack(0))}, Deliveries: chainAnew(0, 1, 3),
		}, map[string]int{}},
		"the start of a log without its front": {check.History{
			Notes:      []check.Note{under("e", afterTrim, func() check.Note { n := ack(4); n.Start = true; return n }()), last(2, 7)},
			Deliveries: join(chain(3, 5, 7), chainAnew(0, 1, 3)),
		}, map[string]int{"epoch_changed": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			c.history.Service, c.history.Channel = "s", "k:a"
			r := check.Check(changed(), []check.History{c.history})
			if !r.OK() || !maps.Equal(r.Refusals, c.want) || len(r.Untrue) > 0 {
				t.Errorf("found %v, refusals %v, want %v", r.Findings, r.Refusals, c.want)
			}
		})
	}
}

func TestChangesThatAreNotToldAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		history check.History
		want    []check.Violation
	}{
		"expired before the front went": {check.History{
			Notes:      []check.Note{under("e", early, ack(0)), under("e", early, refused(1, 1, 0, "position_expired")), last(5, 7)},
			Deliveries: join(chain(0, 1), chain(0, 1, 3, 5, 7), chainAnew(0, 1, 3)),
		}, []check.Violation{check.Refused}},
		"expired although the log holds it": {check.History{
			Notes:      []check.Note{under("e", early, ack(0)), under("e", afterTrim, refused(2, 4, 4, "position_expired")), last(4, 7)},
			Deliveries: join(chain(0, 1, 3), chain(0, 5, 7), chainAnew(0, 1, 3)),
		}, []check.Violation{check.Refused}},
		"trimmed and not told": {check.History{
			Notes:      []check.Note{under("e", early, ack(0)), under("e", afterTrim, resumed(1, 1)), last(3, 7)},
			Deliveries: join(chain(0, 1), chain(0, 5, 7), chainAnew(0, 1, 3)),
		}, []check.Violation{check.Lost, check.Counters}},
		"a new start that leaves something out": {check.History{
			Notes:      []check.Note{under("e", early, ack(0)), under("e", afterTrim, refused(1, 1, 6, "position_expired")), last(2, 7)},
			Deliveries: join(chain(0, 1), chain(0, 7), chainAnew(0, 1, 3)),
		}, []check.Violation{check.Lost}},
		"an oldest position that is not": {check.History{
			Notes:      []check.Note{under("e", early, func() check.Note { n := ack(4); n.Start = true; return n }()), last(2, 7)},
			Deliveries: join(chain(3, 5, 7), chainAnew(0, 1, 3)),
		}, []check.Violation{check.Lost}},
		"lost behind the new start": {check.History{
			Notes:      []check.Note{under("e", early, ack(0)), under("e", afterTrim, reset(1, 1, 4, "position_expired")), last(2, 7)},
			Deliveries: join(chain(0, 1), chain(0, 7), chainAnew(0, 1, 3)),
		}, []check.Violation{check.Lost}},
		"lost in the new life": {check.History{
			Notes:      []check.Note{under("e", early, ack(0)), last(2, 3)},
			Deliveries: join(chain(0, 1, 3), chainAnew(0, 3)),
		}, []check.Violation{check.Lost}},
		"an epoch that ended and was not told": {check.History{
			Notes: []check.Note{under("e", early, ack(0))}, Deliveries: chain(0, 1, 3, 5, 7),
		}, []check.Violation{check.Epochs}},
		"an epoch before it began": {check.History{
			Notes:      []check.Note{under("e", early, ack(0)), under("f", afterTrim, reset(4, 7, 0, "epoch_changed")), last(4, 7)},
			Deliveries: join(chain(0, 1, 3, 5, 7), chainAnew(0, 1, 3)),
		}, []check.Violation{check.Epochs}},
		"an epoch that came back": {check.History{
			Notes:      []check.Note{under("f", afterF, ack(4)), as("f", under("e", afterF, refused(2, 7, 4, "epoch_changed"))), last(4, 7)},
			Deliveries: join(chain(3, 5, 7), chain(3, 5, 7), chainAnew(0, 1, 3)),
		}, []check.Violation{check.Refused}},
		"a position accepted under another epoch": {check.History{
			Notes:      []check.Note{under("f", afterF, ack(4)), as("f", under("g", late, resumed(2, 4)))},
			Deliveries: chain(3, 5, 7),
		}, []check.Violation{check.Epochs}},
		"an event of the old life under the new epoch": {check.History{
			Notes: []check.Note{under("g", late, ack(0))}, Deliveries: []check.Delivery{anew(1, 0), event(3, 1)},
		}, []check.Violation{check.Wrong, check.Counters}},
		"an old epoch's position accepted": {check.History{
			Notes:      []check.Note{under("e", early, ack(0)), under("g", late, reset(2, 3, 0, "epoch_changed")), under("g", late, resumed(2, 3))},
			Deliveries: join(chain(0, 1, 3), chainAnew(0)),
		}, []check.Violation{check.Epochs}},
		"a position out of nowhere": {check.History{
			Notes: []check.Note{under("g", late, ack(0)), under("g", late, as("x", resumed(2, 3)))}, Deliveries: chainAnew(0, 1, 3),
		}, []check.Violation{check.Wrong}},
		"another reason": {check.History{
			Notes:      []check.Note{under("e", early, ack(0)), under("e", early, refused(2, 3, 0, "position_ahead")), last(6, 7)},
			Deliveries: join(chain(0, 1, 3), chain(0, 1, 3, 5, 7), chainAnew(0, 1, 3)),
		}, []check.Violation{check.Refused}},
	} {
		t.Run(name, func(t *testing.T) {
			c.history.Service, c.history.Channel = "s", "k:a"
			wants(t, check.Check(changed(), []check.History{c.history}), c.want)
		})
	}
}

// wants compares the kinds of violations.
func wants(t *testing.T, r *check.Report, want []check.Violation) {
	t.Helper()
	for _, v := range want {
		if r.Count[v] == 0 {
			t.Errorf("not found: %s; found %v", v, r.Findings)
		}
	}
	for v := range r.Count {
		if !slices.Contains(want, v) {
			t.Errorf("found as well: %s: %v", v, r.Findings)
		}
	}
}

func TestALimitTakesMoreAndMoreAway(t *testing.T) {
	l := stored()
	l.Trims = []check.Trim{{Service: "s", Keep: 4, Begun: 3500 * time.Millisecond}}
	for _, c := range []struct {
		asked uint64
		at    time.Duration
		want  []check.Violation
	}{
		{2, 6500 * time.Millisecond, []check.Violation{check.Refused}}, // 3 to 6 are left.
		{2, 7500 * time.Millisecond, nil},                              // 4 to 7 are left.
		{3, 8500 * time.Millisecond, nil},
		{4, 8500 * time.Millisecond, []check.Violation{check.Refused}},
	} {
		h := check.History{Service: "s", Channel: "k:a", Notes: []check.Note{
			under("e", c.at, ack(c.asked)), under("e", c.at, refused(0, c.asked, 2, "position_expired")),
		}, Deliveries: chain(0, 3, 5, 7)}
		wants(t, check.Check(l, []check.History{h}), c.want)
	}
}

func TestOlderTransientEventsAreCounted(t *testing.T) {
	var h check.History
	h.Service, h.Channel, h.Notes = "s", "k:a", []check.Note{ack(8)}
	for _, n := range []uint64{1, 3, 3, 7} {
		h.Passing.Come("u", n)
	}
	h.Passing.Come("v", 2)
	h.Passing.Begin()
	h.Passing.Come("u", 5)
	if r := check.Check(stored(), []check.History{h}); !r.OK() || r.Passed != 6 {
		t.Errorf("found %v, counted %d", r.Findings, r.Passed)
	}
	h.Passing.Come("u", 4)
	if r := check.Check(stored(), []check.History{h}); !r.OK() || r.Passed != 7 || r.Back != 1 {
		t.Errorf("found %v, counted %d, of which %d came late", r.Findings, r.Passed, r.Back)
	}
}
