package conn

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// memConn is a connection to a client that sent everything at once, and then its
// end of file.
type memConn struct {
	net.Conn // nil: no other method is used
	in       *bytes.Reader
	closed   chan struct{}
	once     sync.Once

	mu  sync.Mutex
	out bytes.Buffer
}

func newMemConn(input []byte) *memConn {
	return &memConn{in: bytes.NewReader(input), closed: make(chan struct{})}
}

func (c *memConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.in.Read(p)
}

func (c *memConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *memConn) Close() error                     { c.once.Do(func() { close(c.closed) }); return nil }
func (c *memConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *memConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *memConn) SetDeadline(time.Time) error      { return nil }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

// once is a listener with one connection, which ends when that does.
type once struct {
	conn chan *memConn
	gone chan struct{}
}

func (l once) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.gone:
		return nil, net.ErrClosed
	}
}

func (once) Close() error   { return nil }
func (once) Addr() net.Addr { return &net.TCPAddr{} }

// handshake is what came of an input.
type handshake struct {
	calls    int    // of the http handler
	upgraded bool   // Upgrade succeeded
	behind   []byte // what it took over, then what was left to read
	output   []byte
}

// shake lets net/http with the limits of an edge read an input, and Upgrade decide.
func shake(t testing.TB, input []byte) (got handshake) {
	c := newMemConn(input)
	l := once{make(chan *memConn, 1), c.closed}
	l.conn <- c
	server := newHTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.calls++
		nc, buffered, err := Upgrade(w, r, nil)
		if err != nil {
			return
		}
		got.upgraded = true
		rest, err := io.ReadAll(nc)
		if err != nil {
			t.Error(err)
		}
		got.behind = append(buffered, rest...)
		_ = nc.Close()
	}))
	if err := server.Serve(l); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	<-c.closed
	got.output = c.out.Bytes()
	return got
}

// newHTTPServer has the limits that an edge needs: beside those of headers, one for
// a whole request, or a body that never comes holds its connection for ever, and one
// for an answer that nobody reads.
func newHTTPServer(h http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 15 * time.Second,
		MaxHeaderBytes: 16 << 10, Protocols: &protocols, ErrorLog: log.New(io.Discard, "", 0),
	}
}

// plainHeader reads a request as simply as it can be read: its first line, its
// fields by lower-case names, and what is behind it.
func plainHeader(input []byte) (first string, fields map[string][]string, rest []byte) {
	fields = map[string][]string{}
	line := func() (string, bool) {
		one, after, ok := bytes.Cut(input, []byte("\n"))
		input = after
		return strings.TrimSuffix(string(one), "\r"), ok
	}
	first, _ = line()
	for name := ""; ; {
		one, ok := line()
		if one == "" || !ok {
			return first, fields, input
		}
		if values := fields[name]; one[0] == ' ' || one[0] == '\t' { // a folded line
			if len(values) > 0 {
				values[len(values)-1] += " " + one
			}
			continue
		}
		before, value, _ := strings.Cut(one, ":")
		name = strings.ToLower(before)
		fields[name] = append(fields[name], value)
	}
}

// isHandshake reports whether the request is an opening handshake beyond doubt, and
// its key.
func isHandshake(input []byte) (key string, yes bool) {
	first, fields, _ := plainHeader(input)
	holds := func(name, token string) bool {
		return slices.ContainsFunc(strings.Split(strings.ToLower(strings.Join(fields[name], ",")), ","), func(part string) bool {
			return strings.Trim(part, " \t") == token
		})
	}
	only := func(name string) string {
		if len(fields[name]) != 1 {
			return ""
		}
		return strings.Trim(fields[name][0], " \t")
	}
	key = only("sec-websocket-key")
	_, chunked := fields["transfer-encoding"]
	empty := !slices.ContainsFunc(fields["content-length"], func(v string) bool { return strings.Trim(v, " \t0") != "" })
	return key, regexp.MustCompile(`^GET \S+ HTTP/1\.[1-9]$`).MatchString(first) &&
		holds("connection", "upgrade") && holds("upgrade", "websocket") && only("sec-websocket-version") == "13" &&
		regexp.MustCompile(`^[A-Za-z0-9+/]{22}==$`).MatchString(key) &&
		len(fields["host"]) == 1 && !chunked && empty
}

