package feed

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
)

// aheadTails answers as a lookup in several parts does: the last position of a
// channel in one part is above the position that the least part has looked up to.
type aheadTails struct {
	*memory
	checked atomic.Uint64
}

func (l *aheadTails) Tails(ctx context.Context, c []schema.Channel, since, upTo uint64) (map[schema.Channel]uint64, uint64, error) {
	last, checked, err := l.memory.Tails(ctx, c, since, upTo)
	return last, min(checked, l.checked.Load()), err
}

func TestATailAboveWhatWasCheckedIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		for range 5 {
			log.act("a")
		}
		ahead := &aheadTails{memory: log}
		ahead.checked.Store(4)
		s := newSetOver(t, ahead, log)
		r, start := open(t, s, "adapter:a", wire.Since{})
		ahead.checked.Store(wire.MaxSeq)
		later(10 * time.Second)
		log.act("a")
		later(10 * time.Second)
		r.drain()
		want := "[5 6]"
		if start.Pos == 5 {
			want = "[6]"
		}
		if fmt.Sprint(r.got) != want {
			t.Errorf("from %d: got %v, want %s", start.Pos, r.got, want)
		}
	})
}

func TestALateMessageOfTheOldEpochDoesNotFenceTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		open(t, s, "adapter:a", wire.Since{})
		for range 50 {
			log.act("a")
		}
		channel, _ := schema.ParseChannel("adapter:a")
		log.set(func(l *memory) { l.epoch, l.stored = "e2", nil })
		s.mu.Lock() // Somebody subscribes: the reopening waits a moment.
		go func() { _, _ = s.askState(context.Background()) }()
		for {
			if st, _ := s.Known(); st.Epoch == "e2" {
				break
			}
			runtime.Gosched()
		}
		log.live(Message{Channel: channel, Event: "adapter.activated", Seq: 51, Prev: 50, Time: time.Now(), Data: []byte(`{}`)}, false) // It waited in the queue.
		s.mu.Unlock()
		later(time.Minute)
		if !s.Serving() {
			t.Error("the new epoch is fenced")
		}
	})
}

// shorter answers a few times like a leader that was deposed while it stood still.
type shorter struct {
	*memory
	times atomic.Int32
}

func (l *shorter) State(ctx context.Context) (State, error) {
	st, err := l.memory.State(ctx)
	if l.times.Add(-1) >= 0 {
		st.Last -= 5
	}
	return st, err
}

func TestADeposedLeaderDoesNotMakeAPositionAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		for range 10 {
			log.act("a")
		}
		short := &shorter{memory: log}
		s := newSetOver(t, short, log, func(c *Config) { c.RingFrames = 2 })
		open(t, s, "adapter:b", wire.Since{})
		short.times.Store(3)
		seq := log.act("a")
		_, start := open(t, s, "adapter:b", after(seq))
		if start.Reason != "" {
			t.Errorf("refused: %s", start.Reason)
		}
		if _, start = open(t, s, "adapter:b", after(seq+1)); start.Reason != wire.PositionAhead {
			t.Errorf("a position that the log never reached: %+v", start)
		}
	})
}
