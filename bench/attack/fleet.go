//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/bench/attack/foe"
	"github.com/bodhisattva/indranet/bench/attack/good"
	"github.com/bodhisattva/indranet/bench/attack/stage"
	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
)

// fleet is the processes of a run. Its methods belong to one goroutine.
type fleet struct {
	// Static after construction.
	dir, log string
	secrets  []string // What the edge's log must not hold.
	channels []stage.Channel

	nats, edge, publisher, good, foe, burner *process

	// Guarded by mu.
	mu       sync.Mutex
	children []*process
	ended    bool

	release func() bool
}

// newFleet starts all. close must be called.
func newFleet(ctx context.Context, s settings) (_ *fleet, err error) {
	f := &fleet{channels: stage.Channels(s.channels, s.public)}
	if f.dir, err = os.MkdirTemp("", fmt.Sprintf("attack-%d-", s.seed)); err != nil {
		return nil, fmt.Errorf("attack: %w", err)
	}
	f.log = filepath.Join(f.dir, "edge.log")
	f.release = context.AfterFunc(ctx, f.kill)
	if err := f.startAll(ctx, s); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *fleet) startAll(ctx context.Context, s settings) error {
	secret := rand.Text() + rand.Text()
	env := secretKey + "=" + secret
	var err error
	if f.nats, err = f.start(role{Name: "NATS", NATS: &natsRole{Dir: filepath.Join(f.dir, "nats")}}); err != nil {
		return err
	}
	url := f.nats.ready.Address
	if err := ensure(ctx, url); err != nil {
		return err
	}
	if f.edge, err = f.start(role{Name: "edge", Edge: &edgeRole{
		NATS: url, Log: f.log, Memory: s.memory, Queued: s.queued, Connections: s.connections(), Linger: s.linger,
		Messages: s.messages, Frames: s.frames, Arrivals: s.arrivals, HalfOpen: s.halfOpen,
	}}, env); err != nil {
		return err
	}
	if f.publisher, err = f.start(role{Name: "publisher", Publisher: &stage.PublisherConfig{NATS: url, Channels: f.channels, Size: s.size}}); err != nil {
		return err
	}
	at := f.edge.ready
	cfg := good.Config{Edge: at.Address, NATS: url, Channels: f.channels, Clients: s.clients, Seed: s.seed, AnySecond: s.anySecond}
	if f.good, err = f.start(role{Name: "good clients", Good: &cfg}, env); err != nil {
		return err
	}
	enemy := foe.Config{
		Edge: at.Address, Metrics: at.Metrics, Admin: at.Admin, Rates: s.rates(), Seed: s.seed,
		Public:    stage.Names(f.channels, stage.Public),
		Forbidden: append(stage.Names(f.channels, stage.Members), stage.AdminChannel, stage.WorkflowView, "global", "pool:*"),
	}
	if err := f.arm(secret, &enemy); err != nil {
		return err
	}
	if f.foe, err = f.start(role{Name: "attackers", Nice: s.nice, Foe: &enemy}); err != nil {
		return err
	}
	f.burner, err = f.start(role{Name: "burner", Nice: s.nice, Burner: true})
	return err
}

// arm gives the attackers tokens, which are all they know of the secret.
func (f *fleet) arm(secret string, enemy *foe.Config) error {
	f.secrets = []string{secret}
	var problems []error
	mint := func(secret string, m auth.MintClaims) string {
		if m.Life == 0 {
			m.Life = 12 * time.Hour // Longer than any run.
		}
		token, err := auth.Mint(secret, m)
		problems = append(problems, err)
		f.secrets = append(f.secrets, token)
		return token
	}
	service := string(stage.Service)
	var weak []string
	for _, name := range enemy.Public {
		weak = append(weak, service+":read:"+name)
	}
	weak = append(weak, service+":read:pool:*")
	enemy.Weak = map[string][]string{}
	for _, k := range foe.Kinds() {
		for i := range k.Users {
			enemy.Weak[k.Name] = append(enemy.Weak[k.Name], mint(secret, auth.MintClaims{User: fmt.Sprintf("%s-%d", k.Name, i), Permissions: weak}))
		}
	}
	enemy.Foreign = mint(secret, auth.MintClaims{User: "alien", Permissions: []string{string(schema.Dhruva) + ":admin"}})
	everything, now := []string{"admin"}, time.Now()
	enemy.Bad = map[string]string{
		"an expired token":       mint(secret, auth.MintClaims{User: "late", Permissions: everything, IssuedAt: now.Add(-2 * time.Hour), Life: time.Hour}),
		"another secret's token": mint(rand.Text()+rand.Text(), auth.MintClaims{User: "forger", Permissions: everything}),
		"a token of tomorrow":    mint(secret, auth.MintClaims{User: "early", Permissions: everything, IssuedAt: now.Add(24 * time.Hour), Life: time.Hour}),
		"a token for a month":    mint(secret, auth.MintClaims{User: "long", Permissions: everything, Life: 29 * 24 * time.Hour}),
	}
	return errors.Join(problems...)
}

// ensure makes the streams and the bucket of revocations.
func ensure(ctx context.Context, url string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return fmt.Errorf("attack: %w", err)
	}
	defer nc.Close()
	_, err = publisher.EnsureStreams(ctx, nc, publisher.StreamConfig{MaxBytes: 64 << 20}, schema.Services()...)
	if err == nil { // The one that is used may not lose its front.
		_, err = publisher.EnsureStreams(ctx, nc, publisher.StreamConfig{MaxBytes: 16 << 30}, stage.Service)
	}
	if err == nil {
		_, err = stream.EnsureRevocations(ctx, nc, 0)
	}
	return err
}

func (f *fleet) start(r role, env ...string) (*process, error) {
	p, err := start(r, env...)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.children = append(f.children, p)
	if f.ended {
		p.kill()
	}
	return p, nil
}

// kill makes whoever waits for a child's answer go on.
func (f *fleet) kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	for _, p := range f.children {
		p.kill()
	}
}

// close ends everything, the last first.
func (f *fleet) close() {
	f.release()
	for i := len(f.children) - 1; i >= 0; i-- {
		f.children[i].end(syscall.SIGKILL)
	}
}

// The processes whose CPU time is told, in the order of the table.
func (f *fleet) workers() []*process {
	return []*process{f.foe, f.burner, f.edge, f.nats, f.good, f.publisher}
}

// Orders to the children. What a child says is wrong becomes an error.

func (f *fleet) tellPublisher(o stage.Order) (r stage.Published, err error) {
	if err = f.publisher.exchange(o, &r); err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	return r, err
}

func (f *fleet) tellGood(o good.Order) (r good.Report, err error) {
	if err = f.good.exchange(o, &r); err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	return r, err
}

func (f *fleet) tellFoe(o foe.Order) (r foe.Report, err error) {
	if err = f.foe.exchange(o, &r); err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	return r, err
}

func (f *fleet) burnAt(share float64) error {
	return f.burner.exchange(burning{share}, &burning{})
}

// logged writes to progress.
func logged(progress io.Writer, began time.Time) func(string, ...any) {
	return func(format string, args ...any) {
		fmt.Fprintf(progress, "%7.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
}
