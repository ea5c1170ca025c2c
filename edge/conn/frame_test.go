package conn

import (
	"bytes"
	"net"
	"testing"

	"github.com/gobwas/ws"
)

func TestEncodeFrameIsWhatGobwasCompiles(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 1_000_000} {
		payload := bytes.Repeat([]byte("x"), n)
		got := EncodeFrame(payload)
		if want := ws.MustCompileFrame(ws.NewTextFrame(payload)); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: header %x, want %x", n, got[:10], want[:10])
		}
		if cap(got) > len(got)+len(got)/4+16 {
			t.Errorf("%d bytes: capacity %d", n, cap(got))
		}
		if got := AppendHeader([]byte("ab"), ws.OpBinary, n); len(got) != 2+headerLen(n) || got[2] != 0x82 {
			t.Errorf("%d bytes: header %x", n, got)
		}
	}
}

func TestEncodeFrameAllocatesOnce(t *testing.T) {
	payload := make([]byte, 300)
	var frame []byte
	if n := testing.AllocsPerRun(100, func() { frame = EncodeFrame(payload) }); n != 1 {
		t.Errorf("%v allocations", n)
	}
	_ = frame
}

func TestCountFrames(t *testing.T) {
	a, b := EncodeFrame([]byte("hello")), EncodeFrame(make([]byte, 70_000))
	for name, c := range map[string]struct {
		bufs  net.Buffers
		n     int
		whole bool
	}{
		"nothing":             {nil, 0, true},
		"one":                 {net.Buffers{a}, 1, true},
		"two":                 {net.Buffers{a, b}, 2, true},
		"two in a slice":      {net.Buffers{append(bytes.Clone(a), b...)}, 2, true},
		"one in three slices": {net.Buffers{b[:20], nil, b[20:40], b[40:]}, 1, true},
		"empty frame":         {net.Buffers{EncodeFrame(nil), a}, 2, true},
		"payload is cut":      {net.Buffers{a, b[:100]}, 2, false},
		"header is cut":       {net.Buffers{a, b[:9]}, 1, false},
		"header in two":       {net.Buffers{b[:5], b[5:]}, 0, false},
		"masked":              {net.Buffers{text("hello")}, 0, false},
	} {
		if n, whole := countFrames(c.bufs); whole != c.whole || whole && n != c.n {
			t.Errorf("%s: %d, %t", name, n, whole)
		}
	}
}
