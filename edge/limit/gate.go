package limit

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// GateConfig is what a Gate lets through. A limit of 0 is off; DefaultGate has
// reasonable ones.
type GateConfig struct {
	// Allow are the networks that may connect at all; nil for all of them.
	Allow *Networks
	// Trusted are the proxies in front of the edge. No limit by address counts
	// their connections, until a PROXY header has named the client. Default nobody.
	Trusted Networks
	// Proxy says what becomes of PROXY headers of trusted peers. Default ProxyOff.
	Proxy ProxyMode
	// ProxyTimeout bounds the wait for a PROXY header, from the first Read on. 0
	// means 5 s: a proxy sends it with the first segment.
	ProxyTimeout time.Duration
	// MaxHalfOpen bounds the connections whose handshake is not over, of all
	// listeners together, MaxHalfOpenPerAddress those of one Key. Of several listeners
	// none takes more than three times what it leaves to the others: three quarters where
	// only one is flooded.
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
	// ReasonNetwork: the peer is in none of GateConfig.Allow.
	ReasonNetwork Reason = "network"
	// ReasonHalfOpen: GateConfig.MaxHalfOpen was reached.
	ReasonHalfOpen Reason = "half_open"
	// ReasonHalfOpenListener: the listener has its share of GateConfig.MaxHalfOpen.
	ReasonHalfOpenListener Reason = "half_open_listener"
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
		ReasonNetwork, ReasonHalfOpen, ReasonHalfOpenListener, ReasonHalfOpenAddress, ReasonArrivals, ReasonTimeout,
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
// is not over, and the pace of accepting. All methods are safe for concurrent use. It has
// nothing to close.
type Gate struct {
	// Static after construction.
	config   GateConfig
	pace     *rate.Limiter // nil without one
	arrivals *arrivals     // nil without a limit
	held     *Counter[netip.Prefix]

	// Counts.
	halfOpen, listeners atomic.Int64
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
	}
	if config.Pace > 0 {
		g.pace = rate.NewLimiter(rate.Limit(config.Pace), config.PaceBurst)
	}
	return g, nil
}

// HalfOpen is how many connections of all listeners are accepted and neither opened nor
// closed.
func (g *Gate) HalfOpen() int { return int(g.halfOpen.Load()) }

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
