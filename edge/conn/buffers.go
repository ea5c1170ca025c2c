package conn

import (
	"math/bits"
	"sync"
	"unsafe"
)

// Sizes of the buffers that messages are assembled in: powers of two, in bytes. Longer ones,
// for messages that only a configuration of its own allows, are not lent again.
const (
	// pieceBytes is also the size of those that a connection borrows while it reads
	// something longer than its own few bytes.
	pieceBytes = 4 << 10
	sizes      = 9
)

// lent holds the buffers that nobody needs, by size. What is assembled would be half of all
// memory that an edge allocates while somebody sends much, and the collector's work with it.
var lent [sizes]sync.Pool

// class is the index in lent of the smallest buffers with so many bytes.
func class(size int) int {
	return bits.Len(uint(max(size, pieceBytes)-1) / pieceBytes)
}

// borrow returns an empty buffer for at least so many bytes.
func borrow(size int) []byte {
	i := class(size)
	if i >= sizes {
		return make([]byte, 0, pieceBytes<<i)
	}
	if first, ok := lent[i].Get().(*byte); ok {
		return unsafe.Slice(first, pieceBytes<<i)[:0]
	}
	return make([]byte, 0, pieceBytes<<i)
}

// giveBack lets others borrow a buffer. Nothing may refer to it any more.
func giveBack(buffer []byte) {
	if i := class(cap(buffer)); i < sizes && cap(buffer) == pieceBytes<<i {
		lent[i].Put(unsafe.SliceData(buffer))
	}
}
