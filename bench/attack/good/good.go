//go:build linux

package good

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/bench/attack/stage"
	"github.com/bodhisattva/indranet/bench/storm/swarm"
	"github.com/bodhisattva/indranet/edge/auth"
)

// Config is what the good clients are made of.
type Config struct {
	// Edge is the address of the edge's public listener, NATS where the control listens.
	Edge, NATS string
	Channels   []stage.Channel
	Clients    int
	Seed       uint64
	// AnySecond has all seconds count as quiet.
	AnySecond bool
}

// Order is what they are told. Which fields count depends on Do.
type Order struct {
	Do string
	// Go, Expect: how many events have been published, by channel.
	Counts []uint64
	// Go, Expect: how long it may take.
	Timeout time.Duration
	// Open: the name and the pool of the window, and newcomers a second in it.
	Window, Pool string
	Newcomers    float64
}

// The orders.
const (
	// Go connects and subscribes all, and returns when all have caught up. It is told
	// once.
	Go = "go"
	// Open begins a window of measuring, in which newcomers come; Shut ends it, and
	// returns when the last newcomer has left.
	Open = "open"
	Shut = "shut"
	// Expect waits until all have all events.
	Expect = "expect"
	// Status only answers.
	Status = "status"
)

// Report is what they answer to every order.
type Report struct {
	// Events counts what came.
	Events uint64
	// Faults counts, by name, what must not happen.
	Faults map[string]int
	// Behind are clients, and Missing the events, that an Expect waited for in vain.
	Behind  int
	Missing uint64
	// Latency is from the publish call to the receipt, Control the same of the copies
	// that came from NATS itself, Entering from the first packet of a newcomer until it
	// has caught up; by window and by pool.
	Latency, Control, Entering map[string]swarm.Latency
	// Quiet is the same of the seconds in which the host of this virtual machine withheld
	// nothing.
	Quiet map[string]Quiet
	// Turned counts, by window and by reason, newcomers that did not get in.
	Turned map[string]map[string]int
	// Again counts, by window, how often newcomers who show their token in the first frame
	// had to try again, since too many others showed none.
	Again map[string]int
	Error string
}

// Quiet is what was measured in the quiet seconds of a window or a pool.
type Quiet struct {
	// Seconds are the quiet ones of Of.
	Seconds, Of      int
	Latency, Control swarm.Latency
}

// Clients are the good clients. Do may be called by one goroutine at a time. Close must
// be called.
type Clients struct {
	// Static after construction.
	cfg       Config
	list      []*client
	visitor   string // The newcomers' token.
	addresses int
	control   *nats.Conn
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup

	// Owned by the caller of Do.
	window string
	shut   context.CancelFunc
	left   chan struct{}

	events                     atomic.Uint64
	latency, entering, passing stage.Meter
	host                       stage.Host

	// Guarded by mu.
	mu     sync.Mutex
	faults map[string]int
	turned map[string]map[string]int
	tries  map[string]int
}

// tokenLife is that of good clients' tokens: longer than any run.
const tokenLife = 12 * time.Hour

// PerAddress is about how many good clients share an address.
const PerAddress = 50

