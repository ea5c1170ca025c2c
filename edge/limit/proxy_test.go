package limit

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"
)

// version2 is a PROXY header of version 2 from one address, with TLVs of a length.
func version2(t testing.TB, from string, command proxyproto.ProtocolVersionAndCommand, tlv int) string {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(2,
		net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1).To4(), Port: 443})
	if strings.HasPrefix(from, "[") {
		h.DestinationAddr = &net.TCPAddr{IP: net.ParseIP("::1"), Port: 443}
	}
	h.Command = command
	if tlv > 0 {
		if err := h.SetTLVs([]proxyproto.TLV{{Type: proxyproto.PP2_TYPE_NOOP, Value: make([]byte, tlv)}}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOnlyATrustedProxysHeaderIsBelieved(t *testing.T) {
	const trusted, stranger = "127.0.0.2", "127.0.0.3"
	const v1 = "PROXY TCP4 192.0.2.1 127.0.0.1 5678 443\r\n"
	v2 := version2(t, "192.0.2.1:5678", proxyproto.PROXY, 0)
	for _, c := range []struct {
		name string
		mode ProxyMode
		from string
		sent string
		want string // the client's address; "400" for a malformed request; or the reason
	}{
		{"off, a stranger's header", ProxyOff, stranger, v1, "400"},
		{"off, a proxy's header", ProxyOff, trusted, v1, "400"},
		{"off, version 2", ProxyOff, trusted, v2, "400"},
		{"optional, a stranger's header", ProxyOptional, stranger, v1, "400"},
		{"optional, a stranger's version 2", ProxyOptional, stranger, v2, "400"},
		{"optional, a stranger without", ProxyOptional, stranger, "", stranger},
		{"optional, with", ProxyOptional, trusted, v1, "192.0.2.1:5678"},
		{"optional, without", ProxyOptional, trusted, "", trusted},
		{"optional, broken", ProxyOptional, trusted, "PROXY TCP4 nonsense\r\n", "proxy_malformed"},
		{"required, a stranger's header", ProxyRequired, stranger, v1, "400"},
		{"required, a stranger's version 2", ProxyRequired, stranger, v2, "400"},
		{"required, a stranger without", ProxyRequired, stranger, "", stranger},
		{"required, version 1", ProxyRequired, trusted, v1, "192.0.2.1:5678"},
		{"required, version 2", ProxyRequired, trusted, v2, "192.0.2.1:5678"},
		{"required, IPv6", ProxyRequired, trusted, version2(t, "[2001:db8::1]:5678", proxyproto.PROXY, 0), "[2001:db8::1]:5678"},
		{"required, TLVs", ProxyRequired, trusted, version2(t, "192.0.2.1:5678", proxyproto.PROXY, 3000), "192.0.2.1:5678"},
		{"required, too many TLVs", ProxyRequired, trusted, version2(t, "192.0.2.1:5678", proxyproto.PROXY, 5000), "proxy_malformed"},
		{"required, the proxy itself", ProxyRequired, trusted, version2(t, "192.0.2.1:5678", proxyproto.LOCAL, 0), trusted},
		{"required, unknown", ProxyRequired, trusted, "PROXY UNKNOWN\r\n", trusted},
		{"required, without", ProxyRequired, trusted, "", "proxy_missing"},
		{"required, twice", ProxyRequired, trusted, v1 + v1, "400"},
		{"required, endless", ProxyRequired, trusted, "PROXY " + strings.Repeat("x", 200), "proxy_malformed"},
		{"required, datagrams", ProxyRequired, trusted, strings.Replace(v2, "\x21\x11", "\x21\x12", 1), "proxy_malformed"},
		{"only, a stranger's header", ProxyOnly, stranger, v1, "proxy_untrusted"},
		{"only, a stranger without", ProxyOnly, stranger, "", "proxy_untrusted"},
		{"only, with", ProxyOnly, trusted, v2, "192.0.2.1:5678"},
		{"only, without", ProxyOnly, trusted, "", "proxy_missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGate(t, GateConfig{Trusted: mustParse(t, trusted), Proxy: c.mode, MaxHalfOpenPerAddress: 5})
			nc := dial(t, c.from, serve(t, g, 5*time.Second, nil))
			// What comes behind the header in the same segments arrives whole.
			body, err := get(nc, c.sent+strings.Replace(request, "edge", "edge\r\nLong: "+strings.Repeat("y", 3000), 1))
			switch reason := Reason(c.want); {
			case c.want == "400":
				if err == nil || !strings.HasPrefix(err.Error(), "400") {
					t.Errorf("served %q, %v, want status 400", body, err)
				}
			case strings.HasPrefix(c.want, "proxy_"):
				if err == nil || strings.HasPrefix(err.Error(), "4") {
					t.Errorf("served %q, %v, want no answer", body, err)
				}
				wait(t, "it is counted", func() bool { return g.Refused(reason) == 1 })
			default:
				if err != nil || !strings.HasPrefix(body, c.want) {
					t.Errorf("the client is %q, %v, want %s", body, err, c.want)
				}
			}
		})
	}
}

func TestClientsOfAProxyHaveTheirShares(t *testing.T) {
	g := newGate(t, GateConfig{
		Trusted: mustParse(t, "127.0.0.2"), Proxy: ProxyRequired, MaxHalfOpenPerAddress: 3, ArrivalsPerAddress: 5,
	})
	port := serve(t, g, 0, nil)
	for range 10 { // three are held, two more arrive before the rate is reached
		_, _ = io.WriteString(dial(t, "127.0.0.2", port), version2(t, "[2001:db8::1]:1", proxyproto.PROXY, 0))
	}
	wait(t, "7 are refused", func() bool {
		return g.Refused(ReasonHalfOpenAddress)+g.Refused(ReasonArrivals) == 7
	})
	if g.Refused(ReasonHalfOpenAddress) < 2 || g.HalfOpen() != 3 {
		t.Errorf("%d refused for the share, %d half-open", g.Refused(ReasonHalfOpenAddress), g.HalfOpen())
	}
	if _, err := get(dial(t, "127.0.0.2", port), version2(t, "[2001:db8:0:1::1]:1", proxyproto.PROXY, 0)+request); err != nil {
		t.Errorf("another client is refused too: %v", err)
	}
}

func TestAcceptNeverWaitsForAHeader(t *testing.T) {
	g := newGate(t, GateConfig{Trusted: mustParse(t, "127.0.0.2"), Proxy: ProxyRequired})
	port := serve(t, g, 0, nil)
	for range 10 {
		dial(t, "127.0.0.2", port) // silent
	}
	wait(t, "all are accepted", func() bool { return g.Accepted() == 10 })
	if _, err := get(dial(t, "127.0.0.3", port), request); err != nil {
		t.Error(err)
	}
}

func TestALateHeaderIsRefused(t *testing.T) {
	g := newGate(t, GateConfig{
		Trusted: mustParse(t, "127.0.0.2"), Proxy: ProxyRequired, ProxyTimeout: 100 * time.Millisecond,
	})
	port := serve(t, g, 0, nil)
	silent, half := dial(t, "127.0.0.2", port), dial(t, "127.0.0.2", port)
	_, _ = io.WriteString(half, version2(t, "192.0.2.1:1", proxyproto.PROXY, 0)[:20])
	if !closed(silent) || !closed(half) {
		t.Error("still open")
	}
	if n := g.Refused(ReasonProxyTimeout); n != 2 {
		t.Errorf("%d are counted, want 2", n)
	}
	_ = dial(t, "127.0.0.2", port).Close() // whether the port is open
	wait(t, "it has come and gone", func() bool { return g.Accepted() == 3 && g.HalfOpen() == 0 })
	if n := g.Refused(ReasonProxyTimeout) + g.Refused(ReasonProxyMissing); n != 2 {
		t.Error("a look at the port is counted as refused")
	}
}

// proxiedPipe returns a connection that waits for a PROXY header, and its peer.
func proxiedPipe(t *testing.T, g *observed) (*Conn, net.Conn) {
	t.Helper()
	p := &pipes{}
	nc, err := g.Listen(p, Report{}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	return nc.(*Conn), p.last()
}

func TestDeadlinesAroundTheHeader(t *testing.T) {
	header := version2(t, "192.0.2.1:5678", proxyproto.PROXY, 0)
	config := GateConfig{Trusted: mustParse(t, "unix"), Proxy: ProxyRequired, ProxyTimeout: 10 * time.Second}
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, config)
		began := time.Now()

		// The owner's deadline may be earlier than the header's.
		c, peer := proxiedPipe(t, g)
		_ = c.SetReadDeadline(began.Add(time.Second))
		_, err := c.Read(make([]byte, 1))
		var op *net.OpError
		var refusal *Refusal
		if !errors.As(err, &op) || op.Op != "read" || !errors.As(err, &refusal) || refusal.Reason != ReasonProxyTimeout {
			t.Errorf("read: %v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("read ended after %v", took)
		}
		if _, again := c.Read(make([]byte, 1)); !errors.Is(again, err) {
			t.Errorf("read again: %v", again)
		}
		_, _ = c.Close(), peer.Close()

		// It cannot be later, also when it is set meanwhile.
		began = time.Now()
		c, peer = proxiedPipe(t, g)
		time.AfterFunc(time.Second, func() { _ = c.SetDeadline(began.Add(time.Hour)) })
		if _, err := c.Read(make([]byte, 1)); !errors.As(err, &refusal) || time.Since(began) != 10*time.Second {
			t.Errorf("read ended after %v: %v", time.Since(began), err)
		}
		_, _ = c.Close(), peer.Close()

		// Behind the header the owner's holds again, or none.
		began = time.Now()
		c, peer = proxiedPipe(t, g)
		_ = c.SetReadDeadline(began.Add(time.Minute))
		go func() { _, _ = io.WriteString(peer, header) }()
		if a := c.RemoteAddr().String(); a != "192.0.2.1:5678" {
			t.Errorf("the client is %s", a)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("read ended after %v: %v", time.Since(began), err)
		}
		_ = c.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Hour, func() { _, _ = io.WriteString(peer, "x") })
		if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("read: %d, %v", n, err)
		}
		_, _ = c.Close(), peer.Close()
		if g.HalfOpen() != 0 || g.held.Len() != 0 {
			t.Errorf("%d half-open of %d addresses", g.HalfOpen(), g.held.Len())
		}
	})
}

