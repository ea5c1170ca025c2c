//go:build linux

package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bodhisattva/indranet/bench/storm/swarm"
)

// print writes the result for people.
func (r *result) print(out io.Writer) {
	s := r.settings
	fmt.Fprintf(out, "%s\n%s\n\n", s.command(), machine())
	fmt.Fprintf(out, "%d good clients, %g newcomers/s, %g events/s of %d bytes on %d channels; latency is from the publish call to the receipt.\n",
		s.clients, s.newcomers, s.events, s.size, s.channels)
	fmt.Fprintf(out, "The edge: tokens required, at most %d connections, %d of a user and %d of an address, %d messages/s, %d frames/s, histories of %s/s, %s queued, %d feeds, memory limit %s,\n",
		s.connections(), maxPerUser, maxPerAddress, s.messages, s.frames, mebi(replayRate), mebi(s.queued), maxFeeds, mebi(s.memory))
	fmt.Fprintf(out, "%d connects/s and %d half-open connections of an address; else limit.DefaultGate and limit.DefaultFailures.\nThe attackers used %.2f processors in the rehearsal and %.2f in the attack, and so did the burner in the calm before and after.\n",
		s.arrivals, s.halfOpen, r.share[0], r.share[1])
	fmt.Fprintf(out, "Nothing is pinned: attackers, good clients, publisher, NATS and edge share the processors; attackers and burner yield to the others (nice %d).\n\n", s.nice)
	r.printRounds(out)
	r.printKinds(out)
	r.printLoad(out)
	r.printEvents(out)
	list := r.verdict()
	for _, what := range list {
		fmt.Fprintf(out, "FAILED: %s\n", what)
	}
	if len(list) == 0 {
		fmt.Fprintln(out, "everything held")
	}
}

// printRounds writes rows with a column for each round.
func (r *result) printRounds(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name string, of func(*round) string) {
		fmt.Fprint(w, name)
		for _, one := range r.rounds {
			fmt.Fprintf(w, "\t%s", of(one))
		}
		fmt.Fprintln(w)
	}
	row("round", func(o *round) string { return o.name })
	row("took", func(o *round) string { return o.took.Round(100 * time.Millisecond).String() })
	row("events received", func(o *round) string { return fmt.Sprint(o.events) })
	for _, one := range []struct {
		name string
		of   func(*round) swarm.Latency
	}{
		{"good clients", func(o *round) swarm.Latency { return o.latency }},
		{"the same events without an edge", func(o *round) swarm.Latency { return o.control }},
		{"newcomers, until caught up", func(o *round) swarm.Latency { return o.entering }},
	} {
		row(one.name+": p50, p99, max", func(o *round) string { return three(one.of(o)) })
	}
	row("newcomers: got in, were turned away, tried again", func(o *round) string {
		return fmt.Sprintf("%d, %d, %d", o.entering.Count, total(o.turned), o.again)
	})
	row("quiet seconds: the host withheld nothing", func(o *round) string { return seconds(o.quiet) })
	for _, one := range []struct {
		name string
		of   func(*round) swarm.Latency
	}{
		{"good clients", func(o *round) swarm.Latency { return o.quiet.Latency }},
		{"without an edge", func(o *round) swarm.Latency { return o.quiet.Control }},
	} {
		row(one.name+" in those: p50, p99, max", func(o *round) string { return three(one.of(o)) })
	}
	for i, name := range []string{"attackers", "burner", "edge", "NATS", "good clients", "publisher", "everybody else on the machine", "nobody: not given by the host"} {
		row("CPU of "+name, func(o *round) string {
			used := append(slices.Clone(o.cpu), max(o.others, 0), o.stolen)[i]
			return fmt.Sprintf("%.1fs, %.2f processors", used.Seconds(), used.Seconds()/max(o.took.Seconds(), 1e-9))
		})
	}
	_ = w.Flush() // Whoever reads it notices.
	attack := r.attackRound().quiet
	fmt.Fprintf(out, "\np99 in the quiet seconds, of both calm rounds together %s (%s), in the attack %s (%s): %.2f times; at most %s is allowed\n",
		brief(r.calm.Latency.P99), seconds(r.calm), brief(attack.Latency.P99), seconds(attack), ratio(attack.Latency.P99, r.calm.Latency.P99), brief(r.allowed()))
	fmt.Fprintf(out, "without an edge %.2f times\n", ratio(attack.Control.P99, r.calm.Control.P99))
	if least, most := r.others(); most-least > unfair {
		fmt.Fprintf(out, "NOTE: everybody else on the machine used between %.2f and %.2f processors in the rounds: they cannot be compared\n", least, most)
	}
	fmt.Fprintln(out)
}

// unfair is by how many processors the use of everybody else may differ between rounds
// that are compared.
const unfair = 0.1

