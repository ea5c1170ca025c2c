// Package client follows a channel of an edge over a WebSocket and loses nothing on
// the way: it keeps its position, reconnects with backoff when the connection or the
// edge goes away, to whatever edge answers then, and goes on behind its position.
package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
)

const (
	silence                   = 50 * time.Second // an edge sends a ping every 20 s
	backoffFirst, backoffMost = time.Second, 10 * time.Second
)

// ErrRefused says that the edge refused for good. The error has the edge's words.
var ErrRefused = errors.New("client: refused by the edge")

// ClosedError is the close frame with which the edge ended a connection.
type ClosedError struct {
	Code   conn.Code
	Reason string // In the edge's words, at most 123 bytes.
}

// Error is the code and what the reason says, but for when to come back.
func (c ClosedError) Error() string {
	text := strings.Trim(retryAfter.ReplaceAllString(c.Reason, ""), " ,;:")
	if text == "" {
		text = c.Code.String()
	}
	return strconv.Itoa(int(c.Code)) + ": " + text
}

// retryAfter is when to come back, as a reason tells it.
var retryAfter = regexp.MustCompile(`\bretry_after_ms=(\d{1,9})\b`)

// retry is how long the edge asks to stay away, 0 if it does not, a minute at most.
func (c ClosedError) retry() time.Duration {
	found := retryAfter.FindStringSubmatch(c.Reason)
	if found == nil {
		return 0
	}
	ms, _ := strconv.Atoi(found[1]) // Digits, and few of them.
	return min(time.Duration(ms)*time.Millisecond, time.Minute)
}

// StatusError is the answer to a handshake that is not one to a WebSocket.
type StatusError struct {
	Status int    // of HTTP
	Text   string // the first line of the body, at most 200 bytes; may be empty
}

// Error is the status and the text.
func (s StatusError) Error() string {
	text := strings.TrimSpace(strconv.Itoa(s.Status) + " " + http.StatusText(s.Status))
	if s.Text != "" {
		text += ": " + s.Text
	}
	return text
}

// Config says what to follow.
type Config struct {
	URL     string          // where the edge serves the service: ws://host/ws/dhruva, or wss://…
	Service schema.Service  // must be the one that the edge serves there
	Channel string          // a channel or view of it
	Since   json.RawMessage // where to begin, in any form of the protocol; nil means now
	// Token returns the token for the next connection, which it may read anew each time;
	// it is asked from Follow's goroutine. Nil sends none.
	Token func() (string, error)
	TLS   *tls.Config // of wss; nil trusts whom the machine trusts
}

// Handler takes what comes. It is called by Follow's goroutine alone, in order.
type Handler interface {
	// Event takes one event: the JSON of the whole message, which may be kept.
	// Follow ends with the error where there is one.
	Event(message []byte) error
	// Lost says that the log does not hold everything after the position any more:
	// what follows starts behind seq, and state built from events must be rebuilt.
	Lost(reason wire.Reason, seq uint64)
}

