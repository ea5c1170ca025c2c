package conn

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// write is the writing goroutine. It exists while there is something to write.
func (l *link) write() {
	out := outputs.Get().(*output)
	for {
		l.state.Store(sending) // whoever wakes it from here on gets another round
		more := l.flush(out)
		if !more && l.state.CompareAndSwap(sending, asleep) {
			break
		}
	}
	out.reset()
	outputs.Put(out)
	l.release()
}

// flush sends one round: control frames, then what the handler fills in, then the
// close frame if it is time. It is false when there was nothing to send.
func (l *link) flush(out *output) bool {
	l.mu.Lock()
	if l.dead || l.said {
		l.mu.Unlock()
		return false
	}
	how := l.ending.Load()
	control := out.control[:0]
	if how == nil {
		control = l.appendControl(control)
	}
	l.mu.Unlock()

	out.reset()
	if len(control) > 0 {
		out.bufs = append(out.bufs, control)
	}
	if how == nil || how.fill {
		out.bufs = l.handler.Fill(out.bufs, l.engine.config.FlushBytes)
	}
	if how != nil {
		out.bufs = append(out.bufs, appendClose(out.control[:0], how.code, how.reason.Text))
	}
	if len(out.bufs) == 0 {
		return false
	}
	frames, whole := countFrames(out.bufs)
	if !whole { // and nothing of it is sent
		bad := Reason{Code: CloseInternal, Err: ErrFrames}
		if !l.close(&ending{reason: bad, code: bad.Code, await: true}) {
			l.end(true, bad)
		}
		return true
	}
	l.engine.stats.FramesOut.Add(uint64(frames))
	l.engine.stats.Flushes.Add(1)
	if !l.send(out) {
		return false
	}
	if how != nil {
		l.sentClose(how)
	}
	return true
}

// appendControl appends the control frames that are due. The caller holds mu.
func (l *link) appendControl(dst []byte) []byte {
	if l.ponging {
		dst = append(AppendHeader(dst, ws.OpPong, len(l.pong)), l.pong...)
		l.ponging, l.pong = false, nil
	}
	if l.pinging {
		dst = AppendHeader(dst, ws.OpPing, 0)
		l.pinging = false
	}
	return dst
}

// sentClose goes on after our close frame was sent.
func (l *link) sentClose(how *ending) {
	l.mu.Lock()
	l.said = true
	done := l.answered || !how.await
	l.mu.Unlock()
	if done {
		l.end(false, Reason{})
		return
	}
	if how.deaf {
		// The peer's answer will not be understood, so its end of file must do. It
		// comes sooner when the peer has seen ours.
		if half, ok := l.nc.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite() // the close timeout is behind it
		}
	}
}

// send writes everything in out, however often the peer makes it wait. It is false
// when the connection has ended.
func (l *link) send(out *output) bool {
	out.begin()
	for !out.empty() {
		l.mu.Lock()
		l.writes++
		l.mu.Unlock()

		n, err := out.write(l.nc)

		l.mu.Lock()
		l.writes++
		kicked, hopeless := l.kicked, l.hopeless
		if kicked {
			l.kicked = false
			_ = l.nc.SetWriteDeadline(time.Time{}) // the next write tells
		}
		l.mu.Unlock()
		l.engine.stats.BytesOut.Add(uint64(n))
		switch {
		case err == nil:
		case kicked && errors.Is(err, os.ErrDeadlineExceeded):
			// A TLS connection does not survive an interrupted write.
			if n == 0 || hopeless || wrapped(l.nc) {
				l.end(true, Reason{Code: CloseSlow, Err: ErrSlow})
				return false
			}
		default:
			l.lose(err)
			return false
		}
	}
	return true
}

const (
	// maxVectors bounds the slices of one write by the runtime, which keeps 16 bytes
	// for each with the socket for as long as that lives. More are written in a
	// system call of our own where there is one, which allocates but keeps nothing.
	maxVectors = 32
	// gatherBytes is the size of the buffer in which slices are gathered for a
	// connection that has no vectored write. It is that of a TLS record.
	gatherBytes = 16 << 10
	// maxKept bounds the slices that an output keeps room for while nobody uses it.
	maxKept = 1024
)

// output is what a writing goroutine borrows: one round of frames and how far they
// are written. It holds no bytes of its own but control frames and, for a
// connection that has no vectored write, those that are being written.
type output struct {
	bufs     net.Buffers // of the round
	rest     net.Buffers // of bufs, what is not written or gathered
	gathered []byte      // of buffer, what is not written
	buffer   []byte
	control  [2 * (2 + ws.MaxControlFramePayloadSize)]byte
}

// outputs holds outputs that no connection uses.
var outputs = sync.Pool{New: func() any { return new(output) }}

// begin makes bufs what is to be written.
func (o *output) begin() {
	o.rest, o.gathered = o.bufs, nil
}

// empty reports whether everything was written.
func (o *output) empty() bool {
	for len(o.rest) > 0 && len(o.rest[0]) == 0 {
		o.rest = o.rest[1:]
	}
	return len(o.rest) == 0 && len(o.gathered) == 0
}

// write makes one call of nc and returns how many bytes were written.
func (o *output) write(nc net.Conn) (int64, error) {
	if len(o.gathered) == 0 {
		vectored := vectored(nc)
		switch {
		case vectored && len(o.rest) > 1 && len(o.rest) <= maxVectors:
			return o.rest.WriteTo(nc)
		case vectored && len(o.rest) > 1:
			if n, ok, err := writeMany(nc, o.rest[:min(len(o.rest), maxMany)]); ok {
				o.drop(n)
				return int64(n), err
			}
		}
		switch {
		case len(o.rest) == 1 || len(o.rest[0]) >= gatherBytes:
			head := o.rest[0]
			if !vectored { // each write is progress, or the lack of it
				head = head[:min(len(head), gatherBytes)]
			}
			n, err := nc.Write(head)
			o.drop(n)
			return int64(n), err
		}
		o.gather()
	}
	n, err := nc.Write(o.gathered)
	o.gathered = o.gathered[n:]
	return int64(n), err
}

// gather copies as much of the rest as the buffer holds.
func (o *output) gather() {
	if o.buffer == nil {
		o.buffer = make([]byte, 0, gatherBytes)
	}
	o.gathered = o.buffer
	for len(o.rest) > 0 && len(o.gathered) < gatherBytes {
		n := min(len(o.rest[0]), gatherBytes-len(o.gathered))
		o.gathered = append(o.gathered, o.rest[0][:n]...)
		o.drop(n)
	}
}

// drop takes n bytes off the rest.
func (o *output) drop(n int) {
	for len(o.rest) > 0 && n >= len(o.rest[0]) {
		n -= len(o.rest[0])
		o.rest = o.rest[1:]
	}
	if n > 0 {
		o.rest[0] = o.rest[0][n:]
	}
}

// reset forgets the frames, so that an output keeps none alive that were sent.
func (o *output) reset() {
	clear(o.bufs)
	if cap(o.bufs) > maxKept {
		o.bufs = nil
	}
	o.bufs, o.rest, o.gathered = o.bufs[:0], nil, nil
}
