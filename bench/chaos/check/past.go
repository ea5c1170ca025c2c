package check

import (
	"fmt"
	"time"
)

// Past is an answer to a history request, and the request.
type Past struct {
	// At is when the answer came.
	At   time.Duration
	From string
	// Limit bounds the events, and Before, where not 0, their positions. With Resumed
	// the request was for what follows position Asked of epoch Under, with Start for what
	// is oldest, and else for what is newest.
	Limit       int
	Before      uint64
	Resumed     bool
	Asked       uint64
	Under       string
	Start       bool
	Epoch       string
	First, Last uint64
	More        bool
	Reason      string
	Events      []Delivery
}

// String is the answer for people.
func (p *Past) String() string {
	text := fmt.Sprintf("%s %s history of epoch %s, %d to %d: limit %d, before %d", at(p.At), p.From, p.Epoch, p.First, p.Last, p.Limit, p.Before)
	switch {
	case p.Resumed:
		text += fmt.Sprintf(", after %d of epoch %s", p.Asked, p.Under)
	case p.Start:
		text += ", from the start"
	}
	if p.Reason != "" {
		text += ", " + p.Reason
	}
	text += fmt.Sprintf(", more %t, %d events", p.More, len(p.Events))
	if n := len(p.Events); n > 0 {
		text += fmt.Sprintf(" from %d to %d", p.Events[0].Seq, p.Events[n-1].Seq)
	}
	return text
}

// past checks one answer to a history request.
func (w *walk) past(p *Past) {
	w.report.Answers++
	add := func(format string, args ...any) { w.add(Pasts, 0, p.At, "%s: %s", p, fmt.Sprintf(format, args...)) }
	epoch, ok := w.service.epoch(p.Epoch, p.At)
	if !ok {
		add("the log has no such epoch")
		return
	}
	one := w.service.life(w.service.epochs[epoch].Life)
	if e, ok := one.ahead(p.Last, p.At); ok {
		add("%s #%d at %d was sent later, at %s", e.Channel, e.Counter, e.Seq, at(e.Sent))
	}
	front := one.first(p.At)
	if p.First > front {
		add("the log began at %d or before", front)
	}
	// The answer holds what is in (low, high].
	low, high := max(p.First, 1)-1, p.Last
	if p.Before > 0 {
		high = min(high, p.Before-1)
	}
	switch {
	case p.Resumed && p.Reason == "":
		low = max(low, p.Asked)
		if under, ok := w.service.epoch(p.Under, p.At); !ok || under != epoch {
			add("a position of another epoch was accepted")
		}
	case p.Resumed:
		if under, _ := w.service.epoch(p.Under, p.At); !w.justified(p.Reason, p.Asked, under, epoch, p.At) {
			add("the refusal is false")
		}
	case p.Reason != "":
		add("a refusal of nothing")
	}
	if len(p.Events) > p.Limit {
		add("%d events are more than asked for", len(p.Events))
	}
	last := low
	for _, d := range p.Events {
		if d.Seq <= last || d.Seq > high {
			add("%d stands behind %d, in what should be from %d to %d", d.Seq, last, low+1, high)
		}
		last = d.Seq
		if what := w.differs(one, d); what != "" {
			add("%s", what)
		}
	}
	// Where there is more, only the end from which the request counts is complete.
	if p.More && len(p.Events) == 0 {
		return
	}
	if newest := !p.Resumed && !p.Start; p.More && newest {
		low = p.Events[0].Seq - 1
	} else if p.More {
		high = last
	}
	next := 0
	for _, e := range one.events[one.find(low):] {
		if e.Seq > high {
			break
		}
		if !Selects(w.history.Channel, e.Channel) {
			continue
		}
		for next < len(p.Events) && p.Events[next].Seq < e.Seq {
			next++
		}
		if next == len(p.Events) || p.Events[next].Seq != e.Seq {
			add("%s #%d at %d is missing", e.Channel, e.Counter, e.Seq)
			return
		}
	}
}
