//go:build linux

package swarm

import (
	"encoding/binary"
	"errors"
	"strconv"

	"github.com/gobwas/ws"
)

// frame is one frame that an edge sent.
type frame struct {
	op      ws.OpCode
	payload []byte
	// size is the number of bytes with the header; 0 where the frame is not whole.
	size int
}

// errFrame says that a frame is none that an edge may send here: masked, with an
// extension's bits, or in fragments, which no edge makes.
var errFrame = errors.New("swarm: a frame that is masked, fragmented or extended")

// nextFrame finds the frame that buf begins with.
func nextFrame(buf []byte) (f frame, err error) {
	if len(buf) < 2 {
		return f, nil
	}
	if buf[0]&0xF0 != 0x80 || buf[1]&0x80 != 0 {
		return f, errFrame
	}
	head, n := 2, int(buf[1])
	switch n {
	case 126:
		if len(buf) < 4 {
			return f, nil
		}
		head, n = 4, int(binary.BigEndian.Uint16(buf[2:]))
	case 127:
		if len(buf) < 10 {
			return f, nil
		}
		head = 10
		long := binary.BigEndian.Uint64(buf[2:])
		if long > maxFrame {
			return f, errFrame
		}
		n = int(long)
	}
	if len(buf) < head+n {
		return f, nil
	}
	return frame{op: ws.OpCode(buf[0] & 0xF), payload: buf[head : head+n], size: head + n}, nil
}

// maxFrame is the longest message that an edge may send, in bytes.
const maxFrame = 1_000_000

// masked is a whole frame as clients send it.
func masked(op ws.OpCode, payload []byte) []byte {
	f := ws.NewFrame(op, true, payload)
	f = ws.MaskFrame(f)
	return ws.MustCompileFrame(f)
}

// requestSubscribe asks for a channel from a position, or from now without an epoch.
func requestSubscribe(dst []byte, channel string, pos uint64, epoch string) []byte {
	dst = append(dst, `{"type":"request","event":"subscribe","id":"1","data":{"channel":"`...)
	dst = append(dst, channel...)
	if epoch == "" {
		return append(dst, `"}}`...)
	}
	dst = append(dst, `","since":{"seq":`...)
	dst = strconv.AppendUint(dst, pos, 10)
	dst = append(dst, `,"epoch":"`...)
	dst = append(dst, epoch...)
	return append(dst, `"}}}`...)
}
