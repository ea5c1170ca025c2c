package check

import (
	"cmp"
	"slices"
	"time"
)

// Shrink looks for the shortest history that still shows a finding, until a deadline:
// it leaves out what it can of what the subscription was told and of the events in the
// log. Other violations may come by that. Of a loss there remains, where there was one,
// something that came later and proves it.
func Shrink(log *Log, f Finding, deadline time.Time) History {
	s := shrinking{log: log, finding: f, deadline: deadline}
	s.relevant = &Log{Unknown: log.Unknown, Epochs: log.Epochs, Trims: log.Trims}
	for _, e := range log.Events {
		if e.Service == f.History.Service && Selects(f.History.Channel, e.Channel) {
			s.relevant.Events = append(s.relevant.Events, e)
		}
	}
	items := s.items()
	s.proven = slices.ContainsFunc(items, s.proves)
	for size := len(items) / 2; size > 0 && time.Now().Before(deadline); {
		n := len(items)
		for end := n; end > 0 && time.Now().Before(deadline); end -= size {
			begin := max(end-size, 0)
			if less := slices.Delete(slices.Clone(items), begin, min(end, len(items))); s.shows(less) {
				items = less
			}
		}
		if size > 1 || len(items) == n {
			size /= 2
		}
	}
	return s.history(items)
}

// shrinking is what one Shrink works with.
type shrinking struct {
	log      *Log
	finding  Finding
	deadline time.Time
	// relevant is the log with the events that the subscription selects.
	relevant *Log
	// proven is true where something proves that the event of the finding was lost.
	proven bool
}

// item is one thing that a subscription was told. One field is set.
type item struct {
	note     *Note
	delivery *Delivery
	past     *Past
}

func (s *shrinking) items() []item {
	h := s.finding.History
	var list []item
	next := 0
	notes := func(before int) {
		for ; next < len(h.Notes) && h.Notes[next].Before <= before; next++ {
			list = append(list, item{note: &h.Notes[next]})
		}
	}
	for i := range h.Deliveries {
		notes(i)
		list = append(list, item{delivery: &h.Deliveries[i]})
	}
	notes(len(h.Deliveries))
	for i := range h.Pasts {
		list = append(list, item{past: &h.Pasts[i]})
	}
	return list
}

func (s *shrinking) history(items []item) History {
	of := s.finding.History
	h := History{Client: of.Client, Service: of.Service, Channel: of.Channel, Passing: of.Passing}
	for _, it := range items {
		switch {
		case it.note != nil:
			n := *it.note
			n.Before = len(h.Deliveries)
			h.Notes = append(h.Notes, n)
		case it.delivery != nil:
			h.Deliveries = append(h.Deliveries, *it.delivery)
		default:
			h.Pasts = append(h.Pasts, *it.past)
		}
	}
	return h
}

// proves reports whether an item lies behind the position of the finding.
func (s *shrinking) proves(it item) bool {
	return s.finding.Violation == Lost && s.finding.Seq > 0 &&
		(it.delivery != nil && it.delivery.Seq > s.finding.Seq || it.note != nil && it.note.Kind == Told && it.note.Seq > s.finding.Seq)
}

// shows reports whether the finding is still there when the subscription was told no
// more than items, and the log held no other events than those and the finding's.
func (s *shrinking) shows(items []item) bool {
	if s.proven && !slices.ContainsFunc(items, s.proves) {
		return false
	}
	log := *s.relevant
	if s.finding.Violation != Pasts {
		var kept []uint64
		for _, it := range items {
			if it.delivery != nil {
				kept = append(kept, it.delivery.Seq)
			}
		}
		slices.Sort(kept)
		log.Events = nil
		for _, e := range s.relevant.Events {
			if _, ok := slices.BinarySearchFunc(kept, e.Seq, cmp.Compare[uint64]); ok || e.Seq == s.finding.Seq {
				log.Events = append(log.Events, e)
			}
		}
	}
	h := s.history(items)
	return slices.ContainsFunc(Check(&log, []History{h}).Findings, func(f Finding) bool {
		return f.Violation == s.finding.Violation && f.Seq == s.finding.Seq && f.At == s.finding.At
	})
}

// Around is the part of a history around a finding: a few things that the subscription
// was told before it shows, and after.
func Around(f Finding) History {
	s := shrinking{finding: f}
	items := s.items()
	i := slices.IndexFunc(items, func(it item) bool {
		switch {
		case it.note != nil:
			return f.At == it.note.At
		case it.delivery != nil:
			return f.Seq > 0 && it.delivery.Seq >= f.Seq
		}
		return f.At == it.past.At
	})
	if i < 0 {
		i = len(items)
	}
	return s.history(items[max(i-around, 0):min(i+around, len(items))])
}

// around is how many things Around leaves on each side.
const around = 10
