package conn

import (
	"errors"
	"io"
	"os"
	"time"
)

// read is the reading goroutine: the one that an idle connection has. It ends with
// the connection, or pauses by ending, when Resume starts the next one. After it
// has run the handler it hands over to a new one, because its stack has grown to
// what the handler needs and would stay so while it waits.
func (l *link) read() {
	for l.parse() {
		if l.grown {
			l.grown = false
			go l.read()
			return
		}
		if !l.receive() {
			break
		}
	}
	l.release()
}

// receive reads once. An idle connection waits with nothing but its own few bytes;
// a bigger buffer is borrowed when more is known to come. It is false when the
// connection has ended.
func (l *link) receive() bool {
	if l.more || l.parser.missing() > len(l.scratch) {
		if l.piece == nil {
			l.piece = borrow(pieceBytes)[:pieceBytes]
		}
	} else {
		l.returnPiece()
	}
	buf := l.scratch[:]
	if l.piece != nil {
		buf = l.piece
	}
	n, err := l.nc.Read(buf)
	if n > 0 {
		if !l.seen.Load() {
			l.seen.Store(true)
		}
		l.engine.stats.BytesIn.Add(uint64(n))
		l.in = buf[:n]
		l.more = n == len(buf)
		return true // an error comes again
	}
	l.more = false
	if err == nil {
		return true
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && l.ending.Load() != nil { // see interrupt
		_ = l.nc.SetReadDeadline(time.Time{}) // the next read tells
		l.hush()
		return true
	}
	if l.deaf && errors.Is(err, io.EOF) {
		l.end(false, Reason{}) // all that can be expected of this peer
	} else {
		l.lose(err)
	}
	return false
}

var errTooManyFrames = &violation{CloseRateLimited, "too many frames"}

// returnPiece gives the borrowed buffer back.
func (l *link) returnPiece() {
	if l.piece != nil {
		giveBack(l.piece)
		l.piece = nil
	}
}

// parse acts on everything that was read. It is false when reading is to stop.
func (l *link) parse() bool {
	if l.deaf {
		l.in = nil
		return true
	}
	for {
		l.parser.limit = int(l.limit.Load())
		ev, rest, err := l.parser.next(l.in)
		l.in = rest
		if l.parser.frames > 0 {
			l.engine.stats.FramesIn.Add(uint64(l.parser.frames))
			sum, most := l.frames.Add(int64(l.parser.frames)), int64(l.engine.config.MaxFramesPerSecond)
			l.parser.frames = 0
			if most > 0 && sum > most && err == nil {
				err = errTooManyFrames
			}
		}
		if err != nil {
			l.refuse(err)
			return true
		}
		l.follow()
		if l.held.Load() == struck {
			l.hush()
			return true
		}
		switch ev.kind {
		case eventNone:
			return true
		case eventMessage:
			if !l.deliver(ev.payload) {
				return false
			}
		case eventPing:
			l.answer(ev.payload)
		case eventPong: // that it came is all it says
		case eventClose:
			l.peerClosed(ev)
			return false
		}
	}
}

// follow tells the books and the janitor how far the message is that is coming.
func (l *link) follow() {
	l.count()
	switch under := l.parser.underway(); {
	case under && l.partial.Load() == 0:
		l.begun++
		l.partial.Store(max(l.begun, 1))
	case !under && l.partial.Load() != 0:
		l.partial.Store(0)
	}
}

// deliver gives a message to the handler, unless the connection is closing. It is
// false when the handler wants no more for now.
func (l *link) deliver(payload []byte) bool {
	if l.ending.Load() != nil {
		return true
	}
	if l.resumed.Load() {
		l.resumed.Store(false)
	}
	l.engine.stats.MessagesIn.Add(1)
	l.grown = true
	return l.handler.Receive(payload) || !l.pause()
}

// pause makes the reading goroutine end until Resume, unless that was called
// already or the connection is closing.
func (l *link) pause() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = !l.dead && !l.resumed.Load() && l.ending.Load() == nil
	return l.paused
}

// answer has a pong sent. A peer that pings faster than it takes the answers gets
// one for its latest ping, which RFC 6455 allows.
func (l *link) answer(payload []byte) {
	l.mu.Lock()
	l.ponging = true
	l.pong = append(l.pong[:0], payload...)
	l.mu.Unlock()
	l.Wake()
}

// refuse closes the connection of a peer that broke the protocol. What it sends
// from now on is dropped unread: closing with unread bytes would make the kernel
// reset the connection, and the close frame might never be seen.
func (l *link) refuse(err error) {
	why := Reason{Code: CloseInternal, Err: err}
	if v := (*violation)(nil); errors.As(err, &v) {
		why = Reason{Code: v.code, Text: v.text}
	}
	l.hush()
	l.partial.Store(0)
	l.close(&ending{reason: why, code: why.Code, await: true, fill: true, deaf: true})
}

// peerClosed answers the peer's close frame, or takes it as the answer to ours. What
// the handler has to say to the messages before it goes ahead.
func (l *link) peerClosed(ev event) {
	why := Reason{Code: ev.code, Text: string(ev.payload), ByPeer: true}
	l.mu.Lock()
	l.answered = true
	done := l.said
	l.mu.Unlock()
	if done {
		l.end(false, Reason{})
		return
	}
	l.close(&ending{reason: why, code: ev.code, fill: true})
}
