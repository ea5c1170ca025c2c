package limit

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
)

// Report is told what a Listener does not return. Its functions may be nil. They are
// called by many goroutines, also by the one that accepts, and must not wait.
type Report struct {
	// Refused is told of every connection that is refused, and whose it was: the client's
	// address where a PROXY header has named it, else the peer's.
	Refused func(from netip.Addr, reason Reason)
	// Failed is told why no connection could be accepted, but not that the listener was
	// closed.
	Failed func(error)
}

// Listener accepts connections at the pace of its Gate and within its limits. All
// methods are safe for concurrent use.
type Listener struct {
	// Static after construction.
	gate    *Gate
	inner   net.Listener
	report  Report
	ctx     context.Context // ends with Close
	close   context.CancelFunc
	refused map[Reason]*atomic.Uint64

	// Counts.
	halfOpen                atomic.Int64
	accepted, paced, failed atomic.Uint64
}

var _ net.Listener = (*Listener)(nil)

// Listen puts the gate in front of a listener, which the result closes.
func (g *Gate) Listen(inner net.Listener, report Report) *Listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Listener{gate: g, inner: inner, report: report, ctx: ctx, close: cancel, refused: map[Reason]*atomic.Uint64{}}
	for _, reason := range Reasons() {
		l.refused[reason] = new(atomic.Uint64)
	}
	g.listeners.Add(1)
	return l
}

// HalfOpen is how many connections are accepted and neither opened nor closed.
func (l *Listener) HalfOpen() int { return int(l.halfOpen.Load()) }

// Accepted is how many connections Accept has returned, also those that were refused
// later for their PROXY header.
func (l *Listener) Accepted() uint64 { return l.accepted.Load() }

// Paced is how many times Accept waited for its pace.
func (l *Listener) Paced() uint64 { return l.paced.Load() }

// Failed is how many times no connection could be accepted.
func (l *Listener) Failed() uint64 { return l.failed.Load() }

// Refused is how many connections were closed for the reason.
func (l *Listener) Refused(reason Reason) uint64 {
	if n := l.refused[reason]; n != nil {
		return n.Load()
	}
	return 0
}

// Accept returns the next connection that is not refused, a *Conn. It waits for the pace
// and for a connection, never for what a peer sends. A refused connection is closed and
// counted, and costs nothing of the pace.
func (l *Listener) Accept() (net.Conn, error) {
	if err := l.wait(); err != nil {
		addr := l.inner.Addr()
		return nil, &net.OpError{Op: "accept", Net: addr.Network(), Addr: addr, Err: net.ErrClosed}
	}
	for {
		bare, err := l.inner.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				l.failed.Add(1)
				if l.report.Failed != nil {
					l.report.Failed(err)
				}
			}
			return nil, err
		}
		if c := l.admit(bare); c != nil {
			return c, nil
		}
	}
}

// wait waits for the pace, until Close.
func (l *Listener) wait() error {
	pace := l.gate.pace
	if pace == nil || pace.Allow() {
		return nil
	}
	l.paced.Add(1)
	return pace.Wait(l.ctx)
}

// admit makes a Conn of an accepted connection, or refuses it and returns nil.
func (l *Listener) admit(bare net.Conn) *Conn {
	config := &l.gate.config
	peer := AddrOf(bare.RemoteAddr())
	if config.Allow != nil && !config.Allow.Contains(peer) {
		l.refuse(bare, peer, ReasonNetwork)
		return nil
	}
	trusted := config.Trusted.Contains(peer)
	var key netip.Prefix
	if !trusted {
		key = Key(peer)
	}
	if !trusted && config.Proxy == ProxyOnly {
		l.refuse(bare, peer, ReasonUntrusted)
		return nil
	}
	if reason := l.gate.acquire(key); reason != "" {
		l.refuse(bare, peer, reason)
		return nil
	}
	if reason := l.enter(); reason != "" {
		l.release(key)
		l.refuse(bare, peer, reason)
		return nil
	}
	l.accepted.Add(1)
	return newConn(bare, l, key, trusted && config.Proxy != ProxyOff)
}

// enter takes a half-open place, and says why it must be given back at once.
func (l *Listener) enter() Reason {
	all, own, most := l.gate.halfOpen.Add(1), l.halfOpen.Add(1), int64(l.gate.config.MaxHalfOpen)
	switch {
	case most <= 0:
	case all > most:
		return ReasonHalfOpen
	case l.gate.listeners.Load() > 1 && own > 3*(most-all):
		return ReasonHalfOpenListener
	}
	return ""
}

// release gives a place back.
func (l *Listener) release(key netip.Prefix) {
	l.gate.held.Release(key)
	l.gate.halfOpen.Add(-1)
	l.halfOpen.Add(-1)
}

// refuse counts a connection and cuts it: a reset costs neither side a wait, where a
// goodbye would keep the kernel busy with it for a minute.
func (l *Listener) refuse(bare net.Conn, from netip.Addr, reason Reason) {
	l.refused[reason].Add(1)
	if l.report.Refused != nil {
		l.report.Refused(from, reason)
	}
	if tcp, ok := bare.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // then it is closed the slower way
	}
	_ = bare.Close()
}

// Close closes the listener; a waiting Accept returns an error that matches
// net.ErrClosed. Accepted connections stay open.
func (l *Listener) Close() error {
	l.close()
	return l.inner.Close()
}

// Addr is the address of the inner listener.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }
