//go:build unix

// Package client is a subscriber that keeps the position contract of the protocol
// and writes down everything it is told. It is written from the protocol alone and
// shares no code with the edges, nor with the client that users get.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/bodhisattva/indranet/bench/chaos/check"
)

// Config is what a client is told.
type Config struct {
	Name    string
	Service string
	// Edges are the edges, of which any will do.
	Edges []Edge
	// Channels are what it subscribes to, and From is the since that it begins with.
	Channels []string
	From     any
	Temper   Temper
	// Begin is when it comes, Calm is closed when it shall behave well.
	Begin time.Duration
	Calm  <-chan struct{}
	// Start is the start of the run, Seed decides what is random.
	Start time.Time
	Seed  uint64
}

// Edge is where to connect.
type Edge struct{ Name, Address string }

// Client is one subscriber. Run runs it; Stats may be read at any time, History when
// Run has returned.
type Client struct {
	// Stats may be read at any time.
	Stats Stats

	// Static after construction.
	cfg  Config
	rng  *rand.Rand
	mood *mood

	// Owned by Run.
	subs     []*subscription
	requests int
	away     time.Time
	// pasts are the history requests without an answer, by id.
	pasts map[string]*asking
	// goal are what ends the run, by subscription; nil while unknown.
	goal []Goal
}

// Goal is the last position that a subscription can reach, 0 for none, and the epoch
// that it must be told.
type Goal struct {
	Seq   uint64
	Epoch string
}

// Stats counts what happened to a client. Longest is the longest time from the loss
// of a connection to the moment when all subscriptions had caught up again, in
// nanoseconds.
type Stats struct {
	Connects, Events atomic.Uint64
	Longest          atomic.Int64
	// LongestEnd is when that ended, since the start of the run, in nanoseconds.
	LongestEnd atomic.Int64
	// Missing is the number of subscriptions that wait for their last event.
	Missing atomic.Int64
	// Refused counts errors by code, Closed ends of connections by what ended them,
	// and Broken what the protocol does not allow.
	Refused, Closed, Broken Counts
}

const (
	// beatEvery is the time between two looks at the clock, of which some send a ping
	// or ask again for what was refused.
	beatEvery      = 250 * time.Millisecond
	pingBeats      = 8
	subscribeBeats = 4
	// silence is how long an edge may say nothing until the client goes elsewhere.
	silence = 6 * time.Second
	// dialTimeout bounds a handshake.
	dialTimeout = 3 * time.Second
	// receiveBuffer is small, so that an edge notices soon who does not read.
	receiveBuffer = 16 << 10
	// maxFrame is what the protocol allows for an outbound message.
	maxFrame = 1_000_000
)

// Why a client itself ends a connection.
var (
	errLeave   = errors.New("left")
	errSilence = errors.New("silence")
)

// New returns a client that does nothing yet.
func New(cfg Config) *Client {
	c := &Client{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 1)), pasts: map[string]*asking{}}
	c.mood = newMood(cfg.Temper, c.rng)
	for _, channel := range cfg.Channels {
		c.subs = append(c.subs, &subscription{
			channel: channel, from: cfg.From,
			history: check.History{Client: cfg.Name, Service: cfg.Service, Channel: channel},
		})
	}
	c.Stats.Missing.Store(int64(len(c.subs)))
	return c
}

// Service is where the client subscribes.
func (c *Client) Service() string { return c.cfg.Service }

// Name names the client for people.
func (c *Client) Name() string { return c.cfg.Name }

// Temper is how the client behaves.
func (c *Client) Temper() Temper { return c.cfg.Temper }

// Histories are what the subscriptions saw. Call it when Run has returned.
func (c *Client) Histories() []check.History {
	list := make([]check.History, len(c.subs))
	for i, s := range c.subs {
		list[i] = s.history
	}
	return list
}

// Run subscribes and resumes until every subscription has the event at its goal, or
// ctx is done. goals gives, once it is known, what each channel and view that this client
// reads ends with.
func (c *Client) Run(ctx context.Context, goals func(channel string) (Goal, bool)) {
	if !c.wait(ctx, time.Until(c.cfg.Start.Add(c.cfg.Begin))) {
		return
	}
	c.away = time.Now()
	for ctx.Err() == nil {
		err := c.connection(ctx, c.cfg.Edges[c.rng.IntN(len(c.cfg.Edges))], goals)
		if err == nil || ctx.Err() != nil {
			return
		}
		c.Stats.Closed.Add(reason(err))
		if errors.Is(err, errProtocol) {
			c.Stats.Broken.Add(err.Error())
		}
		if c.away.IsZero() {
			c.away = time.Now()
		}
		if !errors.Is(err, errLeave) && !c.wait(ctx, c.mood.between(10*time.Millisecond, 500*time.Millisecond)) {
			return
		}
	}
}

