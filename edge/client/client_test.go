package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/client"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/dhruva"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds everything that a test waits for.
const patience = 20 * time.Second

// inbox is a handler that a test reads from.
type inbox chan string

func (i inbox) Event(text []byte) error {
	var m struct {
		Seq   uint64 `json:"seq"`
		Event string `json:"event"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	i <- fmt.Sprintf("%d %s", m.Seq, m.Event)
	return nil
}

func (i inbox) Lost(reason wire.Reason, seq uint64) { i <- fmt.Sprintf("lost %d %s", seq, reason) }

func (i inbox) want(t *testing.T, lines ...string) {
	t.Helper()
	for _, want := range lines {
		select {
		case got := <-i:
			if got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("nothing came, want %q", want)
		}
	}
}

// lines passes what is logged on, line by line.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// follow follows until the test ends and returns what comes.
func follow(t *testing.T, cfg client.Config) inbox {
	t.Helper()
	in, _ := followLogging(t, cfg)
	return in
}

// followLogging is follow and returns what is logged as well.
func followLogging(t *testing.T, cfg client.Config) (inbox, lines) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	in, ended, log := make(inbox, 1000), make(chan error, 1), make(lines, 1000)
	go func() { ended <- client.Follow(ctx, cfg, in, slog.New(slog.NewTextHandler(log, nil))) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Follow ended with %v", err)
		}
	})
	return in, log
}

// startEdge starts an edge at addr; stop ends it.
func startEdge(t *testing.T, srv *natstest.Server, addr string) (url string, stop func()) {
	t.Helper()
	e, err := edge.New(edge.Config{NATS: stream.Config{URL: srv.URL()}, HTTP: addr, Services: edge.Public(edge.Service{})}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	return "ws://" + e.HTTPAddr().String() + "/ws/dhruva", stop
}

func newPublisher(t *testing.T, srv *natstest.Server) *publisher.Publisher {
	t.Helper()
	pub, err := publisher.New(srv.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	return pub
}

func activate(t *testing.T, pub *publisher.Publisher) {
	t.Helper()
	event := dhruva.AdapterActivated{AdapterID: "a", Repo: "r", Version: "1"}
	if _, err := pub.Publish(t.Context(), event); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsLostWhileTheEdgeIsReplaced(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Services()...))
	pub := newPublisher(t, srv)
	activate(t, pub)
	url, stop := startEdge(t, srv, "127.0.0.1:0")
	in := follow(t, client.Config{URL: url, Service: schema.Dhruva, Channel: "adapter:a", Since: json.RawMessage(`"start"`)})
	in.want(t, "1 adapter.activated")
	addr := strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/ws/dhruva")
	seq := 1
	for range 3 {
		activate(t, pub)
		stop()
		activate(t, pub)
		_, stop = startEdge(t, srv, addr)
		activate(t, pub)
		for range 3 {
			seq++
			in.want(t, fmt.Sprintf("%d adapter.activated", seq))
		}
	}
	stop()
}

func TestHandlersErrorEndsFollow(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Services()...))
	activate(t, newPublisher(t, srv))
	url, stop := startEdge(t, srv, "127.0.0.1:0")
	defer stop()
	want := errors.New("enough")
	err := client.Follow(t.Context(), client.Config{
		URL: url, Service: schema.Dhruva, Channel: "global", Since: json.RawMessage(`"start"`),
	}, failing{want}, slog.New(slog.DiscardHandler))
	if !errors.Is(err, want) {
		t.Errorf("Follow ended with %v", err)
	}
}

type failing struct{ err error }

func (f failing) Event([]byte) error       { return f.err }
func (f failing) Lost(wire.Reason, uint64) {}

func TestRefusalsAreFinalAndSaidInTheEdgesWords(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Services()...))
	url, stop := startEdge(t, srv, "127.0.0.1:0")
	defer stop()
	for _, tc := range []struct {
		cfg  client.Config
		want string
	}{
		{client.Config{URL: url, Service: schema.Dhruva, Channel: "nonsense"}, "INVALID_CHANNEL"},
		{client.Config{URL: url, Service: schema.Dhruva, Channel: "global", Since: json.RawMessage(`"yesterday"`)}, "INVALID_REQUEST"},
		{client.Config{URL: url, Service: schema.Akosha, Channel: "global"}, "dhruva is served there, not akosha"},
		{client.Config{URL: url + "x", Service: schema.Dhruva, Channel: "global"}, "404"},
	} {
		err := client.Follow(t.Context(), tc.cfg, make(inbox, 1), slog.New(slog.DiscardHandler))
		if !errors.Is(err, client.ErrRefused) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.cfg, err, tc.want)
		}
	}
}

func TestFirstConnectionFailsAtOnce(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := "ws" + strings.TrimPrefix(server.URL, "http")
	server.Close()
	err := client.Follow(t.Context(), client.Config{URL: url, Channel: "global"}, make(inbox, 1), slog.New(slog.DiscardHandler))
	if err == nil || errors.Is(err, client.ErrRefused) {
		t.Errorf("Follow ended with %v", err)
	}
}

// session is what a scripted edge does on one connection: it wants the since of the
// subscribe request, sends frames, and closes with a code, or waits when it is 0.
type session struct {
	since  string
	frames []string
	code   websocket.StatusCode
	reason string
}

// scripted is an edge that plays sessions, one a connection.
func scripted(t *testing.T, sessions ...session) string {
	t.Helper()
	left := make(chan session, len(sessions))
	for _, s := range sessions {
		left <- s
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		defer func() { _ = conn.CloseNow() }() // It may be closed already.
		var s session
		select {
		case s = <-left:
		default:
			t.Error("one connection too many")
			return
		}
		_, request, err := conn.Read(r.Context())
		if err != nil || !strings.Contains(string(request), `"since":`+s.since+`}`) {
			t.Errorf("request %s, %v; want since %s", request, err, s.since)
		}
		for _, frame := range append([]string{`{"type":"event","event":"welcome","data":{"service":"dhruva"}}`}, s.frames...) {
			if err := conn.Write(r.Context(), websocket.MessageText, []byte(frame)); err != nil {
				t.Errorf("write: %v", err)
			}
		}
		if s.code != 0 {
			_ = conn.Close(s.code, s.reason) // The client may be gone first.
			return
		}
		_, _, _ = conn.Read(r.Context()) // Until the client goes.
	}))
	t.Cleanup(func() {
		server.Close()
		if len(left) > 0 {
			t.Errorf("%d connections were not made", len(left))
		}
	})
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

func ack(seq int, more string) string {
	return fmt.Sprintf(`{"type":"response","event":"subscribe","correlation_id":"1","data":{"status":"subscribed","epoch":"e1","seq":%d%s}}`, seq, more)
}

func event(seq, prev int) string {
	return fmt.Sprintf(`{"type":"event","room":"global","seq":%d,"prev":%d,"event":"e","data":{"seq":"any"}}`, seq, prev)
}

func TestPositionDecidesWhatIsHandedOver(t *testing.T) {
	const caughtUp, transient = `{"type":"ack","event":"caught_up","data":{"seq":9}}`, `{"type":"event","event":"t","data":{}}`
	for name, tc := range map[string]struct {
		sessions []session
		want     []string
	}{
		"a gap is asked for again": {
			[]session{
				{since: `null`, frames: []string{ack(3, ""), event(5, 3), event(8, 7)}},
				{since: `{"epoch":"e1","seq":5}`, frames: []string{ack(5, `,"recovered":true`), event(7, 5), event(8, 7)}},
			},
			[]string{"5 e", "7 e", "8 e"},
		},
		"what came already is dropped": {
			[]session{{since: `null`, frames: []string{ack(3, ""), event(3, 1), event(5, 3), event(5, 3), event(6, 5)}}},
			[]string{"5 e", "6 e"},
		},
		"caught_up and position move the position": {
			[]session{
				{since: `null`, frames: []string{ack(3, ""), caughtUp}, code: websocket.StatusInternalError},
				{since: `{"epoch":"e1","seq":9}`, code: websocket.StatusGoingAway, reason: "retry_after_ms=1", frames: []string{
					ack(9, `,"recovered":true`), `{"type":"ack","event":"position","data":{"seq":50}}`, caughtUp,
					`{"type":"ack","event":"position","data":{"seq":12}}`,
				}},
				{since: `{"epoch":"e1","seq":12}`, frames: []string{ack(12, `,"recovered":true`), event(13, 9)}},
			},
			[]string{"13 e"},
		},
		"what cannot be recovered is said": {
			[]session{
				{since: `null`, frames: []string{ack(3, ""), event(5, 3)}, code: websocket.StatusCode(4008)},
				{since: `{"epoch":"e1","seq":5}`, frames: []string{
					ack(1, `,"recovered":false,"reason":"epoch_changed"`), event(2, 1),
					`{"type":"ack","event":"reset","room":"global","data":{"epoch":"e2","seq":6,"recovered":false,"reason":"position_expired"}}`,
					event(7, 2),
				}, code: websocket.StatusTryAgainLater},
				{since: `{"epoch":"e2","seq":7}`, frames: []string{ack(7, `,"recovered":true`), event(8, 7)}},
			},
			[]string{"5 e", "lost 1 epoch_changed", "2 e", "lost 6 position_expired", "7 e", "8 e"},
		},
		"the log is away for a moment": {
			[]session{
				{since: `null`, frames: []string{`{"type":"error","event":"subscribe","error_code":"UNAVAILABLE","error_message":"m"}`}},
				{since: `null`, frames: []string{ack(3, ""), event(5, 3)}},
			},
			[]string{"5 e"},
		},
		"transient events have no position": {
			[]session{
				{since: `null`, frames: []string{`{"type":"response","event":"subscribe","data":{"epoch":"e1"}}`, transient}, code: websocket.StatusInternalError},
				{since: `null`, frames: []string{`{"type":"response","event":"subscribe","data":{"epoch":"e1"}}`, transient, transient}},
			},
			[]string{"0 t", "0 t", "0 t"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := follow(t, client.Config{URL: scripted(t, tc.sessions...), Service: schema.Dhruva, Channel: "global"})
			in.want(t, tc.want...)
		})
	}
}

func TestFinalClosesEndFollow(t *testing.T) {
	for _, code := range []websocket.StatusCode{1002, 1007, 1008, 1009, 4001, 4002, 4003} {
		url := scripted(t, session{since: `null`, frames: []string{ack(3, "")}, code: code, reason: "why"})
		err := client.Follow(t.Context(), client.Config{URL: url, Service: schema.Dhruva, Channel: "global"}, make(inbox, 1), slog.New(slog.DiscardHandler))
		var closed client.ClosedError
		if !errors.Is(err, client.ErrRefused) || !errors.As(err, &closed) || closed.Error() != fmt.Sprintf("%d: why", code) {
			t.Errorf("%d: %v", code, err)
		}
	}
}

// TestPassingClosesAreSaidAndSurvived: gobwas knows no code above 1011 but the
// applications' own.
func TestPassingClosesAreSaidAndSurvived(t *testing.T) {
	for _, tc := range []struct {
		code         websocket.StatusCode
		reason, want string
		least        time.Duration
	}{
		{1011, "", "1011: internal_error, again in ", 0},
		{1012, "", "1012: other, again in ", 0},
		{1013, "too many connections", "1013: too many connections, again in ", 0},
		{1013, "too many connections of the service; retry_after_ms=1200", "1013: too many connections of the service, again in 1.2s", 1200 * time.Millisecond},
		{1013, "retry_after_ms=1200 at capacity", "1013: at capacity, again in 1.2s", 1200 * time.Millisecond},
		{1014, "no upstream", "1014: no upstream, again in ", 0},
		{1001, "retry_after_ms=100", "1001: going_away, again in 100ms", 100 * time.Millisecond},
		{4029, "slower", "4029: slower, again in ", 0},
	} {
		url := scripted(t,
			session{since: `null`, frames: []string{ack(3, ""), event(5, 3)}, code: tc.code, reason: tc.reason},
			session{since: `{"epoch":"e1","seq":5}`, frames: []string{ack(5, `,"recovered":true`), event(6, 5)}})
		began := time.Now()
		in, log := followLogging(t, client.Config{URL: url, Service: schema.Dhruva, Channel: "global"})
		in.want(t, "5 e", "6 e")
		if took := time.Since(began); took < tc.least {
			t.Errorf("%d %q: came back after %v", tc.code, tc.reason, took)
		}
		if line := <-log; !strings.Contains(line, `error="`+tc.want) {
			t.Errorf("%d %q: said %s", tc.code, tc.reason, line)
		}
	}
}

