package conn

import (
	"context"
	"net"
	"time"
)

// Handler is the protocol of one connection. The engine never runs two calls of
// the same method of one handler at once, but different methods may run at the
// same time on different goroutines: the handler guards its own state. The engine
// holds no lock during a call, so a handler may call its Conn from every method,
// also while it holds a lock of its own.
type Handler interface {
	// Receive is called with each complete inbound message, in order. Text and
	// binary messages alike are valid UTF-8. The payload may be changed but is
	// valid only during the call. Receive must not wait for the network. If it
	// returns false, no further message is delivered until Conn.Resume is called;
	// a Resume that was called since this call began counts.
	Receive(payload []byte) bool
	// Fill appends to dst the encoded frames that are to be sent next, about
	// budget bytes of them, and returns it; one frame more than the budget is
	// fine, and so is a first frame that alone is longer. The frames are complete:
	// a frame may be several slices, but its header lies in one. Fill is called
	// after Conn.Wake, after the handler was made, and again and again while it
	// appends something, each time only after all it gave before was taken by the
	// operating system. The bytes are shared between connections: nobody writes to
	// them any more, ever. Returning dst as it came means that there is nothing to
	// send. Fill must not wait for the network.
	Fill(dst net.Buffers, budget int) net.Buffers
	// Tick is called about once a second until the connection begins to close, by
	// one goroutine for all connections of the engine: it must not block.
	Tick(now time.Time)
	// Closed is called exactly once, after the last call of every other method has
	// returned. It must not block: it may run on the goroutine that ticks all
	// connections.
	Closed(why Reason)
}

// Conn is what a handler holds of its connection. All methods are safe for
// concurrent use, never block, never call the handler, and do nothing once the
// connection has ended.
type Conn interface {
	// Wake says that there may be something to Fill.
	Wake()
	// Resume makes the engine deliver messages again after Receive returned false.
	Resume()
	// Close begins the closing handshake. What was handed out before is sent, then
	// what a last call of Fill gives (one budget), then the close frame; nothing
	// after it. Messages that arrive from now on are dropped. The connection ends
	// when the peer has answered, at the latest after Config.CloseTimeout. The
	// reason is cut to 123 bytes at a rune. A code that no endpoint may send
	// (Code.Sendable) is sent as CloseInternal. Only the first Close counts.
	Close(code Code, reason string)
	// Expel is Close for a peer that may have nothing any more: half a second later the
	// connection is cut, whether or not the peer has answered. What it has not taken
	// of all this by then is dropped, also what the operating system holds; it
	// may then not see the close frame. It works on a connection that is closing, too.
	Expel(code Code, reason string)
	// Hold counts bytes of inbound messages that the handler keeps until it has handled
	// them, less where it is negative, for Config.Inbound. What is still counted when the
	// connection ends is given back then. It may end this or other connections.
	Hold(bytes int)
	// Limit bounds an inbound message from now on, in bytes, instead of
	// Config.MaxMessageBytes; 0 is that again. It never raises the bound above that.
	Limit(bytes int)
	// RemoteAddr is the address of the peer of the transport, which is a proxy
	// where there is one in front.
	RemoteAddr() net.Addr
	// ID is a name that no other connection has, of this engine or another, in
	// ASCII without spaces.
	ID() string
}

// Engine moves bytes between network connections and their handlers. All methods
// are safe for concurrent use.
type Engine interface {
	// Serve takes over nc, on which the opening handshake is done, and returns at
	// once. Buffered is what the peer sent behind its handshake; it belongs to the
	// engine from now on. Serve calls open once, before it returns and before any
	// call of the handler that open gives; the Conn may be used at once, also from
	// within open. Above Config.MaxConnections the error is ErrFull and the peer is
	// told CloseTryLater; after Shutdown it is ErrShutdown. In both cases open is not
	// called and nc is closed by the engine.
	Serve(nc net.Conn, buffered []byte, open func(Conn) Handler) error
	// Shutdown refuses new connections, closes all with code and what reason returns
	// for each, as Conn.Close does, and returns when every goroutine of the engine has ended and
	// every Closed has returned. When ctx ends first, the connections that are left
	// are cut and the error is that of ctx. An engine is not used again.
	Shutdown(ctx context.Context, code Code, reason func() string) error
	// Len is the number of connections that have not ended.
	Len() int
	// Stats are the engine's counters, the same value at every call.
	Stats() *Stats
}
