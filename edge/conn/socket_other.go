//go:build !linux

package conn

import "net"

// limitUnsent does nothing: only Linux is told.
func limitUnsent(*net.TCPConn, int) {}

// delivered knows nothing: only bytes received and writes that return are signs of
// life.
func delivered(net.Conn) (acked uint64, queued bool) { return 0, false }
