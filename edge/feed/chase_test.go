package feed

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
)

// distant is a log whose reads take a while.
type distant struct {
	*memory
	takes  time.Duration
	urgent atomic.Int64
}

func (l *distant) Read(ctx context.Context, q Query, each func(Message)) (bool, error) {
	var list []Message
	more, err := l.memory.Read(ctx, q, func(m Message) { list = append(list, m) })
	<-time.After(l.takes) // The answer is on its way.
	if q.Urgent {
		l.urgent.Add(1)
	}
	for _, m := range list {
		each(m)
	}
	return more, err
}

// TestABusyChannelThatLostOneMessageStopsNoOtherRepair: events come faster than a read is
// answered, so every answer is old when it comes.
func TestABusyChannelThatLostOneMessageStopsNoOtherRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &distant{memory: newMemory(), takes: 2 * time.Millisecond}
		s := newSetOver(t, log, log.memory)
		for range 3 {
			log.act("busy")
			log.act("calm")
		}
		busy, _ := open(t, s, "adapter:busy", wire.Since{})
		calm, _ := open(t, s, "adapter:calm", wire.Since{})
		busy.drain()
		calm.drain()
		log.set(func(l *memory) { l.lossy = true })
		log.act("busy")
		log.set(func(l *memory) { l.lossy = false })
		var lost time.Time
		repaired := time.Duration(-1)
		for n := range 10_000 { // Ten seconds, a thousand events a second.
			log.act("busy")
			if n == 100 {
				log.set(func(l *memory) { l.lossy = true })
				log.act("calm")
				log.set(func(l *memory) { l.lossy = false })
				log.act("calm")
				lost = time.Now()
			}
			<-time.After(time.Millisecond)
			if calm.drain(); len(calm.got) == 2 && repaired < 0 && n > 100 {
				repaired = time.Since(lost)
			}
		}
		if repaired < 0 || repaired > 100*time.Millisecond {
			t.Errorf("the other channel was repaired after %v", repaired)
		}
		if n := log.urgent.Load(); n > 1000 {
			t.Errorf("one lost message of the busy channel and one of the other cost %d reads", n)
		}
	})
}
