package request

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// shelf is a log of dhruva in memory. Reads of channels on hold wait.
type shelf struct {
	mu      sync.Mutex
	epoch   string
	stored  []feed.Message
	watches map[*shelfWatch]bool
	hold    map[string]chan struct{}
	reads   int
}

type shelfWatch struct {
	log     *shelf
	channel schema.Channel
	deliver func(feed.Message)
}

func newShelf() *shelf {
	return &shelf{epoch: "e1", watches: map[*shelfWatch]bool{}, hold: map[string]chan struct{}{}}
}

func (l *shelf) State(context.Context) (feed.State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return feed.State{Epoch: l.epoch, First: 1, Last: uint64(len(l.stored))}, nil
}

func (l *shelf) Read(ctx context.Context, q feed.Query, each func(feed.Message)) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if hold := l.hold[q.Channel.String()]; hold != nil {
		l.mu.Unlock()
		select {
		case <-hold:
		case <-ctx.Done():
		}
		l.mu.Lock()
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	n, size := 0, 0
	for _, m := range l.stored[min(max(q.From, 1)-1, uint64(len(l.stored))):] {
		switch {
		case !q.Channel.IsZero() && m.Channel != q.Channel:
			continue
		case n >= q.Count || size >= q.Bytes:
			return true, nil
		}
		n, size = n+1, size+len(m.Data)
		each(m)
	}
	return false, nil
}

func (l *shelf) Tails(_ context.Context, channels []schema.Channel, since, upTo uint64) (map[schema.Channel]uint64, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := map[schema.Channel]uint64{}
	for _, m := range l.stored {
		if m.Seq > since && (upTo == 0 || m.Seq <= upTo) && slices.Contains(channels, m.Channel) {
			last[m.Channel] = m.Seq
		}
	}
	if upTo > 0 {
		return last, 0, nil
	}
	return last, uint64(len(l.stored)), nil
}

func (l *shelf) Flush(context.Context) error { return nil }

func (l *shelf) Watch(channel schema.Channel, transient bool, deliver func(feed.Message)) (feed.Watch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &shelfWatch{l, channel, deliver}
	if !transient {
		l.watches[w] = true
	}
	return w, nil
}

func (w *shelfWatch) Stop() {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	delete(w.log.watches, w)
}

// act stores an event of size bytes on adapter:id and republishes it.
func (l *shelf) act(id string, size int) uint64 {
	channel, err := schema.ParseChannel("adapter:" + id)
	if err != nil {
		panic(err)
	}
	l.mu.Lock()
	m := feed.Message{Channel: channel, Event: "adapter.activated", Seq: uint64(len(l.stored)) + 1, Time: time.Now(),
		Data: fmt.Appendf(nil, `{"adapter_id":%q,"x":%q}`, id, strings.Repeat("x", size))}
	for _, old := range l.stored {
		if old.Channel == channel {
			m.Prev = old.Seq
		}
	}
	l.stored = append(l.stored, m)
	var to []func(feed.Message)
	for w := range l.watches {
		if w.channel.IsZero() || w.channel == channel {
			to = append(to, w.deliver)
		}
	}
	l.mu.Unlock()
	for _, deliver := range to {
		deliver(m)
	}
	return m.Seq
}

// peer is a client without a network: what a session sends is taken by hand.
type peer struct {
	t       *testing.T
	session *Session
	got     []frame
}

// frame is what is read of an outbound message.
type frame struct {
	Type, Event, Room string
	Seq               uint64
	Data              struct {
		Seq     uint64
		Channel string
		Epoch   string
		Reason  string
	}
	ErrorCode string `json:"error_code"`
	size      int
}

func connect(t *testing.T, log *shelf, cfg feed.Config) *peer {
	t.Helper()
	set := feed.New(schema.Dhruva, catalogue.Default(), log, log, cfg, slog.New(slog.DiscardHandler))
	server := newServer(set, Limits{})
	p := &peer{t: t}
	p.session = server.Open(&awake{}, Peer{}).(*Session)
	t.Cleanup(func() {
		p.session.Closed(conn.Reason{})
		server.Close()
		set.Close()
	})
	return p
}

// ask sends a request and waits until everything is at rest.
func (p *peer) ask(format string, args ...any) {
	p.session.Receive(fmt.Appendf(nil, format, args...))
	synctest.Wait()
}

func (p *peer) subscribe(room, since string) {
	p.ask(`{"type":"request","event":"subscribe","data":{"channel":%q,"since":%s}}`, room, since)
}

// fill takes one round of what there is to send.
func (p *peer) fill() (more bool) {
	p.t.Helper()
	all := bytes.Join(p.session.Fill(nil, 64<<10), nil)
	more = len(all) > 0
	for len(all) > 0 {
		head, size := 2, int(all[1])
		switch size {
		case 126:
			head, size = 4, int(all[2])<<8|int(all[3])
		case 127:
			head, size = 10, int(all[6])<<24|int(all[7])<<16|int(all[8])<<8|int(all[9])
		}
		f := frame{size: size}
		if err := json.Unmarshal(all[head:head+size], &f); err != nil {
			p.t.Fatalf("not JSON: %v", err)
		}
		p.got, all = append(p.got, f), all[head+size:]
	}
	synctest.Wait()
	return more
}

// drain takes everything.
func (p *peer) drain() {
	p.t.Helper()
	synctest.Wait()
	for p.fill() {
	}
}

