package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/wire"
)

type historyCmd struct {
	channelArgs
	Since  *position `placeholder:"WHERE" help:"Where to begin: ${since}. Default: the newest ones."`
	Epoch  string    `placeholder:"EPOCH" help:"The incarnation of the log that the position belongs to."`
	Limit  int       `default:"100" help:"At most so many events, 1 to 1000."`
	Before uint64    `placeholder:"SEQ" help:"Only events before this position."`
	JSON   bool      `name:"json" help:"Print whole messages of the protocol."`
	natsFlags
}

// Help is shown by --help.
func (historyCmd) Help() string {
	return `One event a line, oldest first: time, position, name, data. Where there are more events, standard error says how to go on.

Examples:

    indranet history dhruva adapter:llamaindex
    indranet history mahavishnu workflow:42 --since start --json
    indranet history session-buddy sessions --limit 20 --before 500
    indranet history dhruva global --since 2026-11-22T10:00:00Z`
}

// Validate checks what the flags mean together.
func (c *historyCmd) Validate() error {
	if err := c.channelArgs.Validate(); err != nil {
		return err
	}
	switch {
	case c.Limit < 1 || c.Limit > wire.MaxHistory:
		return fmt.Errorf("--limit must be from 1 to %d", wire.MaxHistory)
	case !c.target.Durable:
		return fmt.Errorf("%s has no history, its events are never stored", c.Channel)
	case c.Since == nil && c.Epoch != "":
		return errors.New("--epoch goes with --since")
	case c.Since == nil:
		c.Since = &position{Since: wire.Since{Kind: wire.SinceLast, Last: c.Limit}}
	}
	return c.Since.within(c.Epoch)
}

// Run prints the events.
func (c *historyCmd) Run(ctx context.Context, std stdio) error {
	var past feed.History
	err := withLog(ctx, c.natsFlags, c.target, std.err, func(ctx context.Context, set *feed.Set) (err error) {
		past, err = set.History(ctx, c.target, c.Since.Since, c.Limit, c.Before, wire.MaxMessage)
		return err
	})
	if err != nil {
		return err
	}
	out := &printer{out: std.out, err: std.err, asJSON: c.JSON}
	if past.Reason != "" {
		out.Lost(past.Reason, past.FirstSeq-1)
	}
	for _, frame := range past.Frames {
		if err := out.Event(json.RawMessage(frame.JSON(nil))); err != nil {
			return err
		}
	}
	if n := len(past.Frames); past.More && n > 0 {
		onward := fmt.Sprintf("--since %d --epoch %s", past.Frames[n-1].Seq, past.Epoch)
		if c.Since.Kind == wire.SinceLast {
			onward = fmt.Sprintf("--before %d", past.Frames[0].Seq)
		}
		fmt.Fprintf(std.err, "indranet: there is more, go on with %s\n", onward)
	}
	return nil
}
