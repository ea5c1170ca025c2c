package edge_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/request"
	"github.com/bodhisattva/indranet/schema"
)

func TestTenThousandSubscribesOnOneConnection(t *testing.T) {
	srv, e := started(t)
	s := newStore(t, srv)
	greedy, calm := dial(t, e, schema.Dhruva), dial(t, e, schema.Dhruva)
	calm.subscribe("adapter:calm", "")
	calm.untilCaughtUp("adapter:calm")
	const n = 10_000
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			text := fmt.Sprintf(`{"type":"request","event":"subscribe","id":"%d","data":{"channel":"adapter:%d"}}`, i, i)
			if err := greedy.ws.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	answered := map[string]int{}
	for answers := 0; answers < n; {
		switch m := greedy.next(); {
		case m.Type == "response":
			answered["subscribed"]++
			answers++
		case m.Type == "error":
			answered[m.Code]++
			answers++
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if answered["subscribed"] != 1000 || answered["TOO_MANY_SUBSCRIPTIONS"] != n-1000 {
		t.Errorf("answers %v", answered)
	}
	seq := s.put(schema.Dhruva, "adapter.activated", adapter("calm", 1))
	sameSeqs(t, calm.events(1, 0), []uint64{seq})
}

// rawClient is a connection whose reading the test controls to the byte.
func rawClient(t *testing.T, e *edge.Edge, service schema.Service) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dialer := ws.Dialer{NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			err = nc.(*net.TCPConn).SetReadBuffer(32 << 10)
		}
		return nc, err
	}}
	nc, rd, _, err := dialer.Dial(ctx, "ws://"+e.HTTPAddr().String()+"/ws/"+string(service))
	if err != nil {
		t.Fatal(err)
	}
	if rd != nil {
		ws.PutReader(rd)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// readFrame reads one frame whole.
func readFrame(r io.Reader) (ws.Frame, error) {
	h, err := ws.ReadHeader(r)
	if err != nil {
		return ws.Frame{}, err
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

func TestOneSlowClientDelaysNobodyAndLosesNothing(t *testing.T) {
	srv, e := started(t, func(c *edge.Config) {
		every(c, func(s *edge.Service) { s.Feed = feed.Config{RingFrames: 50} })
		every(c, func(s *edge.Service) { s.Conn = conn.Config{WriteBufferBytes: 4096} })
	})
	s := newStore(t, srv)
	slow := rawClient(t, e, schema.Dhruva)
	frame := ws.MaskFrameInPlace(ws.NewTextFrame([]byte(`{"type":"request","event":"subscribe","data":{"channel":"adapter:a","since":"start"}}`)))
	if err := ws.WriteFrame(slow, frame); err != nil {
		t.Fatal(err)
	}
	healthy := dial(t, e, schema.Dhruva)
	healthy.subscribe("adapter:a", `"start"`)
	healthy.untilCaughtUp("adapter:a")
	const n = 1500
	big := strings.Repeat("x", 2000)
	var want []uint64
	for range n {
		want = append(want, s.put(schema.Dhruva, "adapter.activated", `{"adapter_id":"a","repo":"r","version":"`+big+`"}`))
	}
	sameSeqs(t, healthy.events(n, 0), want) // While the slow one has read nothing.
	var got []message
	for len(got) < n {
		if err := slow.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		f, err := readFrame(slow)
		if err != nil {
			t.Fatalf("after %d events: %v", len(got), err)
		}
		if f.Header.OpCode != ws.OpText {
			continue
		}
		var m message
		if unmarshal(t, f.Payload, &m); m.Type == "event" && m.Event != "welcome" {
			got = append(got, m)
		}
	}
	sameSeqs(t, got, want)
	checkChain(t, got, 0)
}

func TestAClientThatTakesNothingIsClosedAndCanResume(t *testing.T) {
	srv, e := started(t, func(c *edge.Config) {
		every(c, func(s *edge.Service) {
			s.Conn = conn.Config{WriteBufferBytes: 4096, SlowTimeout: 1500 * time.Millisecond}
		})
	})
	s := newStore(t, srv)
	frozen := rawClient(t, e, schema.Dhruva)
	frame := ws.MaskFrameInPlace(ws.NewTextFrame([]byte(`{"type":"request","event":"subscribe","data":{"channel":"adapter:a"}}`)))
	if err := ws.WriteFrame(frozen, frame); err != nil {
		t.Fatal(err)
	}
	healthy := dial(t, e, schema.Dhruva)
	healthy.subscribe("adapter:a", "")
	healthy.untilCaughtUp("adapter:a")
	big := strings.Repeat("x", 100_000)
	var want []uint64
	for range 20 {
		want = append(want, s.put(schema.Dhruva, "adapter.activated", `{"adapter_id":"a","repo":"r","version":"`+big+`"}`))
	}
	sameSeqs(t, healthy.events(20, 0), want)
	// The edge gives the connection up; what the kernels hold comes, then the end.
	deadline := time.Now().Add(patience)
	for e.Connections(schema.Dhruva) > 1 {
		if time.Now().After(deadline) {
			t.Fatal("the connection is still open")
		}
		healthy.send(`{"type":"ping"}`)
		for healthy.next().Type != "pong" {
			continue
		}
	}
	var last uint64
	for {
		if err := frozen.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		f, err := readFrame(frozen)
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Fatal("the connection is still open")
			}
			break
		}
		if f.Header.OpCode != ws.OpText {
			continue
		}
		var m message
		if unmarshal(t, f.Payload, &m); m.Seq > 0 {
			last = m.Seq
		}
	}
	back := dial(t, e, schema.Dhruva)
	ack := back.subscribe("adapter:a", fmt.Sprintf(`{"seq":%d}`, last))
	rest, _ := back.untilCaughtUp("adapter:a")
	if !*ack.Recovered {
		t.Errorf("ack %+v", ack)
	}
	sameSeqs(t, rest, want[last:])
}

func TestPagesOfAConnectionAreBoundedHoweverManySubscriptionsItHas(t *testing.T) {
	const channels, each, bound = 50, 40, 256 << 10
	srv, e := started(t, func(c *edge.Config) {
		every(c, func(s *edge.Service) { s.Feed = feed.Config{RingFrames: 1} })
		every(c, func(s *edge.Service) { s.Conn = conn.Config{WriteBufferBytes: 4096} })
		every(c, func(s *edge.Service) { s.Limits = request.Limits{PageBytes: bound} })
	})
	s := newStore(t, srv)
	big := strings.Repeat("x", 4000)
	want := map[string][]uint64{}
	for i := range channels * each {
		room := fmt.Sprint("adapter:", i%channels)
		seq := s.put(schema.Dhruva, "adapter.activated", fmt.Sprintf(`{"adapter_id":"%d","repo":"r","version":"%s"}`, i%channels, big))
		want[room] = append(want[room], seq)
	}
	c := rawClient(t, e, schema.Dhruva)
	ask := `{"type":"request","event":"subscribe","data":{"channels":[`
	for i := range channels {
		ask += fmt.Sprintf(`{"channel":"adapter:%d","since":"start"},`, i)
	}
	ask = strings.TrimSuffix(ask, ",") + `]}}`
	if err := ws.WriteFrame(c, ws.MaskFrameInPlace(ws.NewTextFrame([]byte(ask)))); err != nil {
		t.Fatal(err)
	}
	// It takes nothing until the edge can read no further for it.
	const gauge = `indranet_replay_bytes_current{service="dhruva"}`
	held := 0.0
	for full := 0; full < 20; full++ {
		if n := metric(t, e, gauge); n > held {
			held, full = n, 0
		}
		<-time.After(10 * time.Millisecond)
	}
	if held == 0 || held > bound+4*4500 {
		t.Errorf("a connection that takes nothing made the edge hold %.0f bytes of pages, the bound is %d", held, bound)
	}
	got := map[string][]uint64{}
	for n := 0; n < channels*each; {
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		f, err := readFrame(c)
		if err != nil {
			t.Fatalf("after %d events: %v", n, err)
		}
		var m message
		if f.Header.OpCode != ws.OpText {
			continue
		}
		if unmarshal(t, f.Payload, &m); m.Seq > 0 {
			got[m.Room] = append(got[m.Room], m.Seq)
			n++
		}
	}
	for room, seqs := range want {
		if !slices.Equal(got[room], seqs) {
			t.Errorf("%s: got %v, want %v", room, got[room], seqs)
		}
	}
	_ = c.Close()
	deadline := time.Now().Add(patience)
	for metric(t, e, gauge) != 0 {
		if time.Now().After(deadline) {
			t.Fatal("pages are still held for a connection that has gone")
		}
	}
}

// TestHalfMessagesAreBoundedAndNobodyElseNotices: many send all but the last byte of the
// longest message there may be.
func TestHalfMessagesAreBoundedAndNobodyElseNotices(t *testing.T) {
	const greedy, bound = 30, 4 << 20
	in := conn.NewInbound(bound)
	srv, e := started(t, func(c *edge.Config) {
		every(c, func(s *edge.Service) { s.Conn = conn.Config{Inbound: in} })
	})
	s := newStore(t, srv)
	calm := dial(t, e, schema.Dhruva)
	calm.subscribe("adapter:calm", "")
	calm.untilCaughtUp("adapter:calm")
	frame := ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame([]byte(`{"x":"` + strings.Repeat("x", conn.DefaultMaxMessageBytes-8) + `"}`))))
	var wg sync.WaitGroup
	for range greedy {
		nc := rawClient(t, e, schema.Dhruva)
		wg.Go(func() { _, _ = nc.Write(frame[:len(frame)-1]) }) // Most are cut.
	}
	wg.Wait()
	deadline, last := time.Now().Add(patience), uint64(0)
	for e.Connections(schema.Dhruva) > 1+bound>>20 {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are left, %d bytes held", e.Connections(schema.Dhruva), in.Used())
		}
		seq := s.put(schema.Dhruva, "adapter.activated", adapter("calm", 1))
		sameSeqs(t, calm.events(1, last), []uint64{seq})
		last = seq
	}
	if n := in.Used(); n > bound {
		t.Errorf("%d bytes are held", n)
	}
	if n := metric(t, e, `websocket_connections_closed_total{service="dhruva",code="1013",reason="try_later"}`); n < greedy-bound>>20 {
		t.Errorf("only %.0f were told why", n)
	}
}

