//go:build linux

package foe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bodhisattva/indranet/bench/attack/peer"
	"github.com/bodhisattva/indranet/bench/attack/stage"
)

// attack is one kind in one round. All methods are safe for concurrent use.
type attack struct {
	// Static after construction.
	army  *Army
	kind  kind
	rate  float64
	index int // Of the kind.
	block int // The first of its blocks of addresses.
	round int

	done, skipped       atomic.Uint64
	open, most, longest atomic.Int64

	// Guarded by mu.
	mu   sync.Mutex
	rng  *rand.Rand
	ends map[string]uint64
}

func newAttack(army *Army, k kind, rate float64, index, round int) *attack {
	block := 0
	for _, before := range kinds[:index] {
		block += (max(before.addresses, 1) + blockSize - 1) / blockSize
	}
	return &attack{
		army: army, kind: k, rate: rate, index: index, block: block, round: round,
		rng: rand.New(rand.NewPCG(army.cfg.Seed, uint64(round)<<32|uint64(index))), ends: map[string]uint64{},
	}
}

func (a *attack) run(ctx context.Context) {
	if a.kind.shot != nil {
		a.shoot(ctx)
		return
	}
	a.streams(ctx)
}

func (a *attack) outcome() Outcome {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Outcome{
		Kind: a.kind.name, Asked: a.rate, Done: a.done.Load(), Skipped: a.skipped.Load(),
		Most: a.most.Load(), Longest: time.Duration(a.longest.Load()), Ends: maps.Clone(a.ends),
	}
}

// blockSize is how many addresses a block has, of which a kind has as many as it needs.
const blockSize = 250

// from is the address that the nth connection comes from.
func (a *attack) from(n int) netip.Addr {
	n %= max(a.kind.addresses, 1)
	return netip.AddrFrom4([4]byte{127, byte(64 + a.round%192), byte(a.block + n/blockSize), byte(1 + n%blockSize)})
}

func (a *attack) end(how string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ends[how]++
}

// breach notes that an attacker got what is not for him.
func (a *attack) breach(what string) { a.army.breach(a.kind.name + ": " + what) }

// dice is a number from 0 to n-1.
func (a *attack) dice(n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rng.IntN(n)
}

// noise is n bytes of anything.
func (a *attack) noise(n int) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(a.rng.Uint32())
	}
	return b
}

// weak is one of the kind's weak tokens.
func (a *attack) weak(n int) string {
	list := a.army.cfg.Weak[a.kind.name]
	return list[n%len(list)]
}

// line is an attacker's connection.
type line struct {
	*peer.Conn
	attack *attack
	since  time.Time
	heard  bool // The edge has sent anything at all.
	// covers is true where a token lets it read public channels, pongs where it answers
	// pings.
	covers, pongs bool
	drop          func() bool // Ends the tie to the context.
}

// How an attack ended when the edge did nothing about it.
const (
	endHeld    = "held to the end"
	endSilent  = "nothing done"
	endRefused = "refused (reset)"
	// endUnreached is the end of a connection that the kernel did not make in time: where
	// connections come faster than they are accepted it drops some, and tries again later.
	endUnreached = "not connected in time"
)

// dialPatience is how long an attacker waits for a connection.
const dialPatience = 5 * time.Second

// dial connects the nth connection. Without one it says how that ended.
func (a *attack) dial(ctx context.Context, n, receiveBuffer int) (*line, string) {
	dialing, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	p, err := peer.Dial(dialing, a.from(n), a.army.cfg.Edge, receiveBuffer)
	switch {
	case err == nil:
		return a.adopt(ctx, p), ""
	case dialing.Err() != nil && ctx.Err() == nil:
		return nil, endUnreached
	}
	return nil, a.ended(ctx, err, false)
}

// adopt counts a connection until close.
func (a *attack) adopt(ctx context.Context, p *peer.Conn) *line {
	raise(&a.most, a.open.Add(1))
	return &line{Conn: p, attack: a, since: time.Now(), drop: context.AfterFunc(ctx, p.Cut)}
}

