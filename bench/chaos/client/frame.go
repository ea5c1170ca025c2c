//go:build unix

package client

import (
	"encoding/json"
	"fmt"
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
}

// payload is what the publishers of this program put into events.
type payload struct {
	AdapterID  string `json:"adapter_id"`
	WorkflowID string `json:"workflow_id"`
	Config     count  `json:"config"`
	Result     count  `json:"result"`
}

type count struct {
	Counter uint64 `json:"n"`
}

func (p *payload) channel() string {
	if p.AdapterID != "" {
		return "adapter:" + p.AdapterID
	}
	return "workflow:" + p.WorkflowID
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
