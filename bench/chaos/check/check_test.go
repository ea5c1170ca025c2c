package check_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/bench/chaos/check"
)

// stored is a log of two channels that take turns, as their publisher was told:
// positions 1 to 8, one a second, acknowledged at once.
func stored() *check.Log {
	l := &check.Log{Unknown: map[uint64]bool{}, Epochs: []check.Epoch{{Service: "s", Name: "e"}}}
	for seq := uint64(1); seq <= 8; seq++ {
		d := event(seq, 0)
		now := time.Duration(seq) * time.Second
		l.Events = append(l.Events, check.Event{
			Service: "s", Channel: d.Channel, Seq: seq, ID: d.ID, Counter: d.Counter, Sent: now, Acked: now,
		})
	}
	return l
}

// event is what stands at a position of stored.
func event(seq, prev uint64) check.Delivery {
	channel := "k:a"
	if seq%2 == 0 {
		channel = "k:b"
	}
	return check.Delivery{Seq: seq, Prev: prev, ID: 100 + seq, Channel: channel, Counter: (seq + 1) / 2}
}

// chain is the deliveries of positions whose first has prev behind it.
func chain(prev uint64, positions ...uint64) []check.Delivery {
	var list []check.Delivery
	for _, seq := range positions {
		list = append(list, event(seq, prev))
		prev = seq
	}
	return list
}

// late is later than everything in stored.
const late = time.Minute

func ack(seq uint64) check.Note {
	return check.Note{Kind: check.Subscribed, Seq: seq, Epoch: "e", Recovered: true, At: late}
}

func resumed(before int, asked uint64) check.Note {
	n := ack(asked)
	n.Before, n.Resumed, n.Asked, n.Under = before, true, asked, "e"
	return n
}

func told(before int, seq uint64) check.Note {
	return check.Note{Kind: check.Told, Before: before, Seq: seq, At: late}
}

func refused(before int, asked, seq uint64, reason string) check.Note {
	n := resumed(before, asked)
	n.Seq, n.Recovered, n.Reason = seq, false, reason
	return n
}

func join(lists ...[]check.Delivery) []check.Delivery { return slices.Concat(lists...) }

func TestWhatIsRightIsLeftAlone(t *testing.T) {
	for name, h := range map[string]check.History{
		"a channel from the start":      {Channel: "k:a", Notes: []check.Note{ack(0)}, Deliveries: chain(0, 1, 3, 5, 7)},
		"a view from the start":         {Channel: "k:*", Notes: []check.Note{ack(0)}, Deliveries: chain(0, 1, 2, 3, 4, 5, 6, 7, 8)},
		"everything":                    {Channel: "global", Notes: []check.Note{ack(0)}, Deliveries: chain(0, 1, 2, 3, 4, 5, 6, 7, 8)},
		"from now on":                   {Channel: "k:a", Notes: []check.Note{ack(4)}, Deliveries: chain(3, 5, 7)},
		"from the end":                  {Channel: "k:b", Notes: []check.Note{ack(8)}},
		"caught up between":             {Channel: "k:a", Notes: []check.Note{ack(0), told(2, 3), told(2, 4), told(4, 8)}, Deliveries: chain(0, 1, 3, 5, 7)},
		"resumed at an event":           {Channel: "k:a", Notes: []check.Note{ack(0), resumed(2, 3)}, Deliveries: join(chain(0, 1, 3), chain(3, 5, 7))},
		"resumed at a position":         {Channel: "k:a", Notes: []check.Note{ack(0), told(2, 4), resumed(2, 4)}, Deliveries: join(chain(0, 1, 3), chain(3, 5, 7))},
		"a first prev below the client": {Channel: "k:a", Notes: []check.Note{ack(0), resumed(2, 3)}, Deliveries: join(chain(0, 1, 3), chain(0, 5, 7))},
		"asked again for what came":     {Channel: "k:a", Notes: []check.Note{ack(0), resumed(3, 1)}, Deliveries: join(chain(0, 1, 3, 5), chain(1, 3, 5, 7))},
		"resumed twice without events":  {Channel: "k:a", Notes: []check.Note{ack(4), resumed(0, 4), resumed(0, 4)}, Deliveries: chain(3, 5, 7)},
	} {
		t.Run(name, func(t *testing.T) {
			h.Service = "s"
			if r := check.Check(stored(), []check.History{h}); !r.OK() {
				t.Errorf("found %v", r.Findings)
			}
		})
	}
}

