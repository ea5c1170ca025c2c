package limit

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Conn is an accepted connection, which holds a half-open place until Opened or Close.
// All methods are safe for concurrent use.
type Conn struct {
	// Static after construction.
	bare     net.Conn
	listener *Listener
	proxy    *proxied // nil where no PROXY header is read

	// The place. Guarded by mu.
	mu    sync.Mutex
	over  bool         // the place was given back
	key   netip.Prefix // whose share it is of; zero while nobody's
	timer *time.Timer  // ends the handshake; may be nil
}

var _ net.Conn = (*Conn)(nil)

func newConn(bare net.Conn, listener *Listener, key netip.Prefix, proxy bool) *Conn {
	c := &Conn{bare: bare, listener: listener, key: key}
	if proxy {
		c.proxy = new(proxied)
	}
	if d := listener.gate.config.HandshakeTimeout; d > 0 {
		c.mu.Lock() // expire waits until timer is there
		c.timer = time.AfterFunc(d, c.expire)
		c.mu.Unlock()
	}
	return c
}

// Opened says that the handshake on nc is over: it gives back the place of the Conn that
// nc is or stands on, as *tls.Conn does, and returns the connection to go on with. That
// is the bare connection below nc where nc is a Conn of which nothing is left to be read
// that came with a PROXY header, and nc in every other case.
//
// The caller owns nc, after http.Hijacker for example, nobody reads it meanwhile, and only
// the result is used from then on. What the PROXY header said of the client is lost with
// the Conn: http.Request.RemoteAddr has it. A connection that no Gate knows is returned
// as it is.
func Opened(nc net.Conn) net.Conn {
	for below := nc; below != nil; {
		if c, ok := below.(*Conn); ok {
			c.Opened()
			if below == nc && (c.proxy == nil || c.proxy.drained.Load()) {
				return c.bare
			}
			return nc
		}
		w, ok := below.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		below = w.NetConn()
	}
	return nc
}

// Opened says that the handshake is over and gives the place back, once. It does nothing
// where it was given back before.
func (c *Conn) Opened() { c.release() }

// release gives the place back and reports whether it was still held.
func (c *Conn) release() bool {
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return false
	}
	c.over = true
	key, timer := c.key, c.timer
	c.mu.Unlock()
	if timer != nil {
		timer.Stop()
	}
	c.listener.release(key)
	return true
}

// charge makes the place one of the share of an address that has become known.
func (c *Conn) charge(key netip.Prefix) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return nil // opened already, or closed, which the reader will see
	}
	if reason := c.listener.gate.acquire(key); reason != "" {
		return &Refusal{Reason: reason}
	}
	c.key = key
	return nil
}

// expire ends a handshake that lasts too long.
func (c *Conn) expire() {
	if c.release() {
		c.listener.refuse(c.bare, c.known(), ReasonTimeout)
	}
}

// known is the client's address where a PROXY header has named it, else the peer's. It
// does not wait for the header.
func (c *Conn) known() netip.Addr {
	if c.proxy != nil {
		if from := c.proxy.named.Load(); from != nil {
			return *from
		}
	}
	return AddrOf(c.bare.RemoteAddr())
}

// Read reads from the connection. The first one waits for the PROXY header where one is
// due; a connection that is refused for it is closed, and every Read then returns a
// *net.OpError with a *Refusal in it.
func (c *Conn) Read(b []byte) (int, error) {
	if c.proxy != nil {
		return c.readBehindHeader(b)
	}
	return c.bare.Read(b)
}

// Write writes to the connection. It does not wait for a PROXY header.
func (c *Conn) Write(b []byte) (int, error) { return c.bare.Write(b) }

// Close gives the place back, where that has not happened, and closes the connection.
func (c *Conn) Close() error {
	c.release()
	return c.bare.Close()
}

// CloseWrite ends the outgoing half, where the bare connection can.
func (c *Conn) CloseWrite() error {
	if half, ok := c.bare.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// NetConn is the bare connection, for what only it can do: socket options, closing at
// once after Opened. Reading from it would miss what came with a PROXY header, and its
// RemoteAddr is the proxy.
func (c *Conn) NetConn() net.Conn { return c.bare }

// LocalAddr is the address of this end, whatever a PROXY header says.
func (c *Conn) LocalAddr() net.Addr { return c.bare.LocalAddr() }

// RemoteAddr is the client's address: that of a PROXY header which is believed, else the
// peer's. Like Read, it waits for the header where one is due, so it must not be called
// by who accepts (net/http calls it first thing in the connection's own goroutine).
func (c *Conn) RemoteAddr() net.Addr {
	if c.proxy != nil {
		if from := c.client(); from != nil {
			return from
		}
	}
	return c.bare.RemoteAddr()
}

// SetDeadline bounds reads and writes.
func (c *Conn) SetDeadline(t time.Time) error {
	if c.proxy != nil {
		return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
	}
	return c.bare.SetDeadline(t)
}

// SetReadDeadline bounds reads. While a PROXY header is due, it can only come earlier
// than GateConfig.ProxyTimeout.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.proxy != nil {
		return c.proxy.setReadDeadline(c.bare, t)
	}
	return c.bare.SetReadDeadline(t)
}

// SetWriteDeadline bounds writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.bare.SetWriteDeadline(t) }
