package conn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

func TestMessagesSurviveAnyCut(t *testing.T) {
	e := newEngine(t, Config{})
	h := newTap(t)
	c := connect(t, e, h)
	input := frames(text("one"), masked(ws.OpText, false, strings.Repeat("t", 300)), masked(ws.OpPing, true, "p"),
		masked(ws.OpContinuation, true, "wo"), text("three"))
	for i := range input { // TCP_NODELAY: nearly every byte is a segment
		c.write(input[i : i+1])
	}
	h.wantMessage("one")
	h.wantMessage(strings.Repeat("t", 300) + "wo")
	h.wantMessage("three")
	c.wantFrame(ws.OpPong, "p")
}

func TestPeerThatVanishesInsideAFrameIsClosedOnce(t *testing.T) {
	e := newEngine(t, Config{})
	input := frames(text("whole"), text(strings.Repeat("half", 100)))
	for _, n := range []int{0, 1, 2, 5, 11, 12, 20, 200, len(input) - 1} {
		h := newTap(t)
		c := connect(t, e, h)
		c.write(input[:n])
		_ = c.nc.Close()
		if why := h.wantClosed(CloseAbnormal); !why.ByPeer || why.Err == nil {
			t.Errorf("cut at %d: %v", n, why)
		}
	}
}

func TestViolationsAreAnsweredByCode(t *testing.T) {
	e := newEngine(t, Config{MaxMessageBytes: testLimit})
	for _, c := range parserCases {
		if c.err == nil {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			h := newTap(t)
			peer := connect(t, e, h)
			var bad *violation
			if !errors.As(c.err, &bad) {
				t.Fatal(c.err)
			}
			peer.write(c.input, []byte("and more that nobody reads"))
			if reason := peer.wantClose(bad.code); reason != bad.text {
				t.Errorf("reason %q, want %q", reason, bad.text)
			}
			peer.wantEOF()
			_ = peer.nc.Close()
			if why := h.wantClosed(bad.code); why != (Reason{Code: bad.code, Text: bad.text}) {
				t.Errorf("reason %v", why)
			}
		})
	}
}

func TestPingFloodIsAnsweredWithTheLatest(t *testing.T) {
	e := newEngine(t, Config{})
	h := newTap(t)
	c := connect(t, e, h)
	const pings = 10_000
	var flood []byte
	for i := range pings {
		flood = append(flood, masked(ws.OpPing, true, fmt.Sprintf("%0125d", i))...)
	}
	c.write(flood) // returns although no pong is read
	c.write(text("still here"))
	h.wantMessage("still here")
	last, pongs := "", 0
	for last != fmt.Sprintf("%0125d", pings-1) {
		op, p, err := c.read()
		if err != nil || op != ws.OpPong || string(p) <= last {
			t.Fatalf("after %d pongs: frame %x %q, %v", pongs, op, p, err)
		}
		last = string(p)
		pongs++
	}
	if pongs > pings {
		t.Errorf("%d pongs", pongs)
	}
	h.send("bye")
	c.wantText("bye")
}

// TestOnePeerThatNeverReadsDelaysNobody also says what such a peer costs the kernel.
func TestOnePeerThatNeverReadsDelaysNobody(t *testing.T) {
	e := newEngine(t, Config{})
	stuck := newTap(t)
	peer := connect(t, e, stuck)
	_ = peer.nc.(interface{ SetReadBuffer(int) error }).SetReadBuffer(4 << 10)

	const rounds = 300
	frame := EncodeFrame(bytes.Repeat([]byte("x"), 16<<10))
	var good []*tap
	read := make(chan error)
	for range 10 {
		h := newTap(t)
		c := connect(t, e, h)
		good = append(good, h)
		go func() {
			_, err := io.CopyN(io.Discard, c.r, int64(rounds*len(frame)))
			read <- err
		}()
	}
	for range rounds {
		for _, h := range append(good, stuck) {
			h.push(frame)
			h.conn.Wake()
		}
	}
	for range good {
		if err := <-read; err != nil {
			t.Error(err)
		}
	}
	stuck.wantOpen()
	taken := (rounds - stuck.queued()) * len(frame)
	t.Logf("%d of %d bytes were asked for", taken, rounds*len(frame))
	if taken > 1<<20 {
		t.Errorf("%d bytes were taken for a peer that reads nothing", taken)
	}
}

func TestSlowReaderGetsEveryByteInOrder(t *testing.T) {
	overBoth(t, func(t *testing.T, tls bool) {
		e := newEngine(t, Config{})
		h := newTap(t)
		c, ctx := dial(t, newServer(t, e, tls, h.open))
		<-h.opened
		const n = 3000
		for i := range n { // slices of every size, some frames in several
			f := EncodeFrame([]byte(strings.Repeat(fmt.Sprint(i, " "), i%700+1)))
			if i%3 == 0 && len(f) > 20 {
				h.mu.Lock()
				h.queue = append(h.queue, append(f[:20:20], f[20:]...))
				h.mu.Unlock()
				continue
			}
			h.push(f)
		}
		h.conn.Wake()
		for i := range n {
			_, p, err := c.Read(ctx)
			if want := strings.Repeat(fmt.Sprint(i, " "), i%700+1); err != nil || string(p) != want {
				t.Fatalf("message %d: %.60q, %v", i, p, err)
			}
		}
	})
}