// raise makes a maximum at least a value.
func raise(most *atomic.Int64, value int64) {
	for old := most.Load(); value > old && !most.CompareAndSwap(old, value); old = most.Load() {
		continue
	}
}

func (c *line) close() {
	c.drop()
	c.Cut()
	raise(&c.attack.longest, int64(time.Since(c.since)))
	c.attack.open.Add(-1)
}

// ended names an error.
func (a *attack) ended(ctx context.Context, err error, heard bool) string {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return endHeld
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		if heard {
			return "reset"
		}
		return endRefused
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	case errors.As(err, &timeout) && timeout.Timeout():
		return endSilent
	case errors.Is(err, peer.ErrFrame):
		a.breach("a frame that no edge may send")
	}
	return fmt.Sprintf("failed: %v", errors.Unwrap(err))
}

// patience is how long an attacker waits for what the edge does.
const patience = 20 * time.Second

// status sends a request and takes the status of the answer, 0 where there is none.
func (c *line) status(ctx context.Context, request []byte) (status int, body []byte, end string) {
	_ = c.SetDeadline(time.Now().Add(patience)) // A closed connection needs none.
	// It may be answered, and closed, before it is sent.
	writeErr := c.Send(request)
	status, body, err := c.Status()
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) && writeErr != nil {
			err = writeErr
		}
		return 0, nil, c.attack.ended(ctx, err, c.heard)
	}
	c.heard = true
	return status, body, fmt.Sprintf("HTTP %d", status)
}

// enter makes an opening handshake with more headers, and reports whether it was
// accepted.
func (c *line) enter(ctx context.Context, headers ...string) (end string, ok bool) {
	handshake := peer.Handshake(c.attack.army.cfg.Edge, "/ws/"+string(stage.Service), headers...)
	status, _, end := c.status(ctx, []byte(handshake))
	return end, status == http.StatusSwitchingProtocols
}

func bearer(token string) string { return "Authorization: Bearer " + token }

// reply is what an attacker reads of a message.
type reply struct {
	Type, Event string
	ErrorCode   string `json:"error_code"`
}

// maxParsed is the longest message that is parsed, in bytes.
const maxParsed = 4 << 10

// inspect searches a message for what is not for the attacker, and reads it.
func (c *line) inspect(text []byte) (r reply) {
	for _, audience := range []stage.Audience{stage.Members, stage.Admins} {
		if bytes.Contains(text, []byte(audience.Mark())) {
			c.attack.breach("an event for " + string(audience))
		}
	}
	if !c.covers && bytes.Contains(text, []byte(stage.Public.Mark())) {
		c.attack.breach("an event that no token covers")
	}
	if len(text) > maxParsed {
		if bytes.HasPrefix(text, []byte(`{"type":"response"`)) {
			r.Type = "response"
		}
		return r
	}
	if json.Unmarshal(text, &r) != nil {
		c.attack.breach("a message that is no JSON")
	}
	return r
}

// listen reads until the edge ends the connection, and says how it did: with a close code,
// behind the last error that it told, or without. Each hears every reply.
func (c *line) listen(ctx context.Context, each func(reply)) string {
	last := ""
	for {
		op, payload, err := c.Next()
		switch {
		case err != nil:
			return c.attack.ended(ctx, err, c.heard)
		case op == peer.Close:
			return fmt.Sprintf("%sclose %d", last, peer.Code(payload))
		case op == peer.Text:
			r := c.inspect(payload)
			if r.Type == "error" {
				last = r.ErrorCode + ", "
			}
			if each != nil {
				each(r)
			}
		case op == peer.Ping && c.pongs:
			_ = c.Send(peer.Frame(nil, 0x80|peer.Pong, payload)) // Reading tells.
		}
		c.heard = true
	}
}
