package limit

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
)

// told is what a Report was told.
type told struct {
	mu      sync.Mutex
	refused map[Reason][]string
	failed  []error
}

func (t *told) report() Report {
	t.refused = map[Reason][]string{}
	return Report{
		Refused: func(from netip.Addr, reason Reason) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.refused[reason] = append(t.refused[reason], from.String())
		},
		Failed: func(err error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.failed = append(t.failed, err)
		},
	}
}

func (t *told) of(reason Reason) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refused[reason]
}

// accepting accepts everything of a listener on a port until the test ends.
func accepting(t *testing.T, l *Listener, inner net.Listener) (port string) {
	t.Helper()
	var wg sync.WaitGroup
	var held []net.Conn
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				held = append(held, nc)
				wg.Go(func() { _, _ = nc.Read(make([]byte, 1)) })
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		for _, nc := range held {
			_ = nc.Close()
		}
		wg.Wait()
	})
	_, port, _ = net.SplitHostPort(inner.Addr().String())
	return port
}

// TestAFloodOfOneListenerLeavesPlacesToTheOthers: a quarter to all of them together, and
// less the more are flooded.
func TestAFloodOfOneListenerLeavesPlacesToTheOthers(t *testing.T) {
	g := newGate(t, GateConfig{MaxHalfOpen: 20})
	var flooded, quiet told
	one, two := listen(t), listen(t)
	first, second := g.Listen(one, flooded.report()), g.Listen(two, quiet.report())
	port := accepting(t, first, one)
	other := accepting(t, second, two)
	for range 50 {
		dial(t, "127.0.0.2", port)
	}
	wait(t, "35 are refused", func() bool { return first.Refused(ReasonHalfOpenListener) == 35 })
	if first.HalfOpen() != 15 || second.HalfOpen() != 0 {
		t.Errorf("%d and %d are half-open", first.HalfOpen(), second.HalfOpen())
	}
	for range 3 {
		dial(t, "127.0.0.3", other)
	}
	wait(t, "the others are let through", func() bool { return second.HalfOpen() == 3 })
	if got := flooded.of(ReasonHalfOpenListener); len(got) != 35 || got[0] != "127.0.0.2" || len(quiet.refused) != 0 {
		t.Errorf("told of %v, and of %v", got, quiet.refused)
	}
}

func TestWhoMayNotConnectAtAllTakesNoPlace(t *testing.T) {
	allow := mustParse(t, "127.0.0.2")
	g := newGate(t, GateConfig{Allow: &allow, MaxHalfOpen: 2})
	var told told
	inner := listen(t)
	l := g.Listen(inner, told.report())
	port := accepting(t, l, inner)
	for range 10 {
		if !closed(dial(t, "127.0.0.3", port)) {
			t.Error("it is open")
		}
	}
	dial(t, "127.0.0.2", port)
	wait(t, "who may is accepted", func() bool { return l.HalfOpen() == 1 })
	if got := told.of(ReasonNetwork); len(got) != 10 || got[0] != "127.0.0.3" || l.Refused(ReasonNetwork) != 10 {
		t.Errorf("told of %v", got)
	}
}

// TestARefusalBehindAProxyIsTheClients: the one of the header, as soon as it is known.
func TestARefusalBehindAProxyIsTheClients(t *testing.T) {
	g := newGate(t, GateConfig{Trusted: mustParse(t, "127.0.0.2"), Proxy: ProxyRequired, MaxHalfOpenPerAddress: 1})
	var told told
	inner := listen(t)
	l := g.Listen(inner, told.report())
	port := accepting(t, l, inner)
	for range 2 {
		_, _ = io.WriteString(dial(t, "127.0.0.2", port), "PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n")
	}
	wait(t, "one is refused", func() bool { return l.Refused(ReasonHalfOpenAddress) == 1 })
	_, _ = io.WriteString(dial(t, "127.0.0.2", port), request)
	wait(t, "another is", func() bool { return l.Refused(ReasonProxyMissing) == 1 })
	if a, b := told.of(ReasonHalfOpenAddress), told.of(ReasonProxyMissing); len(a) != 1 || a[0] != "192.0.2.1" || len(b) != 1 || b[0] != "127.0.0.2" {
		t.Errorf("told of %v and %v", a, b)
	}
}

// broken is a listener that has a few errors and is then closed.
type broken struct {
	pipes
	left int
}

func (b *broken) Accept() (net.Conn, error) {
	if b.left--; b.left < 0 {
		return nil, net.ErrClosed
	}
	return nil, syscall.EMFILE
}

func TestWhyNothingIsAcceptedIsTold(t *testing.T) {
	var told told
	l := newGate(t, GateConfig{}).Listen(&broken{left: 3}, told.report())
	for range 5 {
		if _, err := l.Accept(); err == nil {
			t.Error("accepted")
		}
	}
	if len(told.failed) != 3 || !errors.Is(told.failed[0], syscall.EMFILE) || l.Failed() != 3 {
		t.Errorf("told of %v, %d are counted", told.failed, l.Failed())
	}
}
