package limit

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// still is a connection that does nothing, so that only the gate is measured.
type still struct {
	net.Conn
	remote net.Addr
}

func (s *still) RemoteAddr() net.Addr            { return s.remote }
func (s *still) Read(b []byte) (int, error)      { return len(b), nil }
func (s *still) Close() error                    { return nil }
func (s *still) SetReadDeadline(time.Time) error { return nil }

// BenchmarkHandshake is what a gate adds to a handshake: from Accept to Opened, with the
// network left out.
func BenchmarkHandshake(b *testing.B) {
	all := DefaultGate()
	all.ArrivalsPerAddress, all.Pace = 1<<30, 1<<30
	timeless := all
	timeless.HandshakeTimeout = 0
	for _, c := range []struct {
		name   string
		config GateConfig
	}{{"limits=none", GateConfig{}}, {"limits=all-but-time", timeless}, {"limits=all", all}} {
		b.Run(c.name, func(b *testing.B) {
			l := newGate(b, c.config).Listen(&pipes{}, Report{})
			bare := &still{remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5678}}
			b.ReportAllocs()
			for b.Loop() {
				if err := l.wait(); err != nil {
					b.Fatal(err)
				}
				Opened(l.admit(bare))
			}
		})
	}
}

// BenchmarkRefuse is what one connection of a flood costs, with the network left out.
func BenchmarkRefuse(b *testing.B) {
	l := newGate(b, GateConfig{ArrivalsPerAddress: 1}).Listen(&pipes{}, Report{})
	bare := &still{remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5678}}
	b.ReportAllocs()
	for b.Loop() {
		l.admit(bare)
	}
}

// BenchmarkConnect is a whole connection on loopback: dialed, accepted, one byte read,
// opened and closed.
func BenchmarkConnect(b *testing.B) {
	header := version2(b, "192.0.2.1:5678", proxyproto.PROXY, 0)
	config := DefaultGate()
	config.ArrivalsPerAddress, config.Pace = 1<<30, 1<<30
	proxy := config
	proxy.Trusted, proxy.Proxy = mustParse(b, "loopback"), ProxyOnly
	for _, c := range []struct {
		name string
		wrap func(net.Listener) net.Listener
		sent string
	}{
		{"gate=none", func(l net.Listener) net.Listener { return l }, "x"},
		{"gate=plain", func(l net.Listener) net.Listener { return newGate(b, config).Listen(l, Report{}) }, "x"},
		{"gate=proxy", func(l net.Listener) net.Listener { return newGate(b, proxy).Listen(l, Report{}) }, header + "x"},
	} {
		b.Run(c.name, func(b *testing.B) {
			inner := listen(b)
			l := c.wrap(inner)
			defer func() { _ = l.Close() }()
			address := fmt.Sprintf("127.0.0.1:%d", inner.Addr().(*net.TCPAddr).Port)
			one := make([]byte, 1)
			b.ReportAllocs()
			for b.Loop() {
				client, err := net.Dial("tcp4", address)
				if err != nil {
					b.Fatal(err)
				}
				_ = client.(*net.TCPConn).SetLinger(0) // leaves no port behind
				if _, err := client.Write([]byte(c.sent)); err != nil {
					b.Fatal(err)
				}
				nc, err := l.Accept()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := nc.Read(one); err != nil || one[0] != 'x' {
					b.Fatal(one, err)
				}
				if nc = Opened(nc); !strings.HasSuffix(fmt.Sprintf("%T", nc), "TCPConn") {
					b.Fatalf("opened a %T", nc)
				}
				_, _ = client.Close(), nc.Close()
			}
		})
	}
}

// BenchmarkRead is what a Conn adds to a read below TLS.
func BenchmarkRead(b *testing.B) {
	bare := &still{remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5678}}
	behind := &Conn{bare: bare, proxy: new(proxied)}
	behind.proxy.drained.Store(true)
	for _, c := range []struct {
		name string
		nc   net.Conn
	}{{"conn=bare", bare}, {"conn=plain", &Conn{bare: bare}}, {"conn=proxied", behind}} {
		b.Run(c.name, func(b *testing.B) {
			buf := make([]byte, 64)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.nc.Read(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkClient(b *testing.B) {
	n := mustParse(b, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8", "loopback")
	peer := netip.MustParseAddr("10.0.0.1")
	for name, xff := range map[string][]string{
		"hops=1":       {"192.0.2.1"},
		"hops=3":       {"198.51.100.7, 192.0.2.1, 10.0.0.2, 10.0.0.3"},
		"hops=hostile": {strings.Repeat("10.0.0.9, ", 800) + "10.0.0.9"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n.Client(peer, xff, "")
			}
		})
	}
}

func BenchmarkKey(b *testing.B) {
	a := netip.MustParseAddr("2001:db8:1:2:3:4:5:6")
	b.ReportAllocs()
	for b.Loop() {
		Key(a)
	}
}

func BenchmarkCounter(b *testing.B) {
	c := NewCounter[netip.Prefix](100)
	for i := range 10_000 {
		c.Acquire(address(i))
	}
	key := address(10_000)
	b.ReportAllocs()
	for b.Loop() {
		c.Acquire(key)
		c.Release(key)
	}
}

func BenchmarkBlocked(b *testing.B) {
	f, now := NewFailures(DefaultFailures()), time.Now()
	for i := range 1 << 16 {
		f.Fail(address(i), now)
	}
	key := address(77)
	b.ReportAllocs()
	for b.Loop() {
		f.Blocked(key, now)
	}
}

// BenchmarkFail is a failure of an address that was not known, in a full set.
func BenchmarkFail(b *testing.B) {
	f, now := NewFailures(DefaultFailures()), time.Now()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		f.Fail(address(i), now)
		i++
	}
}

// BenchmarkTake is what a message costs.
func BenchmarkTake(b *testing.B) {
	for _, c := range []struct {
		name      string
		perSecond int
		step      time.Duration
	}{{"verdict=unlimited", 0, 0}, {"verdict=let", 1000, time.Millisecond}, {"verdict=refused", 1, 1}} {
		b.Run(c.name, func(b *testing.B) {
			r, now := NewRate(c.perSecond), time.Now()
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(c.step)
				r.Take(now)
			}
		})
	}
}

func TestWhatRunsPerMessageAllocatesNothing(t *testing.T) {
	n := mustParse(t, "10.0.0.0/8")
	peer, xff := netip.MustParseAddr("10.0.0.1"), []string{"[2001:db8::1]:5, 10.0.0.2:80"}
	f, c, now := NewFailures(DefaultFailures()), NewCounter[netip.Prefix](9), time.Now()
	f.Fail(address(1), now)
	c.Acquire(address(1))
	let, refused := NewRate(1000), NewRate(1)
	bare := &still{remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}}
	full := newGate(t, GateConfig{ArrivalsPerAddress: 1}).Listen(&pipes{}, Report{})
	full.admit(bare)
	for name, run := range map[string]func(){
		"Client":  func() { n.Client(peer, xff, "") },
		"Key":     func() { Key(peer) },
		"Blocked": func() { f.Blocked(address(1), now) },
		"Counter": func() { c.Acquire(address(1)); c.Release(address(1)) },
		"Take":    func() { now = now.Add(time.Millisecond); let.Take(now); refused.Take(now) },
		"refusal": func() { full.admit(bare) },
	} {
		if got := testing.AllocsPerRun(100, run); got != 0 {
			t.Errorf("%s: %.1f allocations", name, got)
		}
	}
}
