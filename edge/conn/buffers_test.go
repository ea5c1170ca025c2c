package conn

import (
	"testing"
	"unsafe"
)

// TestBuffersAreAsLongAsIsAskedFor, and those that were given back are lent again only for
// what fits into them.
func TestBuffersAreAsLongAsIsAskedFor(t *testing.T) {
	for _, c := range []struct{ size, want int }{
		{0, pieceBytes}, {1, pieceBytes}, {pieceBytes, pieceBytes}, {pieceBytes + 1, 2 * pieceBytes},
		{3 * pieceBytes, 4 * pieceBytes}, {64 << 10, 64 << 10}, {1<<20 - 1, 1 << 20},
		{1 << 20, 1 << 20}, {1<<20 + 1, 2 << 20}, {5 << 20, 8 << 20},
	} {
		for range 3 {
			b := borrow(c.size)
			if len(b) != 0 || cap(b) != c.want {
				t.Errorf("of %d bytes: %d of %d, want %d", c.size, len(b), cap(b), c.want)
			}
			giveBack(b)
		}
	}
	giveBack(nil)
	for range 3 {
		giveBack(make([]byte, 10))
		giveBack(make([]byte, 5000)) // Longer than 4 KiB, shorter than 8.
		if b := borrow(5000); cap(b) != 2*pieceBytes {
			t.Errorf("%d of 5000 bytes", cap(b))
		}
	}
}

// TestNoBufferIsLentTwice at a time.
func TestNoBufferIsLentTwice(t *testing.T) {
	seen := map[*byte]bool{}
	for range 100 {
		b := borrow(5000)
		if at := unsafe.SliceData(b); seen[at] {
			t.Fatal("somebody else has it")
		} else {
			seen[at] = true
		}
	}
}
