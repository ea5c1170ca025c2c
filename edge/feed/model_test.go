package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

var (
	modelSeed  = flag.Uint64("model.seed", 1, "the first seed of TestTheModel")
	modelRuns  = flag.Int("model.runs", 6, "how many seeds TestTheModel runs")
	modelSteps = flag.Int("model.steps", 1000, "how many steps a run of TestTheModel takes")
	modelTrace = flag.Bool("model.trace", false, "TestTheModel tells every step")
)

// client is a subscriber and what is promised to it.
type client struct {
	m      *model
	name   string
	room   string
	target catalogue.Target

	// While it is subscribed.
	feed  *Feed
	c     *Cursor
	edge  int
	pages chan func()
	held  []func()

	// What it knows. mixed is true while it was given something of a newer epoch under an older
	// one, which only a reset may follow.
	pos    uint64
	epoch  string
	mixed  bool
	known  bool
	resets int
}

func (c *client) Grew(*Feed) {}

// model is a run.
type model struct {
	t       *testing.T
	seed    uint64
	world   *world
	sets    []*Set
	paths   []*path
	clients []*client
	step    int
	events  int
	bad     bool
}

func (m *model) tell(format string, args ...any) {
	if *modelTrace {
		m.t.Logf("%5d "+format, append([]any{m.step}, args...)...)
	}
}

func (m *model) fail(format string, args ...any) {
	m.bad = true
	m.t.Errorf("seed %d step %d: "+format, append([]any{m.seed, m.step}, args...)...)
}

var modelViews []string

// next is the first event of the client after its position, in its epoch. The caller holds world.mu.
func (c *client) next(epoch string, pos, upTo uint64) (uint64, bool) {
	past := c.m.world.past[epoch]
	for seq := pos + 1; seq <= upTo; seq++ {
		if e, ok := past[seq]; ok && c.selects(e) {
			return seq, true
		}
	}
	return 0, false
}

func (c *client) selects(e Message) bool {
	if !c.target.View {
		return e.Channel == c.target.Channel
	}
	modelViews = catalogue.Default().Views(modelViews[:0], schema.Dhruva, e.Event, e.Channel, e.Data)
	return slices.Contains(modelViews, c.room)
}

// reached checks a position that the client was told.
func (c *client) reached(what string, pos uint64) {
	w := c.m.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.mixed || pos <= c.pos {
		return
	}
	if w.state.Epoch == c.epoch && pos > w.state.Last {
		c.m.fail("%s: %s at %d, the log ends at %d", c.name, what, pos, w.state.Last)
	}
	if seq, missing := c.next(c.epoch, c.pos, pos); missing {
		if w.state.Epoch != c.epoch {
			return // It belongs to the log that is gone.
		}
		c.m.fail("%s: %s at %d of %s, but %d was never delivered after %d", c.name, what, pos, c.epoch, seq, c.pos)
	}
	c.pos = pos
}

// took checks what was delivered.
func (c *client) took(bufs net.Buffers) {
	w := c.m.world
	all := bytes.Join(bufs, nil)
	for len(all) > 0 {
		head, size := 2, int(all[1])
		if size == 126 {
			head, size = 4, int(all[2])<<8|int(all[3])
		}
		var f struct {
			ID        string `json:"id"`
			Room      string `json:"room"`
			Seq, Prev uint64
		}
		if err := json.Unmarshal(all[head:head+size], &f); err != nil {
			c.m.fail("%s: not JSON: %v", c.name, err)
			return
		}
		all = all[head+size:]
		c.m.events++
		w.mu.Lock()
		e, ok := w.past[c.epoch][f.Seq]
		switch {
		case f.Room != c.room:
			c.m.fail("%s: room %s", c.name, f.Room)
		case c.mixed:
		case !ok || e.ID != f.ID:
			if c.mixed = w.state.Epoch != c.epoch; !c.mixed {
				c.m.fail("%s: %d is %q, in %s it is %q", c.name, f.Seq, f.ID, c.epoch, e.ID)
			}
		case f.Seq <= c.pos:
			c.m.fail("%s: %d again, at %d", c.name, f.Seq, c.pos)
		case f.Prev > c.pos && w.state.Epoch != c.epoch:
			c.mixed = true
		case f.Prev > c.pos:
			c.m.fail("%s: %d has prev %d, at %d", c.name, f.Seq, f.Prev, c.pos)
		default:
			if seq, _ := c.next(c.epoch, c.pos, f.Seq); seq != f.Seq {
				if w.state.Epoch == c.epoch {
					c.m.fail("%s: %d came after %d, but %d lies between", c.name, f.Seq, c.pos, seq)
				} else {
					c.mixed = true
				}
			}
		}
		c.m.tell("%s: got %d (%s)", c.name, f.Seq, f.ID)
		c.pos = f.Seq
		w.mu.Unlock()
	}
}

