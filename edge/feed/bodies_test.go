package feed

import (
	"bytes"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
)

// TestTheBodyOfAnEventOfTheOldEpochIsNotDeliveredInTheNew: bodies are remembered by
// position, and an event of the old epoch comes after they were forgotten and before its
// sources have stopped.
func TestTheBodyOfAnEventOfTheOldEpochIsNotDeliveredInTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		one, _ := open(t, s, "adapter:a", wire.Since{})
		all, _ := open(t, s, "global", wire.Since{})
		for range 50 {
			log.act("a")
		}
		channel, _ := schema.ParseChannel("adapter:a")
		log.set(func(l *memory) { l.epoch, l.stored = "e2", nil })
		s.mu.Lock() // Somebody subscribes: the reopening waits a moment.
		go func() { _, _ = s.askState(t.Context()) }()
		for {
			if st, _ := s.Known(); st.Epoch == "e2" {
				break
			}
			runtime.Gosched()
		}
		log.live(Message{Channel: channel, Event: "adapter.activated", Seq: 51, Prev: 50, Time: time.Now(), Data: []byte(`{"adapter_id":"old"}`)}, false)
		s.mu.Unlock()
		later(time.Minute)
		for range 50 {
			log.act("a")
		}
		later(time.Minute)
		one.drain()
		all.drain()
		log.put("adapter:a", "adapter.activated", `{"adapter_id":"new"}`) // Position 51.
		for _, r := range []*reader{one, all} {
			bufs, _, _ := r.c.Next(nil, 1<<20)
			if got := bytes.Join(bufs, nil); !bytes.Contains(got, []byte(`"new"`)) {
				t.Errorf("%s: delivered %s", r.feed.Room(), got)
			}
		}
	})
}
