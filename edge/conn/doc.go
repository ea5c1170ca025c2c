// Package conn is the WebSocket engine of the edge: it moves frames between
// network connections and their handlers, and knows nothing of what is in them.
//
// # The seam
//
// An Engine takes over connections on which the opening handshake is done (Upgrade
// does that for net/http). A Handler is the protocol of one connection; a Conn is
// what the handler holds of it. Sending is pulled: the handler calls Conn.Wake when
// it has something, and the engine calls Handler.Fill when the operating system can
// take more. So a backlog stays with the handler, which may replace it or read it
// again from the log, and what the engine holds of a slow connection is bounded by
// one budget. Receiving is pushed, and the handler stops it by returning false.
//
// # Promises
//
//  1. Handler methods are called as Handler says: messages in order, never two calls
//     of one method at once, Closed exactly once and last.
//  2. A Wake is never lost: after it, Fill is called at least once more, unless the
//     connection ends.
//  3. No connection waits for another. Only the goroutines of a connection write to
//     it, and no method of Conn blocks.
//  4. Frames are sent whole and in the order of Fill. Control frames go ahead of the
//     next round, never into a frame. Nothing follows a close frame.
//  5. What a peer may break of RFC 6455 is refused with 1002, 1007 or 1009 before it
//     costs memory, and a handler sees only complete messages of valid UTF-8.
//  6. A connection ends by name: every Reason has a Code. A peer that gives no sign
//     of life, takes nothing, does not end its message, or does not answer a close
//     frame is dropped in time.
//  7. Shutdown returns when no goroutine of the engine is left.
//
// # Ownership
//
// Bytes that Fill gives are shared and read-only for ever. A payload given to
// Receive belongs to the handler during the call. A net.Conn given to Serve belongs
// to the engine, which closes it.
//
// # What a connection costs
//
// This is the portable engine. An idle connection has one goroutine, waiting in a
// read into a few bytes of the connection's own, and no other buffer, timer or
// goroutine: about 3 KB with the goroutine's stack, beside 0.6 KB of its net.Conn
// (BenchmarkIdle). While a message arrives that does not fit, it borrows 4 KiB, and
// one that comes in pieces is assembled in borrowed ones that double with what came, up
// to Config.MaxMessageBytes, and is complete within Config.MessageTimeout; all such
// buffers together are bounded by Config.Inbound. While there is something to send it has a second
// goroutine, which borrows a list of slices, and 16 KiB where it cannot write many
// slices at once (TLS). One janitor ticks all connections once a second, a
// tenth of them at a time, and keeps all timeouts, so a write costs neither a deadline nor
// a look at the clock.
//
// # Files
//
// conn.go is the seam, close.go the codes and reasons, engine.go the engine and its
// janitor, link.go one connection's life, read.go and write.go its goroutines,
// watch.go its timeouts, inbound.go the bound of what is being received, parser.go the
// inbound half of RFC 6455 as a pure type, frame.go the outbound half, upgrade.go the
// handshake, socket.go what is asked of the kernel.
package conn