func TestPeerThatTakesNothingIsCutOnRealSockets(t *testing.T) {
	overBoth(t, func(t *testing.T, tls bool) {
		t.Parallel()
		e := newEngine(t, Config{SlowTimeout: 2 * time.Second})
		h := newTap(t)
		dial(t, newServer(t, e, tls, h.open))
		<-h.opened
		frame := EncodeFrame(make([]byte, 60_000))
		for range 1000 { // more than both kernels take
			h.push(frame)
		}
		h.conn.Wake()
		if why := h.wantClosed(CloseSlow); !errors.Is(why.Err, ErrSlow) {
			t.Errorf("reason %v", why)
		}
	})
}

// TestPeerBehindASlowLinkIsNotTakenForDead reads so slowly that pings reach the
// peer long after PingTimeout, behind what the kernel had taken before them.
func TestPeerBehindASlowLinkIsNotTakenForDead(t *testing.T) {
	t.Parallel()
	e := newEngine(t, Config{
		// What the peer's own kernel has taken, which nobody can see, is read within 2 s.
		PingInterval: time.Second, PingTimeout: 4 * time.Second, SlowTimeout: 2 * time.Second,
		WriteBufferBytes: 1 << 20, UnsentBytes: 1 << 20,
	})
	h := newTap(t)
	server, nc := tcpPair(t)
	_ = nc.SetReadBuffer(16 << 10)
	if err := e.Serve(server, nil, h.open); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, nc)
	_ = nc.SetDeadline(time.Now().Add(patience))
	payload := strings.Repeat("x", 600_000)
	h.send(payload)
	var got []byte
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for buf := make([]byte, 8<<10); len(got) < 10+len(payload); <-tick.C {
		n, err := nc.Read(buf)
		if err != nil {
			t.Fatalf("after %d bytes: %v, %v", len(got), err, <-h.closed)
		}
		got = append(got, buf[:n]...)
	}
	if rest := got[10+len(payload):]; len(rest) > 0 {
		c.r.Reset(io.MultiReader(bytes.NewReader(rest), nc))
	}
	c.wantFrame(ws.OpPing, "")
	h.wantOpen()
	c.write(closing(CloseNormal, ""))
	h.wantClosed(CloseNormal)
}

func TestIncompleteFramesOfAHandlerAreNotSent(t *testing.T) {
	e := newEngine(t, Config{})
	h := newTap(t)
	c := connect(t, e, h)
	h.send("good")
	c.wantText("good")
	h.push(EncodeFrame([]byte("cut"))[:3])
	h.conn.Wake()
	c.wantClose(CloseInternal)
	c.write(closing(CloseInternal, ""))
	c.wantEOF()
	if why := h.wantClosed(CloseInternal); !errors.Is(why.Err, ErrFrames) {
		t.Errorf("reason %v", why)
	}
}

func TestAnnouncedLengthCostsNothing(t *testing.T) {
	e := newEngine(t, Config{MaxMessageBytes: 1 << 30})
	for range 50 { // 50 GiB announced
		h := newTap(t)
		c := connect(t, e, h)
		c.write(binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, 1<<30), []byte("mask"), make([]byte, 5))
		eventually(t, "the header is parsed", func() bool { return e.Stats().FramesIn.Load() > 0 })
		_ = c.nc.Close()
		h.wantClosed(CloseAbnormal)
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	e := newEngine(t, Config{MaxConnections: 1})
	connect(t, e, newTap(t))
	for range refusals { // peers that do not answer the close frame linger
		server, _ := tcpPair(t)
		if err := e.Serve(server, nil, nil); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	server, nc := tcpPair(t)
	if err := e.Serve(server, nil, nil); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	_ = nc.SetDeadline(time.Now().Add(patience))
	if n, err := nc.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n := e.Len(); n > 1+refusals {
		t.Errorf("%d connections", n)
	}
}

func TestCodesThatMayNotBeSentAreSentAsInternal(t *testing.T) {
	e := newEngine(t, Config{})
	for _, code := range []Code{0, CloseNoStatus, CloseAbnormal, 1015, 5000} {
		h := newTap(t)
		c := connect(t, e, h)
		h.conn.Close(code, "")
		c.wantClose(CloseInternal)
		c.write(closing(CloseInternal, ""))
		h.wantClosed(CloseInternal)
	}
}

// TestALimitOfOneConnection: it holds from the next message on, and never raises the
// engine's.
func TestALimitOfOneConnection(t *testing.T) {
	e := newEngine(t, Config{MaxMessageBytes: 1000})
	h := newTap(t)
	c := connect(t, e, h)
	h.conn.Limit(5000)
	c.write(text(strings.Repeat("x", 1000)))
	h.wantMessage(strings.Repeat("x", 1000))
	h.conn.Limit(10)
	c.write(text("0123456789"))
	h.wantMessage("0123456789")
	h.conn.Limit(0)
	c.write(text(strings.Repeat("y", 1000)))
	h.wantMessage(strings.Repeat("y", 1000))
	h.conn.Limit(10)
	c.write(text("0123456789+"))
	c.wantClose(CloseTooBig)
}
