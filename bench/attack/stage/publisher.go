//go:build linux

package stage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/bench/storm/swarm"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/mahavishnu"
)

// PublisherConfig is what a publisher publishes: to all channels in turn, events of
// about Size bytes.
type PublisherConfig struct {
	NATS     string
	Channels []Channel
	Size     int
}

// Order is what a publisher is told. Which fields count depends on Do.
type Order struct {
	Do string
	// Bulk: so many events to every public channel, as fast as they are stored.
	Each int
	// Steady: events a second.
	Rate float64
}

// The orders.
const (
	// Bulk publishes and returns when all is stored.
	Bulk = "bulk"
	// Steady begins to publish at a rate; what is late is made up for at once.
	Steady = "steady"
	// Halt ends it and waits until all is stored.
	Halt = "halt"
)

// Published is what a publisher answers to every order.
type Published struct {
	// Counts are the events stored so far, by the channel's index.
	Counts []uint64
	// Disorder counts events that the log holds in another order than they were
	// numbered in: retries overtook each other. It is not the edge's.
	Disorder int
	Error    string
}

// Publisher publishes. Do may be called by one goroutine at a time.
type Publisher struct {
	// Static after construction.
	cfg PublisherConfig
	nc  *nats.Conn
	pub *publisher.Publisher

	// Owned by the caller of Do, or by the goroutine of Steady while that runs.
	counts   []uint64
	last     []uint64 // The position of the last event with a receipt.
	acks     []ack
	disorder int

	// Owned by the caller of Do.
	stop chan struct{}
	done chan error
}

type ack struct {
	channel int
	answer  *publisher.Ack
}

// maxAcks bounds the receipts that are not looked at yet.
const maxAcks = 4096

// envelopeSize is about what a payload has beside the text.
const envelopeSize = 170

// NewPublisher connects. Close must be called.
func NewPublisher(cfg PublisherConfig) (*Publisher, error) {
	nc, err := nats.Connect(cfg.NATS)
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	pub, err := publisher.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("stage: %w", err)
	}
	n := len(cfg.Channels)
	return &Publisher{cfg: cfg, nc: nc, pub: pub, counts: make([]uint64, n), last: make([]uint64, n)}, nil
}

// Close ends the connection.
func (p *Publisher) Close() {
	p.pub.Close()
	p.nc.Close()
}

// Do carries out an order.
func (p *Publisher) Do(ctx context.Context, o Order) (r Published) {
	var err error
	switch {
	case o.Do == Halt && p.stop != nil:
		close(p.stop)
		p.stop = nil
		err = <-p.done
	case p.stop != nil:
		return Published{Error: "stage: it publishes already"}
	case o.Do == Steady:
		p.stop, p.done = make(chan struct{}), make(chan error, 1)
		go func(stop <-chan struct{}) { p.done <- p.steady(ctx, o.Rate, stop) }(p.stop)
		return Published{}
	case o.Do == Bulk:
		err = p.bulk(ctx, o.Each)
	default:
		err = fmt.Errorf("stage: %q cannot be done now", o.Do)
	}
	r = Published{Counts: p.counts, Disorder: p.disorder}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

func (p *Publisher) bulk(ctx context.Context, each int) error {
	for range each {
		for i, c := range p.cfg.Channels {
			if c.For != Public {
				continue
			}
			if err := p.send(ctx, i); err != nil {
				return err
			}
		}
	}
	return p.settle(ctx)
}

func (p *Publisher) steady(ctx context.Context, rate float64, stop <-chan struct{}) error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	begin := time.Now()
	for n := 0; ; {
		select {
		case <-stop:
			return p.settle(ctx)
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		for due := int(rate * time.Since(begin).Seconds()); n < due; n++ {
			if err := p.send(ctx, n%len(p.cfg.Channels)); err != nil {
				return err
			}
		}
	}
}

func (p *Publisher) send(ctx context.Context, i int) error {
	p.counts[i]++
	c := p.cfg.Channels[i]
	answer, err := p.pub.PublishAsync(ctx, event(c, Body{
		Mark: c.For.Mark(), C: i, N: p.counts[i], SentNS: swarm.Now(), Text: strings.Repeat("x", max(p.cfg.Size-envelopeSize, 1)),
	}))
	if err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	if p.acks = append(p.acks, ack{i, answer}); len(p.acks) >= maxAcks {
		return p.collect(ctx, maxAcks/2)
	}
	return nil
}

// event is the event of a channel that holds a body.
func event(c Channel, b Body) schema.Event {
	if c.For == Admins {
		return mahavishnu.PoolStatusChanged{
			PoolID:  strings.TrimPrefix(c.Name, "pool:"),
			Metrics: map[string]any{"mark": b.Mark, "c": b.C, "n": b.N, "sent_ns": b.SentNS, "text": b.Text},
		}
	}
	return mahavishnu.WorkflowStageCompleted{WorkflowID: strings.TrimPrefix(c.Name, workflow), StageName: "attack", Result: b}
}

func (p *Publisher) settle(ctx context.Context) error {
	if err := p.pub.Flush(ctx); err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	return p.collect(ctx, len(p.acks))
}

// collect waits for the n oldest receipts.
func (p *Publisher) collect(ctx context.Context, n int) error {
	for _, a := range p.acks[:n] {
		receipt, err := a.answer.Wait(ctx)
		if err != nil {
			return errors.Join(errors.New("stage: an event was not stored"), err)
		}
		if receipt.Seq < p.last[a.channel] {
			p.disorder++
		}
		p.last[a.channel] = max(p.last[a.channel], receipt.Seq)
	}
	p.acks = append(p.acks[:0], p.acks[n:]...)
	return nil
}
