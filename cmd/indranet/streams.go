package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
)

// streamsTimeout bounds a command about streams.
const streamsTimeout = 30 * time.Second

// selectedServices are the services that a command about streams is for.
type selectedServices struct {
	Services []serviceArg `arg:"" optional:"" name:"service" help:"The services. Default: all seven."`
}

func (s selectedServices) list() []schema.Service {
	if len(s.Services) == 0 {
		return schema.Services()
	}
	list := make([]schema.Service, len(s.Services))
	for i, service := range s.Services {
		list[i] = service.Service
	}
	return list
}

// limitFlags are what may differ between deployments.
type limitFlags struct {
	Replicas int           `placeholder:"N" help:"Copies of a stream; more than 1 needs a cluster. Default: 1 for a new stream, else as it is."`
	MaxAge   time.Duration `placeholder:"720h" help:"How long events are kept, at least 10m. Default: 720h for a new stream, else as it is."`
	MaxBytes size          `placeholder:"4GiB" help:"How large a stream may grow; the server reserves it. Default: 4GiB for a new stream, else as it is."`
}

func (l limitFlags) config() publisher.StreamConfig {
	return publisher.StreamConfig{Replicas: l.Replicas, MaxAge: l.MaxAge, MaxBytes: int64(l.MaxBytes)}
}

type applyCmd struct {
	selectedServices
	limitFlags
	natsFlags
}

// Help is shown by --help.
func (applyCmd) Help() string {
	return `Prints what was created and changed. An existing stream keeps its events and its epoch. Lowering a limit drops the oldest events at once. Exits 1 where something differs that cannot be changed.

Examples:

    indranet streams apply
    indranet streams apply dhruva mahavishnu --max-age 168h --max-bytes 1GiB
    indranet streams apply --replicas 3`
}

// Run creates and corrects.
func (c *applyCmd) Run(ctx context.Context, std stdio) error {
	ctx, nc, err := c.connect(ctx, "streams apply")
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, streamsTimeout)
	defer cancel()
	report, err := publisher.EnsureStreams(ctx, nc, c.config(), c.list()...)
	if err == nil {
		var bucket publisher.StreamReport
		bucket, err = stream.EnsureRevocations(ctx, nc, c.Replicas)
		report = append(report, bucket)
	}
	fmt.Fprint(std.out, report)
	if err == nil && report.Drift() {
		err = errors.New("a stream differs in what cannot be changed")
	}
	return because(ctx, err)
}

type diffCmd struct {
	selectedServices
	limitFlags
	natsFlags
}

// Help is shown by --help.
func (diffCmd) Help() string {
	return `Changes nothing. Exits 1 where a stream is missing or differs, so that a pipeline can ask.

Examples:

    indranet streams diff
    indranet streams diff --max-age 168h --nats nats://nats.internal:4222`
}

// Run compares.
func (c *diffCmd) Run(ctx context.Context, std stdio) error {
	ctx, nc, err := c.connect(ctx, "streams diff")
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, streamsTimeout)
	defer cancel()
	report, err := publisher.Diff(ctx, nc, c.config(), c.list()...)
	if err == nil {
		var bucket publisher.StreamReport
		bucket, err = stream.DiffRevocations(ctx, nc, c.Replicas)
		report = append(report, bucket)
	}
	fmt.Fprint(std.out, report)
	if err == nil && report.Drift() {
		err = errors.New("the streams are not as they should be; correct them with: indranet streams apply")
	}
	return because(ctx, err)
}

type lsCmd struct {
	selectedServices
	natsFlags
}

// Help is shown by --help.
func (lsCmd) Help() string {
	return `Examples:

    indranet streams ls
    indranet streams ls dhruva`
}

// Run lists.
func (c *lsCmd) Run(ctx context.Context, std stdio) error {
	ctx, nc, err := c.connect(ctx, "streams ls")
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, streamsTimeout)
	defer cancel()
	table := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tFIRST\tLAST\tMESSAGES\tBYTES\tMAX AGE\tMAX BYTES\tREPLICAS\tEPOCH")
	for _, service := range c.list() {
		s, err := js.Stream(ctx, service.Stream())
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			fmt.Fprintf(table, "%s\tmissing\n", service.Stream())
			continue
		}
		if err != nil {
			return because(ctx, fmt.Errorf("reading %s: %w", service.Stream(), err))
		}
		info := s.CachedInfo()
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\t%s\t%d\t%s\n", info.Config.Name,
			info.State.FirstSeq, info.State.LastSeq, info.State.Msgs, info.State.Bytes,
			info.Config.MaxAge, size(info.Config.MaxBytes), info.Config.Replicas, info.Config.Metadata[publisher.EpochKey])
	}
	return table.Flush()
}
