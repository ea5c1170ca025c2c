//go:build unix

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bodhisattva/indranet/bench/chaos/check"
	"github.com/bodhisattva/indranet/bench/chaos/client"
)

// repairs is the counter of the edges for gaps that they mended.
const repairs = "indranet_feed_repairs_total"

// print writes the result for people.
func (r *result) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(w, "%s\t%v\n", name, value) }
	row("seed", r.settings.seed)
	row("duration", r.settings.duration)
	row("clients, channels", fmt.Sprintf("%d, %d", r.settings.clients, r.settings.channels))
	row("faults", counted(r.faults.count))
	row("published", r.book.published)
	row("acknowledged", r.report.Acknowledged)
	row("unknown outcome at the end", len(r.book.unknown))
	row("publish calls repeated", counted(r.book.retries))
	row("delivered", r.report.Delivered)
	for _, v := range check.Violations() {
		row(string(v), r.report.Count[v])
	}
	row("clients behind at the end", r.behind)
	row("frames against the protocol", counted(r.brokenFrames()))
	row("crashes", r.crashes())
	var connects uint64
	var returned time.Duration
	var slowest string
	refused, closed := map[string]int{}, map[string]int{}
	for _, c := range r.clients {
		connects += c.Stats.Connects.Load()
		c.Stats.Refused.Into(refused)
		c.Stats.Closed.Into(closed)
		if t := c.Temper(); t == client.Steady || t == client.Restless || t == client.Late {
			if took := time.Duration(c.Stats.Longest.Load()); took > returned {
				returned = took
				slowest = fmt.Sprintf(" (%s, until %s)", c.Name(), time.Duration(c.Stats.LongestEnd.Load()).Round(time.Millisecond))
			}
		}
	}
	row("connects", connects)
	row("connections ended by", counted(closed))
	row("requests refused", counted(refused))
	row("named refusals, true", counted(r.report.Refusals))
	row("named refusals, false", counted(r.report.Untrue))
	row("events of a new stream before its reset", r.report.Early)
	row("answers to history requests", r.report.Answers)
	row("transient events, delivered, late", fmt.Sprintf("%d, %d, %d", r.book.passed.Load(), r.report.Passed, r.report.Back))
	row("repairs by chain", r.fleet.sum(repairs, `found_by="chain"`))
	row("repairs by tail check", r.fleet.sum(repairs, `found_by="tail_check"`))
	row("duplicates dropped by edges", r.fleet.sum("indranet_feed_duplicates_total", ""))
	row("log reads, shared, stale", fmt.Sprintf("%.0f, %.0f, %.0f", r.fleet.sum("indranet_log_reads_total", ""),
		r.fleet.sum("indranet_log_reads_shared_total", ""), r.fleet.sum("indranet_log_reads_stale_total", "")))
	var dropped, repeated uint64
	for _, links := range r.fleet.toNATS {
		for _, l := range links {
			dropped, repeated = dropped+l.Dropped.Load(), repeated+l.Repeated.Load()
		}
	}
	row("live messages lost, repeated by links", fmt.Sprintf("%d, %d", dropped, repeated))
	row("longest outage of publishing", r.book.outage().Round(time.Millisecond))
	row("slowest recovery of a client", returned.Round(time.Millisecond).String()+slowest)
	row("all at the markers after", r.settled.Round(time.Millisecond))
	if r.notReady != nil {
		row("not ready at the end", r.notReady)
	}
	_ = w.Flush() // Whoever reads it notices.
	r.report.Print(out)
}

// counted is a sorted list of what was counted.
func counted(counts map[string]int) string {
	if len(counts) == 0 {
		return "none"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}