func TestOpenedLosesNothingBehindTheHeader(t *testing.T) {
	g := newGate(t, GateConfig{Trusted: mustParse(t, "unix"), Proxy: ProxyRequired})
	c, peer := proxiedPipe(t, g)
	defer func() { _, _ = c.Close(), peer.Close() }()
	if Opened(c) != net.Conn(c) {
		t.Error("the bare connection was given before the header was read")
	}
	go func() {
		for _, b := range []byte(version2(t, "192.0.2.1:5678", proxyproto.PROXY, 300)) {
			_, _ = peer.Write([]byte{b})
		}
		_, _ = io.WriteString(peer, "abc")
	}()
	one := make([]byte, 1)
	if _, err := c.Read(one); err != nil || one[0] != 'a' {
		t.Fatalf("read %q, %v", one, err)
	}
	rest := Opened(c)
	if rest != net.Conn(c) && rest != c.bare {
		t.Errorf("Opened returned a %T", rest)
	}
	if _, err := io.ReadFull(rest, make([]byte, 2)); err != nil {
		t.Error(err)
	}
	if Opened(c) != c.bare {
		t.Error("the bare connection is not given although nothing is left")
	}
}

func TestLeftoverIsReadBeforeTheSocket(t *testing.T) {
	g := newGate(t, GateConfig{Trusted: mustParse(t, "unix"), Proxy: ProxyOptional})
	c, peer := proxiedPipe(t, g)
	defer func() { _, _ = c.Close(), peer.Close() }()
	go func() {
		_, _ = io.WriteString(peer, "POST / HTTP/1.1") // begins like PROXY
		_, _ = io.WriteString(peer, " and on")
	}()
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Errorf("read nothing: %d, %v", n, err)
	}
	if Opened(c) != net.Conn(c) {
		t.Error("the bare connection was given with bytes left")
	}
	got := make([]byte, 22)
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, []byte("POST / HTTP/1.1 and on")) {
		t.Errorf("read %q, %v", got, err)
	}
	if Opened(c) != c.bare {
		t.Error("the bare connection is not given although nothing is left")
	}
}

