package limit

import (
	"net"
	"net/netip"
)

// Key is what limits count by: the address itself for IPv4, also for an IPv4 address
// mapped into IPv6, and the /64 for IPv6, without a zone. The zero Addr has the zero
// Prefix, which no limit counts.
func Key(a netip.Addr) netip.Prefix {
	a = plain(a)
	switch {
	case a.Is4():
		return netip.PrefixFrom(a, 32)
	case a.Is6():
		p, _ := a.Prefix(64) // an IPv6 address without a zone has a /64
		return p
	}
	return netip.Prefix{}
}

// AddrOf is the IP address in a, unwrapped from IPv6 and without a zone; the zero Addr
// where there is none, as on a Unix socket.
func AddrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return plain(tcp.AddrPort().Addr())
	}
	if a == nil {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return plain(ap.Addr())
}

// plain drops what does not tell hosts apart: the zone, and the wrapping into IPv6.
func plain(a netip.Addr) netip.Addr { return a.WithZone("").Unmap() }
