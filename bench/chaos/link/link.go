//go:build unix

// Package link is a TCP proxy that misbehaves on demand: it cuts, refuses, stalls and
// delays connections and, where they come from a NATS server, drops or repeats whole
// messages of the live path, as that is allowed to do. Between NATS servers it delays
// what keeps the replicas of a stream equal and nothing else.
package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Rules are how a link misbehaves. The zero value passes everything on.
type Rules struct {
	// Refuse ends new connections at once.
	Refuse bool
	// Stall passes nothing on and lets connections stand.
	Stall bool
	// Delay is added to every chunk of up to 64 KiB, in each direction.
	Delay time.Duration
	// Drop and Twice are the parts, 0 to 1, of the live messages that are dropped and
	// repeated.
	Drop, Twice float64
}

// livePrefix is where the subjects of the live path begin.
const livePrefix = "live."

// Link is a proxy in front of one address. All methods are safe for concurrent use.
type Link struct {
	// Dropped and Repeated count live messages.
	Dropped, Repeated atomic.Uint64

	// Static after construction.
	listener net.Listener
	target   string
	kind     kind
	seed     uint64
	buffer   int
	wg       sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	rules   Rules
	changed chan struct{} // Closed when the rules change.
	pairs   map[*pair]struct{}
	closed  bool
}

// kind is what a link knows of what it passes on.
type kind uint8

const (
	plain kind = iota
	client
	route
)

// pair is a connection and the one it is passed on to.
type pair struct {
	ctx    context.Context
	cancel context.CancelFunc
	near   net.Conn
	far    net.Conn
	// exempt is true where the rules do not count: a route of other things than
	// replication.
	exempt atomic.Bool
}

func (p *pair) close() {
	p.cancel()
	_ = p.near.Close()
	_ = p.far.Close()
}

// NATS returns a link to a NATS server, which understands its messages.
func NATS(target string, seed uint64) (*Link, error) { return open(target, client, seed, 0) }

// Route returns a link to where a NATS server takes routes. Its rules hold for the
// routes of the system account alone, by which the replicas of a stream agree; live
// messages have routes of their own.
func Route(target string) (*Link, error) { return open(target, route, 0, 0) }

// TCP returns a link to anything. It holds little of what the receiver does not take:
// buffer bytes on each side, about.
func TCP(target string, buffer int) (*Link, error) { return open(target, plain, 0, buffer) }

func open(target string, k kind, seed uint64, buffer int) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	l := &Link{
		listener: listener, target: target, kind: k, seed: seed, buffer: buffer,
		changed: make(chan struct{}), pairs: map[*pair]struct{}{},
	}
	l.wg.Go(l.accept)
	return l, nil
}

// Addr is where the link listens.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Set replaces the rules, for connections that exist too.
func (l *Link) Set(rules Rules) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rules = rules
	close(l.changed)
	l.changed = make(chan struct{})
}

// Cut ends all connections.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.close()
	}
}

// Close ends the link, and returns when everything of it has ended.
func (l *Link) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	_ = l.listener.Close()
	l.Cut()
	l.wg.Wait()
}

func (l *Link) current() (Rules, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rules, l.changed
}

func (l *Link) accept() {
	for n := uint64(0); ; n++ {
		near, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if rules, _ := l.current(); rules.Refuse {
			_ = near.Close()
			continue
		}
		l.wg.Go(func() { l.connect(near, n) })
	}
}

// dial connects to the target.
func (l *Link) dial() (net.Conn, error) {
	if l.buffer > 0 {
		return Dial(context.Background(), l.target, l.buffer)
	}
	return net.Dial("tcp", l.target)
}

func (l *Link) connect(near net.Conn, n uint64) {
	far, err := l.dial()
	if err != nil {
		_ = near.Close()
		return
	}
	if tcp, ok := near.(*net.TCPConn); ok && l.buffer > 0 {
		_ = tcp.SetWriteBuffer(l.buffer) // At worst, it is the system's.
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &pair{ctx: ctx, cancel: cancel, near: near, far: far}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		p.close()
		return
	}
	l.pairs[p] = struct{}{}
	l.mu.Unlock()
	var there, back func(dst, chunk []byte) []byte
	switch l.kind {
	case client:
		filter := &frames{decide: l.decider(rand.New(rand.NewPCG(l.seed, n)))}
		back = filter.filter
	case route:
		p.exempt.Store(true)
		there = (&greeting{pair: p}).look
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(p, near, far, there) })
	both.Go(func() { l.pump(p, far, near, back) })
	both.Wait()
	l.mu.Lock()
	delete(l.pairs, p)
	l.mu.Unlock()
}

// decider rolls the dice for the live messages of one connection.
func (l *Link) decider(rng *rand.Rand) func([]byte) fate {
	return func(subject []byte) fate {
		if !strings.HasPrefix(string(subject), livePrefix) {
			return pass
		}
		rules, _ := l.current()
		switch x := rng.Float64(); {
		case x < rules.Drop:
			l.Dropped.Add(1)
			return drop
		case x < rules.Drop+rules.Twice:
			l.Repeated.Add(1)
			return twice
		}
		return pass
	}
}

// pump passes bytes on in one direction until the pair ends, and ends it.
func (l *Link) pump(p *pair, from io.Reader, to io.Writer, filter func(dst, chunk []byte) []byte) {
	defer p.close()
	size := 64 << 10
	if l.buffer > 0 {
		size = l.buffer
	}
	buf := make([]byte, size)
	var out []byte
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !p.exempt.Load() && !l.hold(p.ctx) {
				return
			}
			chunk := buf[:n]
			if filter != nil {
				out = filter(out[:0], chunk)
				chunk = out
			}
			if _, err := to.Write(chunk); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hold waits as long as the rules say, and reports whether the pair still lives.
func (l *Link) hold(ctx context.Context) bool {
	for {
		rules, changed := l.current()
		if !rules.Stall && rules.Delay <= 0 {
			return ctx.Err() == nil
		}
		if !rules.Stall {
			timer := time.NewTimer(rules.Delay)
			defer timer.Stop()
			select {
			case <-timer.C:
				return true
			case <-ctx.Done():
				return false
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
