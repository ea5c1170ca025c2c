//go:build linux

package good

import (
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/bench/attack/stage"
	"github.com/bodhisattva/indranet/bench/storm/swarm"
	"github.com/bodhisattva/indranet/schema"
)

// startControl measures the live copies of events as NATS delivers them, without an
// edge: what is slow there is slow by the machine or by NATS.
func startControl(url string, meter *stage.Meter) (*nats.Conn, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, fmt.Errorf("good: %w", err)
	}
	_, err = nc.Subscribe(schema.ServiceSubject(schema.Live, stage.Service), func(m *nats.Msg) {
		now := swarm.Now()
		if b, ok := scanBody(m.Data); ok {
			meter.Add(b.SentNS, now)
		}
	})
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("good: %w", err)
	}
	return nc, nil
}
