package conn

import (
	"errors"
	"net"
	"syscall"

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

// writeMany writes slices in one system call, as soon as the socket takes any, and
// returns how many bytes it took. Not ok means that nothing was tried.
func writeMany(nc net.Conn, bufs net.Buffers) (n int, ok bool, err error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return 0, false, nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, true, err
	}
	var failed error
	err = raw.Write(func(fd uintptr) (done bool) {
		for {
			n, failed = unix.Writev(int(fd), bufs)
			if !errors.Is(failed, unix.EINTR) {
				return !errors.Is(failed, unix.EAGAIN)
			}
		}
	})
	if err == nil {
		err = failed
	}
	return max(n, 0), true, err
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
