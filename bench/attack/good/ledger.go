//go:build linux

package good

import (
	"github.com/bodhisattva/indranet/bench/attack/stage"
)

// What must not happen, as it is called in reports.
const (
	faultRepeated     = "repeated"
	faultOrder        = "out of order"
	faultChain        = "chain broken"
	faultCounter      = "a counter left out"
	faultCounterAgain = "a counter again"
	faultUnrecovered  = "not recovered"
	faultAlien        = "an event of another channel"
	faultProtocol     = "against the protocol"
	faultRefused      = "refused"
	faultDisconnected = "disconnected"
)

// ledger is what a client knows of one subscription. It belongs to one goroutine at a
// time.
type ledger struct {
	name string
	// pos is what to resume with, last the position of the last event.
	pos, last uint64
	// known is true once there is a position.
	known bool
	// chained is true once an event came on this connection: then prev is the one
	// before, and not only at or before the position.
	chained bool
	caught  bool
	// counts are the numbers of the last events, by channel.
	counts []uint64
}

// newLedger begins where so many events of each channel have been published.
func newLedger(name string, counts []uint64) *ledger {
	return &ledger{name: name, counts: append([]uint64(nil), counts...)}
}

// event takes a durable event and reports what is wrong with it.
func (l *ledger) event(channels []stage.Channel, seq, prev uint64, b stage.Body) (faults []string) {
	if b.C < 0 || b.C >= len(channels) || b.Mark != channels[b.C].For.Mark() || !stage.Selects(l.name, channels[b.C].Name) {
		return []string{faultAlien}
	}
	switch {
	case seq == l.last:
		return []string{faultRepeated}
	case seq <= l.pos:
		return []string{faultOrder}
	case prev > l.pos, l.chained && prev != l.last:
		faults = append(faults, faultChain)
	}
	l.chained = true
	l.pos, l.last = seq, seq
	switch n := &l.counts[b.C]; {
	case b.N <= *n:
		faults = append(faults, faultCounterAgain)
	default:
		if b.N != *n+1 {
			faults = append(faults, faultCounter)
		}
		*n = b.N
	}
	return faults
}

// upTo moves the position on over events of others.
func (l *ledger) upTo(seq uint64) { l.pos = max(l.pos, seq) }

// missing is how many events have not come of those published.
func (l *ledger) missing(channels []stage.Channel, counts []uint64) (n uint64) {
	for i, c := range channels {
		if stage.Selects(l.name, c.Name) && counts[i] > l.counts[i] {
			n += counts[i] - l.counts[i]
		}
	}
	return n
}