// Follow hands every event of the channel to handler, ascending and once, until ctx
// ends, handler returns an error, or the edge refuses for good (ErrRefused). It fails
// when the first connection can't be made; later it tries for ever.
func Follow(ctx context.Context, cfg Config, handler Handler, logger *slog.Logger) error {
	f := &follower{cfg: cfg, handler: handler}
	for attempt := 0; ; attempt++ {
		err := f.session(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case f.handled != nil:
			return f.handled
		case refused(err) && !f.renewed(err):
			return fmt.Errorf("%w: %w", ErrRefused, err)
		case !f.welcomed:
			return fmt.Errorf("client: %w", err)
		case f.subscribed:
			f.subscribed, attempt = false, 0
		}
		pause := pauseAfter(err, attempt)
		logger.Warn("connection lost; reconnecting", "error", fmt.Sprintf("%v, again in %v", err, pause.Round(100*time.Millisecond)), "seq", f.seq)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// follower is one call of Follow.
type follower struct {
	cfg     Config
	handler Handler
	// welcomed is true once any edge answered, subscribed once this one did.
	welcomed, subscribed bool
	handled              error // the handler's
	// positioned: everything up to seq of epoch was handed over or precedes Since.
	positioned, caughtUp bool
	epoch                string
	seq                  uint64
	token                string // that of the last connection
}

// message is what the client reads of a frame.
type message struct {
	Type, Event string
	Seq, Prev   uint64
	ErrorCode   wire.Code       `json:"error_code"`
	ErrorText   string          `json:"error_message"`
	Data        json.RawMessage // A place, but for the service's events.
}

// place is the data of acks, of the response to subscribe, and of welcome.
type place struct {
	Service   schema.Service
	Epoch     string
	Seq       *uint64
	Recovered *bool
	Reason    wire.Reason
}

// session is the life of one connection.
func (f *follower) session(ctx context.Context) error {
	dialer := ws.Dialer{Timeout: 10 * time.Second, TLSConfig: f.cfg.TLS}
	if f.cfg.Token != nil {
		var err error
		if f.token, err = f.cfg.Token(); err != nil {
			return err
		}
		dialer.Header = ws.HandshakeHeaderHTTP{"Authorization": {"Bearer " + f.token}}
	}
	var answer StatusError
	dialer.OnStatusError = func(status int, _ []byte, response io.Reader) { answer = readAnswer(status, response) }
	nc, buffered, _, err := dialer.Dial(ctx, f.cfg.URL)
	switch {
	case err != nil && answer.Status > 0:
		return answer
	case err != nil:
		return err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.SetReadDeadline(time.Unix(1, 0)) })()
	f.welcomed, f.caughtUp = true, false
	if err = f.subscribe(nc); err == nil {
		err = f.read(ctx, nc, buffered)
	}
	// To say goodbye is polite, not necessary: the connection may be gone.
	_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
	_ = ws.WriteFrame(nc, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))))
	return err
}

// readAnswer reads what came instead of a WebSocket.
func readAnswer(status int, response io.Reader) StatusError {
	answer := StatusError{Status: status}
	r, err := http.ReadResponse(bufio.NewReader(io.LimitReader(response, 16<<10)), nil)
	if err != nil {
		return answer
	}
	defer r.Body.Close()
	text := make([]byte, 200)
	n, _ := io.ReadFull(r.Body, text) // What there is of it.
	line, _, _ := strings.Cut(string(text[:n]), "\n")
	answer.Text = strings.ToValidUTF8(strings.TrimSpace(line), "")
	return answer
}

// subscribe asks for what follows the position, or Since where there is none yet.
func (f *follower) subscribe(nc net.Conn) error {
	data := map[string]any{"channel": f.cfg.Channel, "since": f.cfg.Since}
	if f.positioned {
		data["since"] = map[string]any{"seq": f.seq, "epoch": f.epoch}
	}
	request, err := json.Marshal(map[string]any{"type": "request", "event": wire.Subscribe, "id": "1", "data": data})
	if err == nil {
		err = wsutil.WriteClientText(nc, request)
	}
	return err
}

func (f *follower) read(ctx context.Context, nc net.Conn, buffered *bufio.Reader) error {
	answer := wsutil.ControlFrameHandler(nc, ws.StateClientSide)
	control := func(header ws.Header, frame io.Reader) error {
		if header.OpCode == ws.OpClose {
			return closed(frame)
		}
		return answer(header, frame)
	}
	reader := &wsutil.Reader{
		Source: nc, State: ws.StateClientSide, CheckUTF8: true, MaxMessageSize: wire.MaxMessage, OnIntermediate: control,
	}
	if buffered != nil {
		reader.Source = buffered
	}
	for {
		// The context is looked at after the deadline was set: see session.
		if err := errors.Join(nc.SetReadDeadline(time.Now().Add(silence)), ctx.Err()); err != nil {
			return err
		}
		header, err := reader.NextFrame()
		if err == nil && header.OpCode.IsControl() {
			err = control(header, reader)
		} else if err == nil {
			var text []byte
			if text, err = io.ReadAll(reader); err == nil {
				err = f.take(text)
			}
		}
		if err != nil {
			return err
		}
	}
}

