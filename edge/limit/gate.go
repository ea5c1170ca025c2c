package limit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// GateConfig is what a Gate lets through. A limit of 0 is off; DefaultGate has
// reasonable ones.
type GateConfig struct {
	// Trusted are the proxies in front of the edge. No limit by address counts
	// their connections, until a PROXY header has named the client. Default nobody.
	Trusted Networks
	// Proxy says what becomes of PROXY headers of trusted peers. Default ProxyOff.
	Proxy ProxyMode
	// ProxyTimeout bounds the wait for a PROXY header, from the first Read on. 0
	// means 5 s: a proxy sends it with the first segment.
	ProxyTimeout time.Duration
	// MaxHalfOpen bounds the connections whose handshake is not over, of all
	// listeners together, MaxHalfOpenPerAddress those of one Key.
	MaxHalfOpen, MaxHalfOpenPerAddress int
	// ArrivalsPerAddress bounds the new connections a second of one Key, with a
	// burst of one second's worth. What is above is closed at once.
	ArrivalsPerAddress int
	// Pace is how many connections a second are accepted, of all listeners together,
	// and PaceBurst how many at once after a rest; 0 means one second's worth. What
	// is above waits in the kernel's backlog (net.core.somaxconn, 4,096 by default
	// on Linux), behind which the kernel lets clients try again.
	Pace, PaceBurst int
	// HandshakeTimeout bounds how long a connection may hold its half-open place,
	// whatever it does; then it is cut. It also ends connections that are used for
	// plain HTTP. 0 leaves that to the timeouts of the server.
	HandshakeTimeout time.Duration
}

// DefaultGate allows 1,024 half-open connections and 128 of one address, 100 new ones a
// second of one address, and 1,000 in all with a burst of 500; a handshake may last 30
// seconds. Nobody is trusted.
func DefaultGate() GateConfig {
	return GateConfig{
		MaxHalfOpen: 1024, MaxHalfOpenPerAddress: 128, ArrivalsPerAddress: 100,
		Pace: 1000, PaceBurst: 500, HandshakeTimeout: 30 * time.Second,
	}
}

func (c GateConfig) check() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"ProxyTimeout", int64(c.ProxyTimeout)},
		{"MaxHalfOpen", int64(c.MaxHalfOpen)},
		{"MaxHalfOpenPerAddress", int64(c.MaxHalfOpenPerAddress)},
		{"ArrivalsPerAddress", int64(c.ArrivalsPerAddress)},
		{"Pace", int64(c.Pace)},
		{"PaceBurst", int64(c.PaceBurst)},
		{"HandshakeTimeout", int64(c.HandshakeTimeout)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("limit: %s is negative", f.name))
		}
	}
	if c.Proxy > ProxyOnly {
		errs = append(errs, fmt.Errorf("limit: Proxy is %d, which is no mode", c.Proxy))
	}
	if c.Proxy != ProxyOff && c.Trusted.Empty() {
		errs = append(errs, fmt.Errorf("limit: Proxy is %q and no proxy is trusted", c.Proxy))
	}
	return errors.Join(errs...)
}

// Reason is why a connection was closed before its handshake was over. It is the label
// of a metric.
type Reason string

// The reasons.
const (
	// ReasonHalfOpen: GateConfig.MaxHalfOpen was reached.
	ReasonHalfOpen Reason = "half_open"
	// ReasonHalfOpenAddress: GateConfig.MaxHalfOpenPerAddress was reached.
	ReasonHalfOpenAddress Reason = "half_open_address"
	// ReasonArrivals: the address made too many connections within a second.
	ReasonArrivals Reason = "arrivals_address"
	// ReasonTimeout: GateConfig.HandshakeTimeout is over.
	ReasonTimeout Reason = "handshake_timeout"
	// ReasonUntrusted: in ProxyOnly, the peer is no trusted proxy.
	ReasonUntrusted Reason = "proxy_untrusted"
	// ReasonProxyMissing: a trusted proxy sent something else than a PROXY header.
	ReasonProxyMissing Reason = "proxy_missing"
	// ReasonProxyMalformed: a trusted proxy sent a broken PROXY header.
	ReasonProxyMalformed Reason = "proxy_malformed"
	// ReasonProxyTimeout: a trusted proxy sent no whole PROXY header in time.
	ReasonProxyTimeout Reason = "proxy_timeout"
)

// Reasons lists all reasons, for metrics that are there before the first refusal.
func Reasons() []Reason {
	return []Reason{
		ReasonHalfOpen, ReasonHalfOpenAddress, ReasonArrivals, ReasonTimeout,
		ReasonUntrusted, ReasonProxyMissing, ReasonProxyMalformed, ReasonProxyTimeout,
	}
}

