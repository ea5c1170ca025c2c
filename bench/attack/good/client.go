//go:build linux

package good

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/bodhisattva/indranet/bench/attack/peer"
	"github.com/bodhisattva/indranet/bench/attack/stage"
	"github.com/bodhisattva/indranet/bench/storm/swarm"
)

// message is what a client reads of a frame.
type message struct {
	Type, Event, Room string
	Seq, Prev         uint64
	ErrorCode         string `json:"error_code"`
	Data              payload
}

// payload is data, of whatever message.
type payload struct {
	Result, Metrics json.RawMessage // Of events: a stage.Body.
	Seq             uint64
	Results         []answer
}

// answer is what a subscribe is answered with, for each channel.
type answer struct {
	Channel, Epoch string
	Seq            uint64
	Recovered      bool
	ErrorCode      string `json:"error_code"`
}

// client is one client.
type client struct {
	// Static after construction.
	all     *Clients
	from    netip.Addr
	token   string
	byFrame bool // It shows its token in the first frame, like a browser.

	// Guarded by mu.
	mu      sync.Mutex
	ledgers []*ledger
	epoch   string
}

// comeBack is the pause before a lost connection is made again.
const comeBack = 250 * time.Millisecond

// run connects and reads until ctx ends. Whatever ends a connection before is a fault.
func (c *client) run(ctx context.Context) {
	for {
		why := c.once(ctx)
		if ctx.Err() != nil {
			return
		}
		c.all.fault(faultDisconnected + ": " + why)
		select {
		case <-time.After(comeBack):
		case <-ctx.Done():
			return
		}
	}
}

// once is one connection. It returns why it ended.
func (c *client) once(ctx context.Context) string {
	p, err := c.all.dial(ctx, c.from, c.token, c.byFrame)
	if err != nil {
		return err.Error()
	}
	defer p.Cut()
	defer context.AfterFunc(ctx, p.Cut)()
	if err := p.Send(peer.Message(c.subscribe())); err != nil {
		return cause(err)
	}
	for {
		op, text, err := p.Next()
		now := swarm.Now()
		switch {
		case err != nil:
			return cause(err)
		case op == peer.Text:
			c.take(text, now)
		case op == peer.Ping:
			err = p.Send(peer.Frame(nil, 0x80|peer.Pong, text))
		case op == peer.Close:
			return fmt.Sprintf("close %d", peer.Code(text))
		default:
			c.all.fault(faultProtocol)
		}
		if err != nil {
			return cause(err)
		}
	}
}

// dial makes a connection and shows the token, in the handshake or in the first frame.
func (a *Clients) dial(ctx context.Context, from netip.Addr, token string, byFrame bool) (*peer.Conn, error) {
	p, err := peer.Dial(ctx, from, a.cfg.Edge, 0)
	if err != nil {
		return nil, fmt.Errorf("not connected: %s", cause(err))
	}
	defer context.AfterFunc(ctx, p.Cut)()
	var headers []string
	if !byFrame {
		headers = append(headers, "Authorization: Bearer "+token)
	}
	err = p.Send([]byte(peer.Handshake(a.cfg.Edge, "/ws/"+string(stage.Service), headers...)))
	if err == nil {
		var status int
		if status, _, err = p.Status(); err == nil && status != http.StatusSwitchingProtocols {
			err = fmt.Errorf("HTTP %d", status)
			if status == http.StatusServiceUnavailable {
				err = errCrowded
			}
		}
	}
	if errors.Is(err, errCrowded) {
		p.Cut()
		return nil, fmt.Errorf("no handshake: %w", err)
	}
	if err != nil {
		p.Cut()
		return nil, fmt.Errorf("no handshake: %s", cause(err))
	}
	if byFrame {
		if err := showToken(p, token); err != nil {
			p.Cut()
			return nil, err
		}
	}
	return p, nil
}

