package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a log and a live path in memory, with the faults of the real ones: it
// can lose live messages, answer from a replica that lags, trim its front, be
// away, and begin anew under another epoch. It plays one service, dhruva.
type memory struct {
	mu      sync.Mutex
	epoch   string
	stored  []Message // The first has position first.
	first   uint64
	lag     int // How many messages the next reads do not see.
	away    bool
	lossy   bool // Live messages are lost.
	watches map[*memoryWatch]bool
	reads   int
}

type memoryWatch struct {
	log       *memory
	channel   schema.Channel
	transient bool
	deliver   func(Message)
}

func newMemory() *memory {
	return &memory{epoch: "e1", first: 1, watches: map[*memoryWatch]bool{}}
}

func (l *memory) last() uint64 { return l.first + uint64(len(l.stored)) - 1 }

// seen is what the replica that answers holds.
func (l *memory) seen(leader bool) []Message {
	if leader || l.lag == 0 {
		return l.stored
	}
	return l.stored[:max(0, len(l.stored)-l.lag)]
}

var errAway = errors.New("no responders")

func (l *memory) State(context.Context) (State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return State{}, errAway
	}
	return State{Epoch: l.epoch, First: l.first, Last: l.last()}, nil
}

func (l *memory) Read(_ context.Context, q Query, each func(Message)) (more bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if l.away {
		return false, errAway
	}
	size, n := 0, 0
	for _, m := range l.seen(q.Leader) {
		switch {
		case !q.Channel.IsZero() && m.Channel != q.Channel, q.Time.IsZero() && m.Seq < q.From, m.Time.Before(q.Time):
			continue
		case n >= q.Count || size >= q.Bytes:
			return true, nil
		}
		size += len(m.Data)
		n++
		each(m)
	}
	return false, nil
}

func (l *memory) Tails(_ context.Context, channels []schema.Channel, since, upTo uint64) (map[schema.Channel]uint64, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return nil, 0, errAway
	}
	last := map[schema.Channel]uint64{}
	for _, m := range l.seen(false) {
		if m.Seq > since && (upTo == 0 || m.Seq <= upTo) && slices.Contains(channels, m.Channel) {
			last[m.Channel] = m.Seq
		}
	}
	if upTo > 0 || len(l.seen(false)) == 0 {
		return last, 0, nil
	}
	return last, l.first + uint64(len(l.seen(false))) - 1, nil
}

func (l *memory) Flush(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return errAway
	}
	return nil
}

func (l *memory) Watch(channel schema.Channel, transient bool, deliver func(Message)) (Watch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &memoryWatch{l, channel, transient, deliver}
	l.watches[w] = true
	return w, nil
}

func (w *memoryWatch) Stop() {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	delete(w.log.watches, w)
}

// put stores an event and republishes it.
func (l *memory) put(channel, event, data string) uint64 {
	c, err := schema.ParseChannel(channel)
	if err != nil {
		panic(err)
	}
	l.mu.Lock()
	m := Message{Channel: c, Event: event, ID: fmt.Sprint("id", l.last()+1), Seq: l.last() + 1, Time: time.Now(), Data: []byte(data)}
	for _, old := range l.stored {
		if old.Channel == c {
			m.Prev = old.Seq
		}
	}
	l.stored = append(l.stored, m)
	lost := l.lossy
	l.mu.Unlock()
	if !lost {
		l.live(m, false)
	}
	return m.Seq
}

// live hands a message to who watches it.
func (l *memory) live(m Message, transient bool) {
	l.mu.Lock()
	var to []func(Message)
	for w := range l.watches {
		if w.transient == transient && (w.channel.IsZero() || w.channel == m.Channel) {
			to = append(to, w.deliver)
		}
	}
	l.mu.Unlock()
	for _, deliver := range to {
		deliver(m)
	}
}

