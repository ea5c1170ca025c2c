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
	r := &Report{Acknowledged: len(log.Events), Refusals: map[string]int{}, Untrue: map[string]int{}, Count: map[Violation]int{}}
	services := log.services(r)
	for i := range histories {
		h := &histories[i]
		s := services[h.Service]
		if s == nil {
			s = &service{}
		}
		w := walk{report: r, log: log, service: s, history: h, where: h.Client + " " + h.Service + " " + h.Channel}
		w.run()
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

	// started is true after the first ack, with the number of its epoch and the life
	// that this belongs to.
	started bool
	epoch   int
	life    *life
	// early is true after an event of a later life than the client knows of.
	early bool
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

// add notes a violation that shows at an event's position, at a moment, or both.
func (w *walk) add(v Violation, seq uint64, moment time.Duration, format string, args ...any) {
	w.report.add(Finding{v, w.where, fmt.Sprintf(format, args...), seq, moment, w.history})
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
	for i := range w.history.Pasts {
		w.past(&w.history.Pasts[i])
	}
	w.report.Passed += w.history.Passing.Came
	w.report.Back += w.history.Passing.Back
	switch {
	case !w.started:
		w.add(Lost, 0, 0, "was never attached")
	case w.epoch != len(w.service.epochs)-1:
		w.add(Epochs, 0, 0, "was never told that epoch %q ended", w.service.epochs[w.epoch].Name)
	default:
		w.complete(math.MaxUint64)
	}
}

func (w *walk) note(n *Note) {
	if n.Kind == Told {
		if !w.early {
			w.ahead(n)
			w.pos = max(w.pos, n.Seq)
		}
		return
	}
	epoch, ok := w.service.epoch(n.Epoch, n.At)
	if !ok {
		w.add(Epochs, n.Seq, n.At, "%s of epoch %q, which the log did not have", at(n.At), n.Epoch)
		return
	}
	// Another epoch may have been told between the request and its answer.
	under := w.epoch
	if n.Resumed {
		if under, ok = w.service.epoch(n.Under, n.At); !ok || !w.started || under > w.epoch {
			w.add(Wrong, n.Seq, n.At, "%s was subscribed at a position that it could not have", at(n.At))
			return
		}
	}
	if n.Kind == Reset || !n.Recovered {
		w.refused(n, under, epoch)
	} else {
		w.subscribed(n, under, epoch)
	}
}

func (w *walk) ahead(n *Note) {
	if !w.started {
		return
	}
	if e, ok := w.life.ahead(n.Seq, n.At); ok {
		w.add(Ahead, e.Seq, n.At, "%s told position %d, but %s #%d at %d was sent later, at %s", at(n.At), n.Seq, e.Channel, e.Counter, e.Seq, at(e.Sent))
	}
}

func (w *walk) refused(n *Note, under, epoch int) {
	if !w.started || !w.justified(n.Reason, n.Asked, under, epoch, n.At) {
		w.report.Untrue[n.Reason]++
		w.add(Refused, n.Seq, n.At, "%s refused position %d: %s (the client had %d)", at(n.At), n.Asked, n.Reason, w.pos)
	} else {
		w.report.Refusals[n.Reason]++
	}
	// It starts anew: what it had to get before is what its position says.
	if w.started && !w.early {
		w.complete(w.pos)
	}
	w.begin(n.Seq, epoch)
	w.oldest(n)
}

// justified reports whether it is true that position asked of one epoch could not be
// resumed at a moment when the log had another, or the same.
func (w *walk) justified(reason string, asked uint64, under, epoch int, by time.Duration) bool {
	switch reason {
	case "epoch_changed":
		return epoch > under
	case "position_expired":
		return epoch == under && w.service.life(w.service.epochs[epoch].Life).first(by) > asked+1
	}
	return false
}

// oldest finds whether who begins at the oldest position really does.
func (w *walk) oldest(n *Note) {
	if first := w.life.first(n.At); n.Seq+1 > first {
		w.add(Lost, n.Seq, n.At, "%s was to begin at the oldest position and begins after %d, but the log began at %d or before", at(n.At), n.Seq, first)
	}
}

func (w *walk) begin(seq uint64, epoch int) {
	w.started, w.start, w.pos, w.last, w.seen, w.early = true, seq, seq, 0, nil, false
	w.epoch, w.life = epoch, w.service.life(w.service.epochs[epoch].Life)
	clear(w.counters)
}

func (w *walk) subscribed(n *Note, under, epoch int) {
	switch {
	case !w.started:
		w.begin(n.Seq, epoch)
		if n.Start {
			w.oldest(n)
		}
	case epoch != under || epoch != w.epoch:
		w.add(Epochs, n.Seq, n.At, "%s position %d of epoch %q was accepted under epoch %q", at(n.At), n.Asked, w.service.epochs[under].Name, n.Epoch)
		w.begin(n.Seq, epoch)
	case w.early:
		return
	case !n.Resumed:
		w.add(Wrong, n.Seq, n.At, "%s was subscribed without a position although it had %d", at(n.At), w.pos)
	case n.Seq != n.Asked:
		w.add(Refused, n.Seq, n.At, "%s asked for what follows %d and was told that it gets what follows %d", at(n.At), n.Asked, n.Seq)
	case n.Asked < w.pos:
		w.rewind(n.Asked)
	}
	w.ahead(n)
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
		w.add(Wrong, d.Seq, 0, "%d came before any ack", d.Seq)
		return
	}
	if w.early = w.early || w.ofLater(d); w.early {
		w.report.Early++
		return
	}
	if what := w.differs(w.life, d); what != "" {
		w.add(Wrong, d.Seq, w.acked(d.Seq), "%s", what)
	}
	if d.Seq <= w.pos {
		if slices.Contains(w.seen, d.Seq) {
			w.add(Twice, d.Seq, w.acked(d.Seq), "%s #%d at %d came again, behind %d", d.Channel, d.Counter, d.Seq, w.pos)
		} else {
			w.add(Disorder, d.Seq, w.acked(d.Seq), "%s #%d at %d came behind position %d", d.Channel, d.Counter, d.Seq, w.pos)
			w.seen = append(w.seen, d.Seq)
		}
		return
	}
	switch {
	case w.last > 0 && d.Prev != w.last:
		w.add(Chain, d.Seq, w.acked(d.Seq), "%d says that %d is before it, but %d came", d.Seq, d.Prev, w.last)
	case d.Prev > w.pos:
		w.add(Chain, d.Seq, w.acked(d.Seq), "%d says that %d is before it, but the client has only %d", d.Seq, d.Prev, w.pos)
	}
	if last, ok := w.counters[d.Channel]; ok && d.Counter != last+1 {
		w.add(Counters, d.Seq, w.acked(d.Seq), "%s #%d at %d follows #%d", d.Channel, d.Counter, d.Seq, last)
	}
	w.counters[d.Channel] = d.Counter
	w.pos, w.last = d.Seq, d.Seq
	w.seen = append(w.seen, d.Seq)
}

