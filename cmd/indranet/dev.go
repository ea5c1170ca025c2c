package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/cmd/indranet/demo"
	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
)

// stopTimeout is how long clients have to say goodbye.
const stopTimeout = 5 * time.Second

// devMaxBytes is what a new stream may hold, where --max-bytes does not say.
const devMaxBytes size = 128 << 20

type devCmd struct {
	Data         string `default:".indranet" type:"path" placeholder:"DIR" help:"Where the events are kept (${default} in the current directory). It is made where there is none; removing it forgets everything."`
	HTTP         string `name:"http" default:"127.0.0.1:8080" placeholder:"ADDR" help:"The page, /ws/{service}, /healthz and /metrics (${default}). Port 0 picks one."`
	NATS         string `name:"nats" default:"127.0.0.1:4222" placeholder:"ADDR" help:"NATS, for publishers and the nats command (${default}). Port 0 picks one."`
	ServicePorts bool   `default:"true" negatable:"" help:"Serve each service on its own port of 127.0.0.1 as well, 8690 for mahavishnu and so on (on)."`
	Demo         bool   `default:"true" negatable:"" help:"Publish demo events of all services (on)."`
	MaxBytes     size   `placeholder:"SIZE" help:"How much of each service's past is kept; the disk space is reserved. Default: 128MiB for a new stream, else as it is."`
	Verbose      bool   `short:"v" help:"Log more."`
}

// Help is shown by --help.
func (devCmd) Help() string {
	return `Nothing else is needed: NATS with JetStream runs inside. There is no authentication, so keep the addresses on this machine. When it is ready the addresses are printed on standard output; logs go to standard error. Ctrl-C ends it in order; the events are there again at the next start.

Examples:

    indranet dev
    indranet dev --data /tmp/demo --http 127.0.0.1:0 --nats 127.0.0.1:0 --service-ports=false
    indranet dev --demo=false --max-bytes 1GiB`
}

// Validate checks the addresses.
func (c *devCmd) Validate() error {
	for flag, addr := range map[string]string{"--http": c.HTTP, "--nats": c.NATS} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("%s is no host:port: %w", flag, err)
		}
	}
	return nil
}

// Run serves until ctx ends.
func (c *devCmd) Run(ctx context.Context, std stdio) (err error) {
	level := slog.LevelInfo
	if c.Verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: level}))
	inside, err := startNATS(c.Data, c.NATS, logger)
	if err != nil {
		return err
	}
	defer inside.Stop()
	nc, err := nats.Connect(inside.URL, nats.Name("indranet dev"), nats.MaxReconnects(-1), nats.PingInterval(2*time.Second))
	if err != nil {
		return fmt.Errorf("connecting to the NATS inside: %w", err)
	}
	defer nc.Close()
	if err := c.ensureStreams(ctx, nc); err != nil {
		return err
	}
	e, err := edge.New(c.edgeConfig(inside.URL), logger)
	if err != nil {
		return err
	}
	if err := e.Start(ctx); err != nil {
		return busy(err)
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, e.Stop(stopping))
	}()
	pub, err := publisher.New(nc)
	if err != nil {
		return err
	}
	defer pub.Close()
	c.printReady(std.out, e, inside.URL)
	if c.Demo {
		demo.Run(ctx, pub, rand.Uint64(), logger)
	}
	<-ctx.Done()
	return nil
}

// ensureStreams creates what is missing with the bounds of a development machine and
// leaves the bounds of what is there, unless it is told otherwise.
func (c *devCmd) ensureStreams(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, streamsTimeout)
	defer cancel()
	found, err := publisher.Diff(ctx, nc, publisher.StreamConfig{}, schema.Services()...)
	for _, s := range found {
		cfg := publisher.StreamConfig{MaxBytes: int64(c.MaxBytes)}
		if s.Action == publisher.Missing && c.MaxBytes == 0 {
			cfg.MaxBytes = int64(devMaxBytes)
		}
		if err == nil {
			_, err = publisher.EnsureStreams(ctx, nc, cfg, s.Service)
		}
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.ErrorCode(server.JSStorageResourcesExceededErr) {
		return fmt.Errorf("too little room on the disk of %s for seven streams of %s: set a smaller --max-bytes or another --data: %w",
			c.Data, max(c.MaxBytes, devMaxBytes), api)
	}
	return err
}

func (c *devCmd) edgeConfig(url string) edge.Config {
	cfg := edge.Config{
		NATS: stream.Config{URL: url}, HTTP: c.HTTP, Services: edge.Public(edge.Service{Server: "Indranet dev"}),
		Version: buildVersion(), LocalOrigins: true, Page: true, OpenMetrics: true,
	}
	if c.ServicePorts {
		for _, service := range schema.Services() {
			one := cfg.Services[service]
			one.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(service.Port()))
			cfg.Services[service] = one
		}
	}
	return cfg
}

// busy says which flag gives the edge another address.
func busy(err error) error {
	var listen *edge.ListenError
	switch {
	case !errors.As(err, &listen):
		return err
	case listen.Listener == "shared":
		return fmt.Errorf("the page cannot listen at %s, set --http: %w", listen.Addr, innermost(err))
	}
	return fmt.Errorf("%s cannot listen at %s, end who does or set --service-ports=false: %w",
		listen.Listener, listen.Addr, innermost(err))
}

// printReady prints where everything is, in one write, so that whoever reads it has
// all of it.
func (c *devCmd) printReady(out io.Writer, e *edge.Edge, natsURL string) {
	host := reachable(e.HTTPAddr())
	text := fmt.Sprintf("page   http://%s/\nnats   %s\nws     ws://%s/ws/{service}\n", host, natsURL, host)
	if c.ServicePorts {
		for _, service := range schema.Services() {
			text += fmt.Sprintf("ws     ws://%s  %s\n", e.Addr(service), service)
		}
	}
	fmt.Fprintf(out, "%sdata   %s\n", text, c.Data)
}
