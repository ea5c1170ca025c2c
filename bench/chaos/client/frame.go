//go:build unix

package client

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/bodhisattva/indranet/bench/chaos/check"
)

// frame is what an edge sends, as the protocol describes it.
type frame struct {
	Type          string          `json:"type"`
	Event         string          `json:"event"`
	ID            string          `json:"id"`
	CorrelationID string          `json:"correlation_id"`
	Room          string          `json:"room"`
	Seq           *uint64         `json:"seq"`
	Prev          uint64          `json:"prev"`
	Data          json.RawMessage `json:"data"`
	ErrorCode     string          `json:"error_code"`
}

// answer is the data of an ack of a subscription.
type answer struct {
	Channel   string   `json:"channel"`
	Epoch     string   `json:"epoch"`
	Seq       *uint64  `json:"seq"`
	Recovered *bool    `json:"recovered"`
	Reason    string   `json:"reason"`
	ErrorCode string   `json:"error_code"`
	Results   []answer `json:"results"`
	FirstSeq  uint64   `json:"first_seq"`
	LastSeq   uint64   `json:"last_seq"`
	More      bool     `json:"more"`
	Events    []frame  `json:"events"`
}

// payload is what the publishers of this program put into events.
type payload struct {
	AdapterID  string  `json:"adapter_id"`
	WorkflowID string  `json:"workflow_id"`
	RoomID     string  `json:"room_id"`
	UserID     string  `json:"user_id"`
	Name       string  `json:"name"`
	X          float64 `json:"x"`
	Config     count   `json:"config"`
	Result     count   `json:"result"`
}

type count struct {
	Counter uint64 `json:"n"`
}

func (p *payload) channel() string {
	switch {
	case p.AdapterID != "":
		return "adapter:" + p.AdapterID
	case p.RoomID != "":
		return "collaboration:" + p.RoomID
	}
	return "workflow:" + p.WorkflowID
}

func (p *payload) counter() uint64 {
	if n, err := strconv.ParseUint(p.Name, 10, 64); err == nil {
		return n
	}
	return max(p.Config.Counter, p.Result.Counter)
}

// delivery is a durable event as the checker takes it.
func (f *frame) delivery() (d check.Delivery, err error) {
	var p payload
	switch {
	case f.Seq == nil:
		return d, broken("an event of %s without seq", f.Room)
	case json.Unmarshal(f.Data, &p) != nil:
		return d, broken("an event of %s with data that nobody published", f.Room)
	}
	return check.Delivery{Seq: *f.Seq, Prev: f.Prev, ID: check.Fingerprint(f.ID), Channel: p.channel(), Counter: p.counter()}, nil
}

// since is where a subscription begins: at a position, with the event's id where
// that is known, or at a named place.
type since struct {
	Seq   uint64 `json:"seq"`
	Epoch string `json:"epoch"`
	ID    string `json:"id,omitempty"`
}

type entry struct {
	Channel string `json:"channel"`
	Since   any    `json:"since"`
}

// request encodes a request.
func request(name, id string, data any) ([]byte, error) {
	text, err := json.Marshal(map[string]any{"type": "request", "event": name, "id": id, "data": data})
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return text, nil
}