// New mints the clients' tokens with the secret. Nobody connects yet.
func New(cfg Config, secret string) (*Clients, error) {
	a := &Clients{cfg: cfg, faults: map[string]int{}, turned: map[string]map[string]int{}, tries: map[string]int{}, addresses: max(1, cfg.Clients/PerAddress)}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	var problems []error
	mint := func(user string, permissions ...string) string {
		token, err := auth.Mint(secret, auth.MintClaims{User: user, Permissions: permissions, Life: tokenLife})
		problems = append(problems, err)
		return token
	}
	service := string(stage.Service)
	members := service + ":read:" + stage.WorkflowView
	a.visitor = mint("newcomer", members)
	homes := append(stage.Names(cfg.Channels, stage.Members), stage.Names(cfg.Channels, stage.Public)...)
	for i := range cfg.Clients {
		// Two channels for nearly all; for a few a view; for still fewer everything.
		names, permission := []string{homes[i%len(homes)], homes[(7*i+3)%len(homes)]}, members
		switch {
		case i%200 == 100:
			names, permission = []string{"global", stage.AdminChannel}, service+":admin"
		case i%100 == 50:
			names = []string{stage.WorkflowView}
		case names[0] == names[1]:
			names = names[:1]
		}
		c := &client{
			all: a, byFrame: i%2 == 0, token: mint(fmt.Sprintf("member-%d", i), permission),
			from: netip.AddrFrom4([4]byte{127, 1, 0, byte(1 + i%a.addresses)}),
		}
		for _, name := range names {
			c.ledgers = append(c.ledgers, newLedger(name, make([]uint64, len(cfg.Channels))))
		}
		a.list = append(a.list, c)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	var err error
	if a.control, err = startControl(cfg.NATS, &a.passing); err != nil {
		return nil, err
	}
	a.wg.Go(func() {
		if err := a.host.Watch(a.ctx); err != nil {
			a.fault(err.Error())
		}
	})
	return a, nil
}

// Close ends all connections and waits for all clients.
func (a *Clients) Close() {
	if a.shut != nil {
		a.shut()
	}
	a.cancel()
	a.wg.Wait()
	a.control.Close()
}

// Do carries out an order.
func (a *Clients) Do(ctx context.Context, o Order) Report {
	var r Report
	var err error
	switch o.Do {
	case Go:
		err = a.start(ctx, o)
	case Open:
		a.open(o)
	case Shut:
		err = a.shutWindow()
	case Expect:
		a.expect(ctx, o, &r)
	case Status:
	default:
		err = fmt.Errorf("good: no order is called %q", o.Do)
	}
	a.report(&r)
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

func (a *Clients) report(r *Report) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r.Events = a.events.Load()
	r.Faults = maps.Clone(a.faults)
	r.Latency, r.Entering, r.Control = a.latency.Latencies(nil), a.entering.Latencies(nil), a.passing.Latencies(nil)
	quiet := a.host.Quiet
	if a.cfg.AnySecond {
		quiet = nil
	}
	latency, control, seconds := a.latency.Latencies(quiet), a.passing.Latencies(quiet), a.latency.Seconds(quiet)
	r.Quiet = map[string]Quiet{}
	for name, of := range a.latency.Seconds(nil) {
		r.Quiet[name] = Quiet{seconds[name], of, latency[name], control[name]}
	}
	r.Turned, r.Again = map[string]map[string]int{}, maps.Clone(a.tries)
	for window, counts := range a.turned {
		r.Turned[window] = maps.Clone(counts)
	}
}

// dialPause keeps the arrivals below what the edge's gate lets in at once.
const dialPause = 3 * time.Millisecond

func (a *Clients) start(ctx context.Context, o Order) error {
	for _, c := range a.list {
		for _, l := range c.ledgers {
			l.counts = append([]uint64(nil), o.Counts...)
		}
	}
	ticker := time.NewTicker(dialPause)
	defer ticker.Stop()
	for _, c := range a.list {
		a.wg.Go(func() { c.run(a.ctx) })
		<-ticker.C
	}
	behind := 0
	if !a.until(ctx, o.Timeout, func(c *client) bool { return c.caughtUp() }, &behind) {
		return fmt.Errorf("good: %d clients have not caught up after %v: %v", behind, o.Timeout, a.counted())
	}
	return nil
}

// until waits until something is true of all clients, and says of how many it is not.
func (a *Clients) until(ctx context.Context, timeout time.Duration, is func(*client) bool, not *int) bool {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		*not = 0
		for _, c := range a.list {
			if !is(c) {
				*not++
			}
		}
		if *not == 0 {
			return true
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false
		}
	}
}

func (a *Clients) open(o Order) {
	now := swarm.Now()
	for _, m := range []*stage.Meter{&a.latency, &a.entering, &a.passing} {
		m.Open(o.Window, o.Pool, now)
	}
	var ctx context.Context
	ctx, a.shut = context.WithCancel(a.ctx)
	a.window, a.left = o.Window, make(chan struct{})
	go func(left chan<- struct{}) {
		defer close(left)
		if o.Newcomers > 0 {
			a.newcomers(ctx, o.Newcomers, o.Window)
		}
	}(a.left)
}

func (a *Clients) shutWindow() error {
	if a.shut == nil {
		return errors.New("good: no window is open")
	}
	a.shut()
	now := swarm.Now()
	for _, m := range []*stage.Meter{&a.latency, &a.entering, &a.passing} {
		m.Shut(now)
	}
	<-a.left
	a.shut = nil
	return nil
}

func (a *Clients) expect(ctx context.Context, o Order, r *Report) {
	if a.until(ctx, o.Timeout, func(c *client) bool { return c.missing(o.Counts) == 0 }, &r.Behind) {
		return
	}
	for _, c := range a.list {
		r.Missing += c.missing(o.Counts)
	}
}

func (a *Clients) fault(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults[name]++
}

func (a *Clients) counted() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.faults)
}

func (a *Clients) again(window string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tries[window]++
}

func (a *Clients) turnedAway(window, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.turned[window] == nil {
		a.turned[window] = map[string]int{}
	}
	a.turned[window][why]++
}