// refused checks a refusal of a position.
func (c *client) refused(reason wire.Reason, pos uint64, epoch, now string, first uint64) {
	w := c.m.world
	w.mu.Lock()
	defer w.mu.Unlock()
	switch reason {
	case wire.EpochChanged:
		if now == epoch || w.past[now] == nil {
			c.m.fail("%s: epoch_changed from %s to %s", c.name, epoch, now)
		}
	case wire.PositionExpired:
		if epoch == w.state.Epoch && w.state.First <= pos+1 {
			c.m.fail("%s: position %d expired, the log begins at %d", c.name, pos, w.state.First)
		}
	case wire.PositionAhead:
		if epoch == w.state.Epoch && pos <= w.state.Last {
			c.m.fail("%s: position %d ahead, the log ends at %d", c.name, pos, w.state.Last)
		}
	default:
		c.m.fail("%s: reason %q", c.name, reason)
	}
	if now == w.state.Epoch && first > w.state.First {
		c.m.fail("%s: told that %s begins at %d, it begins at %d", c.name, now, first, w.state.First)
	}
}

// enter subscribes, at any edge.
func (c *client) enter() {
	m := c.m
	w := m.world
	w.mu.Lock()
	c.edge = w.rand.IntN(len(m.sets))
	since := wire.Since{Kind: wire.SinceSeq, Seq: c.pos, Epoch: c.epoch}
	switch kind := w.rand.IntN(20); {
	case !c.known || kind == 0:
		since = wire.Since{}
	case kind == 1:
		since = wire.Since{Kind: wire.SinceStart}
	case kind == 2:
		since = wire.Since{Kind: wire.SinceLast, Last: 1 + w.rand.IntN(20)}
	case kind == 3 && len(w.stored) > 0:
		since = wire.Since{Kind: wire.SinceTime, Time: w.stored[w.rand.IntN(len(w.stored))].Time}
	case kind == 4 && w.state.Last > 0 && w.state.Epoch == c.epoch: // A client that was away for long, or another one's position.
		since.Seq = w.rand.Uint64N(w.state.Last + 1)
	}
	before := w.state
	var wanted uint64 // The oldest event that must come.
	if since.Kind == wire.SinceLast || since.Kind == wire.SinceTime {
		n := 0
		for _, e := range slices.Backward(w.stored) {
			if !c.selects(e) || since.Kind == wire.SinceTime && e.Time.Before(since.Time) {
				continue
			}
			wanted = e.Seq
			if n++; since.Kind == wire.SinceLast && n == since.Last {
				break
			}
		}
	}
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Second)
	defer cancel()
	s := m.sets[c.edge]
	f, err := s.Open(ctx, c.target)
	if err != nil {
		m.tell("%s: no feed at edge %d: %v", c.name, c.edge, err)
		if !errors.Is(err, ErrUnavailable) {
			m.fail("%s: %v", c.name, err)
		}
		return
	}
	start, err := f.Begin(ctx, since)
	if err != nil {
		m.tell("%s: no position at edge %d: %v", c.name, c.edge, err)
		if !errors.Is(err, ErrUnavailable) {
			m.fail("%s: %v", c.name, err)
		}
		f.Release()
		return
	}
	m.tell("%s: edge %d, since %+v: %+v", c.name, c.edge, since, start)
	switch {
	case start.Reason != "":
		c.refused(start.Reason, since.Seq, since.Epoch, start.Epoch, start.Pos+1)
	case since.Kind == wire.SinceSeq && (start.Pos != since.Seq || start.Epoch != since.Epoch):
		m.fail("%s: since %+v became %+v", c.name, since, start)
	case wanted > 0 && start.Epoch == before.Epoch && start.Pos >= wanted:
		w.mu.Lock()
		if w.state.Epoch == start.Epoch && w.state.First <= wanted {
			m.fail("%s: since %+v became %d, but %d is wanted", c.name, since, start.Pos, wanted)
		}
		w.mu.Unlock()
	}
	w.mu.Lock()
	if start.Epoch == w.state.Epoch && start.Pos > max(w.state.Last, since.Seq) {
		m.fail("%s: starts at %d, the log ends at %d", c.name, start.Pos, w.state.Last)
	}
	w.mu.Unlock()
	c.feed, c.c = f, f.NewCursor(start)
	c.pos, c.epoch, c.known, c.mixed = start.Pos, start.Epoch, true, false
	c.pages, c.held = make(chan func(), 100), nil
	f.Join(c)
}

