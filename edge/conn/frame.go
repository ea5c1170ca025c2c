package conn

import (
	"encoding/binary"
	"net"

	"github.com/gobwas/ws"
)

// Bits of the first two bytes of a frame.
const (
	bitFin    = 0x80
	bitsRsv   = 0x70
	bitsOp    = 0x0f
	bitMask   = 0x80
	bitsLen   = 0x7f
	lenIs16   = 126
	lenIs64   = 127
	maxHeader = 10 // bytes of a server's header, which has no mask
)

// headerLen is the length of an unmasked header of a payload of n bytes.
func headerLen(n int) int {
	switch {
	case n < lenIs16:
		return 2
	case n <= 0xffff:
		return 4
	}
	return maxHeader
}

// AppendHeader appends the header of a complete unmasked frame whose payload is n
// bytes long. Payload that follows in the same slice or in the next ones makes it
// a frame that a handler's Fill may give.
func AppendHeader(dst []byte, op ws.OpCode, n int) []byte {
	dst = append(dst, bitFin|byte(op))
	switch headerLen(n) {
	case 2:
		return append(dst, byte(n))
	case 4:
		return binary.BigEndian.AppendUint16(append(dst, lenIs16), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, lenIs64), uint64(n))
}

// EncodeFrame returns payload as one text frame, in one allocation. The payload is
// copied; the frame may be given to any number of connections.
func EncodeFrame(payload []byte) []byte {
	frame := make([]byte, 0, headerLen(len(payload))+len(payload))
	return append(AppendHeader(frame, ws.OpText, len(payload)), payload...)
}

// countFrames counts the frames in bufs. It reports false unless they are
// complete, unmasked, and each header lies in one slice: sending anything else
// would garble all that follows.
func countFrames(bufs net.Buffers) (frames int, whole bool) {
	left := uint64(0) // bytes of the current frame's payload still to come
	for _, b := range bufs {
		for len(b) > 0 {
			if left == 0 {
				size, payload := frameSize(b)
				if size == 0 {
					return frames, false
				}
				frames++
				b, left = b[size:], payload
			}
			n := min(left, uint64(len(b)))
			b, left = b[n:], left-n
		}
	}
	return frames, left == 0
}

// frameSize reads an unmasked header at the start of b: its size, 0 if it is cut
// or masked, and that of the payload.
func frameSize(b []byte) (size int, payload uint64) {
	switch {
	case len(b) < 2 || b[1]&bitMask != 0:
		return 0, 0
	case b[1] < lenIs16:
		return 2, uint64(b[1])
	case b[1] == lenIs16 && len(b) >= 4:
		return 4, uint64(binary.BigEndian.Uint16(b[2:]))
	case b[1] == lenIs64 && len(b) >= maxHeader:
		return maxHeader, binary.BigEndian.Uint64(b[2:])
	}
	return 0, 0
}
