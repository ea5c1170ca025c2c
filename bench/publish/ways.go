//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/mahavishnu"
)

const (
	// channels is over how many channels the events go.
	channels = 1000
	// inFlight is how many events are without an answer, for both ways.
	inFlight = 1000
)

// load is what both ways publish: the same events, typed and encoded.
type load struct {
	events   []schema.Event
	subjects []string
	payloads [][]byte
	// next makes message ids that no other load has.
	prefix string
	next   uint64
}

// newLoad makes events whose payload has about size bytes.
func newLoad(size int, prefix string) (*load, error) {
	l := &load{prefix: prefix}
	for i := range channels {
		event := mahavishnu.WorkflowStarted{WorkflowID: strconv.Itoa(i), Adapter: "llamaindex"}
		data, err := json.Marshal(event)
		if err != nil {
			return nil, err
		}
		for len(event.Prompt)+len(data) < size {
			event.Prompt += "go on "
		}
		prepared, err := publisher.Prepare(event)
		if err != nil {
			return nil, err
		}
		l.events = append(l.events, event)
		l.subjects = append(l.subjects, prepared.Receipt.Subject)
		l.payloads = append(l.payloads, prepared.Payload)
	}
	return l, nil
}

// id is the bare way's message id, cheaper than any that one would use.
func (l *load) id() string {
	l.next++
	return l.prefix + strconv.FormatUint(l.next, 36)
}

// way is one way to publish a number of events and to have all answers.
type way struct {
	name    string
	publish func(ctx context.Context, l *load, n int) error
}

// ways returns the bare and the typed way of each kind, in pairs.
func ways(nc *nats.Conn) (pairs [][2]way, stop func(), err error) {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(inFlight))
	if err != nil {
		return nil, nil, err
	}
	p, err := publisher.New(nc, publisher.WithMaxPending(inFlight, publisher.DefaultMaxPendingBytes))
	if err != nil {
		return nil, nil, err
	}
	return [][2]way{
		{{"async/bare", bareAsync(js)}, {"async/typed", typedAsync(p)}},
		{{"sync/bare", bareSync(js)}, {"sync/typed", typedSync(p)}},
	}, p.Close, nil
}

func bareSync(js jetstream.JetStream) func(context.Context, *load, int) error {
	return func(ctx context.Context, l *load, n int) error {
		for i := range n {
			k := i % channels
			if _, err := js.Publish(ctx, l.subjects[k], l.payloads[k], jetstream.WithMsgID(l.id())); err != nil {
				return err
			}
		}
		return nil
	}
}

func typedSync(p *publisher.Publisher) func(context.Context, *load, int) error {
	return func(ctx context.Context, l *load, n int) error {
		for i := range n {
			if _, err := p.Publish(ctx, l.events[i%channels]); err != nil {
				return err
			}
		}
		return nil
	}
}

func bareAsync(js jetstream.JetStream) func(context.Context, *load, int) error {
	return func(ctx context.Context, l *load, n int) error {
		for i := range n {
			k := i % channels
			_, err := js.PublishAsync(l.subjects[k], l.payloads[k], jetstream.WithMsgID(l.id()), jetstream.WithStallWait(stallWait))
			if err != nil {
				return err
			}
		}
		select {
		case <-js.PublishAsyncComplete():
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func typedAsync(p *publisher.Publisher) func(context.Context, *load, int) error {
	return func(ctx context.Context, l *load, n int) error {
		var last *publisher.Ack
		for i := range n {
			ack, err := p.PublishAsync(ctx, l.events[i%channels])
			if err != nil {
				return err
			}
			last = ack
		}
		if err := p.Flush(ctx); err != nil {
			return err
		}
		if last == nil {
			return errors.New("nothing published")
		}
		if _, err := last.Wait(ctx); err != nil {
			return fmt.Errorf("last event: %w", err)
		}
		return nil
	}
}