func TestAPositionIsNeverAboveWhatASubscriptionHasYetToGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newShelf()
		p := connect(t, log, feed.Config{RingFrames: 2})
		for _, id := range []string{"a", "b"} {
			log.act(id, 10)
			p.subscribe("adapter:"+id, `"start"`)
		}
		p.drain()
		hold := make(chan struct{})
		log.mu.Lock()
		log.hold["adapter:a"] = hold // Its reader falls behind and stays there.
		log.mu.Unlock()
		for range 50 {
			log.act("a", 10)
		}
		for range 50 {
			log.act("b", 10)
		}
		for range 40 { // Positions come in between, at every stage.
			p.session.Receive([]byte(`{"type":"ping"}`))
			p.fill()
			p.session.Tick(time.Now().Add(time.Hour))
			<-time.After(200 * time.Millisecond)
		}
		close(hold)
		for range 300 {
			p.fill()
			p.session.Receive([]byte(`{"type":"ping"}`))
			<-time.After(100 * time.Millisecond)
		}
		p.drain()
		known := uint64(0)
		last := map[string]uint64{}
		for i, f := range p.got {
			if f.Type == "pong" || f.Event == "position" {
				known = max(known, f.Data.Seq)
			}
			if f.Type == "event" && f.Seq > 0 {
				if f.Seq <= known {
					t.Fatalf("frame %d: %s %d comes after the position %d was told", i, f.Room, f.Seq, known)
				}
				last[f.Room] = f.Seq
			}
		}
		if last["adapter:a"] != 52 || last["adapter:b"] != 102 {
			t.Errorf("ended at %v", last)
		}
	})
}

func TestNothingComesAfterTheAnswerToUnsubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newShelf()
		p := connect(t, log, feed.Config{RingFrames: 2, Linger: time.Second})
		for range 500 {
			log.act("a", 1000)
		}
		hold := make(chan struct{})
		log.mu.Lock()
		log.hold["adapter:a"] = hold
		log.mu.Unlock()
		p.subscribe("adapter:a", `"start"`)
		p.fill() // The page is on its way.
		p.ask(`{"type":"request","event":"unsubscribe","data":{"channel":"adapter:a"}}`)
		p.fill()
		from := len(p.got)
		log.mu.Lock()
		log.hold = map[string]chan struct{}{}
		log.mu.Unlock()
		close(hold)
		log.act("a", 10)
		p.drain()
		for _, f := range p.got[from:] {
			t.Errorf("%s %s %d after the answer to unsubscribe", f.Type, f.Event, f.Seq)
		}
		// At once again, from the old position, which the page that nobody wants reaches.
		p.subscribe("adapter:a", `{"seq":0,"epoch":"e1"}`)
		p.drain()
		var seqs []uint64
		for _, f := range p.got[from:] {
			if f.Type == "event" {
				seqs = append(seqs, f.Seq)
			}
		}
		for i, seq := range seqs {
			if seq != uint64(i+1) {
				t.Fatalf("event %d is %d", i, seq)
			}
		}
		if len(seqs) != 501 {
			t.Errorf("%d events", len(seqs))
		}
		p.ask(`{"type":"request","event":"unsubscribe","data":{"channel":"adapter:a"}}`)
		<-time.After(3 * time.Second)
		if n := p.session.server.Feeds.Stats.Feeds.Load(); n != 0 {
			t.Errorf("%d feeds are left", n)
		}
		if n := p.session.server.Stats.Subscriptions.Load(); n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
		if n := p.session.server.Stats.PageBytes.Load(); n != 0 {
			t.Errorf("%d bytes of pages are left", n)
		}
	})
}

func TestWhoSubscribesInALoopMakesNoQueueOfReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newShelf()
		for i := range 20 {
			for range 10 {
				log.act(fmt.Sprint(i), 100)
			}
		}
		p := connect(t, log, feed.Config{RingFrames: 2})
		hold := make(chan struct{})
		log.mu.Lock()
		for i := range 20 {
			log.hold[fmt.Sprint("adapter:", i)] = hold
		}
		log.mu.Unlock()
		for n := range 500 {
			p.subscribe(fmt.Sprint("adapter:", n%20), fmt.Sprintf(`{"seq":%d}`, n%150))
			p.fill()
			p.ask(`{"type":"request","event":"unsubscribe","data":{"channel":"adapter:%d"}}`, n%20)
			p.fill()
		}
		log.mu.Lock()
		before := log.reads
		log.hold = map[string]chan struct{}{}
		log.mu.Unlock()
		close(hold)
		<-time.After(time.Minute)
		if n := log.reads - before; n > 10 {
			t.Errorf("%d reads for nobody", n)
		}
	})
}

func TestNoAnswerIsLongerThanAMessageMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newShelf()
		p := connect(t, log, feed.Config{})
		for n := range 10 {
			var list []string
			for i := range 100 {
				// Quotes, the longest that a name can become.
				list = append(list, fmt.Sprintf(`{"channel":"adapter:%04d%s"}`, 100*n+i, strings.Repeat(`\"`, 196)))
			}
			p.ask(`{"type":"request","event":"subscribe","data":{"channels":[%s]}}`, strings.Join(list, ","))
			p.drain()
		}
		p.ask(`{"type":"request","event":"list_channels","id":"1"}`)
		p.drain()
		longest := 0
		for _, f := range p.got {
			longest = max(longest, f.size)
		}
		if longest < 400_000 || longest > 1_000_000 {
			t.Errorf("the longest answer has %d bytes", longest)
		}
	})
}
