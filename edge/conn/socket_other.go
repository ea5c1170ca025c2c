//go:build !linux

package conn

import "net"

// limitUnsent does nothing: only Linux is told.
func limitUnsent(*net.TCPConn, int) {}

// writeMany is left to those who gather.
func writeMany(net.Conn, net.Buffers) (n int, ok bool, err error) { return 0, false, nil }

// delivered knows nothing: only bytes received and writes that return are signs of
// life.
func delivered(net.Conn) (acked uint64, queued bool) { return 0, false }
