package check

import (
	"fmt"
	"io"
	"slices"
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
}

// Report is what Check found.
type Report struct {
	// Acknowledged counts the events, Delivered what subscriptions got of them.
	Acknowledged, Delivered int
	// Refusals counts the refusals by reason, those that were true, and Untrue the
	// others. Early counts the events of a life that came before its reset.
	Refusals, Untrue map[string]int
	Early            int
	// Passed counts transient events, Answers those to history requests.
	Passed, Answers int
	// Count counts the violations. Findings are the first of each kind.
	Count    map[Violation]int
	Findings []Finding
	// Broken are the histories with violations.
	Broken []*History
}

// maxFindings bounds the findings of each kind that are kept.
const maxFindings = 10

func (r *Report) add(v Violation, where, what string) {
	r.Count[v]++
	if r.Count[v] <= maxFindings {
		r.Findings = append(r.Findings, Finding{v, where, what})
	}
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Count) == 0 }

// Print writes the findings for people.
func (r *Report) Print(w io.Writer) {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return slices.Index(Violations(), a.Violation) - slices.Index(Violations(), b.Violation)
	})
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s: %s: %s\n", f.Violation, f.Where, f.What)
	}
}
