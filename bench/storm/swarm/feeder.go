//go:build linux

package swarm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema/mahavishnu"
)

// Feeder publishes to channels and knows what must arrive. It belongs to one
// goroutine at a time.
type Feeder struct {
	nc  *nats.Conn
	pub *publisher.Publisher
	ids []string
	// acks are the events that may have no answer yet, stored are the positions of the
	// others, by channel.
	acks   []ack
	stored [][]uint64
}

type ack struct {
	channel int
	answer  *publisher.Ack
}

// result is the payload's part that may be anything.
type result struct {
	SentNS int64  `json:"sent_ns"`
	Text   string `json:"text"`
}

// maxAcks bounds the answers that are not looked at yet.
const maxAcks = 16 << 10

// envelopeSize is about what a payload has beside the text.
const envelopeSize = 90

// NewFeeder connects. channels are of the kind workflow. Close must be called.
func NewFeeder(url string, channels []string) (*Feeder, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, fmt.Errorf("swarm: %w", err)
	}
	pub, err := publisher.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("swarm: %w", err)
	}
	f := &Feeder{nc: nc, pub: pub, stored: make([][]uint64, len(channels))}
	for _, channel := range channels {
		f.ids = append(f.ids, strings.TrimPrefix(channel, "workflow:"))
	}
	return f, nil
}

// Close ends the connection.
func (f *Feeder) Close() {
	f.pub.Close()
	f.nc.Close()
}

// Send publishes one event of about size bytes; it waits only where too many are in
// flight.
func (f *Feeder) Send(ctx context.Context, channel, size int) error {
	answer, err := f.pub.PublishAsync(ctx, mahavishnu.WorkflowStageCompleted{
		WorkflowID: f.ids[channel], StageName: "reduce",
		Result: result{SentNS: Now(), Text: strings.Repeat("x", max(size-envelopeSize, 1))},
	})
	if err != nil {
		return fmt.Errorf("swarm: %w", err)
	}
	if f.acks = append(f.acks, ack{channel, answer}); len(f.acks) >= maxAcks {
		return f.collect(ctx, maxAcks/2)
	}
	return nil
}

// collect waits for the n oldest answers.
func (f *Feeder) collect(ctx context.Context, n int) error {
	for _, a := range f.acks[:n] {
		receipt, err := a.answer.Wait(ctx)
		if err != nil {
			return fmt.Errorf("swarm: %w", err)
		}
		f.stored[a.channel] = append(f.stored[a.channel], receipt.Seq)
	}
	f.acks = append(f.acks[:0], f.acks[n:]...)
	return nil
}

// Flush waits until everything sent is stored.
func (f *Feeder) Flush(ctx context.Context) error {
	if err := f.pub.Flush(ctx); err != nil {
		return fmt.Errorf("swarm: %w", err)
	}
	return nil
}

// Settle waits until everything sent is stored, and says what that is, by channel,
// since the last Settle.
func (f *Feeder) Settle(ctx context.Context) ([]Goal, error) {
	if err := f.Flush(ctx); err != nil {
		return nil, err
	}
	if err := f.collect(ctx, len(f.acks)); err != nil {
		return nil, err
	}
	goals := make([]Goal, len(f.ids))
	for i, seqs := range f.stored {
		slices.Sort(seqs) // One that was tried twice may be stored behind a later one.
		for _, seq := range seqs {
			goals[i].add(seq)
		}
		f.stored[i] = nil
	}
	return goals, nil
}

// Bulk publishes n events to every channel, in turn.
func (f *Feeder) Bulk(ctx context.Context, n, size int) ([]Goal, error) {
	for range n {
		for channel := range f.ids {
			if err := f.Send(ctx, channel, size); err != nil {
				return nil, err
			}
		}
	}
	return f.Settle(ctx)
}

// Steady publishes to all channels in turn, rate events a second, until stop is
// closed. What is late is made up for at once.
func (f *Feeder) Steady(ctx context.Context, rate float64, size int, stop <-chan struct{}) error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	begin := time.Now()
	for n := 0; ; {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		for due := int(rate * time.Since(begin).Seconds()); n < due; n++ {
			if err := f.Send(ctx, n%len(f.ids), size); err != nil {
				return err
			}
		}
	}
}
