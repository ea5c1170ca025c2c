//go:build unix

package link

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/bodhisattva/indranet/publisher/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func liveFate(f fate) func([]byte) fate {
	return func(subject []byte) fate {
		if strings.HasPrefix(string(subject), livePrefix) {
			return f
		}
		return pass
	}
}

// sent is what a server sends: around two live messages, one with a payload that
// looks like a frame itself.
const (
	before = "INFO {}\r\nPING\r\nHMSG _INBOX.x 1 4 4\r\nlive\r\n"
	first  = "HMSG live.a 2 12 29\r\nNATS/1.0\r\n\r\nMSG live.x 1 1\r\nx\r\n"
	second = "MSG live.b 3 reply 0\r\n\r\n"
	after  = "PONG\r\nMSG other 1 2\r\n\r\n\r\n-ERR 'x'\r\n"
)

func TestOnlyWholeLiveMessagesAreTouched(t *testing.T) {
	for name, c := range map[string]struct {
		fate fate
		want string
	}{
		"passed":   {pass, before + first + second + after},
		"dropped":  {drop, before + after},
		"repeated": {twice, before + first + first + second + second + after},
	} {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1, 2, 3, 7, 1000} {
				f := &frames{decide: liveFate(c.fate)}
				text := []byte(before + first + second + after)
				var got []byte
				for len(text) > 0 {
					n := min(step, len(text))
					got = f.filter(got, text[:n])
					text = text[n:]
				}
				if string(got) != c.want || len(f.buf) > 0 {
					t.Errorf("in steps of %d: %q and %q are left, want %q", step, got, f.buf, c.want)
				}
			}
		})
	}
}

func FuzzWhatPassesIsUnchanged(f *testing.F) {
	f.Add([]byte(before + first + second + after))
	f.Add([]byte("MSG a 1 -5\r\nMSG a 1 x\r\nMSG\r\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		fr := &frames{decide: func([]byte) fate { return pass }}
		var got []byte
		reader := iotest.OneByteReader(bytes.NewReader(text))
		buf := make([]byte, 8)
		for {
			n, err := reader.Read(buf)
			got = fr.filter(got, buf[:n])
			if err != nil {
				break
			}
		}
		if got = append(got, fr.buf...); !bytes.Equal(got, text) {
			t.Errorf("%q became %q", text, got)
		}
	})
}

// linked is a server behind a link, a connection through it and one past it.
func linked(t *testing.T) (*Link, *nats.Conn, *nats.Conn) {
	t.Helper()
	srv := natstest.Start(t)
	l, err := NATS(strings.TrimPrefix(srv.URL(), "nats://"), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	past := srv.Connect(t)
	through, err := nats.Connect("nats://"+l.Addr(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond),
		nats.ReconnectJitter(time.Millisecond, time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(through.Close)
	return l, through, past
}

func TestLiveMessagesAreDroppedAndRepeated(t *testing.T) {
	l, through, past := linked(t)
	sub, err := through.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := through.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rules Rules
		want  []string
	}{
		{Rules{}, []string{"live.a", "end"}},
		{Rules{Drop: 1}, []string{"end"}},
		{Rules{Twice: 1}, []string{"live.a", "live.a", "end"}},
		{Rules{Delay: time.Millisecond}, []string{"live.a", "end"}},
	} {
		l.Set(c.rules)
		for _, subject := range []string{"live.a", "end"} {
			if err := past.PublishMsg(&nats.Msg{Subject: subject, Header: nats.Header{"K": {"v"}}, Data: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range c.want {
			m, err := sub.NextMsg(10 * time.Second)
			if err != nil || m.Subject != want {
				t.Fatalf("%+v: got %v, %v, want %s", c.rules, m, err, want)
			}
		}
	}
	if l.Dropped.Load() != 1 || l.Repeated.Load() != 1 {
		t.Errorf("counted %d and %d", l.Dropped.Load(), l.Repeated.Load())
	}
}

func TestACutConnectionComesBackWhenItMay(t *testing.T) {
	l, through, _ := linked(t)
	status := through.StatusChanged(nats.CONNECTED, nats.RECONNECTING)
	l.Set(Rules{Refuse: true})
	l.Cut()
	if s := <-status; s != nats.RECONNECTING {
		t.Errorf("after the cut: %s", s)
	}
	l.Set(Rules{})
	if s := <-status; s != nats.CONNECTED {
		t.Errorf("after the refusals: %s", s)
	}
}

func TestAStalledLinkPassesOnWhenItIsReleased(t *testing.T) {
	l, through, _ := linked(t)
	l.Set(Rules{Stall: true})
	if err := through.FlushTimeout(50 * time.Millisecond); err == nil {
		t.Error("a flush went through a stalled link")
	}
	l.Set(Rules{})
	if err := through.FlushTimeout(10 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestOnlyTheRouteOfReplicationIsHeld(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	l, err := Route(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	arrives := func(text string, within time.Duration) bool {
		near, err := net.Dial("tcp", l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = near.Close() }()
		far, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = far.Close() }()
		buf := make([]byte, 100)
		// What follows the greeting comes in another read.
		for _, part := range []string{text, "later"} {
			if _, err := near.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
			if err := far.SetReadDeadline(time.Now().Add(within)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(far, buf[:len(part)]); err != nil {
				return false
			}
		}
		return true
	}
	const system, other = `INFO {"route_account":"$SYS","x":1}`, `INFO {"route_pool_size":3}`
	if !arrives(system, 10*time.Second) {
		t.Error("a route is held without rules")
	}
	l.Set(Rules{Stall: true})
	if !arrives(other, 10*time.Second) {
		t.Error("another route is held")
	}
	if arrives(system, 100*time.Millisecond) {
		t.Error("the route of replication is not held")
	}
}