func TestCloseDuringTheHeaderGivesEverythingBack(t *testing.T) {
	g := newGate(t, GateConfig{
		Trusted: mustParse(t, "unix"), Proxy: ProxyRequired, MaxHalfOpenPerAddress: 1000, HandshakeTimeout: time.Minute,
	})
	header := version2(t, "192.0.2.1:5678", proxyproto.PROXY, 0)
	for range 500 {
		c, peer := proxiedPipe(t, g)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.WriteString(peer, header+"x") })
		wg.Go(func() { _, _ = c.Read(make([]byte, 1)) })
		wg.Go(func() { c.RemoteAddr() })
		wg.Go(func() { _ = c.Close() })
		wg.Wait()
		_ = peer.Close()
		if g.HalfOpen() != 0 || g.held.Len() != 0 {
			t.Fatalf("%d half-open of %d addresses", g.HalfOpen(), g.held.Len())
		}
	}
}

func TestProxyModesHaveNames(t *testing.T) {
	for mode := range ProxyOnly + 1 {
		if got, err := ParseProxyMode(mode.String()); err != nil || got != mode {
			t.Errorf("%v is read as %v, %v", mode, got, err)
		}
	}
	for _, bad := range []string{"", "Off", "on", ProxyMode(9).String()} {
		if _, err := ParseProxyMode(bad); err == nil {
			t.Errorf("%q is a mode", bad)
		}
	}
}
