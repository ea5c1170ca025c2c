package edge_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/schema"
)

// TestARevokedTokenThatReadsSlowlyGetsNothingAfterASecond: neither what the edge has begun
// to write, nor what its operating system holds, goes on arriving.
func TestARevokedTokenThatReadsSlowlyGetsNothingAfterASecond(t *testing.T) {
	srv, e := guarded(t)
	s := newStore(t, srv)
	const size, count = 4000, 220
	for i := range count {
		s.put(schema.Dhruva, "adapter.activated", strings.Replace(adapter("a", i), "{", `{"pad":"`+strings.Repeat("x", size)+`",`, 1))
	}
	nc, err := net.Dial("tcp", e.HTTPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := errors.Join(nc.(*net.TCPConn).SetReadBuffer(4<<10), nc.SetDeadline(time.Now().Add(patience))); err != nil {
		t.Fatal(err)
	}
	send := func(text string) {
		t.Helper()
		if _, err := io.WriteString(nc, text); err != nil {
			t.Fatal(err)
		}
	}
	send("GET /ws/dhruva HTTP/1.1\r\nHost: " + nc.RemoteAddr().String() + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: " + bearer(reader(t, "slow")).Get("Authorization") + "\r\n\r\n")
	request := `{"type":"request","event":"history","data":{"channel":"adapter:a","since":"start","limit":1000}}`
	send(string([]byte{0x81, byte(0x80 | len(request)), 0, 0, 0, 0}) + request)
	read := 0
	buffer := make([]byte, 64<<10)
	for got := ""; !strings.Contains(got, "xxxx"); { // The history is coming.
		n, err := nc.Read(buffer)
		if err != nil {
			t.Fatal(err, got)
		}
		got, read = string(buffer[:n]), read+n
	}
	r := auth.Revocation{User: "slow", Before: time.Now().Add(time.Second), At: time.Now()}
	value, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.PutRevocation(t.Context(), srv.Connect(t), r.Key(), func([]byte, time.Time) []byte { return value }); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	until(t, "the connection is cut", func() bool { return e.Connections(schema.Dhruva) == 0 })
	if took := time.Since(at); took > time.Second {
		t.Errorf("cut %v after the revocation", took)
	}
	for err == nil { // What this side's operating system has.
		var n int
		n, err = nc.Read(buffer)
		read += n
	}
	if read > size*count/2 {
		t.Errorf("%d bytes came all the same: %v", read, err)
	}
}
