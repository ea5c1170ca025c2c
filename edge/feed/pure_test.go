package feed

import (
	"slices"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
)

func TestTrackDecides(t *testing.T) {
	for _, c := range []struct {
		head, seq, prev uint64
		want            step
	}{
		{10, 10, 9, stepDrop}, {10, 3, 2, stepDrop}, {10, 11, 10, stepAppend}, {10, 15, 10, stepAppend},
		{10, 15, 4, stepAppend}, {10, 15, 0, stepRepair}, {10, 11, 0, stepAppend}, {10, 15, 11, stepRepair}, {0, 1, 0, stepAppend}, {0, 2, 1, stepRepair},
	} {
		if got := track(c.head, c.seq, c.prev); got != c.want {
			t.Errorf("track(%d, %d, %d) = %d, want %d", c.head, c.seq, c.prev, got, c.want)
		}
	}
}

func frameOf(seq, prev uint64) wire.Frame {
	return wire.NewWholeFrame("r", seq, prev, "e", "i", time.Time{}, []byte("{}"))
}

// lastUpTo is the newest of the positions at or below seq, 0 for none.
func lastUpTo(all []uint64, seq uint64) (last uint64) {
	for _, one := range all {
		if one <= seq {
			last = one
		}
	}
	return last
}

// FuzzRing: whatever is appended, backfilled and evicted, the ring holds every
// event in (base, newest] and stays within its bounds.
func FuzzRing(f *testing.F) {
	f.Add([]byte{1, 2, 200, 3, 4, 250, 5})
	f.Fuzz(func(t *testing.T, script []byte) {
		const maxFrames = 8
		r := ring{room: "r", maxFrames: maxFrames, maxBytes: 10 * frameOf(1, 0).Size()}
		var all []uint64 // Every event there ever was.
		next := uint64(100)
		for i := range uint64(20) { // What was before the feed opened.
			all = append(all, 1+i*5)
		}
		r.reset(99, all[len(all)-1], true)
		for _, op := range script {
			if op < 200 {
				next += uint64(op%5) + 1
				r.append(frameOf(next, r.last()))
				all = append(all, next)
			} else {
				from := r.base - min(r.base, uint64(op-200))
				var page []wire.Frame
				var before uint64
				for _, seq := range all {
					if seq <= from {
						before = seq
					} else if seq <= r.base {
						page = append(page, frameOf(seq, before))
						before = seq
					}
				}
				known := op%2 == 0
				if before = lastUpTo(all, from); !known {
					before = 0
					if len(page) > 0 {
						page[0] = page[0].WithPrev("r", from)
					}
				}
				r.backfill(page, from, before, known)
			}
			var want []uint64
			var last uint64
			for _, seq := range all {
				if seq > r.base {
					want = append(want, seq)
				} else {
					last = seq
				}
			}
			var got []uint64
			bytes := 0
			for i, f := range r.after(r.base) {
				got = append(got, f.Seq)
				bytes += f.Size()
				if prev := lastUpTo(all, f.Seq-1); f.Prev != prev && (i > 0 || !r.loose || f.Prev < prev) {
					t.Fatalf("%d says that %d is before it, not %d", f.Seq, f.Prev, prev)
				}
			}
			if !slices.Equal(got, want) || !r.loose && r.baseLast != last || bytes != r.bytes || len(got) > maxFrames {
				t.Fatalf("base %d (last %d, want %d): %v, want %v; %d bytes, counted %d", r.base, r.baseLast, last, got, want, bytes, r.bytes)
			}
		}
	})
}

// FuzzMerge: whatever a live path does to a stream's messages, appending what
// track accepts and repairing where it says so gives the stream.
func FuzzMerge(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 0, 1, 2}, []byte{0, 1, 0, 2})
	f.Fuzz(func(t *testing.T, stream, live []byte) {
		// The stream: message i is of our channel where its byte is even.
		var seqs, prevs []uint64
		var last uint64
		for i, b := range stream {
			if b%2 == 0 {
				seqs, prevs = append(seqs, uint64(i+1)), append(prevs, last)
				last = uint64(i + 1)
			}
		}
		var got []uint64
		var head uint64
		take := func(i int) {
			switch track(head, seqs[i], prevs[i]) {
			case stepAppend:
				got, head = append(got, seqs[i]), seqs[i]
			case stepRepair:
				for j := range seqs[:i+1] {
					if seqs[j] > head {
						got, head = append(got, seqs[j]), seqs[j]
					}
				}
			}
		}
		// The live path loses, repeats and reorders as it likes.
		for _, b := range live {
			if len(seqs) > 0 {
				take(int(b) % len(seqs))
			}
		}
		if len(seqs) > 0 { // The tail check finds the rest.
			take(len(seqs) - 1)
		}
		if !slices.Equal(got, seqs) {
			t.Fatalf("got %v, want %v", got, seqs)
		}
	})
}

func TestPassingConflatesPerUserAndEvent(t *testing.T) {
	now := time.Now()
	p := passing{maxEntries: 4, maxBytes: 1000}
	for _, e := range []struct{ event, user, id string }{
		{"cursor.moved", "u1", "a"}, {"cursor.moved", "u2", "b"}, {"cursor.moved", "u1", "c"}, {"selection.changed", "u1", "d"},
	} {
		p.add(e.event, e.user, wire.NewFrame("r", 0, 0, []byte(e.id)), now)
	}
	ids := func(list []wire.Frame) (s string) {
		for _, f := range list {
			s += string(f.Body)
		}
		return s
	}
	if got := ids(p.after(nil, 0)); got != "bcd" {
		t.Errorf("kept %q, want bcd", got)
	}
	if got := ids(p.after(nil, 3)); got != "d" {
		t.Errorf("after version 3: %q, want d", got)
	}
	p.forget("u1")
	if got := ids(p.present(nil, now.Add(-time.Second))); got != "b" {
		t.Errorf("present: %q, want b", got)
	}
	if got := ids(p.after(nil, 0)); got != "bcd" {
		t.Errorf("who was there before gets %q, want bcd", got)
	}
	p.add("hot_reload.triggered", "", wire.NewFrame("r", 0, 0, []byte("h")), now)
	if got := ids(p.after(nil, 4)); got != "h" {
		t.Errorf("after version 4: %q, want h", got)
	}
	if got := ids(p.present(nil, now.Add(-time.Second))); got != "b" {
		t.Errorf("an event without a user is shown to newcomers: %q", got)
	}
}
