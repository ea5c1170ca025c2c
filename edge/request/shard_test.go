package request

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// awake counts the wake-ups of a connection that does nothing.
type awake struct {
	n    atomic.Int64
	code atomic.Int64 // Of the first Close, 0 for none.

	resumes atomic.Int64
	held    atomic.Int64 // What Hold was told.
}

// closed is the code that the connection was closed with, 0 for none.
func (a *awake) closed() conn.Code { return conn.Code(a.code.Load()) }

func (a *awake) Wake()                             { a.n.Add(1) }
func (a *awake) Resume()                           { a.resumes.Add(1) }
func (a *awake) Hold(bytes int)                    { a.held.Add(int64(bytes)) }
func (a *awake) Expel(code conn.Code, text string) { a.Close(code, text) }
func (a *awake) Close(code conn.Code, _ string)    { a.code.CompareAndSwap(0, int64(code)) }
func (a *awake) Limit(int)                         {}
func (a *awake) RemoteAddr() net.Addr              { return &net.TCPAddr{} }
func (a *awake) ID() string                        { return "a" }

// crowd is a shard on which n sessions subscribe to one feed.
func crowd(n int) (*Shard, *feed.Feed, []*awake) {
	shard, f := NewShard(), &feed.Feed{}
	var conns []*awake
	for i := range n {
		c := &awake{}
		conns = append(conns, c)
		shard.lists[f] = append(shard.lists[f], &subscription{session: &Session{conn: c}, feed: f, index: i})
	}
	return shard, f, conns
}

// TestFanOutAllocatesNothingPerSubscriber: telling subscribers of an event costs
// no memory, however many there are.
func TestFanOutAllocatesNothingPerSubscriber(t *testing.T) {
	for _, n := range []int{1, 10, 1000} {
		shard, f, _ := crowd(n)
		walk := func() {
			shard.Grew(f)
			shard.tell()
			for _, sub := range shard.lists[f] { // What Fill does of it.
				sub.session.collectMarks()
				sub.ready, sub.session.ready = false, sub.session.ready[:0]
			}
		}
		walk()
		if allocs := testing.AllocsPerRun(100, walk); allocs > 0 {
			t.Errorf("%d subscribers: %v allocations", n, allocs)
		}
	}
}

func TestNewsThatCameTogetherWakeOnce(t *testing.T) {
	shard, f, conns := crowd(3)
	for range 5 {
		shard.Grew(f)
	}
	shard.tell()
	for range 5 {
		shard.Grew(f)
		shard.tell()
	}
	for _, c := range conns {
		if c.n.Load() != 1 {
			t.Errorf("woken %d times before anything was taken", c.n.Load())
		}
	}
}

func BenchmarkFanout(b *testing.B) {
	for _, n := range []int{1, 1000, 10_000} {
		b.Run(fmt.Sprintf("subs=%d", n), func(b *testing.B) {
			shard, f, _ := crowd(n)
			b.ReportAllocs()
			for b.Loop() {
				shard.Grew(f)
				shard.tell()
				for _, sub := range shard.lists[f] {
					sub.session.collectMarks()
					sub.ready, sub.session.ready = false, sub.session.ready[:0]
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(n)/float64(time.Nanosecond), "ns/sub")
		})
	}
}
