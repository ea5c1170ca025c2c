//go:build linux

package swarm

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

func TestFramesAreFoundInAnyPieces(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 1000, 65535, 65536, 200_000} {
		text := strings.Repeat("x", n)
		whole := ws.MustCompileFrame(ws.NewTextFrame([]byte(text)))
		for _, cut := range []int{0, 1, 2, 3, 5, 9, 10, len(whole) - 1} {
			if cut < 0 || cut >= len(whole) {
				continue
			}
			if f, err := nextFrame(whole[:cut]); f.size != 0 || err != nil {
				t.Errorf("%d bytes of %d: %d, %v", cut, len(whole), f.size, err)
			}
		}
		f, err := nextFrame(append(slices.Clone(whole), 0x81))
		if err != nil || f.op != ws.OpText || string(f.payload) != text || f.size != len(whole) {
			t.Errorf("%d bytes: %v, size %d, %v", n, f.op, f.size, err)
		}
	}
	for name, bad := range map[string][]byte{
		"masked":     masked(ws.OpText, []byte("x")),
		"fragmented": {0x01, 1, 'x'},
		"extended":   {0xC1, 1, 'x'},
		"too long":   {0x81, 127, 0, 0, 0, 0, 1, 0, 0, 0},
	} {
		if _, err := nextFrame(bad); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSubscribeNamesThePosition(t *testing.T) {
	for _, c := range []struct{ epoch, want string }{
		{"", `{"type":"request","event":"subscribe","id":"1","data":{"channel":"workflow:1"}}`},
		{"e", `{"type":"request","event":"subscribe","id":"1","data":{"channel":"workflow:1","since":{"seq":7,"epoch":"e"}}}`},
	} {
		if got := requestSubscribe(nil, "workflow:1", 7, c.epoch); !bytes.Equal(got, []byte(c.want)) {
			t.Errorf("%s", got)
		}
	}
}

func TestQuantilesAreNearlyExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h histogram
	var all []int64
	for range 20_000 {
		v := rng.Int64N(int64(1) << (1 + rng.IntN(40)))
		h.add(v)
		all = append(all, v)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.1, 0.5, 0.9, 0.99, 0.999} {
		want := all[int(q*float64(len(all)))]
		if got := h.quantile(q); got < want-want/60-1 || got > want+want/60+1 {
			t.Errorf("%v: %d, not %d", q, got, want)
		}
	}
	if h.quantile(1) != all[len(all)-1] {
		t.Errorf("the most is %d, not %d", h.quantile(1), all[len(all)-1])
	}
}

func TestEveryFaultOfAnOrderIsSeen(t *testing.T) {
	var want Goal
	for _, seq := range []uint64{3, 5, 9} {
		want.add(seq)
	}
	type step struct{ seq, prev uint64 }
	for _, c := range []struct {
		name  string
		steps []step
		event string // The fault of one of the events.
		check string // The fault in the end.
	}{
		{"as it must be", []step{{3, 1}, {5, 3}, {9, 5}}, "", ""},
		{"prev before the position", []step{{3, 0}, {5, 3}, {9, 5}}, "", ""},
		{"the first lost", []step{{5, 3}, {9, 5}}, faultChain, faultLost},
		{"one lost in the middle", []step{{3, 1}, {9, 5}}, faultChain, faultLost},
		{"the last lost", []step{{3, 1}, {5, 3}}, "", faultLost},
		{"one lost and the chain forged", []step{{3, 1}, {9, 3}}, "", faultLost},
		{"twice", []step{{3, 1}, {5, 3}, {5, 3}, {9, 5}}, faultRepeated, ""},
		{"out of order", []step{{5, 1}, {3, 1}, {9, 5}}, faultOrder, faultLost},
		{"another event", []step{{3, 1}, {6, 3}, {9, 6}}, "", faultDifferent},
		{"one too many", []step{{3, 1}, {5, 3}, {9, 5}, {10, 9}}, "", faultRepeated},
	} {
		client := client{pos: 1}
		fault := ""
		for _, s := range c.steps {
			if f := client.event(s.seq, s.prev); f != "" {
				fault = f
			}
		}
		if fault != c.event || client.check(want) != c.check {
			t.Errorf("%s: %q and %q", c.name, fault, client.check(want))
		}
	}
}
