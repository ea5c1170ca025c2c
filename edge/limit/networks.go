package limit

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// What Client looks at of X-Forwarded-For, from the right: more hops than any chain of
// proxies has.
const (
	maxForwarded      = 32
	maxForwardedBytes = 8 << 10
)

// Networks are the proxies whose word about the client's address is believed. The zero
// value holds none. It is immutable and safe for concurrent use.
type Networks struct {
	prefixes []netip.Prefix
	unix     bool
}

// ParseNetworks reads a list of networks ("10.0.0.0/8"), addresses ("::1"), "loopback"
// (127.0.0.0/8 and ::1) and "unix": peers on a Unix socket, which have no address. The
// error names every entry that is none of these. A network must not have bits set
// behind its length, which is more often a mistake than meant.
func ParseNetworks(list []string) (Networks, error) {
	var (
		n    Networks
		errs []error
	)
	for _, entry := range list {
		switch entry {
		case "loopback":
			n.prefixes = append(n.prefixes, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
			continue
		case "unix":
			n.unix = true
			continue
		}
		p, err := parseNetwork(entry)
		if err != nil {
			errs = append(errs, fmt.Errorf("limit: network %q: %w", entry, err))
			continue
		}
		n.prefixes = append(n.prefixes, p)
	}
	if len(errs) > 0 {
		return Networks{}, errors.Join(errs...)
	}
	return n, nil
}

func parseNetwork(entry string) (netip.Prefix, error) {
	if !strings.Contains(entry, "/") {
		a, err := netip.ParseAddr(entry)
		if err != nil {
			return netip.Prefix{}, errors.New(`not an address, a network, "loopback" or "unix"`)
		}
		if a.Zone() != "" {
			return netip.Prefix{}, errors.New("an address with a zone")
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(entry)
	if err != nil {
		return netip.Prefix{}, errors.New("not a network")
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, errors.New("IPv4 in IPv6 with less than 96 bits")
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("bits behind the length: did you mean %v?", p.Masked())
	}
	return p, nil
}

// Empty reports whether nobody is believed.
func (n Networks) Empty() bool { return len(n.prefixes) == 0 && !n.unix }

// Contains reports whether a is in one of the networks. A zone and the wrapping of IPv4
// into IPv6 do not matter. The zero Addr stands for a peer on a Unix socket.
func (n Networks) Contains(a netip.Addr) bool {
	if !a.IsValid() {
		return n.unix
	}
	a = plain(a)
	for _, p := range n.prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Client is the address that a request came from: the peer's, or, where the peer is a
// trusted proxy, the rightmost entry of X-Forwarded-For that is not one itself. Where
// all entries are trusted proxies, it is the leftmost. An entry that is no address ends
// the walk at the last good one, and so does the 33rd entry or what is further than 8
// KiB from the end.
//
// ForwardedFor are all lines of X-Forwarded-For in their order. RealIP is X-Real-IP,
// which counts only where there is no X-Forwarded-For at all. Entries may have a port
// ("192.0.2.1:5678", "[2001:db8::1]:443"), brackets and a zone, which are dropped. The
// result has no zone and is unwrapped from IPv6; it is the zero Addr only where the
// peer has none and no proxy named one.
func (n Networks) Client(peer netip.Addr, forwardedFor []string, realIP string) netip.Addr {
	client := plain(peer)
	if !n.Contains(client) {
		return client
	}
	if len(forwardedFor) == 0 {
		if a, ok := parseHop(realIP); ok {
			return a
		}
		return client
	}
	entries, budget := maxForwarded, maxForwardedBytes
	for i := len(forwardedFor) - 1; i >= 0; i-- {
		line, more := forwardedFor[i], true
		for more {
			if entries == 0 {
				return client
			}
			// The comma is looked for within the budget only.
			hop := line
			if len(line) > budget {
				hop = line[len(line)-budget:]
			}
			comma := strings.LastIndexByte(hop, ',')
			if comma < 0 && len(hop) < len(line) {
				return client
			}
			hop = hop[comma+1:]
			budget -= len(hop)
			a, ok := parseHop(hop)
			if !ok {
				return client
			}
			client = a
			if !n.Contains(a) {
				return client
			}
			entries--
			if more = comma >= 0; more {
				line = line[:len(line)-len(hop)-1]
				budget = max(0, budget-1)
			}
		}
	}
	return client
}

// parseHop reads what a proxy wrote about one hop.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.Trim(s, " \t")
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			a, err := netip.ParseAddr(inner)
			return plain(a), err == nil && a.Is6()
		}
	} else if strings.Count(s, ":") != 1 { // one colon is the port's, IPv6 has two or more
		a, err := netip.ParseAddr(s)
		return plain(a), err == nil
	}
	ap, err := netip.ParseAddrPort(s)
	return plain(ap.Addr()), err == nil
}
