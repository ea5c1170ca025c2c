//go:build linux

package swarm

import (
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/schema"
)

// control gets the live copies of events from NATS itself, without an edge. What is slow
// there is slow by the machine or by NATS. Its methods are safe for concurrent use.
type control struct {
	nc *nats.Conn

	// Guarded by mu.
	mu       sync.Mutex
	from, to int64
	times    histogram
}

// newControl subscribes to the live copies of all channels. close must be called.
func newControl(url string, channels []string) (*control, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, fmt.Errorf("swarm: %w", err)
	}
	c := &control{nc: nc}
	for _, name := range channels {
		channel, err := schema.ParseChannel(name)
		if err == nil {
			_, err = nc.Subscribe(schema.Subject(schema.Live, schema.Mahavishnu, channel), c.take)
		}
		if err != nil {
			nc.Close()
			return nil, fmt.Errorf("swarm: %w", err)
		}
	}
	return c, nil
}

func (c *control) close() { c.nc.Close() }

func (c *control) take(m *nats.Msg) {
	now := Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := sentAt(m.Data); at >= c.from && (c.to == 0 || at < c.to) {
		c.times.add(now - at)
	}
}

// window begins anew, or sets the end.
func (c *control) window(from, to int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to == 0 {
		c.from, c.times = from, histogram{}
	}
	c.to = to
}

func (c *control) latency() Latency {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.times.latency()
}
