package conn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipeListener is a listener of net.Pipe, for fake time.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{make(chan net.Conn), make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// dial opens a connection to whoever accepts.
func (l *pipeListener) dial() net.Conn {
	server, peer := net.Pipe()
	l.conns <- server
	return peer
}

// inFakeHTTP runs a test against an engine behind an HTTP server with an edge's
// limits, over pipes and in fake time. /page is an ordinary page.
func inFakeHTTP(t *testing.T, config *tls.Config, test func(t *testing.T, e Engine, l *pipeListener)) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer stop(t, e)
		l := newPipeListener()
		server := newHTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/page" {
				_, _ = w.Write(make([]byte, 100_000)) // nobody is there to tell
				return
			}
			if nc, buffered, err := Upgrade(w, r, nil); err == nil {
				if err := e.Serve(nc, buffered, newTap(t).open); err != nil {
					t.Error(err)
				}
			}
		}))
		server.TLSConfig = config
		served := make(chan error)
		go func() {
			if config != nil {
				served <- server.ServeTLS(l, "", "")
			} else {
				served <- server.Serve(l)
			}
		}()
		test(t, e, l)
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// TestHandshakesThatNeverEndAreCut: every way of not getting on with a request ends
// with the connection, in a time that the server set.
func TestHandshakesThatNeverEndAreCut(t *testing.T) {
	head, _, _ := strings.Cut(goodHandshake, "\r\n\r\n")
	drip := func(text string) func(net.Conn) {
		return func(nc net.Conn) {
			for i := range text {
				if _, err := io.WriteString(nc, text[i:i+1]); err != nil {
					return
				}
				pass(time.Second)
			}
		}
	}
	say := func(text string) func(net.Conn) {
		return func(nc net.Conn) { _, _ = io.WriteString(nc, text) } // how far it comes is what is tested
	}
	const page = "GET /page HTTP/1.1\r\nHost: edge\r\n"
	for _, c := range []struct {
		name   string
		attack func(net.Conn)
		reads  bool
		within time.Duration
	}{
		{"silence", say(""), true, 5 * time.Second},
		{"half a request", say(head), true, 5 * time.Second},
		{"a byte a second", drip(goodHandshake), true, 5 * time.Second},
		{"a header line a second", func(nc net.Conn) {
			say(head)(nc)
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(nc, "\r\nX-%d: y", i); err != nil {
					return
				}
				pass(time.Second)
			}
		}, true, 5 * time.Second},
		{"a line without end", say("GET /" + strings.Repeat("x", 1<<20)), true, time.Second},
		{"a body that never comes", say(page + "Content-Length: 100\r\n\r\n"), true, 10 * time.Second},
		{"a body of a byte a second", func(nc net.Conn) {
			say(page + "Transfer-Encoding: chunked\r\n\r\n")(nc)
			drip(strings.Repeat("1\r\nx\r\n", 1000))(nc)
		}, true, 10 * time.Second},
		{"a handshake with a body that never comes", say(head + "\r\nContent-Length: 100\r\n\r\n"), true, 10 * time.Second},
		{"a page that nobody reads", say(page + "\r\n"), false, 30 * time.Second},
		{"an answered handshake that nobody reads", say(goodHandshake), false, upgradeTimeout},
		{"a refused handshake", say(strings.Replace(goodHandshake, "13", "8", 1)), true, time.Second},
		{"idling after a page", say(page + "\r\n"), true, 15 * time.Second},
		{"a page, then a byte a second", func(nc net.Conn) {
			say(page + "\r\n")(nc)
			drip(goodHandshake)(nc)
		}, true, 6 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFakeHTTP(t, nil, func(t *testing.T, e Engine, l *pipeListener) {
				nc := l.dial()
				defer nc.Close()
				start := time.Now()
				attacked := make(chan struct{})
				go func() {
					defer close(attacked)
					c.attack(nc)
				}()
				if c.reads {
					_, _ = io.Copy(io.Discard, nc) // until the server closes it
				} else {
					<-attacked
					pass(c.within + time.Second)
					buf := make([]byte, 64<<10)
					for n := 0; ; {
						more, err := nc.Read(buf)
						if err != nil {
							break
						}
						if n += more; n > 8<<10 {
							t.Fatal("it was still being written")
						}
					}
				}
				if took := time.Since(start); took > c.within+2*time.Second {
					t.Errorf("cut after %v, want %v", took, c.within)
				}
				<-attacked
				if n := e.Len(); n != 0 {
					t.Errorf("%d connections of the engine", n)
				}
			})
		})
	}
}

// TestHalfOpenFloodIsGoneInTime: thousands of connections that say nothing are all
// gone when the time for their headers is up, and leave no goroutine.
func TestHalfOpenFloodIsGoneInTime(t *testing.T) {
	s := httptest.NewTLSServer(nil) // for its certificate
	s.Close()
	for name, config := range map[string]*tls.Config{"plain": nil, "TLS": {Certificates: s.TLS.Certificates}} {
		t.Run(name, func(t *testing.T) {
			inFakeHTTP(t, config, func(t *testing.T, _ Engine, l *pipeListener) {
				before := runtime.NumGoroutine()
				const flood = 2000
				conns := make([]net.Conn, flood)
				for i := range conns {
					conns[i] = l.dial()
				}
				synctest.Wait()
				start := time.Now()
				for _, nc := range conns {
					if n, err := io.Copy(io.Discard, nc); n != 0 || err != nil {
						t.Fatalf("%d bytes, %v", n, err)
					}
				}
				if took := time.Since(start); took > 6*time.Second {
					t.Errorf("gone after %v", took)
				}
				synctest.Wait()
				if n := runtime.NumGoroutine(); n > before+flood/100 {
					t.Errorf("%d goroutines, %d before", n, before)
				}
			})
		})
	}
}

// TestClientsOfOneByteASecondDelayNobody has clients that send a message byte by
// byte, for minutes, beside one that wants its answer now.
func TestClientsOfOneByteASecondDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(Config{MessageTimeout: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer stop(t, e)
		frame := text(strings.Repeat("s", 300))
		var slow []*tap
		var wg sync.WaitGroup
		defer wg.Wait()
		for range 50 {
			h := newTap(t)
			c := connectPipe(t, e, h)
			slow = append(slow, h)
			go func() { _, _ = io.Copy(io.Discard, c.nc) }()
			wg.Go(func() {
				for i := range frame {
					if _, err := c.nc.Write(frame[i : i+1]); err != nil {
						t.Error(err)
					}
					pass(time.Second)
				}
			})
		}
		h := newEcho(t)
		c := connectPipe(t, e, h)
		for i := range 100 {
			pass(time.Second)
			synctest.Wait()
			start := time.Now()
			go c.write(text(fmt.Sprint(i)))
			for {
				op, p, err := c.read()
				if err != nil {
					t.Fatal(err)
				}
				if op == 0x1 && string(p) == fmt.Sprint(i) {
					break
				}
			}
			if took := time.Since(start); took != 0 {
				t.Fatalf("answer %d took %v", i, took)
			}
		}
		go func() { _, _ = io.Copy(io.Discard, c.nc) }()
		for _, h := range slow {
			select {
			case got := <-h.messages:
				if got != strings.Repeat("s", 300) {
					t.Errorf("message %q", got)
				}
			case why := <-h.closed:
				t.Fatalf("closed with %v", why)
			}
		}
	})
}
