package publisher

import (
	"encoding/json"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/schema/fastblocks"
)

// reloaded are the payloads that a debouncer sent, and when.
type reloaded struct {
	at      []time.Duration
	events  []fastblocks.HotReloadTriggered
	started time.Time
}

func (r *reloaded) send(m *message) {
	var e fastblocks.HotReloadTriggered
	if err := json.Unmarshal(m.Data, &e); err != nil {
		panic(err)
	}
	r.at = append(r.at, time.Since(r.started))
	r.events = append(r.events, e)
}

// reload hands one event to a debouncer.
func reload(t *testing.T, d *debouncer, file string, components ...string) Receipt {
	t.Helper()
	var m message
	m.init()
	if err := m.fill(fastblocks.HotReloadTriggered{FilePath: file, AffectedComponents: components}, &PublishSettings{}); err != nil {
		t.Fatal(err)
	}
	receipt, err := d.add(&m)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// pass lets time pass, and what is due in it happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestReloadsWithinAQuietTimeAreOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reloaded{started: time.Now()}
		d := newDebouncer(100*time.Millisecond, r.send)
		one := reload(t, d, "a.css", "nav", "menu")
		pass(60 * time.Millisecond)
		two := reload(t, d, "b.css", "menu", "list")
		pass(time.Second)
		reload(t, d, "c.css", "nav")
		pass(time.Second)
		want := []fastblocks.HotReloadTriggered{
			{FilePath: "b.css", AffectedComponents: []string{"nav", "menu", "list"}},
			{FilePath: "c.css", AffectedComponents: []string{"nav"}},
		}
		if !reflect.DeepEqual(r.events, want) {
			t.Errorf("sent %+v, want %+v", r.events, want)
		}
		if one.ID != two.ID || one.Seq != 0 {
			t.Errorf("receipts %+v and %+v are of one event", one, two)
		}
		if r.at[0] != 160*time.Millisecond {
			t.Errorf("sent after %v", r.at[0])
		}
	})
}

func TestReloadsThatNeverPauseAreSentAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reloaded{started: time.Now()}
		d := newDebouncer(100*time.Millisecond, r.send)
		for range 50 {
			reload(t, d, "a.css", "nav")
			pass(50 * time.Millisecond)
		}
		if len(r.at) < 2 || r.at[0] > mostQuiets*100*time.Millisecond {
			t.Errorf("sent at %v", r.at)
		}
		d.close()
		if n := len(r.at); n != 3 {
			t.Errorf("%d events of 2.5 s", n)
		}
	})
}

func TestCloseSendsWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reloaded{started: time.Now()}
		d := newDebouncer(100*time.Millisecond, r.send)
		reload(t, d, "a.css", "nav")
		d.close()
		if len(r.events) != 1 {
			t.Errorf("sent %+v", r.events)
		}
		pass(time.Second)
		if len(r.events) != 1 {
			t.Errorf("sent again: %+v", r.events)
		}
	})
}
