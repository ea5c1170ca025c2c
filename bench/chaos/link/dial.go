//go:build unix

package link

import (
	"context"
	"fmt"
	"net"
	"syscall"
)

// segment is the size of TCP's segments towards who dials, in bytes, as on an
// ethernet. On the loopback they are 64 KiB by default, and a receiver with a smaller
// buffer than that is served in jerks of 200 ms.
const segment = 1400

// Dial connects to an address and reads with a buffer of so many bytes, about, so that
// the other side notices soon when nothing is read.
func Dial(ctx context.Context, address string, buffer int) (net.Conn, error) {
	var failed error
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		err := raw.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, segment)
			if failed == nil {
				failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, buffer)
			}
		})
		if err == nil {
			err = failed
		}
		return err
	}}
	nc, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	return nc, nil
}
