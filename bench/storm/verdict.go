//go:build linux

package main

import (
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bodhisattva/indranet/bench/storm/swarm"
)

// figures are what the runs of one setting gave: a row a name, a column a run. The
// zero value is ready.
type figures struct {
	names  []string
	values map[string][]float64
	goals  map[string]float64
	faults map[string]int
	// notes are counted things that are no faults.
	notes map[string]int
}

// add adds the figure of another run.
func (f *figures) add(name string, value float64) {
	if f.values == nil {
		f.values, f.goals = map[string][]float64{}, map[string]float64{}
	}
	if _, ok := f.values[name]; !ok {
		f.names = append(f.names, name)
	}
	f.values[name] = append(f.values[name], value)
}

// goal bounds the median of a figure.
func (f *figures) goal(name string, most float64) { f.goals[name] = most }

// blame adds up what was wrong.
func (f *figures) blame(r swarm.Report) {
	if f.faults == nil {
		f.faults, f.notes = map[string]int{}, map[string]int{}
	}
	for name, n := range r.Faults {
		f.faults[name] += n
	}
	for code, n := range r.Refused {
		f.notes["subscribes asked again after "+code] += n
	}
	for code, n := range r.Closes {
		f.notes["connections closed with "+code] += n
	}
	if r.Redials > 0 {
		f.notes["connections that could not be made at once"] += r.Redials
	}
}

// median is the median of a figure's runs.
func (f *figures) median(name string) float64 { return median(f.values[name]) }

// ok reports whether nothing went wrong and every goal was met.
func (f *figures) ok() bool {
	for name, most := range f.goals {
		if f.median(name) > most {
			return false
		}
	}
	return len(f.faults) == 0
}

// print prints the table, its goals and what was wrong.
func (f *figures) print(out io.Writer, title string) {
	fmt.Fprintf(out, "%s\n\n", title)
	width, runs := 0, 0
	for name, values := range f.values {
		width, runs = max(width, utf8.RuneCountInString(name)), max(runs, len(values))
	}
	fmt.Fprintf(out, "%*s", width, "")
	for i := range runs {
		fmt.Fprintf(out, "%10s", fmt.Sprintf("run %d", i+1))
	}
	fmt.Fprintf(out, "%10s  goal\n", "median")
	for _, name := range f.names {
		fmt.Fprintf(out, "%-*s", width, name)
		for i := range runs {
			cell := ""
			if values := f.values[name]; i < len(values) {
				cell = short(values[i])
			}
			fmt.Fprintf(out, "%10s", cell)
		}
		fmt.Fprintf(out, "%10s%s\n", short(f.median(name)), f.judge(name))
	}
	fmt.Fprintln(out)
	for _, name := range slices.Sorted(maps.Keys(f.notes)) {
		fmt.Fprintf(out, "%s: %d\n", name, f.notes[name])
	}
	if len(f.faults) == 0 {
		fmt.Fprint(out, "nothing lost, repeated or out of order\n\n")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(f.faults)) {
		fmt.Fprintf(out, "FAULT: %s: %d\n", name, f.faults[name])
	}
	fmt.Fprintln(out)
}

// judge is what the table says of a figure's goal.
func (f *figures) judge(name string) string {
	most, ok := f.goals[name]
	switch {
	case !ok:
		return ""
	case f.median(name) > most:
		return fmt.Sprintf("  ≤ %s MISSED", short(most))
	}
	return fmt.Sprintf("  ≤ %s met", short(most))
}

// short is a number with about three digits.
func short(v float64) string {
	switch {
	case v == float64(int64(v)) || v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 100:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}

func faultText(r swarm.Report) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.Faults)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, r.Faults[name]))
	}
	return "faults: " + strings.Join(parts, ", ")
}

// seconds is the time between two moments of swarm.Now.
func seconds(from, to int64) float64 { return time.Duration(to - from).Seconds() }

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// machine is what everything ran on.
func machine() string {
	return fmt.Sprintf("%s %s/%s, %d processors, %s", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), conditions())
}
