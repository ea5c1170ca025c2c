package limit

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const request = "GET / HTTP/1.1\r\nHost: edge\r\n\r\n"

// newGate returns a gate, which must have all its places when the test ends.
func newGate(t testing.TB, config GateConfig) *observed {
	t.Helper()
	g, err := NewGate(config)
	if err != nil {
		t.Fatal(err)
	}
	return &observed{Gate: g}
}

// observed is a gate whose counts are those of all its listeners.
type observed struct {
	*Gate
	listeners []*Listener
}

func (o *observed) Listen(inner net.Listener, report Report) *Listener {
	l := o.Gate.Listen(inner, report)
	o.listeners = append(o.listeners, l)
	return l
}

func (o *observed) sum(count func(*Listener) uint64) (sum uint64) {
	for _, l := range o.listeners {
		sum += count(l)
	}
	return sum
}

func (o *observed) Accepted() uint64 { return o.sum((*Listener).Accepted) }
func (o *observed) Paced() uint64    { return o.sum((*Listener).Paced) }
func (o *observed) Refused(reason Reason) uint64 {
	return o.sum(func(l *Listener) uint64 { return l.Refused(reason) })
}

// listen returns a listener on a port of all loopback addresses.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve serves HTTP behind the gate and returns the port. Unless the handler says
// something else, the answer's body is the client's address.
func serve(t testing.TB, g *observed, timeout time.Duration, handler http.HandlerFunc) (port string) {
	t.Helper()
	if handler == nil {
		handler = func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) }
	}
	l := listen(t)
	gated := g.Listen(l, Report{})
	server := &http.Server{Handler: handler, ReadHeaderTimeout: timeout}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Serve(gated); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ended: %v", err)
		}
	})
	t.Cleanup(func() {
		_ = server.Close()
		wg.Wait()
		for deadline := time.Now().Add(5 * time.Second); g.HalfOpen() != 0 || g.held.Len() != 0; {
			if time.Now().After(deadline) {
				t.Fatalf("%d places of %d addresses are not given back", g.HalfOpen(), g.held.Len())
			}
		}
	})
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// dial connects from an address of loopback. A connection that was refused before the
// dialer noticed that it had one is returned closed.
func dial(t testing.TB, from, port string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	nc, err := d.DialContext(context.Background(), "tcp4", "127.0.0.1:"+port)
	if errors.Is(err, syscall.ECONNRESET) {
		refused, other := net.Pipe()
		_ = other.Close()
		nc, err = refused, refused.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// get sends a request and returns the body of the answer, or an error where the
// connection was refused.
func get(nc net.Conn, sent string) (string, error) {
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(nc, sent); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(resp.Status)
	}
	return string(body), err
}

// closed reports whether the other end has closed, waiting for it.
func closed(nc net.Conn) bool {
	_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := nc.Read(make([]byte, 1))
	var timeout net.Error
	return err != nil && (!errors.As(err, &timeout) || !timeout.Timeout())
}

func TestNewGateNamesWhatIsWrong(t *testing.T) {
	_, err := NewGate(GateConfig{
		ProxyTimeout: -1, MaxHalfOpen: -1, MaxHalfOpenPerAddress: -1, ArrivalsPerAddress: -1,
		Pace: -1, PaceBurst: -1, HandshakeTimeout: -1, Proxy: ProxyRequired,
	})
	for _, name := range []string{
		"ProxyTimeout", "MaxHalfOpen ", "MaxHalfOpenPerAddress", "ArrivalsPerAddress", "Pace ", "PaceBurst",
		"HandshakeTimeout", "no proxy is trusted",
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q is not named in %v", name, err)
		}
	}
	if _, err := NewGate(GateConfig{Proxy: 9}); err == nil {
		t.Error("mode 9 is accepted")
	}
	if _, err := NewGate(DefaultGate()); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

func TestAFloodOfHalfOpenConnectionsTakesNoMoreThanItsPlaces(t *testing.T) {
	g := newGate(t, GateConfig{MaxHalfOpen: 20})
	port := serve(t, g, 0, nil)
	var flood []net.Conn
	for range 100 {
		flood = append(flood, dial(t, "127.0.0.1", port))
	}
	wait(t, "80 refused", func() bool { return g.Refused(ReasonHalfOpen) == 80 })
	if n := g.HalfOpen(); n != 20 {
		t.Errorf("%d are half-open, want 20", n)
	}
	for i, nc := range flood[20:] {
		if !closed(nc) {
			t.Errorf("connection %d is open", 20+i)
		}
	}
	_ = flood[7].Close()
	wait(t, "the place is given back", func() bool { return g.HalfOpen() == 19 })
	if _, err := get(dial(t, "127.0.0.1", port), request); err != nil {
		t.Errorf("the place that was given back cannot be taken: %v", err)
	}
}

func TestAPlaceComesBackFromWhoNeverFinishes(t *testing.T) {
	g := newGate(t, GateConfig{MaxHalfOpen: 10})
	port := serve(t, g, 300*time.Millisecond, nil)
	var slow []net.Conn
	for range 10 {
		slow = append(slow, dial(t, "127.0.0.1", port))
	}
	wait(t, "all places are taken", func() bool { return g.HalfOpen() == 10 })
	for _, nc := range slow { // half a request, and then nothing
		_, _ = io.WriteString(nc, request[:len(request)-3])
	}
	if !closed(dial(t, "127.0.0.1", port)) {
		t.Error("one too many is served")
	}
	wait(t, "the places come back", func() bool { return g.HalfOpen() == 0 })
	if _, err := get(dial(t, "127.0.0.1", port), request); err != nil {
		t.Error(err)
	}
}

func TestAPlaceComesBackFromWhoNeverReads(t *testing.T) {
	g := newGate(t, GateConfig{MaxHalfOpen: 10, HandshakeTimeout: 300 * time.Millisecond})
	ended := make(chan struct{})
	port := serve(t, g, 0, func(w http.ResponseWriter, _ *http.Request) {
		page := make([]byte, 1<<20)
		for {
			if _, err := w.Write(page); err != nil {
				close(ended)
				return
			}
		}
	})
	nc := dial(t, "127.0.0.1", port)
	_, _ = io.WriteString(nc, request)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the handler still writes")
	}
	wait(t, "the place comes back", func() bool { return g.HalfOpen() == 0 })
	if n := g.Refused(ReasonTimeout); n != 1 {
		t.Errorf("%d timeouts are counted, want 1", n)
	}
}

