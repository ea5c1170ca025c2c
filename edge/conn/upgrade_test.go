package conn

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// newServer upgrades every request and serves it with what open gives. With tls it
// speaks wss.
func newServer(t *testing.T, e Engine, tls bool, open func(Conn) Handler) *httptest.Server {
	t.Helper()
	// The server does not wait for handlers of hijacked connections.
	var handlers sync.WaitGroup
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		nc, buffered, err := Upgrade(w, r, http.Header{"X-Edge": {"e1"}})
		if err != nil {
			return
		}
		if err := e.Serve(nc, buffered, open); err != nil && !errors.Is(err, ErrFull) {
			t.Errorf("serve: %v", err)
		}
	}))
	if tls {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		s.Close()
		handlers.Wait()
	})
	return s
}

const goodHandshake = "GET /ws HTTP/1.1\r\nHost: edge\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// request sends bytes to a server and returns the connection and the response.
func request(t *testing.T, s *httptest.Server, input string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	nc, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(nc, input); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(nc)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodGet})
	if err != nil {
		t.Fatal(err)
	}
	return nc, r, resp
}

func TestUpgradeAnswersTheHandshake(t *testing.T) {
	for name, c := range map[string]struct{ old, new string }{
		"as printed in the RFC": {},
		"any case":              {"websocket\r\nConnection: Upgrade", "WebSocket\r\nconnection: upgrade"},
		"Firefox":               {"Connection: Upgrade", "Connection: keep-alive, Upgrade"},
		"two Connection lines":  {"Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade"},
		"offers":                {"Sec-WebSocket-Version", "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Version"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, Config{})
			h := newTap(t)
			s := newServer(t, e, false, h.open)
			input := goodHandshake
			if c.old != "" {
				input = strings.Replace(input, c.old, c.new, 1)
			}
			nc, _, resp := request(t, s, input)
			if resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("status %s", resp.Status)
			}
			for key, want := range map[string]string{
				"Sec-Websocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Upgrade": "websocket",
				"Connection": "Upgrade", "X-Edge": "e1",
				"Sec-Websocket-Protocol": "", "Sec-Websocket-Extensions": "",
			} {
				if got := resp.Header.Get(key); got != want {
					t.Errorf("%s: %q, want %q", key, got, want)
				}
			}
			_ = nc.Close()
			h.wantClosed(CloseAbnormal)
		})
	}
}

func TestUpgradeRefusesByStatus(t *testing.T) {
	e := newEngine(t, Config{})
	s := newServer(t, e, false, newTap(t).open)
	for name, c := range map[string]struct {
		old, new string
		status   int
	}{
		"a plain visit":           {"Upgrade: websocket\r\nConnection: Upgrade\r\n", "", 426},
		"POST":                    {"GET", "POST", 405},
		"HTTP/1.0":                {"HTTP/1.1", "HTTP/1.0", 426},
		"no Connection":           {"Connection: Upgrade\r\n", "", 426},
		"Connection: upgraded":    {"Connection: Upgrade", "Connection: upgraded", 426},
		"another protocol":        {"Upgrade: websocket", "Upgrade: h2c", 426},
		"version 8":               {"Version: 13", "Version: 8", 426},
		"no version":              {"Sec-WebSocket-Version: 13\r\n", "", 400},
		"two versions":            {"Version: 13", "Version: 13\r\nSec-WebSocket-Version: 8", 426},
		"no key":                  {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400},
		"two keys":                {"Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key", 400},
		"a short key":             {"dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", 400},
		"24 bytes but not base64": {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ!==", 400},
		"a body":                  {"Host: edge", "Host: edge\r\nContent-Length: 3", 400},
		"a chunked body":          {"Host: edge", "Host: edge\r\nTransfer-Encoding: chunked", 400},
	} {
		t.Run(name, func(t *testing.T) {
			nc, _, resp := request(t, s, strings.Replace(goodHandshake, c.old, c.new, 1))
			if resp.StatusCode != c.status {
				t.Errorf("status %d, want %d", resp.StatusCode, c.status)
			}
			if v := resp.Header.Get("Sec-Websocket-Version"); v != "13" {
				t.Errorf("Sec-WebSocket-Version %q", v)
			}
			if c.status == 405 && resp.Header.Get("Allow") != "GET" {
				t.Errorf("Allow %q", resp.Header.Get("Allow"))
			}
			if c.status == 426 && resp.Header.Get("Upgrade") != "websocket" {
				t.Errorf("Upgrade %q", resp.Header.Get("Upgrade"))
			}
			_ = nc.Close()
		})
	}
	if n := e.Stats().Opened.Load(); n != 0 {
		t.Errorf("%d connections opened", n)
	}
}

func TestUpgradeErrorsMatchErrHandshake(t *testing.T) {
	w := httptest.NewRecorder()
	_, _, err := Upgrade(w, httptest.NewRequest(http.MethodGet, "/", nil), nil)
	if !errors.Is(err, ErrHandshake) || w.Code != http.StatusUpgradeRequired {
		t.Errorf("error %v, status %d", err, w.Code)
	}
	// A good request whose connection cannot be taken over is no fault of the client.
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for key, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		r.Header.Set(key, value)
	}
	w = httptest.NewRecorder()
	_, _, err = Upgrade(w, r, nil)
	if err == nil || errors.Is(err, ErrHandshake) || w.Code != http.StatusInternalServerError {
		t.Errorf("error %v, status %d", err, w.Code)
	}
}

func TestBytesBehindTheHandshakeAreKept(t *testing.T) {
	e := newEngine(t, Config{})
	for _, cut := range []int{0, 3} { // all of the frame in one segment, or its start
		h := newTap(t)
		s := newServer(t, e, false, h.open)
		frame := string(text("early"))
		nc, r, resp := request(t, s, goodHandshake+frame[:len(frame)-cut])
		if resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("status %s", resp.Status)
		}
		c := &client{t: t, nc: nc, r: r}
		c.write([]byte(frame[len(frame)-cut:]), text("later"))
		h.wantMessage("early")
		h.wantMessage("later")
		c.write(closing(CloseNormal, "done"))
		c.wantFrame(ws.OpClose, "\x03\xe8done")
		h.wantClosed(CloseNormal)
	}
}
