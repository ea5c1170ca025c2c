package feed

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
)

// slowState is a log whose leader takes its time while replicas answer at once.
type slowState struct {
	*memory
	hold chan struct{}
}

func (l *slowState) State(ctx context.Context) (State, error) {
	var hold chan struct{}
	l.set(func(*memory) { hold = l.hold })
	if hold != nil {
		<-hold
	}
	return l.memory.State(ctx)
}

// TestATailOfTheOldEpochOpensNoSourceOfTheNew: while a feed opens, the lookup of its tail is
// answered before the epoch changes, and the question to the leader after.
func TestATailOfTheOldEpochOpensNoSourceOfTheNew(t *testing.T) {
	for _, room := range []string{"adapter:a", "adapter:never"} {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &slowState{memory: newMemory()}
				s := newSetOver(t, log, log.memory)
				for range 50 {
					log.act("a")
				}
				hold := make(chan struct{})
				log.set(func(*memory) { log.hold = hold })
				time.AfterFunc(time.Second, func() {
					log.set(func(l *memory) { l.epoch, l.stored, log.hold = "e2", nil, nil })
					close(hold)
				})
				r, start := open(t, s, room, wire.Since{})
				if start.Epoch != "e2" || start.Pos > 0 {
					t.Errorf("acknowledged position %d of %s, which is empty", start.Pos, start.Epoch)
				}
				want := []uint64{log.act("a"), log.act("a")}
				if room == "adapter:never" {
					want = []uint64{log.act("never")}
				}
				later(10 * time.Second)
				r.drain()
				if fmt.Sprint(r.got) != fmt.Sprint(want) {
					t.Errorf("got %v, want %v, told %v", r.got, want, r.note)
				}
			})
		})
	}
}
