package conn

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// patience bounds what a test on real sockets waits for.
const patience = 20 * time.Second

// tap is a handler that sends what it is told, keeps what comes, and checks that
// the engine keeps its promises on the order of calls.
type tap struct {
	t       testing.TB
	conn    Conn
	receive func(payload []byte) bool // nil keeps the message
	tick    atomic.Pointer[func(time.Time)]

	receiving, filling, ticking, ended atomic.Int32
	opened                             chan struct{}
	closed                             chan Reason
	messages                           chan string

	mu    sync.Mutex
	queue net.Buffers
	fills int
}

func newTap(t testing.TB) *tap {
	return &tap{
		t: t, opened: make(chan struct{}), closed: make(chan Reason, 2), messages: make(chan string, 1024),
	}
}

// open is what Serve wants.
func (h *tap) open(c Conn) Handler {
	h.conn = c
	close(h.opened)
	return h
}

// enter checks that a call is alone, and not after Closed.
func (h *tap) enter(calls *atomic.Int32, name string) func() {
	if calls.Add(1) != 1 {
		h.t.Errorf("two calls of %s at once", name)
	}
	if h.ended.Load() != 0 {
		h.t.Errorf("%s after Closed", name)
	}
	return func() { calls.Add(-1) }
}

func (h *tap) Receive(payload []byte) bool {
	defer h.enter(&h.receiving, "Receive")()
	if h.receive != nil {
		return h.receive(payload)
	}
	h.messages <- string(payload)
	return true
}

func (h *tap) Fill(dst net.Buffers, budget int) net.Buffers {
	defer h.enter(&h.filling, "Fill")()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fills++
	for budget > 0 && len(h.queue) > 0 {
		dst = append(dst, h.queue[0])
		budget -= len(h.queue[0])
		h.queue = h.queue[1:]
	}
	return dst
}

func (h *tap) Tick(now time.Time) {
	defer h.enter(&h.ticking, "Tick")()
	if tick := h.tick.Load(); tick != nil {
		(*tick)(now)
	}
}

func (h *tap) Closed(why Reason) {
	if h.ended.Add(1) != 1 {
		h.t.Error("Closed twice")
	}
	if h.receiving.Load()+h.filling.Load()+h.ticking.Load() != 0 {
		h.t.Error("Closed during another call")
	}
	h.closed <- why
}

// push queues frames without waking the connection.
func (h *tap) push(frames ...[]byte) {
	h.mu.Lock()
	h.queue = append(h.queue, frames...)
	h.mu.Unlock()
}

// send queues text messages and wakes the connection.
func (h *tap) send(texts ...string) {
	for _, text := range texts {
		h.push(EncodeFrame([]byte(text)))
	}
	h.conn.Wake()
}

// queued is how many frames were not asked for yet.
func (h *tap) queued() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.queue)
}

// wantMessage expects the next inbound message.
func (h *tap) wantMessage(want string) {
	h.t.Helper()
	select {
	case got := <-h.messages:
		if got != want {
			h.t.Fatalf("message %.80q, want %.80q", got, want)
		}
	case why := <-h.closed:
		h.t.Fatalf("closed with %v, want message %.80q", why, want)
	case <-time.After(patience):
		h.t.Fatalf("no message, want %.80q", want)
	}
}

// wantClosed expects the end of the connection and returns its reason.
func (h *tap) wantClosed(want Code) Reason {
	h.t.Helper()
	select {
	case why := <-h.closed:
		if why.Code != want {
			h.t.Fatalf("closed with %v, want %v (%d)", why, want, want)
		}
		return why
	case <-time.After(patience):
		h.t.Fatalf("still open, want closed with %v", want)
	}
	return Reason{}
}

// wantOpen expects that the connection has not ended.
func (h *tap) wantOpen() {
	h.t.Helper()
	select {
	case why := <-h.closed:
		h.t.Fatalf("closed with %v", why)
	default:
	}
}

// client is the other end: raw frames over any net.Conn.
type client struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
}

func newClient(t testing.TB, nc net.Conn) *client {
	return &client{t: t, nc: nc, r: bufio.NewReader(nc)}
}