// closed reads a close frame. The codes that were registered after RFC 6455, such as
// 1013, are as good as those in it.
func closed(frame io.Reader) error {
	body, err := io.ReadAll(frame)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return ClosedError{Code: conn.CloseNoStatus}
	}
	code, reason := ws.ParseCloseFrameData(body)
	if !conn.Code(code).Sendable() {
		return fmt.Errorf("%w in a close frame: %d", ws.ErrProtocolStatusCodeUnknown, code)
	}
	return ClosedError{conn.Code(code), strings.ToValidUTF8(reason, "")}
}

func (f *follower) take(text []byte) error {
	var m message
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("not a message of the protocol: %w", err)
	}
	if m.Type == "event" && f.subscribed && m.Event != wire.TokenExpiringEvent {
		return f.event(m, text)
	}
	at := place{}
	if err := json.Unmarshal(m.Data, &at); len(m.Data) > 0 && err != nil {
		return fmt.Errorf("not a message of the protocol: %w", err)
	}
	switch m.Type + " " + m.Event {
	case "error subscribe":
		return &wire.Error{Code: m.ErrorCode, Message: m.ErrorText}
	case "event welcome":
		if at.Service != f.cfg.Service {
			return wire.Errorf(wire.NotFound, "%s is served there, not %s", at.Service, f.cfg.Service)
		}
	case "response subscribe", "ack reset":
		f.subscribed, f.caughtUp = true, false
		if f.positioned = at.Seq != nil; f.positioned {
			f.epoch, f.seq = at.Epoch, *at.Seq
		}
		if at.Recovered != nil && !*at.Recovered {
			f.handler.Lost(at.Reason, f.seq)
		}
	case "ack caught_up", "ack position":
		f.caughtUp = f.caughtUp || m.Event == "caught_up"
		if at.Seq != nil && f.caughtUp {
			f.seq = max(f.seq, *at.Seq)
		}
	}
	return nil
}

// event hands over an event of the service. One without seq is transient.
func (f *follower) event(m message, text []byte) error {
	switch {
	case m.Prev > f.seq:
		return fmt.Errorf("events between %d and %d did not come", f.seq, m.Seq)
	case m.Seq == 0 || m.Seq > f.seq:
		f.seq = max(f.seq, m.Seq)
		f.handled = f.handler.Event(text)
	}
	return f.handled
}

// Another attempt after finalCloses would end the same, after passingErrors it need not.
var (
	finalCloses = []conn.Code{
		conn.CloseProtocol, conn.CloseInvalidUTF8, conn.ClosePolicy, conn.CloseTooBig,
		conn.CloseUnauthorized, conn.CloseTokenExpired, conn.CloseRevoked,
	}
	passingErrors = []wire.Code{wire.Unavailable, wire.Timeout, wire.RateLimitExceeded, wire.InternalError}
)

func refused(err error) bool {
	var answer StatusError
	var closed ClosedError
	var refusal *wire.Error
	return errors.As(err, &answer) && answer.Status/100 == 4 && answer.Status != http.StatusTooManyRequests ||
		errors.As(err, &closed) && slices.Contains(finalCloses, closed.Code) ||
		errors.As(err, &refusal) && !slices.Contains(passingErrors, refusal.Code)
}

// renewed tells whether a token that expired has been replaced meanwhile.
func (f *follower) renewed(err error) bool {
	var closed ClosedError
	if f.cfg.Token == nil || !errors.As(err, &closed) || closed.Code != conn.CloseTokenExpired {
		return false
	}
	token, err := f.cfg.Token()
	return err == nil && token != f.token
}

// pauseAfter is the pause before the next attempt: any time up to a bound that grows
// with each, so that many clients do not come back at once; or what the edge asks for,
// where that is longer, or where it drains and so tells each another time.
func pauseAfter(err error, attempt int) time.Duration {
	pause := rand.N(min(backoffFirst<<min(attempt, 10), backoffMost))
	var closed ClosedError
	if errors.As(err, &closed) && (closed.retry() > pause || closed.retry() > 0 && closed.Code == conn.CloseGoingAway) {
		return closed.retry()
	}
	return pause
}