func TestARefusalThatPassesIsSaid(t *testing.T) {
	url := scripted(t,
		session{since: `null`, frames: []string{`{"type":"error","event":"subscribe","error_code":"UNAVAILABLE","error_message":"the log cannot be reached"}`}},
		session{since: `null`, frames: []string{ack(3, ""), event(5, 3)}})
	in, log := followLogging(t, client.Config{URL: url, Service: schema.Dhruva, Channel: "global"})
	in.want(t, "5 e")
	const want = `level=WARN msg="connection lost; reconnecting" error="UNAVAILABLE: the log cannot be reached, again in `
	if line := <-log; !strings.Contains(line, want) {
		t.Errorf("said %s", line)
	}
}

func TestWhatAnswersInsteadOfAWebSocketIsQuoted(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusServiceUnavailable} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "there is no such service here\nat all", status)
		}))
		url := "ws" + strings.TrimPrefix(server.URL, "http")
		err := client.Follow(t.Context(), client.Config{URL: url, Channel: "global"}, make(inbox, 1), slog.New(slog.DiscardHandler))
		server.Close()
		want := client.StatusError{Status: status, Text: "there is no such service here"}
		var got client.StatusError
		if !errors.As(err, &got) || got != want || errors.Is(err, client.ErrRefused) != (status == 404) {
			t.Errorf("%d: %v", status, err)
		}
	}
}
