package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Log is everything that was published in a run, and what became of the streams.
type Log struct {
	// Events are all acknowledged events, in any order.
	Events []Event
	// Unknown are fingerprints of ids whose events may or may not be stored.
	Unknown map[uint64]bool
	// Epochs are those of each service in their order, and Trims the losses of fronts,
	// in any order.
	Epochs []Epoch
	Trims  []Trim
}

// Epoch is one epoch of a service's stream.
type Epoch struct {
	Service, Name string
	// Life counts the streams of that name, from 0.
	Life int
	// Begun is just before the epoch could begin.
	Begun time.Duration
}

// Trim is a loss of a stream's front.
type Trim struct {
	Service string
	Life    int
	// First is the first position afterwards; Keep, where not 0, the number of events
	// that are left from then on, whatever is stored. Begun is just before that.
	First, Keep uint64
	Begun       time.Duration
}

// service is what is known of one service's log.
type service struct {
	lives  []*life
	epochs []Epoch
}

// life is one stream of a service.
type life struct {
	// events are ascending by position.
	events []Event
	// latest is, for each of events, the newest Sent among it and all before it.
	latest []time.Duration
	trims  []Trim
	// sent are the events in the order in which they were sent, and highest is the
	// highest position among each and all before it.
	sent    []time.Duration
	highest []uint64
}

func (s *service) life(n int) *life {
	for len(s.lives) <= n {
		s.lives = append(s.lives, &life{})
	}
	return s.lives[n]
}

// epoch is the number of an epoch, ok if the log had begun to have it by a moment.
func (s *service) epoch(name string, by time.Duration) (n int, ok bool) {
	n = slices.IndexFunc(s.epochs, func(e Epoch) bool { return e.Name == name })
	return n, n >= 0 && s.epochs[n].Begun <= by
}

// services sorts the events and finds what publishers were told twice.
func (l *Log) services(r *Report) map[string]*service {
	all := map[string]*service{}
	of := func(name string) *service {
		if all[name] == nil {
			all[name] = &service{}
		}
		return all[name]
	}
	for _, e := range l.Epochs {
		of(e.Service).epochs = append(of(e.Service).epochs, e)
		of(e.Service).life(e.Life)
	}
	for _, t := range l.Trims {
		one := of(t.Service).life(t.Life)
		one.trims = append(one.trims, t)
	}
	for _, e := range l.Events {
		one := of(e.Service).life(e.Life)
		one.events = append(one.events, e)
	}
	for name, s := range all {
		for _, one := range s.lives {
			one.sort(name, r)
		}
	}
	return all
}

func (l *life) sort(name string, r *Report) {
	slices.SortFunc(l.events, func(a, b Event) int { return cmp.Compare(a.Seq, b.Seq) })
	counters := map[string]uint64{}
	var latest time.Duration
	for i, e := range l.events {
		if i > 0 && l.events[i-1].Seq == e.Seq {
			r.add(Finding{Violation: Stored, Where: "publishers", Seq: e.Seq, At: e.Acked, What: fmt.Sprintf("%s: position %d was acknowledged twice, for %s #%d and %s #%d",
				name, e.Seq, l.events[i-1].Channel, l.events[i-1].Counter, e.Channel, e.Counter)})
		}
		if last := counters[e.Channel]; e.Counter <= last {
			r.add(Finding{Violation: Stored, Where: "publishers", Seq: e.Seq, At: e.Acked, What: fmt.Sprintf("%s: %s #%d is stored behind #%d, at %d", name, e.Channel, e.Counter, last, e.Seq)})
		}
		counters[e.Channel] = e.Counter
		latest = max(latest, e.Sent)
		l.latest = append(l.latest, latest)
	}
	inTime := slices.Clone(l.events)
	slices.SortFunc(inTime, func(a, b Event) int { return cmp.Compare(a.Sent, b.Sent) })
	var highest uint64
	for _, e := range inTime {
		highest = max(highest, e.Seq)
		l.sent, l.highest = append(l.sent, e.Sent), append(l.highest, highest)
	}
}

// last is the highest that the last position could be at a moment.
func (l *life) last(at time.Duration) uint64 {
	i, _ := slices.BinarySearch(l.sent, at+1)
	if i == 0 {
		return 0
	}
	return l.highest[i-1]
}

// find is the index of the first event after position seq.
func (l *life) find(seq uint64) int {
	i, _ := slices.BinarySearchFunc(l.events, seq, func(e Event, seq uint64) int {
		if e.Seq <= seq {
			return -1
		}
		return 1
	})
	return i
}

// at is the event at position seq.
func (l *life) at(seq uint64) (Event, bool) {
	if i := l.find(seq - 1); i < len(l.events) && l.events[i].Seq == seq {
		return l.events[i], true
	}
	return Event{}, false
}

// first is the highest that the first position could be at a moment.
func (l *life) first(at time.Duration) uint64 {
	first := uint64(1)
	for _, t := range l.trims {
		if t.Begun > at {
			continue
		}
		first = max(first, t.First)
		if last := l.last(at); t.Keep > 0 && last > t.Keep {
			first = max(first, last-t.Keep+1)
		}
	}
	return first
}

// ahead finds an event at or below position seq that was not even sent at the time
// when the position was told.
func (l *life) ahead(seq uint64, at time.Duration) (Event, bool) {
	n := l.find(seq)
	if n == 0 || l.latest[n-1] <= at {
		return Event{}, false
	}
	for _, e := range l.events[:n] {
		if e.Sent > at {
			return e, true
		}
	}
	return Event{}, false
}
