package feed

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
)

// slowly is a distant log whose leader is as distant.
type slowly struct{ *distant }

func (l slowly) State(ctx context.Context) (State, error) {
	st, err := l.distant.State(ctx)
	<-time.After(l.takes)
	return st, err
}

// TestABusyChannelThatIsOpenedGoesOverToLive: nothing is lost, but events come while the feed
// opens, and faster than a read is answered.
func TestABusyChannelThatIsOpenedGoesOverToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &distant{memory: newMemory(), takes: 2 * time.Millisecond}
		s := newSetOver(t, slowly{log}, log.memory)
		log.act("busy")
		end := make(chan struct{})
		go func() {
			defer close(end)
			for range 10_000 {
				log.act("busy")
				<-time.After(time.Millisecond)
			}
		}()
		r, _ := open(t, s, "global", wire.Since{})
		<-end
		r.drain()
		if n := log.urgent.Load(); n > 100 {
			t.Errorf("%d reads of the log in ten seconds in which nothing was lost", n)
		}
	})
}