// three are the figures of a latency that the table has.
func three(l swarm.Latency) string {
	return fmt.Sprintf("%s, %s, %s", brief(l.P50), brief(l.P99), brief(l.Max))
}

// others are the least and the most processors that everybody else used in a round.
func (r *result) others() (least, most float64) {
	least = math.Inf(1)
	for _, o := range r.rounds {
		used := max(o.others, 0).Seconds() / max(o.took.Seconds(), 1e-9)
		least, most = min(least, used), max(most, used)
	}
	return least, most
}

func (r *result) printKinds(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "attack\tasked/s\tdone/s\tat once\tlongest\twhat the edge did")
	for _, o := range r.foe.Outcomes {
		skipped := ""
		if o.Skipped > 0 {
			skipped = fmt.Sprintf(" (skipped %d)", o.Skipped)
		}
		fmt.Fprintf(w, "%s\t%.1f\t%.1f%s\t%d\t%s\t%s\n", o.Kind, o.Asked, float64(o.Done)/r.foe.Took.Seconds(), skipped, o.Most, brief(o.Longest), counted(o.Ends))
	}
	_ = w.Flush() // Whoever reads it notices.
	fmt.Fprintln(out)
}

func (r *result) printLoad(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	attack := r.attackRound().most
	fmt.Fprintf(w, "the edge\tat rest before\tmost in the attack\tat rest after %s\n", r.restTook)
	row := func(name string, of func(load) string) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, of(r.rest), of(attack), of(r.after))
	}
	number := func(name string, of func(load) float64) {
		row(name, func(l load) string { return fmt.Sprintf("%.0f", of(l)) })
	}
	row("resident memory", func(l load) string { return mebi(l.RSS) })
	row("resident memory, most ever", func(l load) string { return mebi(l.Peak) })
	row("heap (at rest: after a collection)", func(l load) string { return mebi(l.Heap) })
	number("goroutines", func(l load) float64 { return float64(l.Goroutines) })
	number("file descriptors", func(l load) float64 { return float64(l.Files) })
	number("connections", func(l load) float64 { return l.connections })
	number("half-open places", func(l load) float64 { return l.halfOpen })
	number("subscriptions", func(l load) float64 { return l.subscriptions })
	number("feeds", func(l load) float64 { return l.feeds })
	row("queued for clients", func(l load) string { return mebi(int64(l.queued)) })
	row("of which pages of the log", func(l load) string { return mebi(int64(l.pages)) })
	number("addresses with failed tokens", func(l load) float64 { return l.failing })
	number("memory was scarce", func(l load) float64 { return l.scarce })
	_ = w.Flush() // Whoever reads it notices.
	fmt.Fprintln(out)
}

func (r *result) printEvents(out io.Writer) {
	for _, one := range []struct {
		title, metric string
		labels        []string
	}{
		{"security events", "indranet_security_events_total", []string{"event", "reason"}},
		{"connections refused before the handshake", "indranet_handshakes_refused_total", []string{"reason"}},
		{"connections closed", "websocket_connections_closed_total", []string{"code", "reason"}},
	} {
		fmt.Fprintf(out, "%s: %s\n", one.title, counted(r.end.since(r.before, one.metric, one.labels...)))
	}
	for _, one := range []struct{ name, metric string }{
		{"handshakes accepted", "indranet_handshakes_accepted_total"}, {"that waited for their turn", "indranet_handshakes_paced_total"},
		{"requests", "indranet_requests_total"}, {"refused", "indranet_requests_refused_total"},
		{"log reads", "indranet_log_reads_total"}, {"events read of the log", "indranet_log_read_events_total"},
		{"frames sent", "websocket_frames_sent_total"}, {"bytes sent", "websocket_bytes_sent_total"},
		{"bytes received", "websocket_bytes_received_total"},
	} {
		fmt.Fprintf(out, "%s: %.0f; ", one.name, r.grown(one.metric))
	}
	fmt.Fprintln(out)
	fmt.Fprintf(out, "faults of good clients: %s; breaches: %s\n\n", counted(r.good.Faults), counted(r.foe.Breaches))
}

// grown is by how much a counter grew in the attack, all labels together.
func (r *result) grown(name string) float64 { return r.end.sum(name) - r.before.sum(name) }

// counted is a list of what was counted, the most first.
func counted[N int | uint64 | float64](counts map[string]N) string {
	if len(counts) == 0 {
		return "none"
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return int(max(min(float64(counts[b])-float64(counts[a]), 1), -1))
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s %v", name, counts[name]))
	}
	return strings.Join(parts, "; ")
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

// brief is a time with three digits or so.
func brief(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

func mebi(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// machine is what everything ran on.
func machine() string {
	load := "unknown"
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	return fmt.Sprintf("%s %s/%s, %d processors, load average at the end %s", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), load)
}
