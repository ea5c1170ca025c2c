//go:build linux

package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Opcodes of RFC 6455.
const (
	Continuation = 0x0
	Text         = 0x1
	Binary       = 0x2
	Close        = 0x8
	Ping         = 0x9
	Pong         = 0xA
)

// MaxFrame is the longest frame that a server may send, in bytes.
const MaxFrame = 1_000_000

// readBuffer is the size of a connection's read buffer, in bytes.
const readBuffer = 4 << 10

// ErrFrame says that the server sent what no server may send: a masked frame, one in
// fragments, with reserved bits, or one that is too long.
var ErrFrame = errors.New("peer: a frame that no server may send")

// Conn is a connection to a server. One goroutine may read while another writes.
type Conn struct {
	net.Conn

	// Owned by the reader.
	in      *bufio.Reader
	payload []byte
}

// Dial connects from a local address, of any port, to a server. A receiveBuffer above 0
// is the socket's SO_RCVBUF, in bytes.
func Dial(ctx context.Context, from netip.Addr, to string, receiveBuffer int) (*Conn, error) {
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)),
		KeepAlive: -1,
		Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) {
				// Ports are then taken by address pairs, of which there are more. It is a wish.
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
				if receiveBuffer > 0 {
					_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
				}
			})
		},
	}
	nc, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: nc, in: bufio.NewReaderSize(nc, readBuffer)}, nil
}

// Cut closes the connection with a reset: nothing of it stays in the kernel.
func (c *Conn) Cut() {
	_ = c.Conn.(*net.TCPConn).SetLinger(0) // Else it is closed the slower way.
	_ = c.Close()
}

// Handshake is the text of an opening handshake, with more header lines.
func Handshake(host, path string, headers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", path, host)
	for _, h := range headers {
		b.WriteString(h)
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// Status reads the response to a request and returns its status and the beginning of
// its body.
func (c *Conn) Status() (int, []byte, error) {
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusSwitchingProtocols {
		return response.StatusCode, nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, readBuffer))
	return response.StatusCode, body, err
}

// Next reads the next frame. The payload is valid until the next call.
func (c *Conn) Next() (op byte, payload []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(c.in, head[:2]); err != nil {
		return 0, nil, err
	}
	if head[0]&0xF0 != 0x80 || head[1]&0x80 != 0 {
		return 0, nil, ErrFrame
	}
	op = head[0] & 0xF
	n := uint64(head[1])
	switch n {
	case 126:
		if _, err := io.ReadFull(c.in, head[:2]); err != nil {
			return 0, nil, err
		}
		n = uint64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		if _, err := io.ReadFull(c.in, head[:8]); err != nil {
			return 0, nil, err
		}
		n = binary.BigEndian.Uint64(head[:8])
	}
	if n > MaxFrame {
		return 0, nil, ErrFrame
	}
	if uint64(cap(c.payload)) < n {
		c.payload = make([]byte, n)
	}
	c.payload = c.payload[:n]
	_, err = io.ReadFull(c.in, c.payload)
	return op, c.payload, err
}

// Code is the code in a close frame's payload; 1005 where there is none.
func Code(payload []byte) int {
	if len(payload) < 2 {
		return 1005
	}
	return int(binary.BigEndian.Uint16(payload))
}

// Send writes bytes.
func (c *Conn) Send(bytes []byte) error {
	_, err := c.Write(bytes)
	return err
}

// Message is a whole text message as a client sends it.
func Message(text string) []byte { return Frame(nil, 0x80|Text, []byte(text)) }

// mask is what clients' frames are masked with here: its secrecy protects proxies, of
// which there is none.
var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// Frame appends a masked frame. first is its first byte: FIN, reserved bits and opcode.
func Frame(dst []byte, first byte, payload []byte) []byte {
	dst = Header(dst, first, uint64(len(payload)))
	for i, b := range payload {
		dst = append(dst, Masked(b, i))
	}
	return dst
}

// Masked is the ith byte of a frame's payload as it is sent.
func Masked(b byte, i int) byte { return b ^ mask[i&3] }

// Header appends the header of a masked frame that announces n bytes.
func Header(dst []byte, first byte, n uint64) []byte {
	switch {
	case n < 126:
		dst = append(dst, first, 0x80|byte(n))
	case n <= 0xFFFF:
		dst = binary.BigEndian.AppendUint16(append(dst, first, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, first, 0x80|127), n)
	}
	return append(dst, mask[:]...)
}
