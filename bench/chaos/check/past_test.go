package check_test

import (
	"testing"
	"time"

	"github.com/bodhisattva/indranet/bench/chaos/check"
)

// past is an answer that holds the events of k:a at some positions.
func past(change func(*check.Past), positions ...uint64) check.Past {
	p := check.Past{At: late, Limit: 10, Epoch: "e", First: 1, Last: 8, Events: chain(0, positions...)}
	if change != nil {
		change(&p)
	}
	return p
}

func inPast(l *check.Log, p check.Past) *check.Report {
	return check.Check(l, []check.History{{
		Service: "s", Channel: "k:a", Notes: []check.Note{under(l.Epochs[len(l.Epochs)-1].Name, late, ack(8))}, Pasts: []check.Past{p},
	}})
}

func TestHistoriesOfTheLogAreRight(t *testing.T) {
	for name, p := range map[string]check.Past{
		"all":                past(nil, 1, 3, 5, 7),
		"the newest":         past(func(p *check.Past) { p.Limit, p.More = 2, true }, 5, 7),
		"the newest, before": past(func(p *check.Past) { p.Limit, p.More, p.Before = 2, true, 7 }, 3, 5),
		"the oldest":         past(func(p *check.Past) { p.Limit, p.More, p.Start = 2, true, true }, 1, 3),
		"after a position":   past(func(p *check.Past) { p.Limit, p.More, p.Resumed, p.Asked, p.Under = 1, true, true, 4, "e" }, 5),
		"of an earlier end":  past(func(p *check.Past) { p.Last = 6 }, 1, 3, 5),
		"nothing":            past(func(p *check.Past) { p.Resumed, p.Asked, p.Under = true, 8, "e" }),
	} {
		t.Run(name, func(t *testing.T) {
			if r := inPast(stored(), p); !r.OK() || r.Answers != 1 {
				t.Errorf("found %v in %d answers", r.Findings, r.Answers)
			}
		})
	}
	expired := past(func(p *check.Past) {
		p.Resumed, p.Asked, p.Under, p.First, p.Reason = true, 2, "e", 5, "position_expired"
	}, 5, 7)
	expired.At = afterTrim
	if r := inPast(changed(), expired); !r.OK() {
		t.Errorf("expired: found %v", r.Findings)
	}
}

func TestEveryPlantedMistakeInAHistoryIsFound(t *testing.T) {
	early := past(nil, 1, 3, 5, 7)
	early.At = 4500 * time.Millisecond
	for name, p := range map[string]check.Past{
		"one missing":               past(nil, 1, 5, 7),
		"the first missing":         past(nil, 3, 5, 7),
		"the last missing":          past(nil, 1, 3, 5),
		"all missing":               past(nil),
		"more, and one missing":     past(func(p *check.Past) { p.Limit, p.More, p.Start = 2, true, true }, 1, 5),
		"not the newest":            past(func(p *check.Past) { p.Limit, p.More = 2, true }, 3, 5),
		"not the oldest":            past(func(p *check.Past) { p.Limit, p.More, p.Start = 2, true, true }, 3, 5),
		"twice":                     past(nil, 1, 3, 3, 5, 7),
		"out of order":              past(nil, 1, 5, 3, 7),
		"too many":                  past(func(p *check.Past) { p.Limit = 3 }, 1, 3, 5, 7),
		"beyond its end":            past(func(p *check.Past) { p.Last = 6 }, 1, 3, 5, 7),
		"not before":                past(func(p *check.Past) { p.Before = 7 }, 1, 3, 5, 7),
		"what the client has":       past(func(p *check.Past) { p.Resumed, p.Asked, p.Under = true, 4, "e" }, 3, 5, 7),
		"another channel's":         past(nil, 1, 2, 3, 5, 7),
		"an event that never was":   past(func(p *check.Past) { p.Events[1].ID++ }, 1, 3, 5, 7),
		"an epoch that never was":   past(func(p *check.Past) { p.Epoch = "f" }, 1, 3, 5, 7),
		"a front that is there":     past(func(p *check.Past) { p.First = 3 }, 3, 5, 7),
		"a false refusal":           past(func(p *check.Past) { p.Resumed, p.Asked, p.Under, p.Reason = true, 4, "e", "position_expired" }, 1, 3, 5, 7),
		"another epoch's position":  past(func(p *check.Past) { p.Resumed, p.Asked, p.Under = true, 4, "d" }, 5, 7),
		"a refusal without request": past(func(p *check.Past) { p.Reason = "position_expired" }, 1, 3, 5, 7),
		"before it was sent":        early,
	} {
		t.Run(name, func(t *testing.T) { wants(t, inPast(stored(), p), []check.Violation{check.Pasts}) })
	}
}