// showToken authenticates in the first frame and waits for the answer, before which
// nothing else may be asked.
func showToken(p *peer.Conn, token string) error {
	if err := p.Send(peer.Message(`{"type":"request","event":"auth","id":"auth","data":{"token":"` + token + `"}}`)); err != nil {
		return fmt.Errorf("no token taken: %s", cause(err))
	}
	op, text, err := p.Next()
	if err != nil {
		return fmt.Errorf("no token taken: %s", cause(err))
	}
	var m message
	if op != peer.Text || json.Unmarshal(text, &m) != nil || m.Type != "response" || m.Event != "auth" {
		return fmt.Errorf("no token taken: %s %s", m.Type, m.ErrorCode)
	}
	return nil
}

// subscribe is the request for all channels, from where the client is.
func (c *client) subscribe() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []string
	for _, l := range c.ledgers {
		l.chained, l.caught = false, false
		if l.known {
			list = append(list, fmt.Sprintf(`{"channel":%q,"since":{"seq":%d,"epoch":%q}}`, l.name, l.pos, c.epoch))
		} else {
			list = append(list, fmt.Sprintf(`{"channel":%q}`, l.name))
		}
	}
	return `{"type":"request","event":"subscribe","id":"subscribe","data":{"channels":[` + strings.Join(list, ",") + `]}}`
}

// take takes one message that came at a moment.
func (c *client) take(text []byte, now int64) {
	m, b, quick := scanEvent(text)
	if !quick && json.Unmarshal(text, &m) != nil {
		c.all.fault(faultProtocol)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case quick:
		c.event(m, b, true, now)
	case m.Type == "event" && m.Seq > 0:
		b, ok := m.parseEvent()
		c.event(m, b, ok, now)
	case m.Type == "event" && (m.Event == "welcome" || m.Event == "token.expiring"):
	case m.Type == "response" && m.Event == "subscribe":
		c.subscribed(m.Data.Results)
	case m.Type == "ack" && m.Event == "caught_up":
		if l := c.find(m.Room); l != nil {
			l.upTo(m.Data.Seq)
			l.caught = true
		}
	case m.Type == "ack" && m.Event == "position":
		for _, l := range c.ledgers {
			if l.caught {
				l.upTo(m.Data.Seq)
			}
		}
	case m.Type == "error":
		c.all.fault(faultRefused + " " + m.ErrorCode)
	default: // A reset is one of them: the log does not hold what it must.
		c.all.fault(faultProtocol + ": " + m.Type + " " + m.Event)
	}
}

func (c *client) event(m message, b stage.Body, ok bool, now int64) {
	l := c.find(m.Room)
	if !ok || l == nil {
		c.all.fault(faultAlien)
		return
	}
	c.all.events.Add(1)
	for _, fault := range l.event(c.all.cfg.Channels, m.Seq, m.Prev, b) {
		c.all.fault(fault)
	}
	c.all.latency.Add(b.SentNS, now)
}

func (c *client) subscribed(results []answer) {
	if len(results) != len(c.ledgers) {
		c.all.fault(faultProtocol + ": not one result for each channel")
	}
	for _, r := range results {
		l := c.find(r.Channel)
		switch {
		case r.ErrorCode != "":
			c.all.fault(faultRefused + " " + r.ErrorCode)
			continue
		case l == nil:
			c.all.fault(faultProtocol)
			continue
		case !r.Recovered, c.epoch != "" && r.Epoch != c.epoch, l.known && r.Seq != l.pos:
			c.all.fault(faultUnrecovered)
		}
		c.epoch, l.known, l.pos = r.Epoch, true, r.Seq
	}
}

func (c *client) find(room string) *ledger {
	for _, l := range c.ledgers {
		if l.name == room {
			return l
		}
	}
	return nil
}

// caughtUp reports whether all subscriptions are at the head.
func (c *client) caughtUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.ledgers {
		if !l.caught {
			return false
		}
	}
	return true
}

// missing is how many events have not come of those published.
func (c *client) missing(counts []uint64) (n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.ledgers {
		n += l.missing(c.all.cfg.Channels, counts)
	}
	return n
}
