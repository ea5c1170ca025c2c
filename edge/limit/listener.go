package limit

import (
	"context"
	"net"
)

// Listener accepts connections at the pace of its Gate and within its limits. All
// methods are safe for concurrent use.
type Listener struct {
	// Static after construction.
	gate  *Gate
	inner net.Listener
	ctx   context.Context // ends with Close
	close context.CancelFunc
}

var _ net.Listener = (*Listener)(nil)

// Listen puts the gate in front of a listener, which the result closes.
func (g *Gate) Listen(inner net.Listener) *Listener {
	ctx, cancel := context.WithCancel(context.Background())
	return &Listener{gate: g, inner: inner, ctx: ctx, close: cancel}
}

// Accept returns the next connection that is not refused, a *Conn. It waits for the pace
// and for a connection, never for what a peer sends. A refused connection is closed and
// counted, and costs nothing of the pace.
func (l *Listener) Accept() (net.Conn, error) {
	if err := l.gate.wait(l.ctx); err != nil {
		addr := l.inner.Addr()
		return nil, &net.OpError{Op: "accept", Net: addr.Network(), Addr: addr, Err: net.ErrClosed}
	}
	for {
		bare, err := l.inner.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.gate.admit(bare); c != nil {
			return c, nil
		}
	}
}

// Close closes the listener; a waiting Accept returns an error that matches
// net.ErrClosed. Accepted connections stay open.
func (l *Listener) Close() error {
	l.close()
	return l.inner.Close()
}

// Addr is the address of the inner listener.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }
