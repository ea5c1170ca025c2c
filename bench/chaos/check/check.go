package check

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Check compares every history with the log. A subscription is complete up to the
// last event of the log: who calls it has waited until every client was there, or
// wants to know what is missing.
func Check(log *Log, histories []History) *Report {
	r := &Report{Acknowledged: len(log.Events), Refusals: map[string]int{}, Count: map[Violation]int{}}
	services := log.services(r)
	for i := range histories {
		h := &histories[i]
		s := services[h.Service]
		if s == nil {
			s = &service{}
		}
		w := walk{report: r, log: log, service: s, history: h, where: h.Client + " " + h.Service + " " + h.Channel}
		if w.run(); w.broken {
			r.Broken = append(r.Broken, h)
		}
	}
	return r
}

// walk goes through one history.
type walk struct {
	report  *Report
	log     *Log
	service *service
	history *History
	where   string
	broken  bool

	// started is true after the first ack.
	started bool
	// pos: everything up to it has been delivered or precedes the subscription.
	pos uint64
	// last is the last delivered position since the last ack, 0 if there is none.
	last uint64
	// counters are the last ones of each home channel.
	counters map[string]uint64
	// seen are the positions delivered since start, where the subscription began.
	start uint64
	seen  []uint64
}

func (w *walk) add(v Violation, format string, args ...any) {
	w.broken = true
	w.report.add(v, w.where, fmt.Sprintf(format, args...))
}

func (w *walk) run() {
	w.counters = map[string]uint64{}
	next := 0
	for i, d := range w.history.Deliveries {
		for ; next < len(w.history.Notes) && w.history.Notes[next].Before <= i; next++ {
			w.note(&w.history.Notes[next])
		}
		w.delivery(d)
	}
	for ; next < len(w.history.Notes); next++ {
		w.note(&w.history.Notes[next])
	}
	if !w.started {
		w.add(Lost, "was never attached")
		return
	}
	w.complete(math.MaxUint64)
}

func (w *walk) note(n *Note) {
	if n.Kind != Told && w.service.epoch != "" && n.Epoch != w.service.epoch {
		w.add(Refused, "%s of epoch %q, the log's is %q", at(n.At), n.Epoch, w.service.epoch)
	}
	switch {
	case n.Kind == Told:
		w.told(n)
	case n.Kind == Reset || !n.Recovered:
		w.refused(n)
	default:
		w.subscribed(n)
	}
}

func (w *walk) told(n *Note) {
	w.ahead(n)
	w.pos = max(w.pos, n.Seq)
}

func (w *walk) ahead(n *Note) {
	if e, ok := w.service.ahead(n.Seq, n.At); ok {
		w.add(Ahead, "%s told position %d, but %s #%d at %d was sent later, at %s", at(n.At), n.Seq, e.Channel, e.Counter, e.Seq, at(e.Sent))
	}
}

func (w *walk) refused(n *Note) {
	w.report.Refusals[n.Reason]++
	if !w.log.TrueRefusals[n.Reason] {
		w.add(Refused, "%s refused position %d: %s (the client had %d)", at(n.At), n.Asked, n.Reason, w.pos)
	}
	// It starts anew: what it had to get before is what its position says.
	if w.started {
		w.complete(w.pos)
	}
	w.begin(n.Seq)
}

func (w *walk) begin(seq uint64) {
	w.started, w.start, w.pos, w.last, w.seen = true, seq, seq, 0, nil
	clear(w.counters)
}

func (w *walk) subscribed(n *Note) {
	w.ahead(n)
	switch {
	case !n.Resumed && !w.started:
		w.begin(n.Seq)
	case !n.Resumed:
		w.add(Wrong, "%s was subscribed without a position although it had %d", at(n.At), w.pos)
	case n.Seq != n.Asked:
		w.add(Refused, "%s asked for what follows %d and was told that it gets what follows %d", at(n.At), n.Asked, n.Seq)
	case n.Asked < w.pos:
		w.rewind(n.Asked)
	}
	w.last = 0
}

// rewind goes back to a position that the client asked for again: what came behind it
// comes once more.
func (w *walk) rewind(seq uint64) {
	w.pos = seq
	w.seen = slices.DeleteFunc(w.seen, func(seen uint64) bool { return seen > seq })
	clear(w.counters)
}

func (w *walk) delivery(d Delivery) {
	w.report.Delivered++
	if !w.started {
		w.add(Wrong, "%d came before any ack", d.Seq)
		return
	}
	w.content(d)
	if d.Seq <= w.pos {
		if slices.Contains(w.seen, d.Seq) {
			w.add(Twice, "%s #%d at %d came again, behind %d", d.Channel, d.Counter, d.Seq, w.pos)
		} else {
			w.add(Disorder, "%s #%d at %d came behind position %d", d.Channel, d.Counter, d.Seq, w.pos)
			w.seen = append(w.seen, d.Seq)
		}
		return
	}
	switch {
	case w.last > 0 && d.Prev != w.last:
		w.add(Chain, "%d says that %d is before it, but %d came", d.Seq, d.Prev, w.last)
	case d.Prev > w.pos:
		w.add(Chain, "%d says that %d is before it, but the client has only %d", d.Seq, d.Prev, w.pos)
	}
	if last, ok := w.counters[d.Channel]; ok && d.Counter != last+1 {
		w.add(Counters, "%s #%d at %d follows #%d", d.Channel, d.Counter, d.Seq, last)
	}
	w.counters[d.Channel] = d.Counter
	w.pos, w.last = d.Seq, d.Seq
	w.seen = append(w.seen, d.Seq)
}

// content compares an event with what its publisher stored.
func (w *walk) content(d Delivery) {
	if !Selects(w.history.Channel, d.Channel) {
		w.add(Wrong, "%d is an event of %s", d.Seq, d.Channel)
	}
	e, ok := w.service.at(d.Seq)
	switch {
	case !ok && !w.log.Unknown[d.ID]:
		w.add(Wrong, "%d (%s #%d) was never acknowledged to a publisher", d.Seq, d.Channel, d.Counter)
	case ok && (e.ID != d.ID || e.Channel != d.Channel || e.Counter != d.Counter):
		w.add(Wrong, "%d is %s #%d, but %s #%d was stored there", d.Seq, d.Channel, d.Counter, e.Channel, e.Counter)
	}
}

// complete looks for what was never delivered after the start, up to a position.
func (w *walk) complete(upTo uint64) {
	// Disorder, if there was any, has been counted.
	slices.Sort(w.seen)
	lost := 0
	var first, last Event
	for _, e := range w.service.events[w.service.find(w.start):] {
		if e.Seq > upTo {
			break
		}
		if !Selects(w.history.Channel, e.Channel) {
			continue
		}
		if _, ok := slices.BinarySearch(w.seen, e.Seq); !ok {
			if lost++; lost == 1 {
				first = e
			}
			last = e
		}
	}
	if lost == 0 {
		return
	}
	w.add(Lost, "%d events, from %s #%d at %d (acknowledged %s) to %s #%d at %d; the client is at %d",
		lost, first.Channel, first.Counter, first.Seq, at(first.Acked), last.Channel, last.Counter, last.Seq, w.pos)
	w.report.Count[Lost] += lost - 1
}

func at(d time.Duration) string { return d.Round(time.Millisecond).String() }