func TestEveryPlantedViolationIsFound(t *testing.T) {
	other := event(3, 1)
	other.ID++
	foreign := event(2, 1)
	miscounted := event(3, 1)
	miscounted.Counter++
	otherEpoch := resumed(2, 3)
	otherEpoch.Epoch = "f"
	early := ack(6)
	early.At = 4500 * time.Millisecond
	earlyTold := told(2, 6)
	earlyTold.At = 4500 * time.Millisecond
	again := ack(3)
	again.Before = 2
	for name, c := range map[string]struct {
		history check.History
		want    []check.Violation
	}{
		"lost in the middle, chain told": {check.History{Channel: "k:a", Notes: []check.Note{ack(0)},
			Deliveries: chain(0, 1, 5, 7)}, []check.Violation{check.Lost, check.Counters}},
		"lost in the middle, chain broken": {check.History{Channel: "k:a", Notes: []check.Note{ack(0)},
			Deliveries: join(chain(0, 1), chain(3, 5, 7))}, []check.Violation{check.Lost, check.Chain, check.Counters}},
		"lost at a reconnect": {check.History{Channel: "k:a", Notes: []check.Note{ack(0), resumed(1, 1)},
			Deliveries: join(chain(0, 1), chain(3, 5, 7))}, []check.Violation{check.Lost, check.Chain, check.Counters}},
		"lost behind a position that ran ahead": {check.History{Channel: "k:a", Notes: []check.Note{ack(0), told(1, 4), resumed(1, 4)},
			Deliveries: join(chain(0, 1), chain(3, 5, 7))}, []check.Violation{check.Lost, check.Counters}},
		"first of all lost": {check.History{Channel: "k:a", Notes: []check.Note{ack(0)},
			Deliveries: chain(0, 3, 5, 7)}, []check.Violation{check.Lost}},
		"tail missing": {check.History{Channel: "k:a", Notes: []check.Note{ack(0)},
			Deliveries: chain(0, 1, 3, 5)}, []check.Violation{check.Lost}},
		"tail missing, position told": {check.History{Channel: "k:a", Notes: []check.Note{ack(0), told(3, 8)},
			Deliveries: chain(0, 1, 3, 5)}, []check.Violation{check.Lost}},
		"one channel of a view missing": {check.History{Channel: "k:*", Notes: []check.Note{ack(0)},
			Deliveries: chain(0, 1, 3, 5, 7)}, []check.Violation{check.Lost}},
		"nothing at all": {check.History{Channel: "k:a", Notes: []check.Note{ack(0)}}, []check.Violation{check.Lost}},
		"never attached": {check.History{Channel: "k:a"}, []check.Violation{check.Lost}},
		"twice": {check.History{Channel: "k:a", Notes: []check.Note{ack(0)},
			Deliveries: join(chain(0, 1, 3), chain(1, 3, 5, 7))}, []check.Violation{check.Twice}},
		"twice after a reconnect": {check.History{Channel: "k:a", Notes: []check.Note{ack(0), resumed(2, 3)},
			Deliveries: join(chain(0, 1, 3), chain(1, 3, 5, 7))}, []check.Violation{check.Twice}},
		"asked again, and more than that came": {check.History{Channel: "k:a", Notes: []check.Note{ack(0), resumed(3, 3)},
			Deliveries: join(chain(0, 1, 3, 5), chain(1, 3, 5, 7))}, []check.Violation{check.Twice}},
		"asked again, and less came": {check.History{Channel: "k:a", Notes: []check.Note{ack(0), resumed(3, 1)},
			Deliveries: join(chain(0, 1, 3, 5), chain(5, 7))}, []check.Violation{check.Lost, check.Chain}},
		"what the start excludes": {check.History{Channel: "k:a", Notes: []check.Note{ack(4)},
			Deliveries: chain(1, 3, 5, 7)}, []check.Violation{check.Disorder}},
		"reordered": {check.History{Channel: "k:a", Notes: []check.Note{ack(0)},
			Deliveries: []check.Delivery{event(1, 0), event(5, 3), event(3, 1), event(7, 5)}}, []check.Violation{check.Disorder, check.Chain, check.Counters}},
		"behind a told position": {check.History{Channel: "k:a", Notes: []check.Note{ack(0), told(1, 4)},
			Deliveries: chain(0, 1, 3, 5, 7)}, []check.Violation{check.Disorder, check.Chain, check.Counters}},
		"broken chain": {check.History{Channel: "k:a", Notes: []check.Note{ack(0)},
			Deliveries: []check.Delivery{event(1, 0), event(3, 2), event(5, 3), event(7, 5)}}, []check.Violation{check.Chain}},
		"a chain that points back": {check.History{Channel: "k:a", Notes: []check.Note{ack(0)},
			Deliveries: []check.Delivery{event(1, 0), event(3, 1), event(5, 1), event(7, 5)}}, []check.Violation{check.Chain}},
		"a first prev above the client": {check.History{Channel: "k:a", Notes: []check.Note{ack(4)},
			Deliveries: []check.Delivery{event(5, 6), event(7, 5)}}, []check.Violation{check.Chain}},
		"a false refusal": {check.History{Channel: "k:a", Notes: []check.Note{ack(0), refused(2, 3, 0, "position_ahead")},
			Deliveries: join(chain(0, 1, 3), chain(0, 1, 3, 5, 7))}, []check.Violation{check.Refused}},
		"lost before a refusal": {check.History{Channel: "k:a", Notes: []check.Note{ack(0), refused(1, 3, 0, "position_ahead")},
			Deliveries: join(chain(0, 3), chain(0, 1, 3, 5, 7))}, []check.Violation{check.Refused, check.Lost}},
		"a reset without cause": {check.History{Channel: "k:a", Notes: []check.Note{ack(0), {Kind: check.Reset, Before: 4, Epoch: "e", Reason: "epoch_changed"}},
			Deliveries: join(chain(0, 1, 3, 5, 7), chain(0, 1, 3, 5, 7))}, []check.Violation{check.Refused}},
		"a position moved at the ack": {check.History{Channel: "k:a", Notes: []check.Note{ack(0), func() check.Note { n := resumed(2, 3); n.Seq = 5; return n }()},
			Deliveries: join(chain(0, 1, 3), chain(3, 5, 7))}, []check.Violation{check.Refused}},
		"another epoch": {check.History{Channel: "k:a", Notes: []check.Note{ack(0), otherEpoch},
			Deliveries: join(chain(0, 1, 3), chain(3, 5, 7))}, []check.Violation{check.Epochs}},
		"subscribed anew without a position": {check.History{Channel: "k:a", Notes: []check.Note{ack(0), again},
			Deliveries: join(chain(0, 1, 3), chain(3, 5, 7))}, []check.Violation{check.Wrong}},
		"another event at the position": {check.History{Channel: "k:a", Notes: []check.Note{ack(0)},
			Deliveries: []check.Delivery{event(1, 0), other, event(5, 3), event(7, 5)}}, []check.Violation{check.Wrong}},
		"an event of another channel": {check.History{Channel: "k:a", Notes: []check.Note{ack(0)},
			Deliveries: []check.Delivery{event(1, 0), foreign, event(3, 2), event(5, 3), event(7, 5)}}, []check.Violation{check.Wrong}},
		"a payload that was changed": {check.History{Channel: "k:a", Notes: []check.Note{ack(0)},
			Deliveries: []check.Delivery{event(1, 0), miscounted, event(5, 3), event(7, 5)}}, []check.Violation{check.Wrong, check.Counters}},
		"an event that nobody published": {check.History{Channel: "k:a", Notes: []check.Note{ack(0)},
			Deliveries: chain(0, 1, 3, 5, 7, 9)}, []check.Violation{check.Wrong}},
		"before any ack": {check.History{Channel: "k:a", Notes: []check.Note{func() check.Note { n := ack(1); n.Before = 1; return n }()},
			Deliveries: chain(0, 1, 3, 5, 7)}, []check.Violation{check.Wrong}},
		"an ack ahead of the log":      {check.History{Channel: "k:b", Notes: []check.Note{early}, Deliveries: chain(6, 8)}, []check.Violation{check.Ahead}},
		"a position ahead of the log":  {check.History{Channel: "k:b", Notes: []check.Note{ack(2), earlyTold}, Deliveries: chain(2, 4, 6, 8)}, []check.Violation{check.Ahead}},
		"a position ahead of a resume": {check.History{Channel: "k:a", Notes: []check.Note{ack(0), earlyTold, resumed(2, 6)}, Deliveries: join(chain(0, 1, 3), chain(5, 7))}, []check.Violation{check.Ahead, check.Lost, check.Counters}},
	} {
		t.Run(name, func(t *testing.T) {
			c.history.Service = "s"
			r := check.Check(stored(), []check.History{c.history})
			for _, v := range c.want {
				if r.Count[v] == 0 {
					t.Errorf("not found: %s; found %v", v, r.Findings)
				}
			}
			for v := range r.Count {
				if !slices.Contains(c.want, v) {
					t.Errorf("found as well: %s: %v", v, r.Findings)
				}
			}
		})
	}
}

