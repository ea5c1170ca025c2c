//go:build linux

package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bodhisattva/indranet/bench/attack/foe"
	"github.com/bodhisattva/indranet/edge/limit"
)

// settings are what a run is told.
type settings struct {
	seed uint64
	// duration is that of the attack, calm that of each calm round, rehearsal how long
	// the attackers are measured before.
	duration, calm, rehearsal time.Duration
	// clients are the good ones, newcomers how many more come and go a second.
	clients   int
	newcomers float64
	// channels are all, public those that attackers may read; each of these has prefill
	// events before the run.
	channels, public, prefill int
	// events are published a second, of about size bytes.
	events float64
	size   int
	// factors change the rates of kinds of attack, "" that of all; only, where it is not
	// empty, has parts of the names of those that take part.
	factors map[string]float64
	only    []string
	// The p99 in the attack may be bound times that of the calm rounds, and slack more.
	bound float64
	slack time.Duration
	// anySecond has also those seconds judged in which the host withheld processors.
	anySecond bool
	// memory is the edge's memory limit, queued bounds what it holds for its clients, both
	// in bytes; spare is how many connections it takes beside the good clients'; linger is
	// how long a feed of the edge stays without subscribers, 0 for its default.
	memory, queued int64
	spare          int
	linger         time.Duration
	// nice is the nice value of attackers and burner.
	nice int
	// messages and frames are what a connection may send a second, arrivals how often an
	// address may connect a second, halfOpen how many of its connections may be half-open.
	messages, frames, arrivals, halfOpen int
}

// What a run is without flags.
const (
	defaultClients  = 1000
	defaultEvents   = 60
	defaultChannels = 40
	publicChannels  = 8
	defaultBound    = 2
	// defaultMemory is the memory limit that the edge is given, in bytes.
	defaultMemory = 256 << 20
	// defaultQueued is less than attackers who read nothing could have queued for them, in
	// bytes. defaultSpare is enough for all attackers at once.
	defaultQueued = 8 << 20
	defaultSpare  = 1000
	// defaultMessages and defaultFrames are a second's. The frames are a fifth of the
	// edge's default: so a flood meets them also on a machine that cannot read many more.
	defaultMessages = 100
	defaultFrames   = 20_000
	// defaultArrivals is a second's of an address, three fifths of the edge's own default.
	defaultArrivals = 60
	// defaultNice has attackers yield: in truth they come from other machines, and take no
	// processor from those that they attack.
	defaultNice = 10
)

func newSettings() settings {
	return settings{
		duration: 10 * time.Minute, rehearsal: 15 * time.Second, clients: defaultClients, newcomers: 2,
		channels: defaultChannels, public: publicChannels, prefill: 1000, events: defaultEvents, size: 512,
		bound: defaultBound, memory: defaultMemory, queued: defaultQueued, spare: defaultSpare,
		messages: defaultMessages, frames: defaultFrames,
		arrivals: defaultArrivals, halfOpen: limit.DefaultGate().MaxHalfOpenPerAddress, nice: defaultNice,
	}
}

// connections is how many the edge takes of a service.
func (s *settings) connections() int { return s.clients + s.spare }

func (s *settings) check() error {
	if s.calm == 0 {
		s.calm = min(max(s.duration/5, 10*time.Second), 2*time.Minute)
	}
	if s.duration <= 0 || s.calm < 0 || s.clients <= 0 || s.events <= 0 {
		return errors.New("attack: -duration, -calm, -clients and -events must be positive")
	}
	if len(s.rates()) == 0 {
		return fmt.Errorf("attack: no kind of attack is called anything like %s", strings.Join(s.only, " or "))
	}
	return nil
}

// rates are the actions a second of every kind that takes part.
func (s *settings) rates() map[string]float64 {
	rates := map[string]float64{}
	for _, k := range foe.Kinds() {
		if len(s.only) > 0 && !slices.ContainsFunc(s.only, func(part string) bool { return strings.Contains(k.Name, part) }) {
			continue
		}
		factor, ok := s.factors[k.Name]
		if !ok {
			if factor, ok = s.factors[""]; !ok {
				factor = 1
			}
		}
		if factor > 0 {
			rates[k.Name] = k.Rate * factor
		}
	}
	return rates
}

// parseFactors reads factors of rates: "2" for all kinds, "history=0.5" for one.
func parseFactors(text string) (map[string]float64, error) {
	factors := map[string]float64{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, named := strings.Cut(part, "=")
		if !named {
			name, value = "", part
		}
		if named && !slices.ContainsFunc(foe.Kinds(), func(k foe.Kind) bool { return k.Name == name }) {
			return nil, fmt.Errorf("no kind of attack is called %q", name)
		}
		factor, err := strconv.ParseFloat(value, 64)
		if err != nil || factor < 0 {
			return nil, fmt.Errorf("%q is no factor", value)
		}
		factors[name] = factor
	}
	return factors, nil
}

// command is how to run it again.
func (s *settings) command() string {
	text := fmt.Sprintf("go run ./bench/attack -seed %d -duration %s -calm %s -clients %d -events %g", s.seed, s.duration, s.calm, s.clients, s.events)
	if len(s.only) > 0 {
		text += " -only " + strings.Join(s.only, ",")
	}
	if len(s.factors) > 0 {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(s.factors)) {
			part := strconv.FormatFloat(s.factors[name], 'g', -1, 64)
			if name != "" {
				part = name + "=" + part
			}
			parts = append(parts, part)
		}
		text += " -rate " + strings.Join(parts, ",")
	}
	return text
}
