package feed

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

// world is a log of one service that everything may happen to, and what has ever
// been stored in it.
type world struct {
	trims  bool // Replicas drop the front before the leader does. Static.
	mu     sync.Mutex
	rand   *rand.Rand
	state  State
	stored []Message // The kept ones.
	// past is everything that each epoch has ever held, by position.
	past map[string]map[uint64]Message
	// ends is the newest position of each epoch.
	ends   map[string]uint64
	epochs int

	// Chances of faults, in percent.
	lag, fail, slow, loss, twice, late int
	// Of a leader that was deposed while it stood still, as it was then: it answers
	// questions to the leader that often.
	deposed int
	then    State
	// early is the chance that a replica has dropped more of its front than the leader.
	early int
	away  bool
}

func newWorld(seed uint64) *world {
	w := &world{
		rand: rand.New(rand.NewPCG(seed, 1)), state: State{Epoch: "e0", First: 1}, trims: seed%2 == 0,
		past: map[string]map[uint64]Message{"e0": {}}, ends: map[string]uint64{},
	}
	return w
}

// chance is true that often of a hundred times. The caller holds mu.
func (w *world) chance(percent int) bool { return w.rand.IntN(100) < percent }

// disturb lets time pass or fails, as the faults of the moment have it.
func (w *world) disturb(ctx context.Context) error {
	w.mu.Lock()
	away, fails, slow := w.away, w.chance(w.fail), w.chance(w.slow)
	d := time.Duration(w.rand.IntN(30_000)) * time.Microsecond
	if w.chance(5) {
		d *= 100
	}
	w.mu.Unlock()
	if slow {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if away || fails {
		return errAway
	}
	return nil
}

func (w *world) State(ctx context.Context) (State, error) {
	if err := w.disturb(ctx); err != nil {
		return State{}, err
	}
	w.mu.Lock()
	st := w.state
	if w.chance(w.deposed) && w.then.Epoch == st.Epoch {
		st.Last = max(w.then.Last, st.First-1)
	}
	w.mu.Unlock()
	return st, w.disturb(ctx) // The answer is on its way.
}

// replica is where the replica ends that answers next. The caller holds mu.
func (w *world) replica(leader bool) uint64 {
	if leader && w.chance(w.deposed) && w.then.Epoch == w.state.Epoch {
		return w.then.Last
	}
	if leader || !w.chance(w.lag) {
		return w.state.Last
	}
	return max(w.state.First-1, w.state.Last-min(w.state.Last, uint64(w.rand.IntN(40))))
}

func (w *world) Read(ctx context.Context, q Query, each func(Message)) (more bool, err error) {
	if err := w.disturb(ctx); err != nil {
		return false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	epoch, end, from, size := w.state.Epoch, w.replica(q.Leader), q.From, 0
	if !q.Leader && w.chance(w.early) {
		from = max(from, w.state.First+uint64(w.rand.IntN(5)))
	}
	for n := 0; ; n++ {
		i := slices.IndexFunc(w.stored, func(m Message) bool {
			return m.Seq <= end && (q.Channel.IsZero() || m.Channel == q.Channel) &&
				(q.Time.IsZero() && m.Seq >= from || !q.Time.IsZero() && m.Seq >= from && !m.Time.Before(q.Time))
		})
		switch {
		case i < 0:
			return false, nil
		case n >= q.Count || size >= q.Bytes:
			return true, nil
		}
		m := w.stored[i]
		from, size = m.Seq+1, size+len(m.Data)
		each(m)
		if w.chance(w.slow / 4) { // The front may go between two messages.
			w.mu.Unlock()
			err := w.disturb(ctx)
			w.mu.Lock()
			if err != nil {
				return false, err
			}
			if w.state.Epoch != epoch {
				return false, errAway // The stream has been replaced.
			}
		}
	}
}

func (w *world) Tails(ctx context.Context, channels []schema.Channel, since, upTo uint64) (map[schema.Channel]uint64, uint64, error) {
	if err := w.disturb(ctx); err != nil {
		return nil, 0, err
	}
	w.mu.Lock()
	last, end := map[schema.Channel]uint64{}, w.replica(false)
	for _, m := range w.stored {
		if m.Seq > since && m.Seq <= end && (upTo == 0 || m.Seq <= upTo) && slices.Contains(channels, m.Channel) {
			last[m.Channel] = m.Seq
		}
	}
	if upTo > 0 || len(w.stored) == 0 || end < w.state.First {
		end = 0
	}
	w.mu.Unlock()
	return last, end, w.disturb(ctx)
}

// put stores an event. The caller holds mu.
func (w *world) put(channel schema.Channel, event, data string) Message {
	w.state.Last++
	m := Message{
		Channel: channel, Event: event, Seq: w.state.Last, Time: time.Now(), Data: []byte(data),
		ID: fmt.Sprintf("%s-%d", w.state.Epoch, w.state.Last),
	}
	for _, old := range w.stored {
		if old.Channel == channel {
			m.Prev = old.Seq
		}
	}
	w.stored = append(w.stored, m)
	w.past[w.state.Epoch][m.Seq] = m
	w.ends[w.state.Epoch] = m.Seq
	return m
}

// trim drops n messages from the front. The caller holds mu.
func (w *world) trim(n int) {
	n = min(n, len(w.stored))
	w.stored, w.state.First = slices.Clone(w.stored[n:]), w.state.First+uint64(n)
}

// begin starts a new epoch: empty, from a copy, or what is left after the tail was
// lost. The caller holds mu.
func (w *world) begin() {
	w.epochs++
	w.state.Epoch = fmt.Sprint("e", w.epochs)
	past := map[uint64]Message{}
	switch w.rand.IntN(3) {
	case 0:
		w.stored, w.state.First, w.state.Last = nil, 1, 0
	case 1:
		first := uint64(w.rand.IntN(500) + 1)
		w.stored, w.state.First, w.state.Last = nil, first, first-1
	default:
		n := w.rand.IntN(min(len(w.stored), 30) + 1)
		w.stored = slices.Clone(w.stored[:len(w.stored)-n])
		w.state.Last -= uint64(n)
		for _, m := range w.stored {
			past[m.Seq] = m
		}
	}
	w.past[w.state.Epoch], w.ends[w.state.Epoch] = past, w.state.Last
}

// path is the live path to one edge.
type path struct {
	world   *world
	mu      sync.Mutex
	watches map[*pathWatch]bool
	queue   []sent
	count   int // Of messages sent.
}

// sent is a live message on its way. Only who watched by then gets it.
type sent struct {
	Message
	count int
	epoch string
}

type pathWatch struct {
	path      *path
	channel   schema.Channel
	transient bool
	deliver   func(Message)
	from      int
}

func (p *path) Watch(channel schema.Channel, transient bool, deliver func(Message)) (Watch, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.world.mu.Lock()
	w := &pathWatch{p, channel, transient, deliver, p.count}
	p.world.mu.Unlock()
	p.watches[w] = true
	return w, nil
}

func (w *pathWatch) Stop() {
	w.path.mu.Lock()
	defer w.path.mu.Unlock()
	delete(w.path.watches, w)
}

func (p *path) Flush(ctx context.Context) error { return p.world.disturb(ctx) }

// send puts a message on the way, as the faults of the moment have it. The caller holds world.mu.
func (p *path) send(m Message) {
	w := p.world
	if w.chance(w.loss) {
		return
	}
	p.count++
	at := len(p.queue)
	if w.chance(w.late) {
		at -= w.rand.IntN(min(at, 5) + 1)
	}
	p.queue = slices.Insert(p.queue, at, sent{m, p.count, w.state.Epoch})
	if w.chance(w.twice) {
		p.queue = append(p.queue, sent{m, p.count, w.state.Epoch})
	}
}

// arrive delivers n of the messages that are on the way.
func (p *path) arrive(n int) {
	for range n {
		p.world.mu.Lock()
		if len(p.queue) == 0 {
			p.world.mu.Unlock()
			return
		}
		m := p.queue[0]
		p.queue = p.queue[1:]
		gone := m.epoch != p.world.state.Epoch && time.Since(m.Time) > doubtFor/2
		p.world.mu.Unlock()
		if gone {
			continue // No message of an old epoch is on its way for as long.
		}
		p.mu.Lock()
		var to []func(Message)
		for w := range p.watches {
			if !w.transient && w.from < m.count && (w.channel.IsZero() || w.channel == m.Channel) {
				to = append(to, w.deliver)
			}
		}
		p.mu.Unlock()
		for _, deliver := range to {
			deliver(m.Message)
		}
	}
}