// Refusal is the error of a Read from a connection that was refused after Accept.
type Refusal struct {
	Reason Reason
	Err    error // may be nil
}

func (r *Refusal) Error() string {
	if r.Err == nil {
		return "limit: refused: " + string(r.Reason)
	}
	return fmt.Sprintf("limit: refused: %s: %v", r.Reason, r.Err)
}

func (r *Refusal) Unwrap() error { return r.Err }

// Gate is what all listeners of an edge share: the limits of connections whose handshake
// is not over, the pace of accepting, and the counts. All methods are safe for concurrent
// use. It has nothing to close.
type Gate struct {
	// Static after construction.
	config   GateConfig
	pace     *rate.Limiter // nil without one
	arrivals *arrivals     // nil without a limit
	held     *Counter[netip.Prefix]
	refused  map[Reason]*atomic.Uint64

	// Counts.
	halfOpen        atomic.Int64
	accepted, paced atomic.Uint64
}

// NewGate returns a gate. The error names every field of the configuration that is out
// of range.
func NewGate(config GateConfig) (*Gate, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if config.ProxyTimeout == 0 {
		config.ProxyTimeout = 5 * time.Second
	}
	if config.PaceBurst == 0 {
		config.PaceBurst = config.Pace
	}
	g := &Gate{
		config:   config,
		arrivals: newArrivals(config.ArrivalsPerAddress),
		held:     NewCounter[netip.Prefix](config.MaxHalfOpenPerAddress),
		refused:  map[Reason]*atomic.Uint64{},
	}
	if config.Pace > 0 {
		g.pace = rate.NewLimiter(rate.Limit(config.Pace), config.PaceBurst)
	}
	for _, reason := range Reasons() {
		g.refused[reason] = new(atomic.Uint64)
	}
	return g, nil
}

// HalfOpen is how many connections are accepted and neither opened nor closed.
func (g *Gate) HalfOpen() int { return int(g.halfOpen.Load()) }

// Accepted is how many connections Accept has returned, also those that were refused
// later for their PROXY header.
func (g *Gate) Accepted() uint64 { return g.accepted.Load() }

// Paced is how many times Accept waited for its pace.
func (g *Gate) Paced() uint64 { return g.paced.Load() }

// Refused is how many connections were closed for the reason.
func (g *Gate) Refused(reason Reason) uint64 {
	if n := g.refused[reason]; n != nil {
		return n.Load()
	}
	return 0
}

// wait waits for the pace, until ctx ends.
func (g *Gate) wait(ctx context.Context) error {
	if g.pace == nil || g.pace.Allow() {
		return nil
	}
	g.paced.Add(1)
	return g.pace.Wait(ctx)
}

// admit makes a Conn of an accepted connection, or refuses it and returns nil.
func (g *Gate) admit(bare net.Conn) *Conn {
	peer := AddrOf(bare.RemoteAddr())
	trusted := g.config.Trusted.Contains(peer)
	var key netip.Prefix
	if !trusted {
		key = Key(peer)
	}
	if !trusted && g.config.Proxy == ProxyOnly {
		g.refuse(bare, ReasonUntrusted)
		return nil
	}
	if reason := g.acquire(key); reason != "" {
		g.refuse(bare, reason)
		return nil
	}
	if n := g.halfOpen.Add(1); g.config.MaxHalfOpen > 0 && n > int64(g.config.MaxHalfOpen) {
		g.release(key)
		g.refuse(bare, ReasonHalfOpen)
		return nil
	}
	g.accepted.Add(1)
	return newConn(bare, g, key, trusted && g.config.Proxy != ProxyOff)
}

// acquire takes a place of the address's share, or says why not.
func (g *Gate) acquire(key netip.Prefix) Reason {
	if !g.arrivals.take(key, time.Now()) {
		return ReasonArrivals
	}
	if !g.held.Acquire(key) {
		return ReasonHalfOpenAddress
	}
	return ""
}

// release gives a place back.
func (g *Gate) release(key netip.Prefix) {
	g.held.Release(key)
	g.halfOpen.Add(-1)
}

// refuse counts a connection and cuts it: a reset costs neither side a wait, where a
// goodbye would keep the kernel busy with it for a minute.
func (g *Gate) refuse(bare net.Conn, reason Reason) {
	g.refused[reason].Add(1)
	if tcp, ok := bare.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // then it is closed the slower way
	}
	_ = bare.Close()
}