func TestOneAddressHasItsShareOfPlaces(t *testing.T) {
	g := newGate(t, GateConfig{MaxHalfOpen: 20, MaxHalfOpenPerAddress: 3})
	port := serve(t, g, 0, nil)
	var held []net.Conn
	for range 10 {
		held = append(held, dial(t, "127.0.0.2", port))
	}
	wait(t, "7 refused", func() bool { return g.Refused(ReasonHalfOpenAddress) == 7 })
	if _, err := get(dial(t, "127.0.0.3", port), request); err != nil {
		t.Errorf("another address is refused too: %v", err)
	}
	_ = held[0].Close()
	wait(t, "the share is given back", func() bool {
		return g.held.Held(Key(netip.MustParseAddr("127.0.0.2"))) == 2
	})
	if _, err := get(dial(t, "127.0.0.2", port), request); err != nil {
		t.Errorf("the share that was given back cannot be taken: %v", err)
	}
}

func TestTrustedPeersHaveNoShare(t *testing.T) {
	g := newGate(t, GateConfig{
		Trusted: mustParse(t, "127.0.0.2"), MaxHalfOpenPerAddress: 1, ArrivalsPerAddress: 1,
	})
	port := serve(t, g, 0, nil)
	for range 20 {
		if _, err := get(dial(t, "127.0.0.2", port), request); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOneAddressHasItsShareOfArrivals(t *testing.T) {
	g := newGate(t, GateConfig{ArrivalsPerAddress: 5})
	port := serve(t, g, 0, nil)
	began := time.Now()
	for range 50 {
		_ = dial(t, "127.0.0.2", port).Close()
	}
	wait(t, "50 are decided about", func() bool { return g.Accepted()+g.Refused(ReasonArrivals) == 50 })
	let := g.Accepted()
	if most := 5 + 5*time.Since(began).Seconds() + 1; let < 5 || float64(let) > most {
		t.Errorf("%d came through, want 5 to %.0f", let, most)
	}
	if _, err := get(dial(t, "127.0.0.3", port), request); err != nil {
		t.Errorf("another address is refused too: %v", err)
	}
}

func TestPacedConnectionsWaitInTheBacklog(t *testing.T) {
	g := newGate(t, GateConfig{Pace: 20, PaceBurst: 2})
	port := serve(t, g, 0, nil)
	began := time.Now()
	var wg sync.WaitGroup
	for range 10 {
		nc := dial(t, "127.0.0.1", port) // the kernel takes it at once
		wg.Go(func() {
			if _, err := get(nc, request); err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(began); took < 7*50*time.Millisecond {
		t.Errorf("10 connections with a burst of 2 took %v at 20 a second", took)
	}
	if g.Paced() == 0 {
		t.Error("nobody waited")
	}
}

func TestRefusedConnectionsCostNothingOfThePace(t *testing.T) {
	g := newGate(t, GateConfig{Pace: 1, PaceBurst: 2, ArrivalsPerAddress: 1})
	port := serve(t, g, 0, nil)
	began := time.Now()
	for range 200 {
		_ = dial(t, "127.0.0.2", port).Close()
	}
	// The first of the flood takes one, this one the other.
	if _, err := get(dial(t, "127.0.0.3", port), request); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("served after %v, behind a flood", took)
	}
	wait(t, "the flood is refused", func() bool { return g.Refused(ReasonArrivals) >= 190 })
}

// pipes is a listener that always has a connection.
type pipes struct {
	mu    sync.Mutex
	peers []net.Conn
	gone  bool
}

func (p *pipes) Accept() (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil, net.ErrClosed
	}
	server, client := net.Pipe()
	p.peers = append(p.peers, client)
	return server, nil
}

func (p *pipes) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) last() net.Conn { return p.peers[len(p.peers)-1] }

func TestAcceptKeepsItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, GateConfig{Pace: 10, PaceBurst: 3})
		one, two := g.Listen(&pipes{}, Report{}), g.Listen(&pipes{}, Report{})
		began := time.Now()
		for i := range 13 { // both listeners share the pace
			l := one
			if i%2 == 1 {
				l = two
			}
			nc, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			_ = nc.Close()
		}
		if took := time.Since(began).Round(time.Millisecond); took != time.Second {
			t.Errorf("13 with a burst of 3 took %v at 10 a second", took)
		}
		if g.Paced() != 10 {
			t.Errorf("%d waited, want 10", g.Paced())
		}
	})
}

func TestCloseEndsAWaitingAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, GateConfig{Pace: 1})
		l := g.Listen(&pipes{}, Report{})
		nc, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.Close()
		began := time.Now()
		ended := make(chan error)
		go func() {
			_, err := l.Accept()
			ended <- err
		}()
		synctest.Wait()
		_ = l.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept returned %v", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("Accept returned after %v", took)
		}
	})
}

func TestAHandshakeEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, GateConfig{HandshakeTimeout: 10 * time.Second})
		p := &pipes{}
		l := g.Listen(p, Report{})
		accept := func() *Conn {
			nc, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			return nc.(*Conn)
		}
		slow := accept()
		open, opened := accept(), p.last()
		began := time.Now()
		Opened(open)
		if _, err := slow.Read(make([]byte, 1)); err == nil || time.Since(began) != 10*time.Second {
			t.Errorf("the slow one ended after %v: %v", time.Since(began), err)
		}
		if g.HalfOpen() != 0 || g.Refused(ReasonTimeout) != 1 {
			t.Errorf("%d are half-open, %d counted", g.HalfOpen(), g.Refused(ReasonTimeout))
		}
		go func() { _, _ = opened.Write([]byte("x")) }()
		if _, err := open.Read(make([]byte, 1)); err != nil {
			t.Errorf("the open one was ended: %v", err)
		}
		if err := slow.Close(); err != nil {
			t.Errorf("closing what is closed: %v", err)
		}
		_ = open.Close()
	})
}
