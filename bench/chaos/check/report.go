package check

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// Violation names what is broken.
type Violation string

// The violations.
const (
	// Lost is an acknowledged event that a subscription never got.
	Lost Violation = "lost"
	// Twice is a position that was delivered again.
	Twice Violation = "twice"
	// Disorder is an event that came behind a later one, or behind a position that
	// said that everything up to it had come.
	Disorder Violation = "out of order"
	// Chain is a prev that is not the position before.
	Chain Violation = "chain breaks"
	// Counters is a gap or repetition in what the payloads of a channel count.
	Counters Violation = "counter breaks"
	// Wrong is an event that is not what its publisher stored at its position.
	Wrong Violation = "wrong events"
	// Ahead is a position that the log had not reached when it was told.
	Ahead Violation = "positions ahead"
	// Refused is a refusal of a position that the log could serve.
	Refused Violation = "false refusals"
	// Epochs is an ack under an epoch that can't be, or a change that was never told.
	Epochs Violation = "wrong epochs"
	// Pasts is an answer to a history request that is not the log's.
	Pasts Violation = "wrong histories"
	// Stored is what publishers were told that can't all be true.
	Stored Violation = "false receipts"
)

// Violations are all of them, in the order of the report.
func Violations() []Violation {
	return []Violation{Lost, Twice, Disorder, Chain, Counters, Wrong, Ahead, Refused, Epochs, Pasts, Stored}
}

// Finding is one violation.
type Finding struct {
	Violation Violation
	Where     string
	What      string
	// Seq is the position where it shows, 0 if there is none, and At when: when the
	// event was acknowledged or the note came.
	Seq uint64
	At  time.Duration
	// History is the subscription's, nil if it is no subscription's.
	History *History
}

// Report is what Check found.
type Report struct {
	// Acknowledged counts the events, Delivered what subscriptions got of them.
	Acknowledged, Delivered int
	// Refusals counts the refusals by reason, those that were true, and Untrue the
	// others. Early counts the events of a life that came before its reset.
	Refusals, Untrue map[string]int
	Early            int
	// Passed counts transient events, of which Back came after a newer one, Answers those
	// to history requests.
	Passed, Back, Answers int
	// Count counts the violations. Findings are the first of each kind.
	Count    map[Violation]int
	Findings []Finding
}

func (r *Report) sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return slices.Index(Violations(), a.Violation) - slices.Index(Violations(), b.Violation)
	})
}

// Broken are the findings of the histories with violations: of each the worst, and the
// first of that kind.
func (r *Report) Broken() []Finding {
	r.sort()
	var list []Finding
	seen := map[*History]bool{}
	for _, f := range r.Findings {
		if f.History != nil && !seen[f.History] {
			seen[f.History] = true
			list = append(list, f)
		}
	}
	return list
}

// maxFindings bounds the findings of each kind that are kept.
const maxFindings = 10

func (r *Report) add(f Finding) {
	r.Count[f.Violation]++
	if r.Count[f.Violation] <= maxFindings {
		r.Findings = append(r.Findings, f)
	}
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Count) == 0 }

// Print writes the findings for people.
func (r *Report) Print(w io.Writer) {
	r.sort()
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s: %s: %s\n", f.Violation, f.Where, f.What)
	}
}
