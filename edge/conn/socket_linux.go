package conn

import (
	"net"

	"golang.org/x/sys/unix"
)

// limitUnsent sets TCP_NOTSENT_LOWAT.
func limitUnsent(tc *net.TCPConn, n int) {
	raw, err := tc.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n)
	})
}

// delivered is how many bytes the peer's kernel has acknowledged in all, and
// whether others are still on the way to it. Where the transport cannot tell it is
// 0 and false.
func delivered(nc net.Conn) (acked uint64, queued bool) {
	tc, ok := transport(nc).(*net.TCPConn)
	if !ok {
		return 0, false
	}
	raw, err := tc.SyscallConn()
	if err != nil {
		return 0, false
	}
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			acked = info.Bytes_acked
			queued = info.Unacked > 0 || info.Notsent_bytes > 0
		}
	})
	return acked, queued
}
