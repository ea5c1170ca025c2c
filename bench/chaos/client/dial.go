//go:build unix

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/coder/websocket"

	"github.com/bodhisattva/indranet/bench/chaos/link"
)

// read hands on the frames of a connection until it ends.
func read(ctx context.Context, conn *websocket.Conn, frames chan<- []byte) error {
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		select {
		case frames <- text:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stream is a connection whose end is always an error: the WebSocket library takes an
// io.EOF that comes where one of its reads begins for the end of the message, and
// gives out half a frame as a whole one.
type stream struct{ net.Conn }

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// dial opens a connection to an edge.
func dial(ctx context.Context, url string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		nc, err := link.Dial(ctx, addr, receiveBuffer)
		if err != nil {
			return nil, err
		}
		return &stream{nc}, nil
	}}
	conn, response, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if response != nil && response.Body != nil {
		_ = response.Body.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	conn.SetReadLimit(maxFrame)
	return conn, nil
}

func write(ctx context.Context, conn *websocket.Conn, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, text)
}

func (c *Client) request(ctx context.Context, conn *websocket.Conn, name, id string, data any) error {
	text, err := request(name, id, data)
	if err != nil {
		return err
	}
	return write(ctx, conn, text)
}
