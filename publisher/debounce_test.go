package publisher

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/schema/fastblocks"
)

// reload is hot_reload.triggered as a message.
func reload(t *testing.T, file string, components ...string) *message {
	t.Helper()
	m := &message{}
	m.init()
	settings := Settings()
	if err := m.fill(fastblocks.HotReloadTriggered{FilePath: file, AffectedComponents: components}, &settings); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDebounceMergesABurstIntoOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type sent struct {
			after   time.Duration
			id      string
			payload string
		}
		var got []sent
		start := time.Now()
		d := newDebouncer(100*time.Millisecond, func(m *message) {
			got = append(got, sent{time.Since(start), m.receipt.ID, string(m.Data)})
		})
		add := func(m *message) Receipt {
			r, err := d.add(m)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		first := add(reload(t, "a.py", "x"))
		time.Sleep(60 * time.Millisecond)
		second := add(reload(t, "b.py", "y", "x"))
		if first != second || first.Channel != "hot_reload" || first.ID == "" {
			t.Errorf("receipts %+v and %+v", first, second)
		}
		time.Sleep(99 * time.Millisecond)
		synctest.Wait()
		if len(got) != 0 {
			t.Fatalf("sent too early: %+v", got)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		want := sent{160 * time.Millisecond, first.ID, `{"affected_components":["x","y"],"file_path":"b.py"}`}
		if len(got) != 1 || got[0] != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}

		// A burst that does not end is cut after ten quiet times.
		start, got = time.Now(), nil
		for i := range 30 {
			add(reload(t, "c.py", fmt.Sprint(i)))
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if len(got) != 2 || got[0].after != time.Second {
			t.Errorf("a long burst: %+v", got)
		}

		// What is held leaves at flush and at close, and nothing comes in after that.
		got = nil
		add(reload(t, "d.py"))
		d.flush()
		add(reload(t, "e.py"))
		d.close()
		if len(got) != 2 {
			t.Errorf("flush and close: %+v", got)
		}
		if _, err := d.add(reload(t, "f.py")); err == nil {
			t.Error("taken after close")
		}
		time.Sleep(time.Second)
		if len(got) != 2 {
			t.Errorf("after close: %+v", got)
		}
	})
}

func TestDebounceSendsWhatGrowsTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		d := newDebouncer(time.Second, func(*message) { sent++ })
		names := func(prefix string) (list []string) {
			for i := range 10_000 {
				list = append(list, fmt.Sprintf("%s-component-%d", prefix, i))
			}
			return list
		}
		a, err := d.add(reload(t, "a.py", names("a")...))
		if err != nil {
			t.Fatal(err)
		}
		b, err := d.add(reload(t, "b.py", names("b")...))
		if err != nil || a.ID == b.ID || sent != 1 {
			t.Errorf("%+v, %+v, %v, %d sent", a, b, err, sent)
		}
		d.close()
		if sent != 2 {
			t.Errorf("%d sent", sent)
		}
	})
}