func (c *client) leave() {
	c.c.Close()
	c.feed.Leave(c)
	c.feed.Release()
	c.feed, c.c = nil, nil
}

// read takes one piece of what there is.
func (c *client) read(budget int) (more bool) {
	var bufs net.Buffers
	bufs, _, place := c.c.Next(bufs, budget)
	c.took(bufs)
	switch place {
	case AtHead:
		c.reached("caught up", c.c.Pos())
	case Lost:
		start := c.c.Why()
		reason, first := start.Reason, start.First
		epoch, _ := c.feed.at()
		c.m.tell("%s: lost at %d of %s: %s, %s begins at %d", c.name, c.pos, c.epoch, reason, epoch, first)
		c.c.Restart(start)
		c.refused(reason, c.pos, c.epoch, epoch, first)
		c.pos, c.epoch, c.mixed = first-1, epoch, false
		c.resets++
	case Behind, Ready:
	}
	if want, ok := c.c.Wants(); ok {
		pages, cursor := c.pages, c.c
		c.feed.Fetch(want, func(p Page) { pages <- func() { cursor.Take(want, p) } })
	}
	return place == Ready || place == Lost || len(bufs) > 0
}

// take gives the cursor a page that has come.
func (c *client) take() bool {
	select {
	case give := <-c.pages:
		give()
		return true
	default:
		return false
	}
}

var modelChannels = []string{"adapter:a", "adapter:a", "adapter:a", "adapter:b", "adapter:c", "adapter:quiet"}

func (m *model) one() {
	w := m.world
	w.mu.Lock()
	action, n := w.rand.IntN(100), w.rand.IntN(10)
	c := m.clients[w.rand.IntN(len(m.clients))]
	budget := 1 + w.rand.IntN(3000)
	d := time.Duration(w.rand.IntN(20_000)) * time.Microsecond
	if w.chance(3) {
		d *= 200
	}
	p := m.paths[w.rand.IntN(len(m.paths))]
	w.mu.Unlock()
	switch {
	case action < 22:
		w.mu.Lock()
		for range n + 1 {
			name := modelChannels[w.rand.IntN(len(modelChannels))]
			if name == "adapter:quiet" && w.chance(80) {
				name = "adapter:a"
			}
			channel, _ := schema.ParseChannel(name)
			event := []string{"adapter.activated", "adapter.validated"}[w.rand.IntN(2)]
			e := w.put(channel, event, fmt.Sprintf(`{"adapter_id":%q}`, channel.ID()))
			for _, p := range m.paths {
				p.send(e)
			}
		}
		m.tell("the log of %s ends at %d", w.state.Epoch, w.state.Last)
		w.mu.Unlock()
	case action < 42:
		p.arrive(n + 1)
	case action < 47:
		later(d)
	case action < 48:
		w.mu.Lock()
		w.trim(w.rand.IntN(60))
		m.tell("the log begins at %d", w.state.First)
		w.mu.Unlock()
	case action < 49:
		w.mu.Lock()
		w.lag, w.fail, w.slow = w.rand.IntN(60), w.rand.IntN(20), w.rand.IntN(60)
		w.loss, w.twice, w.late = w.rand.IntN(30), w.rand.IntN(20), w.rand.IntN(20)
		w.away = w.chance(10)
		w.deposed, w.early = 0, 0
		if w.chance(30) {
			w.deposed, w.then = w.rand.IntN(50), w.state
		}
		if w.trims {
			w.early = w.rand.IntN(50)
		}
		w.mu.Unlock()
	case action < 50:
		w.mu.Lock()
		if w.chance(15) {
			w.begin()
			m.tell("epoch %s, from %d to %d", w.state.Epoch, w.state.First, w.state.Last)
		}
		w.mu.Unlock()
	case action < 51:
		m.sets[n%len(m.sets)].Suspect()
	case c.feed == nil:
		c.enter()
	case action < 53:
		m.tell("%s: leaves at %d of %s", c.name, c.pos, c.epoch)
		c.leave()
	case action < 56:
		c.reached("known", c.c.Known())
	case action < 70:
		c.take()
	default:
		c.read(budget)
	}
}

