package conn

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// States of the writing goroutine.
const (
	asleep  int32 = iota // there is none
	sending              // it runs
	again                // it runs, and was woken since it last asked the handler
)

// link is one connection of the engine. The goroutines and calls at work on it are
// counted in tasks, and so is its transport; whoever brings the count to zero
// tells the handler, so that Closed comes once and last.
type link struct {
	// Static after construction.
	engine  *engine
	nc      net.Conn
	handler Handler // set before start
	serial  uint64
	run     func() // write as a value, made once so that waking allocates nothing

	// Atomic.
	state   atomic.Int32           // of the writing goroutine
	seen    atomic.Bool            // bytes have come since the last tick
	resumed atomic.Bool            // Resume was called since the last Receive began
	frames  atomic.Int64           // that have come since the last tick
	limit   atomic.Int64           // of a message, in bytes
	held    atomic.Int64           // bytes of messages that are counted by Inbound; or struck
	partial atomic.Uint32          // number of the message that has begun and not ended; 0 for none
	ending  atomic.Pointer[ending] // why the connection closes; set once, with mu held

	// Owned by the reading goroutine, and by the next one after a pause.
	parser  parser
	counted int      // bytes that the parser has assembled, as was counted last
	begun   uint32   // messages that did not come in one read
	in      []byte   // read and not parsed yet
	piece   []byte   // borrowed buffer that in lies in, or nil
	more    bool     // the last read filled its buffer
	grown   bool     // the handler ran on this goroutine
	deaf    bool     // the peer broke the protocol: read and drop
	scratch [96]byte // read into while nothing longer is expected

	// Guarded by mu.
	mu       sync.Mutex
	tasks    int32
	dead     bool   // the transport is closed
	paused   bool   // no reading goroutine until Resume
	pinging  bool   // a ping is to be sent
	ponging  bool   // pong is to be sent
	kicked   bool   // the janitor interrupted a stuck write
	hopeless bool   // and knows that the peer took nothing
	answered bool   // the peer's close frame has come
	said     bool   // our close frame was sent
	writes   uint32 // begun and ended writes; odd during one
	pong     []byte // payload of the latest unanswered ping

	// Guarded by the engine's mu.
	slot int

	// Owned by the janitor.
	watch watch
}

var _ Conn = (*link)(nil)

// ending is how a connection closes.
type ending struct {
	// Static after construction.
	reason Reason
	code   Code // of the close frame
	await  bool // for the peer's close frame, after ours was sent
	fill   bool // ask the handler a last time before the close frame
	deaf   bool // the peer's close frame cannot be told from what it sends
}

// newLink returns a connection that is not started: its methods work, and take
// effect when start is called.
func newLink(e *engine, nc net.Conn, serial uint64) *link {
	l := &link{engine: e, nc: nc, serial: serial}
	l.run = l.write
	l.Limit(0)
	l.state.Store(again)
	l.tasks = 3 // the transport, the reader and the writer
	return l
}

// start lets the goroutines go.
func (l *link) start(buffered []byte) {
	l.in = buffered
	if len(buffered) > 0 {
		l.engine.stats.BytesIn.Add(uint64(len(buffered)))
	}
	go l.read()
	go l.run()
}

// Wake implements Conn.
func (l *link) Wake() {
	for {
		switch l.state.Load() {
		case asleep:
			if l.state.CompareAndSwap(asleep, again) {
				if l.acquire() {
					go l.run()
				}
				return
			}
		case sending:
			if l.state.CompareAndSwap(sending, again) {
				return
			}
		default:
			return
		}
	}
}

// Resume implements Conn.
func (l *link) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resumed.Store(true)
	l.unpause()
}

// unpause lets a paused reader go on. The caller holds mu.
func (l *link) unpause() {
	if l.paused && !l.dead {
		l.paused = false
		l.tasks++
		go l.read()
	}
}

// Close implements Conn.
func (l *link) Close(code Code, reason string) {
	l.close(farewellOf(code, reason))
}

// farewellOf is an ending that the handler wants.
func farewellOf(code Code, reason string) *ending {
	if !code.Sendable() {
		code = CloseInternal
	}
	return &ending{
		reason: Reason{Code: code, Text: cutText(reason)},
		code:   code, await: true, fill: true,
	}
}

// Expel implements Conn.
func (l *link) Expel(code Code, reason string) {
	l.expel(farewellOf(code, reason))
}

// expel is close with little time for the peer.
func (l *link) expel(how *ending) {
	l.close(how)
	// Also where it was closing already: what it was given then is as little for it now.
	time.AfterFunc(expelTimeout, func() {
		if !l.acquire() {
			return
		}
		defer l.release()
		l.mu.Lock()
		said := l.said
		l.mu.Unlock()
		_, queued := delivered(l.nc)
		l.end(queued || !said, Reason{Err: ErrExpelled})
	})
}

// expelTimeout is how long who is expelled may take for what was handed out to it before.
const expelTimeout = 500 * time.Millisecond

// close begins the end, unless it has begun. It reports whether it did.
func (l *link) close(how *ending) bool {
	l.mu.Lock()
	first := l.ending.Load() == nil
	if first {
		l.ending.Store(how)
		l.unpause() // to find the peer's close frame
	}
	l.mu.Unlock()
	if first {
		l.Wake()
	}
	return first
}

// Limit implements Conn.
func (l *link) Limit(bytes int) {
	most := l.engine.config.MaxMessageBytes
	if bytes > 0 {
		most = min(most, bytes)
	}
	l.limit.Store(int64(most))
}

// RemoteAddr implements Conn.
func (l *link) RemoteAddr() net.Addr { return l.nc.RemoteAddr() }

// ID implements Conn.
func (l *link) ID() string { return l.engine.prefix + "-" + strconv.FormatUint(l.serial, 36) }

// acquire keeps the connection from being finished until release. It is false
// once the transport is closed.
func (l *link) acquire() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return false
	}
	l.tasks++
	return true
}

// release ends what acquire began; the last one finishes the connection.
func (l *link) release() {
	l.mu.Lock()
	l.tasks--
	last := l.tasks == 0
	l.mu.Unlock()
	if last {
		l.finish()
	}
}

// finish tells the handler and the engine. Nothing runs on the connection any more.
func (l *link) finish() {
	l.parser.drop()
	l.returnPiece()
	l.engine.config.Inbound.leave(l)
	reason := l.ending.Load().reason
	l.engine.stats.closed[reason.Code.index()].Add(1)
	l.handler.Closed(reason)
	l.engine.leave(l)
}

// lose ends the connection because its transport failed.
func (l *link) lose(err error) {
	l.end(false, Reason{Code: CloseAbnormal, ByPeer: true, Err: err})
}

// end closes the transport, which interrupts the reader and the writer. Hard drops
// what the kernel has not sent yet, and never waits. Why is the reason unless the
// connection was closing already; then its error is noted, if the closing handshake
// is not complete.
func (l *link) end(hard bool, why Reason) {
	l.mu.Lock()
	if l.dead {
		l.mu.Unlock()
		return
	}
	l.dead = true
	if how := l.ending.Load(); how != nil {
		err := why.Err
		if why = how.reason; why.Err == nil && !(l.said && l.answered) {
			why.Err = err
		}
	}
	l.ending.Store(&ending{reason: why})
	l.mu.Unlock()
	if hard {
		cut(l.nc)
	} else {
		_ = l.nc.Close() // nobody is left who could do anything about it
	}
	l.release()
}
