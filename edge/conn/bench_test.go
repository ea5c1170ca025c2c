package conn

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// fan is a handler as the feed needs one: it sends one shared frame for every
// round, and allocates nothing.
type fan struct {
	mu    sync.Mutex
	frame []byte
	due   int
	conn  Conn
}

func (f *fan) Receive([]byte) bool { return true }
func (f *fan) Tick(time.Time)      {}
func (f *fan) Closed(Reason)       {}

func (f *fan) Fill(dst net.Buffers, _ int) net.Buffers {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ; f.due > 0; f.due-- {
		dst = append(dst, f.frame)
	}
	return dst
}

func (f *fan) publish() {
	f.mu.Lock()
	f.due++
	f.mu.Unlock()
	f.conn.Wake()
}

// fanOut connects n handlers of one frame, whose clients count the frames they got
// on the group of the round.
func fanOut(t testing.TB, n int, frame []byte) (handlers []*fan, round *sync.WaitGroup) {
	t.Helper()
	e := newEngine(t, Config{MaxConnections: n})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	round = new(sync.WaitGroup)
	for range n {
		server, nc := dialPair(t, l)
		f := &fan{frame: frame}
		if err := e.Serve(server, nil, func(c Conn) Handler { f.conn = c; return f }); err != nil {
			t.Fatal(err)
		}
		handlers = append(handlers, f)
		go func() {
			for buf := make([]byte, len(frame)); ; round.Done() {
				if _, err := io.ReadFull(nc, buf); err != nil {
					return
				}
			}
		}()
	}
	return handlers, round
}

// BenchmarkFanout sends one frame to every connection and waits until all peers,
// which run in the same process, have it. One op is one frame to all of them.
func BenchmarkFanout(b *testing.B) {
	for _, conns := range []int{1, 100, 1000} {
		for _, size := range []int{128, 512, 16 << 10} {
			b.Run(fmt.Sprintf("conns=%d/size=%d", conns, size), func(b *testing.B) {
				handlers, round := fanOut(b, conns, EncodeFrame(make([]byte, size)))
				b.SetBytes(int64(conns * size))
				b.ReportAllocs()
				for b.Loop() {
					round.Add(conns)
					for _, f := range handlers {
						f.publish()
					}
					round.Wait()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*conns), "ns/frame")
			})
		}
	}
}

// sink is a net.Conn that takes everything at once and never has anything to read.
type sink struct {
	net.Conn
	gone chan struct{}
	once sync.Once
	took func(n int)
}

func newSink(took func(n int)) *sink { return &sink{gone: make(chan struct{}), took: took} }

func (s *sink) Read([]byte) (int, error)    { <-s.gone; return 0, io.EOF }
func (s *sink) Write(p []byte) (int, error) { s.took(len(p)); return len(p), nil }
func (s *sink) Close() error                { s.once.Do(func() { close(s.gone) }); return nil }

// BenchmarkFanoutEngine is BenchmarkFanout without a network: what the engine adds
// to the system calls.
func BenchmarkFanoutEngine(b *testing.B) {
	for _, conns := range []int{1, 1000} {
		b.Run(fmt.Sprintf("conns=%d/size=512", conns), func(b *testing.B) {
			e := newEngine(b, Config{MaxConnections: conns})
			var round sync.WaitGroup
			frame := EncodeFrame(make([]byte, 512))
			handlers := make([]*fan, conns)
			for i := range handlers {
				f := &fan{frame: frame}
				nc := newSink(func(n int) { round.Add(-n / len(frame)) })
				if err := e.Serve(nc, nil, func(c Conn) Handler { f.conn = c; return f }); err != nil {
					b.Fatal(err)
				}
				handlers[i] = f
			}
			b.ReportAllocs()
			for b.Loop() {
				round.Add(conns)
				for _, f := range handlers {
					f.publish()
				}
				round.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*conns), "ns/frame")
		})
	}
}

// BenchmarkBacklog sends 1000 waiting frames to one connection. One op is all of
// them.
func BenchmarkBacklog(b *testing.B) {
	for _, size := range []int{128, 512, 4 << 10} {
		b.Run(fmt.Sprintf("frames=1000/size=%d", size), func(b *testing.B) {
			const n = 1000
			e := newEngine(b, Config{})
			server, nc := tcpPair(b)
			h := newTap(b)
			if err := e.Serve(server, nil, h.open); err != nil {
				b.Fatal(err)
			}
			frame := EncodeFrame(make([]byte, size))
			buf := make([]byte, 64<<10)
			b.SetBytes(int64(n * size))
			for b.Loop() {
				for range n {
					h.push(frame)
				}
				h.conn.Wake()
				if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(nc, int64(n*len(frame))), buf); err != nil {
					b.Fatal(err)
				}
			}
			s := e.Stats()
			b.ReportMetric(float64(s.FramesOut.Load())/float64(s.Flushes.Load()), "frames/flush")
		})
	}
}

// BenchmarkReceive parses small messages as a client sends them.
func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{80, 512, 16 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			p := parser{limit: DefaultMaxMessageBytes}
			input := text(string(bytes.Repeat([]byte("a"), size)))
			in := make([]byte, len(input))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				copy(in, input)
				if ev, _, err := p.next(in); err != nil || ev.kind != eventMessage {
					b.Fatal(ev, err)
				}
			}
		})
	}
}