// reason is a short name for what ended a connection.
func reason(err error) string {
	var closed websocket.CloseError
	switch {
	case errors.As(err, &closed):
		why, _, _ := strings.Cut(closed.Reason, "=") // After how long to return differs.
		return strings.TrimSpace("close " + strconv.Itoa(int(closed.Code)) + " " + why)
	case errors.Is(err, errLeave):
		return "left"
	case errors.Is(err, errProtocol):
		return "protocol violation"
	case errors.Is(err, errSilence):
		return "silence"
	}
	return "cut"
}

func (c *Client) now() time.Duration { return time.Since(c.cfg.Start) }

// wait reports whether ctx is still alive after the time.
func (c *Client) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// rest waits for the time, or until all shall behave well.
func (c *Client) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.cfg.Calm:
	}
}

func (c *Client) calm() bool {
	select {
	case <-c.cfg.Calm:
		return true
	default:
		return false
	}
}

// connection runs one connection. It returns nil when the goals are reached.
func (c *Client) connection(ctx context.Context, edge Edge, goals func(string) (Goal, bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := dial(ctx, "ws://"+edge.Address+"/ws/"+c.cfg.Service)
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	c.Stats.Connects.Add(1)
	for _, s := range c.subs {
		s.edge, s.attached, s.caughtUp, s.pending = edge.Name, false, false, ""
	}
	clear(c.pasts)
	// A frame is only read when the last one was taken: who takes none, reads none.
	frames, ended := make(chan []byte), make(chan error, 1)
	var reader sync.WaitGroup
	reader.Go(func() { ended <- read(ctx, conn, frames) })
	defer reader.Wait()
	defer cancel()

	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	var beats int
	heard := time.Now()
	if err := c.subscribe(ctx, conn); err != nil {
		return err
	}
	for {
		select {
		case text := <-frames:
			heard = time.Now()
			if err := c.take(text); err != nil {
				return err
			}
		case <-beat.C:
			if beats++; beats%pingBeats == 0 {
				if err := write(ctx, conn, []byte(`{"type":"ping"}`)); err != nil {
					return err
				}
			}
			if beats%subscribeBeats == 0 {
				if err := c.subscribe(ctx, conn); err != nil {
					return err
				}
			}
			if time.Since(heard) > silence {
				return errSilence
			}
		case err := <-ended:
			return err
		}
		if c.done(goals) {
			_ = conn.Close(websocket.StatusNormalClosure, "") // It has all it wanted.
			return nil
		}
		paused, err := c.behave(ctx, conn)
		if err != nil {
			return err
		}
		if paused {
			heard = time.Now()
		}
	}
}

// behave does what the client's temper asks for.
func (c *Client) behave(ctx context.Context, conn *websocket.Conn) (paused bool, err error) {
	if c.calm() {
		return false, nil
	}
	switch whim, pause := c.mood.next(time.Now()); whim {
	case recall:
		return false, c.recall(ctx, conn)
	case rest:
		c.rest(pause)
		return true, nil
	case leave:
		return false, errLeave
	case repeat:
		// The events that come before the answer come again after it.
		if s := c.any(); s.attached && s.pending == "" {
			return false, c.ask(ctx, conn, []*subscription{s})
		}
	case unsubscribe:
		// It is subscribed again at one of the next beats.
		if s := c.any(); s.attached && s.pending == "" {
			return false, c.send(ctx, conn, "unsubscribe", []*subscription{s}, map[string]any{"channel": s.channel})
		}
	}
	return false, nil
}

func (c *Client) any() *subscription { return c.subs[c.rng.IntN(len(c.subs))] }

// subscribe asks for everything that is not attached. It is called again and again,
// for requests are refused while the log is away; a request that is still on its way
// is not repeated.
func (c *Client) subscribe(ctx context.Context, conn *websocket.Conn) error {
	var list []*subscription
	for _, s := range c.subs {
		if !s.attached && s.pending == "" {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return c.ask(ctx, conn, list)
}

// ask subscribes where each subscription stands.
func (c *Client) ask(ctx context.Context, conn *websocket.Conn, list []*subscription) error {
	var entries []entry
	for _, s := range list {
		entries = append(entries, s.entry(c.rng.IntN(4) == 0))
	}
	if len(entries) == 1 {
		return c.send(ctx, conn, "subscribe", list, entries[0])
	}
	return c.send(ctx, conn, "subscribe", list, map[string]any{"channels": entries})
}

// send sends a request about some subscriptions.
func (c *Client) send(ctx context.Context, conn *websocket.Conn, name string, list []*subscription, data any) error {
	id := c.nextID()
	for _, s := range list {
		s.pending = id
	}
	return c.request(ctx, conn, name, id, data)
}

func (c *Client) nextID() string {
	c.requests++
	return strconv.Itoa(c.requests)
}

// take takes one frame.
func (c *Client) take(text []byte) error {
	var f frame
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("%w: not JSON, %d bytes: %w: %.400q", errProtocol, len(text), err, text)
	}
	return c.handle(&f)
}

func (c *Client) find(channel string) *subscription {
	i := slices.IndexFunc(c.subs, func(s *subscription) bool { return s.channel == channel })
	if i < 0 {
		return nil
	}
	return c.subs[i]
}
