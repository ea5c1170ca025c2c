package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/bodhisattva/indranet/edge/client"
)

type tailCmd struct {
	channelArgs
	Since position `default:"now" placeholder:"WHERE" help:"Where to begin: ${since}."`
	Epoch string   `placeholder:"EPOCH" help:"The incarnation of the log that the position belongs to, from a receipt or an ack."`
	JSON  bool     `name:"json" help:"Print whole messages of the protocol."`
	Count int      `placeholder:"N" help:"End after N events."`
	URL   string   `name:"url" placeholder:"WS" help:"Read through an edge instead of from NATS: ws://HOST or wss://HOST; where there is no path, /ws/SERVICE is added."`
	natsFlags
}

// Help is shown by --help.
func (tailCmd) Help() string {
	return `One event a line: time, position, name, data. A transient event has no position. What could not be recovered is said on standard error. Connections that break are made again, and no event is lost meanwhile. Ctrl-C ends it.

Examples:

    indranet tail dhruva global
    indranet tail mahavishnu 'workflow:*' --since start
    indranet tail dhruva adapter:llamaindex --since last:20 --count 20 --json
    indranet tail dhruva lifecycle --since 118 --epoch kzx2v5a7q3m4n6p8
    indranet tail excalidraw cursor --url ws://127.0.0.1:8080`
}

// Validate checks what the flags mean together.
func (c *tailCmd) Validate() error {
	if err := c.channelArgs.Validate(); err != nil {
		return err
	}
	if c.Count < 0 {
		return errors.New("--count is negative")
	}
	if c.URL != "" {
		u, err := url.Parse(c.URL)
		if err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
			return errors.New("--url is no ws:// or wss:// address")
		}
		if u.Path == "" || u.Path == "/" {
			u.Path = "/ws/" + string(c.Service.Service)
		}
		c.URL = u.String()
	}
	return c.Since.within(c.Epoch)
}

// Run prints events until it is told to end.
func (c *tailCmd) Run(ctx context.Context, std stdio) error {
	out := &printer{out: std.out, err: std.err, asJSON: c.JSON, limit: c.Count}
	logger := slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	err := c.follow(ctx, out, logger)
	switch {
	case errors.Is(err, errEnough):
		return nil
	case ctx.Err() == nil:
		return err
	case c.Count > 0:
		return fmt.Errorf("interrupted after %d of %d events", out.n, c.Count)
	}
	return nil // Ctrl-C is how a tail without a count ends.
}

func (c *tailCmd) follow(ctx context.Context, out *printer, logger *slog.Logger) error {
	if c.URL == "" {
		return followLog(ctx, c.natsFlags, c.target, c.Since.Since, out, logger)
	}
	err := client.Follow(ctx, client.Config{
		URL: c.URL, Service: c.Service.Service, Channel: c.Channel, Since: c.Since.json,
	}, out, logger)
	if err != nil && !errors.Is(err, errEnough) && !errors.Is(err, client.ErrRefused) && ctx.Err() == nil {
		return fmt.Errorf("no edge answers at %s, set --url: %w", c.URL, innermost(err))
	}
	return err
}