// checkShake holds what came of an input against what may.
func checkShake(t *testing.T, input []byte, got handshake) {
	t.Helper()
	if got.calls > 1 {
		t.Errorf("%d requests were read from one handshake", got.calls)
	}
	if got.upgraded {
		key, yes := isHandshake(input)
		if !yes {
			t.Errorf("accepted %q", input)
		}
		sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		want := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"
		if string(got.output) != want {
			t.Errorf("answer %q, want %q", got.output, want)
		}
		if _, _, rest := plainHeader(input); !bytes.Equal(got.behind, rest) {
			t.Errorf("behind the request %q, want %q", got.behind, rest)
		}
		return
	}
	if len(got.output) == 0 {
		return // nothing to answer
	}
	r := bufio.NewReader(bytes.NewReader(got.output))
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("answer %q: %v", got.output, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 400 || !resp.Close {
		t.Errorf("status %d, close %t", resp.StatusCode, resp.Close)
	}
	for name := range resp.Header {
		switch name {
		case "Connection", "Upgrade", "Sec-Websocket-Version", "Allow", "Content-Type", "X-Content-Type-Options", "Date", "Content-Length":
		default:
			t.Errorf("header %q", name)
		}
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || bytes.ContainsFunc(body, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) {
		t.Errorf("body %q, %v", body, err)
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Errorf("a second answer: %q", rest)
	}
}

// shapes are ways to say two things with one request.
var shapes = []struct {
	name, old, new string
	status         int // 101 for an upgrade
}{
	{"two lengths that differ", "Host: edge", "Host: edge\r\nContent-Length: 0\r\nContent-Length: 5", 400},
	{"two lengths that agree on nothing", "Host: edge", "Host: edge\r\nContent-Length: 0\r\nContent-Length: 0", 101},
	{"a length with a sign", "Host: edge", "Host: edge\r\nContent-Length: +0", 400},
	{"a negative length", "Host: edge", "Host: edge\r\nContent-Length: -1", 400},
	{"a length and chunks", "Host: edge", "Host: edge\r\nContent-Length: 4\r\nTransfer-Encoding: chunked", 400},
	{"chunks spelled oddly", "Host: edge", "Host: edge\r\nTransfer-Encoding: xchunked", 501},
	{"chunks twice", "Host: edge", "Host: edge\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 501},
	{"chunks in a vertical tab", "Host: edge", "Host: edge\r\nTransfer-Encoding:\x0bchunked", 400},
	{"a space before the colon", "Upgrade: websocket", "Upgrade : websocket", 400},
	{"a host that is folded", "Host: edge\r\n", "Host: edge\r\n other\r\n", 400},
	{"NUL in a value", "Host: edge", "Host: edge\r\nX: a\x00b", 400},
	{"a bare CR in a value", "Host: edge", "Host: edge\r\nX: a\rContent-Length: 5", 400},
	{"lines that end in LF", "\r\nUpgrade", "\nUpgrade", 101},
	{"no host", "Host: edge\r\n", "", 400},
	{"an empty host", "Host: edge", "Host:", 400},
	{"two hosts", "Host: edge", "Host: edge\r\nHost: other", 400},
	{"a host with a path", "Host: edge", "Host: edge/../x", 400},
	{"a target with a host", "/ws", "http://other/ws", 101},
	{"a target with a tab", "/ws", "/ws\t", 400},
	{"lower case method", "GET", "get", 405},
	{"HTTP/1.2", "HTTP/1.1", "HTTP/1.2", 101},
	{"HTTP/2.0", "HTTP/1.1", "HTTP/2.0", 505},
	{"HTTP/01.1", "HTTP/1.1", "HTTP/01.1", 400},
	{"a preface of HTTP/2", "GET /ws HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405},
	{"CONNECT", "GET /ws", "CONNECT edge:80", 405},
	{"an empty key", "dGhlIHNhbXBsZSBub25jZQ==", "", 400},
	{"a key with blanks inside", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBs ZSBub25jZQ==", 400},
	{"a key without padding", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", 400},
	{"a key in the alphabet of URLs", "dGhlIHNhbXBsZSBub25jZQ==", "-_hlIHNhbXBsZSBub25jZQ==", 400},
	{"a key that is folded", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBs\r\n ZSBub25jZQ==", 400},
	{"a key of 17 bytes", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZTE=", 400},
	{"a key with stray bits", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR==", 101},
	{"two keys in one", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==", 400},
	{"version 013", "Version: 13", "Version: 013", 426},
	{"version 13, 8", "Version: 13", "Version: 13, 8", 426},
	{"version 1337", "Version: 13", "Version: 1337", 426},
	{"Upgrade of h2c and websocket", "Upgrade: websocket", "Upgrade: h2c, websocket", 101},
	{"Upgrade of websocket/13", "Upgrade: websocket", "Upgrade: websocket/13", 426},
	{"Connection: close, Upgrade", "Connection: Upgrade", "Connection: close, Upgrade", 101},
	{"Expect", "Host: edge", "Host: edge\r\nExpect: 100-continue", 101},
	{"Expect something else", "Host: edge", "Host: edge\r\nExpect: wonders", 417},
	{"a header of 32 KiB", "Host: edge", "Host: edge\r\nX: " + strings.Repeat("x", 32<<10), 431},
	{"6000 headers", "Host: edge", "Host: edge" + strings.Repeat("\r\nX: y", 6000), 431},
	{"a target of 32 KiB", "/ws", "/" + strings.Repeat("w", 32<<10), 431},
	{"a protocol with a line end", "Host: edge", "Host: edge\r\nSec-WebSocket-Protocol: a\r\n\tX-Evil: b", 101},
	{"extensions without end", "Host: edge", "Host: edge\r\nSec-WebSocket-Extensions: " + strings.Repeat("permessage-deflate;;\"", 200), 101},
}

func TestHandshakesThatSayTwoThings(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: edge\r\n\r\n"
	for _, c := range shapes {
		t.Run(c.name, func(t *testing.T) {
			input := []byte(strings.Replace(goodHandshake, c.old, c.new, 1) + smuggled)
			got := shake(t, input)
			checkShake(t, input, got)
			if want := fmt.Sprintf("HTTP/1.1 %d ", c.status); !strings.HasPrefix(string(got.output), want) {
				t.Errorf("answer %.200q, want %s", got.output, want)
			}
		})
	}
}

// TestNothingBehindARefusedHandshakeIsARequest sends a second request behind each
// refusal: a proxy that opens a tunnel without a look at the status must not reach
// anything else with it.
func TestNothingBehindARefusedHandshakeIsARequest(t *testing.T) {
	for _, c := range []struct{ old, new string }{
		{"Version: 13", "Version: 1337"}, {"Upgrade: websocket\r\nConnection: Upgrade\r\n", ""},
		{"Connection: Upgrade\r\n", "Connection: keep-alive\r\n"}, {"dGhl", "!!!!"}, {"GET", "POST"},
	} {
		input := strings.Replace(goodHandshake, c.old, c.new, 1) + "GET /metrics HTTP/1.1\r\nHost: edge\r\n\r\n"
		if got := shake(t, []byte(input)); got.calls != 1 || bytes.Count(got.output, []byte("HTTP/1.1 ")) != 1 {
			t.Errorf("%s: %d requests, answer %q", c.new, got.calls, got.output)
		}
	}
}

// TestBytesBehindAHandshakeOfAnyLength has requests around the size of the buffer
// that net/http reads with, and far more behind them than it holds.
func TestBytesBehindAHandshakeOfAnyLength(t *testing.T) {
	behind := strings.Repeat("frames", 2000)
	for size := 4090; size <= 4100; size++ {
		for _, more := range []string{"", "f", behind[:4095], behind[:4096], behind} {
			pad := "\r\nX-Pad: " + strings.Repeat("x", size-len(goodHandshake)-len("\r\nX-Pad: "))
			input := strings.Replace(goodHandshake, "Host: edge", "Host: edge"+pad, 1)
			if len(input) != size {
				t.Fatalf("%d bytes", len(input))
			}
			got := shake(t, []byte(input+more))
			if !got.upgraded || string(got.behind) != more {
				t.Errorf("a request of %d bytes: %t, %d bytes behind it of %d", size, got.upgraded, len(got.behind), len(more))
			}
		}
	}
}

// TestUpgradeHeaderCannotBeInjected gives Upgrade what a careless caller might have
// taken from a client.
func TestUpgradeHeaderCannotBeInjected(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if nc, _, err := Upgrade(w, r, http.Header{"X-Edge": {"e1\r\nX-Evil: yes\r\n\r\nhello"}}); err == nil {
			_ = nc.Close()
		}
	}))
	defer s.Close()
	_, r, resp := request(t, s, goodHandshake)
	if resp.Header.Get("X-Evil") != "" {
		t.Errorf("header %v", resp.Header)
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Errorf("%q behind the answer", rest)
	}
}

// FuzzUpgrade holds the answer to any bytes against a plain reading of them: only
// what is a handshake beyond doubt is accepted, the answer holds nothing that the
// client chose, what is behind the request arrives as it was sent, and nothing is
// ever read as a second request.
func FuzzUpgrade(f *testing.F) {
	f.Add([]byte(goodHandshake + "\x81\x85abcdhello"))
	for _, c := range shapes {
		if len(c.new) < 1000 {
			f.Add([]byte(strings.Replace(goodHandshake, c.old, c.new, 1)))
		}
	}
	f.Fuzz(func(t *testing.T, input []byte) { checkShake(t, input, shake(t, input)) })
}