// masked encodes a client's frame. The mask is fixed and not zero.
func masked(op ws.OpCode, fin bool, payload string) []byte {
	f := ws.MaskFrameWith(ws.NewFrame(op, fin, []byte(payload)), [4]byte{0xa1, 0x02, 0xf3, 0x44})
	return ws.MustCompileFrame(f)
}

// text is a complete text frame of a client.
func text(payload string) []byte { return masked(ws.OpText, true, payload) }

// closing is a close frame of a client; code 0 makes one without.
func closing(code Code, reason string) []byte {
	if code == 0 {
		return masked(ws.OpClose, true, "")
	}
	return masked(ws.OpClose, true, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

// write sends bytes as they are.
func (c *client) write(parts ...[]byte) {
	c.t.Helper()
	if _, err := c.nc.Write(bytes.Join(parts, nil)); err != nil {
		c.t.Fatalf("client write: %v", err)
	}
}

// read returns the next frame.
func (c *client) read() (ws.OpCode, []byte, error) {
	h, err := ws.ReadHeader(c.r)
	if err != nil {
		return 0, nil, err
	}
	if h.Masked || h.Rsv != 0 || !h.Fin {
		return 0, nil, errors.New("frame of a server is masked, fragmented or has reserved bits")
	}
	payload := make([]byte, h.Length)
	_, err = io.ReadFull(c.r, payload)
	return h.OpCode, payload, err
}

// wantFrame expects the next frame.
func (c *client) wantFrame(op ws.OpCode, want string) {
	c.t.Helper()
	gotOp, got, err := c.read()
	if err != nil {
		c.t.Fatalf("client read: %v, want frame %x %.80q", err, op, want)
	}
	if gotOp != op || string(got) != want {
		c.t.Fatalf("frame %x %.80q, want %x %.80q", gotOp, got, op, want)
	}
}

// wantText expects a text frame.
func (c *client) wantText(want string) { c.t.Helper(); c.wantFrame(ws.OpText, want) }

// wantClose expects a close frame and returns its reason.
func (c *client) wantClose(want Code) string {
	c.t.Helper()
	op, payload, err := c.read()
	if err != nil {
		c.t.Fatalf("client read: %v, want close %d", err, want)
	}
	if op != ws.OpClose || len(payload) < 2 {
		c.t.Fatalf("frame %x %.80q, want close %d", op, payload, want)
	}
	if code := Code(binary.BigEndian.Uint16(payload)); code != want {
		c.t.Fatalf("close code %d %q, want %d", code, payload[2:], want)
	}
	return string(payload[2:])
}

// wantEOF expects the end of the stream.
func (c *client) wantEOF() {
	c.t.Helper()
	if op, payload, err := c.read(); !errors.Is(err, io.EOF) {
		c.t.Fatalf("frame %x %.80q, error %v, want end of stream", op, payload, err)
	}
}

// newEngine returns an engine that is shut down with the test.
func newEngine(t testing.TB, config Config) Engine {
	t.Helper()
	e, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, e) })
	return e
}

// stop shuts an engine down, by force if it must.
func stop(t testing.TB, e Engine) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Shutdown(ctx, CloseGoingAway, said("")); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if n := e.Len(); n != 0 {
		t.Errorf("%d connections after Shutdown", n)
	}
}

// tcpPair returns the two ends of a loopback connection.
func tcpPair(t testing.TB) (server, client *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return dialPair(t, l)
}

// dialPair connects through a listener that nobody else uses.
func dialPair(t testing.TB, l net.Listener) (server, client *net.TCPConn) {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

// connect serves one loopback connection and returns both of its ends.
func connect(t testing.TB, e Engine, h *tap) *client {
	t.Helper()
	server, peer := tcpPair(t)
	if err := e.Serve(server, nil, h.open); err != nil {
		t.Fatal(err)
	}
	_ = peer.SetDeadline(time.Now().Add(patience))
	return newClient(t, peer)
}

// connectPipe is connect over net.Pipe, for fake time.
func connectPipe(t testing.TB, e Engine, h *tap) *client {
	t.Helper()
	server, peer := net.Pipe()
	t.Cleanup(func() { _ = peer.Close() })
	if err := e.Serve(server, nil, h.open); err != nil {
		t.Fatal(err)
	}
	return newClient(t, peer)
}

// eventually polls a condition that no event announces.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// said is the same reason for every connection.
func said(reason string) func() string { return func() string { return reason } }
