package conn

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Inbound bounds what connections hold together of messages that have not been handled
// yet: what is assembled of those that come in pieces, and what handlers keep (Conn.Hold).
// Past the bound connections are expelled with CloseTryLater, those that hold the most
// first and, of about the same, those that have held it for the longest. A connection that
// holds no more than 4 KiB is not counted while it assembles, and never expelled.
//
// It may be shared by engines, and is safe for concurrent use.
type Inbound struct {
	// Static after construction.
	limit int64

	// Atomic.
	used  atomic.Int64
	tight atomic.Bool
	shed  atomic.Uint64

	// Guarded by mu.
	mu      sync.Mutex
	holders map[*link]time.Time // Since when each has held more than pieceBytes.
}

// DefaultInboundBytes is the bound of an Inbound that is told none, in bytes.
const DefaultInboundBytes = 64 << 20

// tightShare is the share of its bound that a tight Inbound has, as a divisor.
const tightShare = 8

// NewInbound returns the bound of so many bytes: 0 for DefaultInboundBytes, negative for
// none.
func NewInbound(bytes int64) *Inbound {
	switch {
	case bytes == 0:
		bytes = DefaultInboundBytes
	case bytes < 0:
		bytes = math.MaxInt64
	}
	return &Inbound{limit: bytes, holders: map[*link]time.Time{}}
}

// Used is what is held now, in bytes.
func (in *Inbound) Used() int64 { return in.used.Load() }

// Shed is the number of connections that were expelled because too much was held.
func (in *Inbound) Shed() uint64 { return in.shed.Load() }

// Tighten leaves an eighth of the bound until it is called with false: for a process that
// runs out of memory. A bound of none stays none.
func (in *Inbound) Tighten(tight bool) {
	in.tight.Store(tight)
	in.settle()
}

func (in *Inbound) bound() int64 {
	if in.tight.Load() && in.limit != math.MaxInt64 {
		return in.limit / tightShare
	}
	return in.limit
}

// note puts a connection on the list of holders, or takes it off.
func (in *Inbound) note(l *link) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if l.held.Load() <= pieceBytes {
		delete(in.holders, l)
	} else if in.holders[l].IsZero() {
		in.holders[l] = time.Now()
	}
}

// settle expels connections where too much is held, until an eighth of the bound is free:
// so it is not done again for each byte.
func (in *Inbound) settle() {
	bound := in.bound()
	if in.used.Load() <= bound {
		return
	}
	for _, l := range in.greediest(bound - bound/8) {
		l.shed()
	}
}

// greediest takes connections off the books until what is held is below enough, and
// returns them.
func (in *Inbound) greediest(enough int64) []*link {
	in.mu.Lock()
	defer in.mu.Unlock()
	type holder struct {
		link  *link
		class int // The logarithm of what it holds.
		since time.Time
	}
	list := make([]holder, 0, len(in.holders))
	for l, since := range in.holders {
		list = append(list, holder{l, bits.Len64(uint64(max(l.held.Load(), 0))), since})
	}
	slices.SortFunc(list, func(a, b holder) int {
		return cmp.Or(cmp.Compare(b.class, a.class), a.since.Compare(b.since))
	})
	var greedy []*link
	for _, h := range list {
		if in.used.Load() <= enough {
			break
		}
		in.strike(h.link)
		greedy = append(greedy, h.link)
	}
	in.shed.Add(uint64(len(greedy)))
	return greedy
}

// strike takes a connection off the books for good. The caller holds mu.
func (in *Inbound) strike(l *link) {
	if held := l.held.Swap(struck); held != struck {
		in.used.Add(-held)
	}
	delete(in.holders, l)
}

// leave is strike of a connection that has ended.
func (in *Inbound) leave(l *link) {
	if l.held.CompareAndSwap(0, struck) {
		return // It is not among the holders, and will not be.
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.strike(l)
}

// struck is what a connection holds that is not counted any more.
const struck = math.MinInt64

// Hold implements Conn.
func (l *link) Hold(bytes int) {
	in := l.engine.config.Inbound
	var before int64
	for {
		if before = l.held.Load(); before == struck || bytes == 0 {
			return
		}
		if l.held.CompareAndSwap(before, before+int64(bytes)) {
			break
		}
	}
	in.used.Add(int64(bytes))
	if after := before + int64(bytes); (before > pieceBytes) != (after > pieceBytes) {
		in.note(l)
	}
	if bytes > 0 {
		in.settle()
	}
}

// count tells the books what the parser has assembled.
func (l *link) count() {
	if n := l.parser.assembled(); n != l.counted {
		grown := n - l.counted
		l.counted = n
		l.Hold(grown)
	}
}

// shed expels a connection that holds too much. What is assembled of its message is given
// up at once.
func (l *link) shed() {
	l.expel(&ending{
		reason: Reason{Code: CloseTryLater, Text: "too much is being received"},
		code:   CloseTryLater, await: true, fill: true, deaf: true,
	})
	l.interrupt()
}

// late closes a connection whose message does not come to its end.
func (l *link) late() {
	l.close(&ending{
		reason: Reason{Code: ClosePolicy, Text: "the message was not complete in time", Err: ErrMessageTimeout},
		code:   ClosePolicy, await: true, fill: true, deaf: true,
	})
	l.interrupt()
}

// interrupt makes the reading goroutine of a closing connection give up its message.
func (l *link) interrupt() {
	_ = l.nc.SetReadDeadline(longAgo) // A closed connection needs none.
}

// hush drops what has come of a message, and what comes from now on.
func (l *link) hush() {
	l.deaf = true
	l.in = nil
	l.parser.drop()
	l.count()
}