func (l *memory) set(change func(*memory)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// trim drops the front up to and including seq.
func (l *memory) trim(seq uint64) {
	l.set(func(l *memory) {
		n := int(seq - l.first + 1)
		l.stored, l.first = l.stored[n:], seq+1
	})
}

// act publishes an adapter.activated of adapter:id.
func (l *memory) act(id string) uint64 {
	return l.put("adapter:"+id, "adapter.activated", `{"adapter_id":"`+id+`"}`)
}

// newSet is a set on the log that ends with the test.
func newSet(t *testing.T, l *memory, change ...func(*Config)) *Set {
	t.Helper()
	return newSetOver(t, l, l, change...)
}

// newSetOver is a set whose log is a disturbed one over l.
func newSetOver(t *testing.T, log Log, l *memory, change ...func(*Config)) *Set {
	t.Helper()
	var cfg Config
	for _, c := range change {
		c(&cfg)
	}
	s := New(schema.Dhruva, catalogue.Default(), log, l, cfg, slog.New(slog.DiscardHandler))
	t.Cleanup(s.Close)
	return s
}

// reader is a subscriber: a cursor and what it has got.
type reader struct {
	t     *testing.T
	feed  *Feed
	c     *Cursor
	got   []uint64
	prevs []uint64
	note  []string // Resets, by reason.
	pages int
	grew  chan struct{}
}

func (r *reader) Grew(*Feed) {
	select {
	case r.grew <- struct{}{}:
	default:
	}
}

// open subscribes.
func open(t *testing.T, s *Set, channel string, since wire.Since) (*reader, Start) {
	t.Helper()
	c, err := schema.ParseChannel(channel)
	if err != nil {
		t.Fatal(err)
	}
	target, err := catalogue.Default().Lookup(schema.Dhruva, c)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	start, err := f.Begin(t.Context(), since)
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, feed: f, c: f.NewCursor(start), grew: make(chan struct{}, 1)}
	f.Join(r)
	t.Cleanup(func() {
		f.Leave(r)
		f.Release()
	})
	return r, start
}

// drain takes everything up to the head.
func (r *reader) drain() {
	r.t.Helper()
	for {
		bufs, _, place := r.c.Next(nil, 1000)
		r.read(bufs)
		switch place {
		case AtHead:
			return
		case Behind, Ready:
		case Lost:
			start := r.c.Why()
			r.note = append(r.note, string(start.Reason))
			r.c.Restart(start)
		}
		if want, ok := r.c.Wants(); ok {
			r.pages++
			done := make(chan Page, 1)
			r.feed.Fetch(want, func(p Page) { done <- p })
			r.c.Take(want, <-done)
		}
	}
}

// read decodes what Next gave.
func (r *reader) read(bufs net.Buffers) {
	r.t.Helper()
	all := bytes.Join(bufs, nil)
	for len(all) > 0 {
		head, size := 2, int(all[1])
		if size == 126 {
			head, size = 4, int(all[2])<<8|int(all[3])
		}
		var m struct {
			Seq  uint64 `json:"seq"`
			Prev uint64 `json:"prev"`
			Room string `json:"room"`
		}
		if err := json.Unmarshal(all[head:head+size], &m); err != nil {
			r.t.Fatalf("not JSON: %v: %s", err, all[head:head+size])
		}
		if m.Room != r.feed.Room() {
			r.t.Fatalf("room %q on %q", m.Room, r.feed.Room())
		}
		r.got, r.prevs = append(r.got, m.Seq), append(r.prevs, m.Prev)
		all = all[head+size:]
	}
}

// want fails unless the reader got exactly these positions, and a right chain
// after position from.
func (r *reader) want(from uint64, seqs ...uint64) {
	r.t.Helper()
	r.drain()
	if !slices.Equal(r.got, seqs) {
		r.t.Fatalf("got %v, want %v", r.got, seqs)
	}
	for i, seq := range r.got {
		if seq <= from || r.prevs[i] > from {
			r.t.Fatalf("position %d has prev %d after %d", seq, r.prevs[i], from)
		}
		from = seq
	}
}
