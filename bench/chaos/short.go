//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/bodhisattva/indranet/bench/chaos/check"
)

const (
	// shrinkTime bounds the search for one shortest history, shrinkAll for all.
	shrinkTime = 3 * time.Second
	shrinkAll  = 30 * time.Second
	// maxPrinted is how many subscriptions are printed; the others are in the directory.
	maxPrinted = 3
)

// keep writes what the subscriptions saw that have violations, and what is left of it
// when everything is left out that does not matter; the first of these also to out.
func (r *result) keep(dir string, out io.Writer) error {
	whole, err := os.Create(filepath.Join(dir, "histories.txt"))
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	defer func() { _ = whole.Close() }()
	short, err := os.Create(filepath.Join(dir, "shortest.txt"))
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	defer func() { _ = short.Close() }()
	all, few := bufio.NewWriter(whole), bufio.NewWriter(short)
	until := time.Now().Add(shrinkAll)
	for i, f := range r.report.Broken() {
		f.History.Print(all)
		to := io.Writer(few)
		if i < maxPrinted {
			to = io.MultiWriter(few, out)
		}
		if deadline := time.Now().Add(shrinkTime); deadline.Before(until) {
			r.explain(to, f, deadline)
		}
	}
	return errors.Join(all.Flush(), few.Flush())
}

// explain writes the shortest history that shows a finding, what came around it, and
// what was broken at that time.
func (r *result) explain(out io.Writer, f check.Finding, deadline time.Time) {
	fmt.Fprintf(out, "\n%s\n%s: %s: %s\n", r.settings.command(), f.Violation, f.Where, f.What)
	fmt.Fprintln(out, "the shortest history that shows it:")
	short := check.Shrink(r.book.log(), f, deadline)
	short.Print(out)
	fmt.Fprintln(out, "what came around it:")
	near := check.Around(f)
	near.Print(out)
	fmt.Fprintf(out, "what was broken around %s:\n", f.At.Round(time.Millisecond))
	for _, h := range r.faults.around(f.At) {
		fmt.Fprintf(out, "\t%s to %s %s\n", h.from.Round(time.Millisecond), h.to.Round(time.Millisecond), h.what)
	}
}
