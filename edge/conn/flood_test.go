package conn

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// floods are frames that cost the peer six bytes or a few more, and that no message
// comes of: what they cost here must be bounded by their bytes.
var floods = []struct {
	name          string
	before, frame []byte
}{
	{"empty fragments", in(0x01, "begun"), in(0x00, "")},
	{"fragments of a byte", in(0x01, ""), in(0x00, "x")},
	{"empty fragments with half a rune before", in(0x01, "\xf0\x9f\x98"), in(0x00, "")},
	{"pings", nil, in(0x89, "")},
	{"pings within a message", in(0x01, "begun"), in(0x89, strings.Repeat("p", 125))},
	{"pongs", nil, in(0x8a, "")},
	{"empty messages", nil, in(0x81, "")},
}

// TestFloodsOfFramesCostNoMemory sends a million frames each, and looks at what is
// held at the end of it, and that the connection is still of use.
func TestFloodsOfFramesCostNoMemory(t *testing.T) {
	for _, flood := range floods {
		t.Run(flood.name, func(t *testing.T) {
			e := newEngine(t, Config{MaxFramesPerSecond: -1})
			h := newTap(t)
			h.receive = func([]byte) bool { return true }
			c := connect(t, e, h)
			drained := make(chan error)
			go func() {
				_, err := io.Copy(io.Discard, c.nc)
				drained <- err
			}()
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			const many = 1_000_000
			c.write(flood.before)
			chunk := bytes.Repeat(flood.frame, 10_000)
			_ = c.nc.SetDeadline(time.Now().Add(5 * patience))
			for range many / 10_000 {
				c.write(chunk)
			}
			want := uint64(many)
			if flood.before != nil {
				want++
			}
			eventually(t, "all frames are read", func() bool { return e.Stats().FramesIn.Load() == want })
			runtime.GC()
			runtime.ReadMemStats(&after)
			if held := int(after.HeapAlloc) - int(before.HeapAlloc); held > 4<<20 { // a message of 1 MiB is one of them
				t.Errorf("holds %d bytes", held)
			}
			h.wantOpen()
			c.write(closing(CloseNormal, ""))
			if err := <-drained; err != nil {
				t.Error(err)
			}
			h.wantClosed(CloseNormal)
		})
	}
}

// TestPeerThatPingsAndNeverReadsIsCut: the one pong that waits for it is all there
// ever is.
func TestPeerThatPingsAndNeverReadsIsCut(t *testing.T) {
	e := newEngine(t, Config{SlowTimeout: 2 * time.Second, MaxFramesPerSecond: -1})
	h := newTap(t)
	c := connect(t, e, h)
	chunk := bytes.Repeat(masked(ws.OpPing, true, strings.Repeat("p", 125)), 1000)
	for {
		if _, err := c.nc.Write(chunk); err != nil {
			break // the engine is through with it
		}
	}
	if why := h.wantClosed(CloseSlow); why.Err == nil {
		t.Errorf("reason %v", why)
	}
	if s := e.Stats(); s.FramesOut.Load() > s.FramesIn.Load() {
		t.Errorf("%d frames for %d", s.FramesOut.Load(), s.FramesIn.Load())
	}
}

// BenchmarkFlood is what a byte of each flood costs.
func BenchmarkFlood(b *testing.B) {
	for _, flood := range append(floods, struct {
		name          string
		before, frame []byte
	}{"messages of 500 bytes", nil, in(0x81, star(500))}) {
		b.Run(strings.ReplaceAll(flood.name, " ", "_"), func(b *testing.B) {
			p := parser{limit: 1 << 30}
			if _, _, err := p.next(bytes.Clone(flood.before)); err != nil {
				b.Fatal(err)
			}
			chunk := bytes.Repeat(flood.frame, 100)
			input := make([]byte, len(chunk))
			b.SetBytes(int64(len(chunk)))
			b.ReportAllocs()
			for b.Loop() {
				copy(input, chunk)
				for rest := input; len(rest) > 0; {
					var err error
					if _, rest, err = p.next(rest); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// TestAFloodOfFramesIsCut: whatever the frames are, and that a slower peer is left alone.
func TestAFloodOfFramesIsCut(t *testing.T) {
	for _, flood := range floods {
		t.Run(flood.name, func(t *testing.T) {
			e := newEngine(t, Config{MaxFramesPerSecond: 1000})
			h := newTap(t)
			h.receive = func([]byte) bool { return true }
			c := connect(t, e, h)
			c.write(flood.before)
			c.write(bytes.Repeat(flood.frame, 900))
			h.wantOpen()
			go func() {
				_, _ = io.Copy(io.Discard, c.nc)
				_ = c.nc.Close() // The close frame has come, and an end behind it.
			}()
			chunk := bytes.Repeat(flood.frame, 5000)
			_, _ = c.nc.Write(chunk)
			if why := <-h.closed; why.Code != CloseRateLimited {
				t.Errorf("closed with %v", why)
			}
		})
	}
}