// ofLater reports whether an event is not of the client's life but of a later one.
func (w *walk) ofLater(d Delivery) bool {
	if e, ok := w.life.at(d.Seq); ok && e.ID == d.ID {
		return false
	}
	for _, later := range w.service.lives[w.service.epochs[w.epoch].Life+1:] {
		if e, ok := later.at(d.Seq); ok && e.ID == d.ID {
			return true
		}
	}
	return false
}

// acked is when the event at a position was acknowledged, 0 if it was not.
func (w *walk) acked(seq uint64) time.Duration {
	e, _ := w.life.at(seq)
	return e.Acked
}

// differs compares an event with what its publisher stored, and says what is wrong.
func (w *walk) differs(one *life, d Delivery) string {
	e, ok := one.at(d.Seq)
	switch {
	case !Selects(w.history.Channel, d.Channel):
		return fmt.Sprintf("%d is an event of %s", d.Seq, d.Channel)
	case !ok && !w.log.Unknown[d.ID]:
		return fmt.Sprintf("%d (%s #%d) was never acknowledged to a publisher", d.Seq, d.Channel, d.Counter)
	case ok && (e.ID != d.ID || e.Channel != d.Channel || e.Counter != d.Counter):
		return fmt.Sprintf("%d is %s #%d, but %s #%d was stored there", d.Seq, d.Channel, d.Counter, e.Channel, e.Counter)
	}
	return ""
}

// complete looks for what was never delivered after the start, up to a position.
func (w *walk) complete(upTo uint64) {
	// Disorder, if there was any, has been counted.
	slices.Sort(w.seen)
	lost := 0
	var first, last Event
	for _, e := range w.life.events[w.life.find(w.start):] {
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
	w.add(Lost, first.Seq, first.Acked, "%d events, from %s #%d at %d (acknowledged %s) to %s #%d at %d; the client is at %d",
		lost, first.Channel, first.Counter, first.Seq, at(first.Acked), last.Channel, last.Counter, last.Seq, w.pos)
	w.report.Count[Lost] += lost - 1
}

func at(d time.Duration) string { return d.Round(time.Millisecond).String() }
