package edge_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds everything that a test waits for.
const patience = 20 * time.Second

// edgeOn starts an edge with the shared listener on a server.
func edgeOn(t *testing.T, srv *natstest.Server, change ...func(*edge.Config)) *edge.Edge {
	t.Helper()
	return edgeLogging(t, srv, slog.New(slog.DiscardHandler), change...)
}

func edgeLogging(t *testing.T, srv *natstest.Server, logger *slog.Logger, change ...func(*edge.Config)) *edge.Edge {
	t.Helper()
	cfg := edge.Config{NATS: stream.Config{URL: srv.URL()}, HTTP: "127.0.0.1:0", Services: edge.Public(edge.Service{}), Page: true, OpenMetrics: true, Name: "test", Version: "test"}
	for _, c := range change {
		c(&cfg)
	}
	e, err := edge.New(cfg, logger)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return e
}

// started is a server with all streams and an edge on it.
func started(t *testing.T, change ...func(*edge.Config)) (*natstest.Server, *edge.Edge) {
	t.Helper()
	srv := natstest.Start(t, natstest.Streams(schema.Services()...))
	return srv, edgeOn(t, srv, change...)
}

// every changes what is told of each service.
func every(c *edge.Config, change func(*edge.Service)) {
	for name, s := range c.Services {
		change(&s)
		c.Services[name] = s
	}
}

// store publishes catalogued events the plain way and returns their positions.
type store struct {
	t  *testing.T
	js nats.JetStreamContext
	nc *nats.Conn
	n  int
}

func newStore(t *testing.T, srv *natstest.Server) *store {
	t.Helper()
	nc := srv.Connect(t)
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	return &store{t: t, js: js, nc: nc}
}

// put publishes an event whose payload is given as JSON.
func (s *store) put(service schema.Service, name, payload string) uint64 {
	s.t.Helper()
	event, err := catalogue.Default().Parse(service, name, []byte(payload))
	if err != nil {
		s.t.Fatal(err)
	}
	channel, err := event.EventChannel()
	if err != nil {
		s.t.Fatal(err)
	}
	data, err := json.Marshal(event)
	if err != nil {
		s.t.Fatal(err)
	}
	s.n++
	msg := nats.NewMsg(schema.Subject(schema.Stored, service, channel))
	msg.Data = data
	msg.Header.Set(schema.HeaderEvent, name)
	msg.Header.Set(nats.MsgIdHdr, fmt.Sprintf("ev-%d", s.n))
	if event.EventTransient() {
		msg.Subject = schema.Subject(schema.Transient, service, channel)
		if err := s.nc.PublishMsg(msg); err != nil {
			s.t.Fatal(err)
		}
		return 0
	}
	ack, err := s.js.PublishMsg(msg)
	if err != nil {
		s.t.Fatal(err)
	}
	return ack.Sequence
}

// client is a WebSocket peer that knows nothing of the edge's code.
type client struct {
	t  *testing.T
	ws *websocket.Conn
}

// message is what a client sees of the envelope.
type message struct {
	Type      string          `json:"type"`
	Event     string          `json:"event"`
	ID        string          `json:"id"`
	Corr      string          `json:"correlation_id"`
	Room      string          `json:"room"`
	Seq       uint64          `json:"seq"`
	Prev      uint64          `json:"prev"`
	Data      json.RawMessage `json:"data"`
	Code      string          `json:"error_code"`
	Text      string          `json:"error_message"`
	Status    string          `json:"status"`
	Timestamp string          `json:"timestamp"`
}

// answer is the data of an ack.
type answer struct {
	Status    string  `json:"status"`
	Channel   string  `json:"channel"`
	Epoch     string  `json:"epoch"`
	Seq       *uint64 `json:"seq"`
	Recovered *bool   `json:"recovered"`
	Reason    string  `json:"reason"`
	FirstSeq  *uint64 `json:"first_seq"`
	ErrorCode string  `json:"error_code"`
}

func (m message) data(t *testing.T) answer {
	t.Helper()
	var a answer
	if err := json.Unmarshal(m.Data, &a); err != nil {
		t.Fatalf("data of %s: %v", m.Event, err)
	}
	return a
}

func unmarshal(t *testing.T, text []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%v: %.200s", err, text)
	}
}

// dial connects to a service and takes the welcome.
func dial(t *testing.T, e *edge.Edge, service schema.Service) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+e.HTTPAddr().String()+"/ws/"+string(service), nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = ws.CloseNow() })
	c := &client{t: t, ws: ws}
	c.want("event", "welcome")
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *client) next() message {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, data, err := c.ws.Read(ctx)
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		c.t.Fatalf("not JSON: %v: %.200s", err, data)
	}
	return m
}

// want takes the next message and fails unless it is of that type and event.
func (c *client) want(kind, event string) message {
	c.t.Helper()
	m := c.next()
	if m.Type != kind || m.Event != event {
		c.t.Fatalf("got %s %q (%s %s %s), want %s %q", m.Type, m.Event, m.Data, m.Code, m.Text, kind, event)
	}
	return m
}

// subscribe asks for a channel; since is JSON, empty for none.
func (c *client) subscribe(channel, since string) answer {
	c.t.Helper()
	if since != "" {
		since = `,"since":` + since
	}
	name, _ := json.Marshal(channel)
	c.send(`{"type":"request","event":"subscribe","id":"s","data":{"channel":` + string(name) + since + `}}`)
	return c.want("response", "subscribe").data(c.t)
}

// seqs takes events of a room until caught_up and returns their positions.
func (c *client) untilCaughtUp(room string) (list []message, at uint64) {
	c.t.Helper()
	for {
		m := c.next()
		if m.Type == "ack" && m.Event == "caught_up" && m.Room == room {
			if a := m.data(c.t); a.Seq != nil {
				at = *a.Seq
			}
			return list, at
		}
		if m.Type != "event" || m.Room != room {
			c.t.Fatalf("got %s %q in %q while waiting for caught_up of %s", m.Type, m.Event, m.Room, room)
		}
		list = append(list, m)
	}
}

// events takes n events, passing over acks, and checks their chain from position
// pos on.
func (c *client) events(n int, pos uint64) []message {
	c.t.Helper()
	var list []message
	for len(list) < n {
		switch m := c.next(); m.Type {
		case "ack":
		case "event":
			list = append(list, m)
		default:
			c.t.Fatalf("got %s %q, want an event", m.Type, m.Event)
		}
	}
	checkChain(c.t, list, pos)
	return list
}

// checkChain fails unless the events follow position pos without a hole.
func checkChain(t *testing.T, list []message, pos uint64) {
	t.Helper()
	for _, m := range list {
		if m.Seq <= pos || m.Prev > pos {
			t.Fatalf("seq %d, prev %d after position %d", m.Seq, m.Prev, pos)
		}
		pos = m.Seq
	}
}

func seqsOf(list []message) []uint64 {
	var seqs []uint64
	for _, m := range list {
		seqs = append(seqs, m.Seq)
	}
	return seqs
}

func sameSeqs(t *testing.T, got []message, want []uint64) {
	t.Helper()
	if !slices.Equal(seqsOf(got), want) {
		t.Fatalf("positions %v, want %v", seqsOf(got), want)
	}
}

// metric is the value of one metric of an edge.
func metric(t *testing.T, e *edge.Edge, name string) float64 {
	t.Helper()
	for _, line := range scraped(t, e) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(rest, 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// scraped are the lines of an edge's metrics.
func scraped(t *testing.T, e *edge.Edge) (lines []string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+e.HTTPAddr().String()+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	scanner := bufio.NewScanner(response.Body)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}
