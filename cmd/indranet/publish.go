package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

type publishCmd struct {
	Service    serviceArg    `arg:"" help:"The service that the event belongs to, for example dhruva."`
	Event      string        `arg:"" help:"The catalogued name, for example adapter.activated."`
	JSON       string        `arg:"" name:"json" help:"The payload, or - to read it from standard input."`
	ID         string        `placeholder:"ID" help:"The event's id. Publishing the same id again within 10 minutes stores nothing."`
	ExpectSeq  *uint64       `placeholder:"SEQ" help:"Store it only if the channel's last event is at this position; 0 if it has none."`
	OccurredAt time.Time     `placeholder:"TIME" help:"When it happened, in RFC 3339, if not now."`
	Timeout    time.Duration `default:"10s" help:"How long to try, also while NATS is not there."`
	natsFlags
}

// Help is shown by --help.
func (publishCmd) Help() string {
	return `The receipt is printed as one line of JSON: id, channel, subject, epoch, seq, duplicate.

Examples:

    indranet publish dhruva adapter.activated '{"adapter_id":"llamaindex","repo":"github.com/lesleslie/adapters","version":"1.4.0"}'
    indranet publish mahavishnu workflow.started - --id order-7 < started.json
    indranet publish mahavishnu workflow.completed '{"workflow_id":"42","result":{}}' --expect-seq 118`
}

// Validate checks what kong cannot.
func (c *publishCmd) Validate() error {
	if c.Timeout <= 0 {
		return errors.New("--timeout is not positive")
	}
	return nil
}

// Run publishes and prints the receipt.
func (c *publishCmd) Run(ctx context.Context, std stdio) error {
	payload := []byte(c.JSON)
	if c.JSON == "-" {
		var err error
		if payload, err = io.ReadAll(io.LimitReader(std.in, schema.MaxPayload+1)); err != nil {
			return fmt.Errorf("reading the payload: %w", err)
		}
	}
	event, err := c.parse(payload)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	ctx, nc, err := c.await(ctx, "publish", string(c.Service.Service))
	if err != nil {
		return err
	}
	defer nc.Close()
	pub, err := publisher.New(nc)
	if err != nil {
		return err
	}
	defer pub.Close()
	receipt, err := pub.Publish(ctx, event, c.settings()...)
	if err != nil {
		return because(ctx, explain(err, c.Service.Service))
	}
	if event.EventTransient() {
		if err := pub.Flush(ctx); err != nil {
			return because(ctx, err)
		}
	}
	return json.NewEncoder(std.out).Encode(receipt)
}

// parse says where a payload is not JSON before it asks the catalogue.
func (c *publishCmd) parse(payload []byte) (schema.Event, error) {
	var syntax *json.SyntaxError
	err := json.Unmarshal(payload, new(json.RawMessage))
	if len(payload) <= schema.MaxPayload && errors.As(err, &syntax) {
		return nil, fmt.Errorf("the payload is not JSON at %s: %w", place(payload, syntax.Offset), syntax)
	}
	return catalogue.Default().Parse(c.Service.Service, c.Event, payload)
}

func (c *publishCmd) settings() []publisher.PublishOption {
	var options []publisher.PublishOption
	if c.ID != "" {
		options = append(options, publisher.WithID(c.ID))
	}
	if c.ExpectSeq != nil {
		options = append(options, publisher.WithExpectedSeq(*c.ExpectSeq))
	}
	if !c.OccurredAt.IsZero() {
		options = append(options, publisher.WithOccurredAt(c.OccurredAt))
	}
	return options
}

// explain adds what to do about a missing stream.
func explain(err error, service schema.Service) error {
	if errors.Is(err, directget.ErrNotFound) {
		return fmt.Errorf("NATS has no stream %s, create it with: indranet streams apply %s", service.Stream(), service)
	}
	return err
}