// TestAllServicesShareTheBoundOfHalfMessages: of the memory limit they have an eighth, and
// what is sent to two services together exceeds it.
func TestAllServicesShareTheBoundOfHalfMessages(t *testing.T) {
	const each, limit = 40, 400 << 20 // Far above what other tests left in memory.
	_, e := started(t, func(c *edge.Config) { c.MemoryLimit = limit })
	frame := ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame([]byte(strings.Repeat("x", conn.DefaultMaxMessageBytes)))))
	var wg sync.WaitGroup
	for i := range 2 * each {
		nc := rawClient(t, e, []schema.Service{schema.Dhruva, schema.Akosha}[i%2])
		wg.Go(func() { _, _ = nc.Write(frame[:len(frame)-1]) }) // Some are cut.
	}
	wg.Wait()
	until(t, "some are cut", func() bool { return metric(t, e, "indranet_inbound_shed_total") > 0 })
	if held := metric(t, e, "indranet_inbound_bytes_current"); held > limit/8 || held < limit/16 {
		t.Errorf("%.0f bytes are held", held)
	}
}

// TestComingBackForNewChannelsFillsNothing: a client asks for new channels, goes and comes
// back, again and again.
func TestComingBackForNewChannelsFillsNothing(t *testing.T) {
	const lingering = 300
	srv, e := started(t, func(c *edge.Config) {
		every(c, func(s *edge.Service) { s.Feed = feed.Config{MaxLingering: lingering, MaxFeeds: 5000} })
	})
	s := newStore(t, srv)
	calm := dial(t, e, schema.Dhruva)
	calm.subscribe("adapter:calm", "")
	calm.untilCaughtUp("adapter:calm")
	for round := range 20 {
		c := dial(t, e, schema.Dhruva)
		var list []string
		for i := range 100 {
			list = append(list, fmt.Sprintf(`{"channel":"adapter:%d-%d"}`, round, i))
		}
		c.send(`{"type":"request","event":"subscribe","data":{"channels":[` + strings.Join(list, ",") + `]}}`)
		for c.next().Type != "response" {
			continue
		}
		_ = c.ws.CloseNow()
	}
	deadline := time.Now().Add(patience)
	for e.Connections(schema.Dhruva) > 1 {
		if time.Now().After(deadline) {
			t.Fatal("the connections are still open")
		}
		<-time.After(10 * time.Millisecond)
	}
	if n := metric(t, e, `indranet_feeds_current{service="dhruva"}`); n != lingering+1 {
		t.Errorf("%.0f feeds", n)
	}
	seq := s.put(schema.Dhruva, "adapter.activated", adapter("calm", 1))
	sameSeqs(t, calm.events(1, 0), []uint64{seq})
}
