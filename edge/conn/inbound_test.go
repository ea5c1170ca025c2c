package conn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// begin is the beginning of a text message of so many bytes.
func begin(size, sent int) []byte {
	head := []byte{0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // The mask is zero.
	binary.BigEndian.PutUint64(head[2:], uint64(size))
	return append(head, bytes.Repeat([]byte("x"), sent)...)
}

func TestAMessageThatDoesNotEndIsCutInTime(t *testing.T) {
	for _, row := range []struct {
		name       string
		start, sip []byte // Sent once, and every second.
	}{
		{"a byte a second", begin(1<<20, 5000), []byte("x")},
		{"a few bytes, then none", text("hello")[:8], nil},
		{"frames without end", masked(ws.OpText, false, "a"), masked(ws.OpContinuation, false, "b")},
		{"signs of life between frames", masked(ws.OpText, false, "a"), masked(ws.OpPong, true, "")},
		{"a last frame that is cut", frames(masked(ws.OpText, false, "a"), masked(ws.OpContinuation, true, "abc")[:8]), nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			inFakeTime(t, Config{}, func(t *testing.T, e Engine, h *tap, c *client) {
				began := time.Now()
				c.write(row.start)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					for row.sip != nil {
						if _, err := c.nc.Write(row.sip); err != nil {
							return
						}
						pass(time.Second)
					}
				}()
				op, payload, err := c.read()
				for ; err == nil && op != ws.OpClose; op, payload, err = c.read() {
					continue // A ping.
				}
				if err != nil {
					t.Fatal(err)
				}
				wantAfter(t, began, DefaultMessageTimeout)
				if code := Code(binary.BigEndian.Uint16(payload)); code != ClosePolicy {
					t.Errorf("code %d", code)
				}
				synctest.Wait()
				if n := e.(*engine).config.Inbound.Used(); n != 0 {
					t.Errorf("%d bytes are still held", n)
				}
				_ = c.nc.Close()
				if why := h.wantClosed(ClosePolicy); !errors.Is(why.Err, ErrMessageTimeout) {
					t.Errorf("reason %v", why)
				}
				<-ended
			})
		})
	}
}

func TestOneMessageAfterAnotherIsNotOneThatDoesNotEnd(t *testing.T) {
	inFakeTime(t, Config{}, func(t *testing.T, _ Engine, h *tap, c *client) {
		go func() { _, _ = io.Copy(io.Discard, c.nc) }()
		frame := text(strings.Repeat("m", 300))
		c.write(frame[:100])
		for range 20 {
			pass(20 * time.Second)
			c.write(frame[100:], frame[:100]) // There is always one on its way.
			h.wantMessage(strings.Repeat("m", 300))
		}
		h.wantOpen()
	})
}

func TestWhoHoldsTheMostGoesFirst(t *testing.T) {
	const bound, greedy = 2 << 20, 40
	in := NewInbound(bound)
	e := newEngine(t, Config{Inbound: in})
	modest := newTap(t)
	m := connect(t, e, modest)
	m.write(begin(20_000, 15_000))
	eventually(t, "the modest one holds something", func() bool { return in.Used() > 0 })
	taps := make([]*tap, greedy)
	var wg sync.WaitGroup
	for i := range taps {
		taps[i] = newTap(t)
		c := connect(t, e, taps[i])
		wg.Go(func() { _, _ = c.nc.Write(begin(1<<20, 1<<20-1)) }) // Many are cut.
	}
	wg.Wait()
	eventually(t, "most have been told to go", func() bool { return in.Shed() >= greedy-2 })
	if n := in.Used(); n > bound {
		t.Errorf("%d bytes are held", n)
	}
	eventually(t, "they have gone", func() bool { return e.Len() == 1+greedy-int(in.Shed()) })
	if told := e.Stats().Closed(CloseTryLater); told != in.Shed() {
		t.Errorf("%d of %d were told why", told, in.Shed())
	}
	m.write(bytes.Repeat([]byte("x"), 5000))
	modest.wantMessage(strings.Repeat("x", 20_000))
	modest.wantOpen()
}

func TestWhoIsToldToGoReadsWhy(t *testing.T) {
	in := NewInbound(100_000)
	e := newEngine(t, Config{Inbound: in})
	h := newTap(t)
	c := connect(t, e, h)
	c.write(begin(1<<20, 200_000))
	c.wantClose(CloseTryLater)
	if n := in.Used(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
	_ = c.nc.Close()
	h.wantClosed(CloseTryLater)
}

func TestWhoIsToldToGoGivesUpItsMessageAtOnce(t *testing.T) {
	inFakeTime(t, Config{Inbound: NewInbound(100_000)}, func(t *testing.T, _ Engine, h *tap, c *client) {
		c.write(begin(1<<20, 50_000))
		l := h.conn.(*link)
		synctest.Wait()
		if n := l.parser.assembled(); n < 50_000 {
			t.Fatalf("%d bytes are assembled", n)
		}
		h.conn.Hold(80_000)
		synctest.Wait() // No time goes by.
		if n := l.parser.assembled(); n != 0 {
			t.Errorf("%d bytes are assembled", n)
		}
		c.wantClose(CloseTryLater)
		h.wantClosed(CloseTryLater)
	})
}

func TestWhatHandlersKeepCountsAndIsGivenBack(t *testing.T) {
	in := NewInbound(100_000)
	e := newEngine(t, Config{Inbound: in})
	keeper, other := newTap(t), newTap(t)
	k, o := connect(t, e, keeper), connect(t, e, other)
	<-keeper.opened
	<-other.opened
	other.conn.Hold(20_000)
	keeper.conn.Hold(70_000)
	if n := in.Used(); n != 90_000 {
		t.Errorf("%d bytes are held", n)
	}
	keeper.conn.Hold(-1000)
	other.conn.Hold(-5000)
	other.conn.Hold(35_000)
	k.wantClose(CloseTryLater)
	k.write(closing(CloseTryLater, ""))
	_ = k.nc.Close()
	keeper.wantClosed(CloseTryLater)
	keeper.conn.Hold(1000) // It is off the books.
	if n := in.Used(); n != 50_000 || in.Shed() != 1 {
		t.Errorf("%d bytes are held, %d were told to go", n, in.Shed())
	}
	in.Tighten(true)
	o.wantClose(CloseTryLater)
	_ = o.nc.Close()
	other.wantClosed(CloseTryLater)
	in.Tighten(false)
	if n := in.Used(); n != 0 {
		t.Errorf("%d bytes are held by nobody", n)
	}
}

func TestMessagesThatComeWholeLeaveNothingOnTheBooks(t *testing.T) {
	in := NewInbound(0)
	e := newEngine(t, Config{Inbound: in})
	h := newTap(t)
	c := connect(t, e, h)
	for range 3 {
		for _, size := range []int{1, 5000, 100_000, 1 << 20} {
			c.write(text(strings.Repeat("z", size)))
			h.wantMessage(strings.Repeat("z", size))
		}
	}
	eventually(t, "all is given back", func() bool { return in.Used() == 0 })
	c.write(begin(1<<20, 500_000))
	eventually(t, "half a message is held", func() bool { return in.Used() >= 500_000 })
	_ = c.nc.Close()
	h.wantClosed(CloseAbnormal)
	if n := in.Used(); n != 0 {
		t.Errorf("%d bytes are held by nobody", n)
	}
}
