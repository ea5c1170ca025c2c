package limit

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pires/go-proxyproto"

	"github.com/bodhisattva/indranet/edge/conn"
)

// upgrading serves WebSockets on a server behind the gate, and hands the engine what
// Opened returns. Each connection is told on served, and stays open until the client
// closes it.
func upgrading(t *testing.T, g *observed, secure bool) (s *httptest.Server, served chan net.Conn) {
	t.Helper()
	engine, err := conn.New(conn.Config{})
	if err != nil {
		t.Fatal(err)
	}
	served = make(chan net.Conn, 100)
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nc, buffered, err := conn.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		nc = Opened(nc)
		served <- nc
		if err := engine.Serve(nc, buffered, func(c conn.Conn) conn.Handler { return &echo{conn: c} }); err != nil {
			t.Errorf("serve: %v", err)
		}
	}))
	_ = s.Listener.Close()
	s.Listener = g.Listen(listen(t), Report{})
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := engine.Shutdown(ctx, conn.CloseGoingAway, func() string { return "" }); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		s.Close()
	})
	return s, served
}

// echo sends back what it receives.
type echo struct {
	conn conn.Conn
	mu   sync.Mutex
	out  [][]byte
}

func (e *echo) Receive(b []byte) bool {
	e.mu.Lock()
	e.out = append(e.out, conn.EncodeFrame(b))
	e.mu.Unlock()
	e.conn.Wake()
	return true
}

func (e *echo) Fill(dst net.Buffers, _ int) net.Buffers {
	e.mu.Lock()
	defer e.mu.Unlock()
	dst = append(dst, e.out...)
	e.out = nil
	return dst
}

func (e *echo) Tick(time.Time)     {}
func (e *echo) Closed(conn.Reason) {}

func echoed(t *testing.T, ws *websocket.Conn, message string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := ws.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		t.Fatal(err)
	}
	if _, b, err := ws.Read(ctx); err != nil || string(b) != message {
		t.Fatalf("read %d bytes, %v", len(b), err)
	}
}

func TestAnUpgradeGivesThePlaceBack(t *testing.T) {
	for _, c := range []struct {
		name            string
		secure, proxied bool
	}{{"plain", false, false}, {"TLS", true, false}, {"plain behind PROXY", false, true}, {"TLS behind PROXY", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			config := GateConfig{MaxHalfOpen: 2, MaxHalfOpenPerAddress: 2, HandshakeTimeout: time.Minute}
			header := ""
			if c.proxied {
				config.Trusted, config.Proxy = mustParse(t, "loopback"), ProxyOnly
				header = version2(t, "192.0.2.1:5678", proxyproto.PROXY, 0)
			}
			g := newGate(t, config)
			s, served := upgrading(t, g, c.secure)
			address := strings.Replace(s.URL, "0.0.0.0", "127.0.0.1", 1)
			client := &http.Client{Transport: &http.Transport{
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
				DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					nc, err := new(net.Dialer).DialContext(ctx, network, address)
					if err == nil && header != "" {
						_, err = nc.Write([]byte(header))
					}
					return nc, err
				},
			}}
			defer client.CloseIdleConnections()
			for range 10 { // more than there are places
				ws, _, err := websocket.Dial(t.Context(), address, &websocket.DialOptions{HTTPClient: client})
				if err != nil {
					t.Fatal(err)
				}
				echoed(t, ws, strings.Repeat("x", 10_000))
				defer func() { _ = ws.CloseNow() }()
				switch nc := (<-served).(type) {
				case *net.TCPConn:
					if c.secure {
						t.Error("TLS was taken off")
					}
				case *tls.Conn:
					if _, ok := nc.NetConn().(*Conn).NetConn().(*net.TCPConn); !ok {
						t.Error("below TLS and the gate is no TCP connection")
					}
				default:
					t.Errorf("the engine is given a %T", nc)
				}
			}
			if g.HalfOpen() != 0 || g.held.Len() != 0 {
				t.Errorf("%d half-open of %d addresses while all are open", g.HalfOpen(), g.held.Len())
			}
			for _, reason := range Reasons() {
				if n := g.Refused(reason); n != 0 {
					t.Errorf("%d refused: %s", n, reason)
				}
			}
		})
	}
}

func TestAPlaceComesBackFromAStalledTLSHandshake(t *testing.T) {
	g := newGate(t, GateConfig{MaxHalfOpen: 5, HandshakeTimeout: 300 * time.Millisecond})
	s, _ := upgrading(t, g, true)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	for i := range 5 {
		hello := []byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3} // of 512 bytes, the first few
		if _, err := dial(t, "127.0.0.1", port).Write(hello[:2*i]); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, "all places are taken", func() bool { return g.Accepted() == 5 })
	wait(t, "the places come back", func() bool { return g.HalfOpen() == 0 })
	if n := g.Refused(ReasonTimeout); n != 5 {
		t.Errorf("%d timeouts are counted, want 5", n)
	}
}

func TestThePlaceIsGivenBackOnce(t *testing.T) {
	g := newGate(t, GateConfig{MaxHalfOpen: 1000, MaxHalfOpenPerAddress: 1000, HandshakeTimeout: time.Millisecond})
	l := listen(t)
	gated := g.Listen(l, Report{})
	defer func() { _ = gated.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for range 200 {
		dial(t, "127.0.0.1", port)
		nc, err := gated.Accept()
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { Opened(nc) })
			wg.Go(func() { _ = nc.Close() })
			wg.Go(func() { nc.(*Conn).Opened() })
		}
		wg.Wait()
		if g.HalfOpen() != 0 || g.held.Len() != 0 {
			t.Fatalf("%d half-open of %d addresses", g.HalfOpen(), g.held.Len())
		}
	}
}

func TestOpenedKnowsItsOwnOnly(t *testing.T) {
	one, two := net.Pipe()
	defer func() { _, _ = one.Close(), two.Close() }()
	if Opened(one) != one {
		t.Error("a connection of nobody was exchanged")
	}
	if over := tls.Server(one, nil); Opened(over) != over {
		t.Error("TLS over a connection of nobody was exchanged")
	}
	if Opened(nil) != nil {
		t.Error("nothing was exchanged")
	}
}

func TestCloseWriteReachesTheSocket(t *testing.T) {
	g := newGate(t, GateConfig{})
	l := listen(t)
	gated := g.Listen(l, Report{})
	defer func() { _ = gated.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	client := dial(t, "127.0.0.1", port)
	nc, err := gated.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if err := nc.(*Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if !closed(client) {
		t.Error("the client sees no end")
	}
	if _, err := client.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if n, err := nc.Read(make([]byte, 9)); n != 1 || err != nil {
		t.Errorf("read %d, %v: the other half is closed too", n, err)
	}
	if a := AddrOf(nc.RemoteAddr()); a != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("the peer is %v", a)
	}
}
