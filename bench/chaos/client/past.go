//go:build unix

package client

import (
	"context"

	"github.com/coder/websocket"

	"github.com/bodhisattva/indranet/bench/chaos/check"
)

// asking is a history request on its way.
type asking struct {
	sub  *subscription
	past check.Past
}

// What a history request asks for, at most.
const (
	maxLimit = 60
	maxBack  = 200
)

// recall asks for a stretch of some subscription's past: the newest events, the oldest
// or those behind a position, maybe only those before another one.
func (c *Client) recall(ctx context.Context, conn *websocket.Conn) error {
	s := c.any()
	if !s.attached {
		return nil
	}
	p := check.Past{Limit: 1 + c.rng.IntN(maxLimit)}
	data := map[string]any{"channel": s.channel, "limit": p.Limit}
	back := min(s.pos, uint64(c.rng.IntN(maxBack)))
	switch c.rng.IntN(4) {
	case 0:
		p.Start = true
		data["since"] = "start"
	case 1:
		p.Resumed, p.Asked, p.Under = true, s.pos-back, s.epoch
		data["since"] = since{Seq: p.Asked, Epoch: p.Under}
	case 2:
		data["since"] = map[string]any{"last": p.Limit}
	}
	if !p.Resumed && c.rng.IntN(2) == 0 {
		p.Before = s.pos - back + 1
		data["before"] = p.Before
	}
	id := c.nextID()
	c.pasts[id] = &asking{s, p}
	return c.request(ctx, conn, "history", id, data)
}

// past takes the answer to a history request.
func (c *Client) past(id string, a *answer) error {
	asked := c.pasts[id]
	if asked == nil {
		return broken("a history that nobody asked for")
	}
	delete(c.pasts, id)
	p := asked.past
	p.At, p.From = c.now(), asked.sub.edge
	p.Epoch, p.First, p.Last, p.More, p.Reason = a.Epoch, a.FirstSeq, a.LastSeq, a.More, a.Reason
	for i := range a.Events {
		d, err := a.Events[i].delivery()
		if err != nil {
			return err
		}
		p.Events = append(p.Events, d)
	}
	asked.sub.history.Pasts = append(asked.sub.history.Pasts, p)
	return nil
}
