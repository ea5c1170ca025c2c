package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/gobwas/ws"

	"github.com/bodhisattva/indranet/edge/client"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// openTimeout bounds the first answers of NATS; later the reader waits for ever.
const openTimeout = 10 * time.Second

// slice is about how many bytes are taken from a cursor at once.
const slice = 256 << 10

// openLog connects to the log of a service and checks that it is there. The caller
// closes both.
func openLog(ctx context.Context, flags natsFlags, target catalogue.Target, logger *slog.Logger) (*stream.Bus, *feed.Set, error) {
	options, err := flags.options()
	if err != nil {
		return nil, nil, err
	}
	bus, err := stream.Connect(stream.Config{URL: flags.NATS, Name: "indranet", Options: options}, logger)
	if err != nil {
		return nil, nil, flags.unreachable(err)
	}
	log := bus.Service(target.Service)
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if _, err := log.State(ctx); err != nil {
		bus.Close()
		return nil, nil, explain(err, target.Service)
	}
	set := feed.New(target.Service, catalogue.Default(), log, log, feed.Config{}, logger)
	log.OnSuspect(set.Suspect)
	return bus, set, nil
}

// followLog hands the events of a channel to handler as an edge would send them.
func followLog(ctx context.Context, flags natsFlags, target catalogue.Target, since wire.Since, handler client.Handler, logger *slog.Logger) error {
	bus, set, err := openLog(ctx, flags, target, logger)
	if err != nil {
		return err
	}
	defer bus.Close()
	defer set.Close()
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	f, err := set.Open(opening, target)
	if err != nil {
		return err
	}
	defer f.Release()
	start, err := f.Begin(opening, since)
	if err != nil {
		return err
	}
	if start.Reason != "" {
		handler.Lost(start.Reason, start.Pos)
	}
	r := reader{
		feed: f, cursor: f.NewCursor(start), handler: handler,
		news: make(news, 1), pages: make(chan answer, 1),
	}
	f.Join(r.news)
	defer f.Leave(r.news)
	return r.run(ctx)
}

// news is a feed's sink with one reader.
type news chan struct{}

// Grew wakes the reader.
func (n news) Grew(*feed.Feed) {
	select {
	case n <- struct{}{}:
	default:
	}
}

// answer is a page of the log that the cursor asked for.
type answer struct {
	want feed.Want
	page feed.Page
}

// reader drives one cursor.
type reader struct {
	feed    *feed.Feed
	cursor  *feed.Cursor
	handler client.Handler
	news    news
	pages   chan answer
}

func (r *reader) run(ctx context.Context) error {
	// What is still being read when this returns is for nobody.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		buffers, _, place := r.cursor.Next(nil, slice)
		if place == feed.AtHead {
			buffers, _ = r.cursor.Passing(buffers)
		}
		if err := r.hand(buffers); err != nil {
			return err
		}
		if place == feed.Lost {
			start := r.cursor.Why()
			r.handler.Lost(start.Reason, start.Pos)
			r.cursor.Restart(start)
		}
		if want, ok := r.cursor.Wants(); ok {
			r.feed.Fetch(want, func(page feed.Page) {
				select {
				case r.pages <- answer{want, page}:
				case <-ctx.Done():
				}
			})
		}
		if place == feed.Ready || place == feed.Lost {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.news:
		case a := <-r.pages:
			r.cursor.Take(a.want, a.page)
		}
	}
}

// hand cuts what a cursor gave into messages: WebSocket frames one behind the other.
func (r *reader) hand(buffers net.Buffers) error {
	frames := bytes.NewReader(bytes.Join(buffers, nil))
	for frames.Len() > 0 {
		header, err := ws.ReadHeader(frames)
		if err != nil {
			return err
		}
		message := make([]byte, header.Length)
		if _, err := io.ReadFull(frames, message); err != nil {
			return err
		}
		if err := r.handler.Event(message); err != nil {
			return err
		}
	}
	return nil
}
