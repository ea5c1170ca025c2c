package publisher

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestReloadsThatGrowTooLargeAreSentApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reloaded{started: time.Now()}
		d := newDebouncer(time.Second, r.send)
		names := func(prefix string) (list []string) {
			for i := range 10_000 {
				list = append(list, fmt.Sprintf("%s-component-%d", prefix, i))
			}
			return list
		}
		a, b := reload(t, d, "a.py", names("a")...), reload(t, d, "b.py", names("b")...)
		if a.ID == b.ID || len(r.events) != 1 {
			t.Errorf("%s, %s, %d sent", a.ID, b.ID, len(r.events))
		}
		d.close()
		if len(r.events) != 2 || len(r.events[1].AffectedComponents) != 10_000 {
			t.Errorf("%d sent", len(r.events))
		}
	})
}

func TestFlushSendsWhatIsHeldAndCloseTakesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reloaded{started: time.Now()}
		d := newDebouncer(time.Second, r.send)
		reload(t, d, "a.py", "x")
		d.flush()
		d.flush()
		if len(r.events) != 1 || r.at[0] != 0 {
			t.Errorf("sent %+v", r)
		}
		d.close()
		var m message
		m.init()
		if _, err := d.add(&m); !errors.Is(err, ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}