// finish heals everything and checks that everybody comes to the end.
func (m *model) finish() {
	w := m.world
	w.mu.Lock()
	w.lag, w.fail, w.slow, w.loss, w.twice, w.late, w.away = 0, 0, 0, 0, 0, 0, false
	w.deposed, w.early = 0, 0
	for _, p := range m.paths {
		w.mu.Unlock()
		p.arrive(1 << 20)
		w.mu.Lock()
	}
	w.mu.Unlock()
	for range 2000 {
		later(20 * time.Millisecond)
		for _, c := range m.clients {
			if c.feed == nil {
				c.enter()
			}
			for c.feed != nil && (c.take() || c.read(1<<20)) && !m.bad {
			}
		}
	}
	for _, c := range m.clients {
		if c.feed == nil {
			m.fail("%s cannot subscribe for 40 s", c.name)
			continue
		}
		c.reached("known", c.c.Known())
		if w.state.Epoch != c.epoch || c.pos != w.state.Last {
			m.fail("%s stands at %d of %s, the log at %d of %s", c.name, c.pos, c.epoch, w.state.Last, w.state.Epoch)
		}
		c.leave()
	}
	later(2 * time.Minute)
	for i, s := range m.sets {
		s.mu.Lock()
		if len(s.feeds)+len(s.sources)+len(s.opening)+len(m.paths[i].watches) > 0 {
			m.fail("edge %d still holds %d feeds, %d sources, %d to open, %d watches", i, len(s.feeds), len(s.sources), len(s.opening), len(m.paths[i].watches))
		}
		s.mu.Unlock()
	}
}

// TestTheModel lets two edges and a dozen clients live through everything that may
// happen, and checks every delivery, position and refusal against what was stored.
func TestTheModel(t *testing.T) {
	events := 0
	for i := range *modelRuns {
		seed := *modelSeed + uint64(i)
		synctest.Test(t, func(t *testing.T) {
			m := &model{t: t, seed: seed, world: newWorld(seed)}
			for range 2 {
				p := &path{world: m.world, watches: map[*pathWatch]bool{}}
				cfg := Config{RingFrames: 1 + m.world.rand.IntN(20), PageFrames: 1 + m.world.rand.IntN(20), PageBytes: 200 + m.world.rand.IntN(4000), scanFrom: 2 + m.world.rand.IntN(2)*100}
				s := New(schema.Dhruva, catalogue.Default(), m.world, p, cfg, slog.New(slog.DiscardHandler))
				defer s.Close()
				m.sets, m.paths = append(m.sets, s), append(m.paths, p)
			}
			for i, room := range []string{"adapter:a", "adapter:a", "adapter:a", "adapter:b", "adapter:c", "adapter:quiet", "adapter:quiet", "adapter:never", "global", "global", "lifecycle", "adapter:*"} {
				channel, _ := schema.ParseChannel(room)
				target, err := catalogue.Default().Lookup(schema.Dhruva, channel)
				if err != nil {
					t.Fatal(err)
				}
				m.clients = append(m.clients, &client{m: m, name: fmt.Sprint(room, "/", i), room: room, target: target})
			}
			for m.step = range *modelSteps {
				if m.one(); m.bad {
					break
				}
			}
			if !m.bad {
				m.finish()
			}
			for _, c := range m.clients {
				if c.feed != nil {
					c.leave()
				}
			}
			events += m.events
		})
		if t.Failed() {
			t.Fatalf("repeat with -model.seed=%d -model.runs=1 -model.trace", seed)
		}
	}
	t.Logf("%d deliveries", events)
}
