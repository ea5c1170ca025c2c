package conn

import "sync/atomic"

// Stats are the counters of an engine since it was made. Bytes are those of
// WebSocket frames with their headers, before TLS. Safe for concurrent use; the
// counters are read one by one, not all at the same moment.
type Stats struct {
	// Opened counts connections that were taken over, also those closed at once for
	// want of capacity. Opened less every Closed is the number that is open.
	Opened atomic.Uint64
	// Refused counts connections that MaxConnections turned away.
	Refused atomic.Uint64
	// MessagesIn counts complete messages given to handlers.
	MessagesIn atomic.Uint64
	// FramesIn counts frames received, control frames included.
	FramesIn atomic.Uint64
	// BytesIn counts bytes received.
	BytesIn atomic.Uint64
	// FramesOut counts frames handed out to be sent, control frames included.
	FramesOut atomic.Uint64
	// BytesOut counts bytes taken by the operating system.
	BytesOut atomic.Uint64
	// Flushes counts rounds of sending: FramesOut / Flushes is how many frames went
	// out together.
	Flushes atomic.Uint64

	closed [len(codes) + 1]atomic.Uint64
}

// Closed is the number of connections that ended with code. Every code without a
// label of its own is counted together, under any such code, for example 0.
func (s *Stats) Closed(code Code) uint64 { return s.closed[code.index()].Load() }