func TestAnEventOfUnknownOutcomeMayBeStored(t *testing.T) {
	l := stored()
	unknown := event(9, 7)
	l.Unknown[unknown.ID] = true
	h := check.History{Service: "s", Channel: "k:a", Notes: []check.Note{ack(0)}, Deliveries: append(chain(0, 1, 3, 5, 7), unknown)}
	if r := check.Check(l, []check.History{h}); !r.OK() {
		t.Errorf("found %v", r.Findings)
	}
}

func TestReceiptsThatCannotAllBeTrueAreFound(t *testing.T) {
	for name, change := range map[string]func(*check.Log){
		"one position for two events": func(l *check.Log) { l.Events[2].Seq = 1; l.Events[0].Channel = "k:c" },
		"stored in another order":     func(l *check.Log) { l.Events[0].Seq, l.Events[2].Seq = 3, 1 },
		"stored twice": func(l *check.Log) {
			e := l.Events[6]
			e.Seq = 9
			l.Events = append(l.Events, e)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := stored()
			change(l)
			if r := check.Check(l, nil); r.Count[check.Stored] == 0 {
				t.Error("not found")
			}
		})
	}
}

func TestFindingsAreBoundedAndSorted(t *testing.T) {
	h := check.History{Client: "c", Service: "s", Channel: "k:a", Notes: []check.Note{ack(0)}}
	for range 100 {
		h.Deliveries = append(h.Deliveries, chain(0, 1, 3, 5, 7)...)
	}
	r := check.Check(stored(), []check.History{h})
	if r.Count[check.Twice] != 396 || len(r.Findings) > 20 {
		t.Errorf("counted %v, kept %d", r.Count, len(r.Findings))
	}
	var text strings.Builder
	r.Print(&text)
	if !strings.HasPrefix(text.String(), "twice: c s k:a: ") {
		t.Errorf("printed %s", text.String())
	}
}

func TestSelects(t *testing.T) {
	for _, c := range []struct {
		channel, home string
		want          bool
	}{
		{"k:a", "k:a", true}, {"k:a", "k:b", false}, {"k:*", "k:b", true}, {"k:*", "kk:b", false}, {"global", "k:a", true}, {"k:a", "k:ab", false},
	} {
		if got := check.Selects(c.channel, c.home); got != c.want {
			t.Errorf("%s selects %s: %t", c.channel, c.home, got)
		}
	}
}
