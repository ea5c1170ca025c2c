package feed

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
)

// picky is a log that never answers what its bad says.
type picky struct {
	*memory
	bad func(q Query) bool
	on  atomic.Bool
}

func (l *picky) Read(ctx context.Context, q Query, each func(Message)) (bool, error) {
	if l.on.Load() && l.bad(q) {
		<-ctx.Done() // As a read that is too long.
		return false, ctx.Err()
	}
	return l.memory.Read(ctx, q, each)
}

// ask wants a page and tells how long it took, at most a minute.
func (r *reader) ask() <-chan time.Duration {
	r.c.Next(nil, 1000)
	want, ok := r.c.Wants()
	if !ok {
		r.t.Fatal("wants nothing")
	}
	start, took := time.Now(), make(chan time.Duration, 1)
	r.feed.Fetch(want, func(p Page) { took <- time.Since(start) })
	return took
}

func within(c <-chan time.Duration, d time.Duration) time.Duration {
	select {
	case t := <-c:
		return t
	case <-time.After(d):
		return -1
	}
}

// TestAPositionThatCannotBeReadStopsNoOtherOfItsFeed: one cursor asks for what takes longer
// than a read may, another one of the same feed for what is near.
func TestAPositionThatCannotBeReadStopsNoOtherOfItsFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &picky{memory: newMemory(), bad: func(q Query) bool { return q.From < 10 }}
		for range 100 {
			log.act("a")
		}
		s := newSetOver(t, log, log.memory, func(c *Config) { c.RingFrames = 2 })
		far, _ := open(t, s, "adapter:a", wire.Since{Kind: wire.SinceSeq, Seq: 3})
		near, _ := open(t, s, "adapter:a", wire.Since{Kind: wire.SinceSeq, Seq: 90})
		log.on.Store(true)
		far.ask()
		took := within(near.ask(), 5*time.Minute)
		if took < 0 {
			t.Errorf("no page within five minutes")
		}
	})
}

// TestWhoHasGoneIsForgottenWhileAllReadsHang: cursors come and go for a feed whose turn does not come.
func TestWhoHasGoneIsForgottenWhileAllReadsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &picky{memory: newMemory(), bad: func(q Query) bool { return true }}
		for range 10 {
			for _, id := range []string{"a", "b", "c"} {
				log.act(id)
			}
		}
		s := newSetOver(t, log, log.memory, func(c *Config) { c.RingFrames = 2 })
		var rs []*reader
		for _, id := range []string{"a", "b", "c"} {
			r, _ := open(t, s, "adapter:"+id, wire.Since{Kind: wire.SinceStart})
			rs = append(rs, r)
		}
		log.on.Store(true)
		rs[0].ask()
		rs[1].ask()
		synctest.Wait()
		start, err := rs[2].feed.Begin(t.Context(), wire.Since{Kind: wire.SinceStart})
		if err != nil {
			t.Fatal(err)
		}
		for range 10_000 {
			c := rs[2].feed.NewCursor(start)
			want, ok := c.Wants()
			if !ok {
				t.Fatal("wants nothing")
			}
			rs[2].feed.Fetch(want, func(Page) {})
			c.Close()
		}
		s.reads.mu.Lock()
		n := len(s.reads.lines[rs[2].feed].waiting)
		s.reads.mu.Unlock()
		if n > 100 {
			t.Errorf("%d entries of cursors that have gone", n)
		}
	})
}
