//go:build linux

package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

func TestFramesAreThoseOfRFC6455(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		text := strings.Repeat("x", n)
		r := bytes.NewReader(Message(text))
		h, err := ws.ReadHeader(r)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		ws.Cipher(payload, h.Mask, 0)
		if !h.Fin || !h.Masked || h.OpCode != ws.OpText || h.Length != int64(n) || string(payload) != text {
			t.Errorf("%d bytes: %+v", n, h)
		}
	}
}

// served lets a server do something with one connection and returns the client's side.
func served(t *testing.T, from string, serve func(net.Conn)) *Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		serve(nc)
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	c, err := Dial(context.Background(), netip.MustParseAddr(from), l.Addr().String(), 4096)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Cut)
	return c
}

func TestAConnectionComesFromItsAddressAndReadsFrames(t *testing.T) {
	var from string
	long := strings.Repeat("y", 70_000)
	c := served(t, "127.64.3.2", func(nc net.Conn) {
		from, _, _ = net.SplitHostPort(nc.RemoteAddr().String())
		up := ws.Upgrader{}
		if _, err := up.Upgrade(nc); err != nil {
			return
		}
		_ = ws.WriteFrame(nc, ws.NewTextFrame([]byte(long)))
		_ = ws.WriteFrame(nc, ws.NewCloseFrame(ws.NewCloseFrameBody(4001, "unauthorized")))
		_, _ = nc.Write([]byte{0x01, 0x00})
	})
	if err := c.Send([]byte(Handshake("here", "/", "X-More: 1"))); err != nil {
		t.Fatal(err)
	}
	if status, _, err := c.Status(); status != 101 || err != nil {
		t.Fatal(status, err)
	}
	if op, payload, err := c.Next(); op != Text || string(payload) != long || err != nil {
		t.Error(op, len(payload), err)
	}
	if op, payload, err := c.Next(); op != Close || Code(payload) != 4001 || err != nil {
		t.Error(op, payload, err)
	}
	if _, _, err := c.Next(); !errors.Is(err, ErrFrame) {
		t.Error(err)
	}
	if _, _, err := c.Next(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if from != "127.64.3.2" {
		t.Errorf("it came from %s", from)
	}
}
