//go:build unix

package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errProtocol says that an edge sent what the protocol does not allow.
var errProtocol = errors.New("protocol violation")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errProtocol, fmt.Sprintf(format, args...))
}

// handle takes one frame.
func (c *Client) handle(f *frame) error {
	switch f.Type {
	case "event":
		if f.Event == "welcome" {
			return nil
		}
		return c.event(f)
	case "response":
		return c.response(f)
	case "error":
		c.Stats.Refused.Add(f.ErrorCode)
		delete(c.pasts, f.CorrelationID)
		for _, s := range c.subs {
			if s.pending == f.CorrelationID {
				s.pending = ""
			}
		}
		return nil
	case "ack":
		return c.ack(f)
	case "pong":
		return c.position(f)
	}
	return broken("a frame of type %q", f.Type)
}

func (c *Client) event(f *frame) error {
	s := c.find(f.Room)
	switch {
	case s == nil:
		return broken("an event of room %q", f.Room)
	case !s.attached:
		return broken("an event of %s before its ack", f.Room)
	}
	c.Stats.Events.Add(1)
	if f.Event == transient {
		return s.passing(f)
	}
	d, err := f.delivery()
	if err != nil {
		return err
	}
	s.event(f.ID, d)
	return nil
}

// response takes the answer to a request.
func (c *Client) response(f *frame) error {
	var a answer
	if err := json.Unmarshal(f.Data, &a); err != nil {
		return broken("a response to %q", f.Event)
	}
	switch f.Event {
	case "unsubscribe":
		s := c.find(a.Channel)
		if s == nil || f.CorrelationID == "" || s.pending != f.CorrelationID {
			return broken("an unsubscribe of %q", a.Channel)
		}
		s.pending, s.attached, s.caughtUp = "", false, false
		return nil
	case "subscribe":
		return c.subscribed(f.CorrelationID, &a)
	case "history":
		return c.past(f.CorrelationID, &a)
	}
	return broken("a response to %q", f.Event)
}

func (c *Client) subscribed(id string, a *answer) error {
	if a.Results == nil {
		a.Results = []answer{*a}
	}
	for i := range a.Results {
		result := &a.Results[i]
		s := c.find(result.Channel)
		if s == nil || id == "" || s.pending != id {
			return broken("an ack of %q", result.Channel)
		}
		s.pending = ""
		if result.ErrorCode != "" {
			c.Stats.Refused.Add(result.ErrorCode)
			continue
		}
		if err := s.ack(result, c.now()); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) ack(f *frame) error {
	if f.Event == "position" {
		return c.position(f)
	}
	var a answer
	if err := json.Unmarshal(f.Data, &a); err != nil {
		return broken("an ack %q", f.Event)
	}
	s := c.find(f.Room)
	if s == nil || !s.attached {
		return broken("an ack %s of room %q", f.Event, f.Room)
	}
	switch f.Event {
	case "caught_up":
		if a.Seq == nil {
			return broken("a caught_up without seq")
		}
		s.told(*a.Seq, c.now())
		s.caughtUp = true
		c.recovered()
		return nil
	case "reset":
		return s.reset(&a, c.now())
	}
	return broken("an ack %q", f.Event)
}

// position takes what holds for every subscription that has caught up.
func (c *Client) position(f *frame) error {
	if len(f.Data) == 0 {
		return nil
	}
	var a answer
	if err := json.Unmarshal(f.Data, &a); err != nil || a.Seq == nil {
		return broken("a position without seq")
	}
	for _, s := range c.subs {
		if s.caughtUp {
			s.told(*a.Seq, c.now())
		}
	}
	return nil
}

// recovered ends the time that the client was away.
func (c *Client) recovered() {
	for _, s := range c.subs {
		if !s.caughtUp {
			return
		}
	}
	if !c.away.IsZero() {
		if took := time.Since(c.away); int64(took) > c.Stats.Longest.Load() {
			c.Stats.Longest.Store(int64(took))
			c.Stats.LongestEnd.Store(int64(c.now()))
		}
		c.away = time.Time{}
	}
}

// done reports whether every subscription has its last event.
func (c *Client) done(goals func(channel string) (Goal, bool)) bool {
	if c.goal == nil {
		if !c.calm() {
			return false
		}
		goal := make([]Goal, len(c.subs))
		for i, s := range c.subs {
			var ok bool
			if goal[i], ok = goals(s.channel); !ok {
				return false
			}
		}
		c.goal = goal
	}
	missing := 0
	for i, s := range c.subs {
		if !s.reached(c.goal[i]) {
			missing++
		}
	}
	c.Stats.Missing.Store(int64(missing))
	return missing == 0
}

// Counts counts by name. The zero value is ready, and it is safe for concurrent use.
type Counts struct {
	mu sync.Mutex

	// Guarded by mu.
	counts map[string]int
}

// Add counts one.
func (c *Counts) Add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[name]++
}

// Into adds what was counted to sum.
func (c *Counts) Into(sum map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, n := range c.counts {
		sum[name] += n
	}
}
