package limit

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"
)

// ProxyMode says what becomes of PROXY protocol headers (versions 1 and 2) of trusted
// peers. One of any other peer is never looked for: to the server it is a malformed
// request. A header of version 1 must come in one piece, as its specification demands of
// the sender; of both versions, one that names no address (UNKNOWN, LOCAL) leaves the
// proxy to speak for itself.
type ProxyMode uint8

// The modes.
const (
	// ProxyOff looks for no header.
	ProxyOff ProxyMode = iota
	// ProxyOptional believes a header where there is one. It is for the time while
	// proxies are being switched: of a proxy that adds none, the client writes the
	// first bytes, and so his own header.
	ProxyOptional
	// ProxyRequired refuses trusted peers without a header. Others are served as who
	// they are.
	ProxyRequired
	// ProxyOnly refuses trusted peers without a header, and all others.
	ProxyOnly
)

var proxyModes = []string{"off", "optional", "required", "only"}

// ParseProxyMode reads "off", "optional", "required" or "only".
func ParseProxyMode(s string) (ProxyMode, error) {
	if i := slices.Index(proxyModes, s); i >= 0 {
		return ProxyMode(i), nil
	}
	return ProxyOff, fmt.Errorf("limit: PROXY mode %q is not off, optional, required or only", s)
}

// String is the name that ParseProxyMode reads.
func (m ProxyMode) String() string {
	if int(m) < len(proxyModes) {
		return proxyModes[m]
	}
	return fmt.Sprintf("ProxyMode(%d)", uint8(m))
}

// proxyBuffer holds what is read with a header. A version 1 header (107 bytes) must fit;
// one of version 2 may be longer, up to 4 KiB.
const proxyBuffer = 256

// proxied is what a Conn knows of its PROXY header. Safe for concurrent use.
type proxied struct {
	// Written within once.
	once sync.Once
	from net.Addr // the client; nil where the header names none
	err  error    // what every Read returns

	// drained says that the header was read and nothing is left that came with it.
	drained atomic.Bool
	// named is the client's address as soon as it is known.
	named atomic.Pointer[netip.Addr]

	// Guarded by mu.
	mu    sync.Mutex
	asked time.Time     // the read deadline that the owner set
	bound time.Time     // when the header must be there; zero when it is not being read
	rest  *bufio.Reader // what came behind the header; nil where nothing did
}

// client waits for the header and returns whom it names, nil if nobody.
func (c *Conn) client() net.Addr {
	c.proxy.once.Do(c.readHeader)
	return c.proxy.from
}

func (c *Conn) readBehindHeader(b []byte) (int, error) {
	p := c.proxy
	if p.drained.Load() {
		return c.bare.Read(b)
	}
	p.once.Do(c.readHeader)
	if p.err != nil {
		return 0, p.err
	}
	p.mu.Lock()
	if p.rest == nil {
		p.mu.Unlock()
		return c.bare.Read(b)
	}
	defer p.mu.Unlock()
	n, err := p.rest.Read(b)
	if p.rest.Buffered() == 0 {
		p.rest = nil
		p.drained.Store(true)
	}
	return n, err
}

// readHeader reads the header, within its time, and makes the place one of the client's
// share.
func (c *Conn) readHeader() {
	p := c.proxy
	p.setBound(c.bare, time.Now().Add(c.listener.gate.config.ProxyTimeout))
	r := bufio.NewReaderSize(c.bare, proxyBuffer)
	p.from, p.err = c.parseHeader(r)
	if refusal := (*Refusal)(nil); errors.As(p.err, &refusal) {
		c.release()
		c.listener.refuse(c.bare, c.known(), refusal.Reason)
		// net/http answers no request that ended in an error of a read.
		p.err = &net.OpError{
			Op: "read", Net: c.bare.LocalAddr().Network(),
			Source: c.bare.LocalAddr(), Addr: c.bare.RemoteAddr(), Err: p.err,
		}
	}
	p.mu.Lock()
	if r.Buffered() > 0 {
		p.rest = r
	}
	p.mu.Unlock()
	p.drained.Store(r.Buffered() == 0 && p.err == nil)
	p.setBound(c.bare, time.Time{})
}

// parseHeader returns the address that the header names, nil where it names none.
func (c *Conn) parseHeader(r *bufio.Reader) (net.Addr, error) {
	// Nothing at all is no refusal: load balancers look whether a port is open.
	if _, err := r.Peek(1); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, &Refusal{Reason: ReasonProxyTimeout, Err: err}
		}
		return nil, err
	}
	header, err := proxyproto.Read(r)
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &Refusal{Reason: ReasonProxyTimeout, Err: err}
	case !errors.Is(err, proxyproto.ErrNoProxyProtocol):
		return nil, &Refusal{Reason: ReasonProxyMalformed, Err: err}
	case c.listener.gate.config.Proxy == ProxyOptional:
		return nil, nil
	default:
		return nil, &Refusal{Reason: ReasonProxyMissing}
	}
	if header.Command.IsLocal() {
		return nil, nil // the proxy speaks for itself
	}
	if !header.TransportProtocol.IsStream() {
		return nil, &Refusal{Reason: ReasonProxyMalformed, Err: errors.New("not a stream")}
	}
	from := AddrOf(header.SourceAddr)
	key := Key(from)
	if !key.IsValid() {
		return nil, nil // a client on a Unix socket of the proxy
	}
	c.proxy.named.Store(&from)
	if err := c.charge(key); err != nil {
		return nil, err
	}
	return header.SourceAddr, nil
}

// setBound sets or lifts the deadline of the header.
func (p *proxied) setBound(bare net.Conn, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bound = t
	_ = p.apply(bare) // a closed connection says so in the next read
}

func (p *proxied) setReadDeadline(bare net.Conn, t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = t
	return p.apply(bare)
}

// apply sets the earlier of both deadlines. The caller holds mu.
func (p *proxied) apply(bare net.Conn) error {
	t := p.asked
	if !p.bound.IsZero() && (t.IsZero() || p.bound.Before(t)) {
		t = p.bound
	}
	return bare.SetReadDeadline(t)
}
