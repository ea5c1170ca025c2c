package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Log is everything that was published in a run.
type Log struct {
	// Events are all acknowledged events, in any order.
	Events []Event
	// Unknown are fingerprints of ids whose events may or may not be stored.
	Unknown map[uint64]bool
	// TrueRefusals are the reasons with which the log may refuse a position in this
	// run, since a fault made them true.
	TrueRefusals map[string]bool
}

// service is what is known of one service's log.
type service struct {
	// events are ascending by position.
	events []Event
	// latest is, for each of events, the newest Sent among it and all before it.
	latest []time.Duration
	epoch  string
}

// services sorts the events and finds what publishers were told twice.
func (l *Log) services(r *Report) map[string]*service {
	all := map[string]*service{}
	for _, e := range l.Events {
		s := all[e.Service]
		if s == nil {
			s = &service{epoch: e.Epoch}
			all[e.Service] = s
		}
		s.events = append(s.events, e)
	}
	for name, s := range all {
		slices.SortFunc(s.events, func(a, b Event) int { return cmp.Compare(a.Seq, b.Seq) })
		counters := map[string]uint64{}
		var latest time.Duration
		for i, e := range s.events {
			if i > 0 && s.events[i-1].Seq == e.Seq {
				r.add(Stored, "publishers", fmt.Sprintf("%s: position %d was acknowledged twice, for %s #%d and %s #%d",
					name, e.Seq, s.events[i-1].Channel, s.events[i-1].Counter, e.Channel, e.Counter))
			}
			if last := counters[e.Channel]; e.Counter <= last {
				r.add(Stored, "publishers", fmt.Sprintf("%s: %s #%d is stored behind #%d, at %d", name, e.Channel, e.Counter, last, e.Seq))
			}
			counters[e.Channel] = e.Counter
			latest = max(latest, e.Sent)
			s.latest = append(s.latest, latest)
		}
	}
	return all
}

// find is the index of the first event after position seq.
func (s *service) find(seq uint64) int {
	i, _ := slices.BinarySearchFunc(s.events, seq+1, func(e Event, seq uint64) int { return cmp.Compare(e.Seq, seq) })
	return i
}

// at is the event at position seq.
func (s *service) at(seq uint64) (Event, bool) {
	if i := s.find(seq - 1); i < len(s.events) && s.events[i].Seq == seq {
		return s.events[i], true
	}
	return Event{}, false
}

// ahead finds an event at or below position seq that was not even sent at the time
// when the position was told.
func (s *service) ahead(seq uint64, at time.Duration) (Event, bool) {
	n := s.find(seq)
	if n == 0 || s.latest[n-1] <= at {
		return Event{}, false
	}
	for _, e := range s.events[:n] {
		if e.Sent > at {
			return e, true
		}
	}
	return Event{}, false
}
