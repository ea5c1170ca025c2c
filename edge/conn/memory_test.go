//go:build !race

// The race detector changes what is allocated and what pools keep.

package conn

import (
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/gobwas/ws"
)

func TestFanOutAllocatesNothingPerConnection(t *testing.T) {
	const conns = 200
	handlers, round := fanOut(t, conns, EncodeFrame(make([]byte, 512)))
	publish := func() {
		round.Add(conns)
		for _, f := range handlers {
			f.publish()
		}
		round.Wait()
	}
	for range 100 { // fills the pools, and the runtime's own of goroutines
		publish()
	}
	perRound := testing.AllocsPerRun(200, publish)
	t.Logf("%v allocations for a frame to %d connections", perRound, conns)
	if perRound > conns/20 {
		t.Errorf("%v allocations for a frame to %d connections", perRound, conns)
	}
}

// memory is what the process uses for objects and stacks, after everything unused
// is gone: pools are emptied by two collections, and stacks shrink in each.
func memory() int {
	for range 6 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// idleBytes returns what one more connection costs that has nothing to do, in a
// process that has many (the runtime learns from those how small a stack may
// start): the engine's part and that of the net.Conn below it. With traffic each
// has received, sent and been pinged before.
func idleBytes(t testing.TB, conns int, traffic bool) (engine, socket int) {
	t.Helper()
	e := newEngine(t, Config{MaxConnections: 2 * conns, PingInterval: time.Second, PingTimeout: time.Hour})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := memory()
	servers, peers := make([]net.Conn, 2*conns), make([]net.Conn, 2*conns)
	for i := range servers {
		servers[i], peers[i] = dialPair(t, l)
	}
	socket = (memory() - before) / (2 * len(servers))

	received := make(chan struct{}, conns)
	for _, half := range [][2]int{{0, conns}, {conns, 2 * conns}} {
		before = memory()
		sent := e.Stats().FramesOut.Load()
		for i := half[0]; i < half[1]; i++ {
			f := &idler{received: received}
			if err := e.Serve(servers[i], nil, func(c Conn) Handler { f.conn = c; return f }); err != nil {
				t.Fatal(err)
			}
			if !traffic {
				continue
			}
			input := frames(masked(ws.OpText, false, strings.Repeat("a", 5000)), masked(ws.OpPing, true, "p"),
				masked(ws.OpContinuation, true, "b"))
			if _, err := peers[i].Write(input); err != nil {
				t.Fatal(err)
			}
			<-received
		}
		if traffic { // six frames of the handler, a pong, a ping or more
			want := sent + uint64(conns*8)
			eventually(t, "all is sent", func() bool { return e.Stats().FramesOut.Load() >= want })
		}
		engine = (memory() - before) / conns
	}
	runtime.KeepAlive(servers)
	return engine, socket
}

// idler is the smallest handler; it answers a message with six frames.
type idler struct {
	conn     Conn
	due      bool
	received chan struct{}
}

var idlerFrame = EncodeFrame([]byte("hello"))

func (f *idler) Receive(p []byte) bool {
	decode(p)
	f.due = true // read by Fill after Wake
	f.conn.Wake()
	f.received <- struct{}{}
	return true
}

// decode needs as much stack as encoding/json does.
//
//go:noinline
func decode(p []byte) byte {
	var deep [6 << 10]byte
	return deep[copy(deep[:], p)%len(deep)]
}

func (f *idler) Fill(dst net.Buffers, _ int) net.Buffers {
	if f.due {
		f.due = false
		dst = append(dst, idlerFrame, idlerFrame, idlerFrame, idlerFrame, idlerFrame, idlerFrame)
	}
	return dst
}

func (f *idler) Tick(time.Time) {}
func (f *idler) Closed(Reason)  {}

func TestIdleConnectionStaysSmall(t *testing.T) {
	if n := unsafe.Sizeof(link{}); n > 512 {
		t.Errorf("a link has %d bytes", n)
	}
	for _, traffic := range []bool{false, true} {
		engine, socket := idleBytes(t, 1000, traffic)
		t.Logf("traffic before: %t; engine %d bytes, net.Conn %d bytes a connection", traffic, engine, socket)
		// About 3 KB; a buffer or a goroutine that stayed would be 2 to 4 KB more. The
		// runtime keeps parts of the stacks of goroutines that ended, hence the slack.
		if engine > 5<<10 {
			t.Errorf("traffic before: %t; %d bytes", traffic, engine)
		}
	}
}

// BenchmarkIdle reports the memory of an idle connection; its time means nothing.
func BenchmarkIdle(b *testing.B) {
	var engine, socket int
	for b.Loop() {
		engine, socket = idleBytes(b, 4000, true)
	}
	b.ReportMetric(float64(engine), "engine-B/conn")
	b.ReportMetric(float64(socket), "socket-B/conn")
}
