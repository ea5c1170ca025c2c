package edge_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/request"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
)

var update = flag.Bool("update", false, "rewrite the server sections of the transcripts from what the edge says")

// TestTranscripts plays testdata/protocol/*.txtar. Each fixes one rule of the
// protocol, which its comment states. Sections are played in order:
//
//	-- edge --              first of all: "max_connections N", "ping DURATION",
//	                        "require_auth", "max_per_user N", "message_rate N"
//	-- connect SERVICE --   a new connection replaces the one before; behind the
//	                        service may stand a token for the handshake
//	-- beside SERVICE --    a new connection; the one before stays, unheard
//	-- client --            one frame a line; "binary TEXT" sends a binary frame,
//	                        "raw HEX" bytes as they are, "drop" cuts the connection
//	-- server --            what the server then sends, one frame a line, with
//	                        volatile values replaced; "close CODE REASON"
//	-- nats --              "put SERVICE EVENT JSON", "trim SERVICE SEQ",
//	                        "recreate SERVICE", "revoke USER", "stop", "start"
//
// {{token USER LIFE PERMISSION,PERMISSION}} stands for a token of dhruva.
// {{TEXT*N}} in a line stands for N times TEXT. Run with -update to rewrite the
// server sections.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/protocol/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			play(t, file)
		})
	}
}

// player is one transcript on the stage.
type player struct {
	t     *testing.T
	srv   *natstest.Server
	store *store
	edge  *edge.Edge
	conn  net.Conn
	in    *bytes.Buffer // What came behind the handshake.
	epoch map[string]string
}

func play(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(bytes.TrimSpace(archive.Comment)) == 0 {
		t.Error("the transcript does not say which rule it fixes")
	}
	srv := natstest.Start(t, natstest.Streams(schema.Services()...))
	if _, err := stream.EnsureRevocations(t.Context(), srv.Connect(t), 1); err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, srv: srv, store: newStore(t, srv), epoch: map[string]string{}}
	p.edge = edgeOn(t, srv, func(c *edge.Config) {
		every(c, func(s *edge.Service) { s.Feed = feed.Config{TailCheck: 200 * time.Millisecond, ScanLimit: 20} })
		every(c, func(s *edge.Service) { s.Limits = request.Limits{MaxSubscriptions: 5, Timeout: 3 * time.Second} })
		if first := archive.Files[0]; first.Name == "edge" {
			configure(t, c, string(first.Data))
		}
	})
	isReady(t, p.edge, true)
	defer func() {
		if p.conn != nil {
			_ = p.conn.Close()
		}
	}()
	for i := range archive.Files {
		section := &archive.Files[i]
		name, argument, _ := strings.Cut(section.Name, " ")
		lines := strings.Split(strings.TrimRight(string(section.Data), "\n"), "\n")
		switch name {
		case "edge":
		case "connect":
			if p.conn != nil {
				_ = p.conn.Close()
			}
			p.connect(argument)
		case "beside":
			before := p.conn
			defer func() { _ = before.Close() }()
			p.connect(argument)
		case "client":
			for _, line := range lines {
				p.send(expand(p.tokens(line)))
			}
		case "nats":
			for _, line := range lines {
				p.nats(line)
			}
		case "server":
			if *update {
				section.Data = []byte(strings.Join(p.readAll(), "\n") + "\n")
				continue
			}
			for _, want := range lines {
				if got := p.read(patience); got != want {
					t.Fatalf("section %d: the server said\n\t%s\nnot\n\t%s", i, got, want)
				}
			}
		default:
			t.Fatalf("there is no section %q", section.Name)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// configure reads the section edge.
func configure(t *testing.T, c *edge.Config, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.Atoi(value)
		switch name {
		case "max_connections":
			every(c, func(s *edge.Service) { s.Conn.MaxConnections = n })
		case "max_per_user":
			every(c, func(s *edge.Service) { s.MaxPerUser = n })
		case "message_rate":
			every(c, func(s *edge.Service) { s.Limits.MessagesPerSecond = n })
		case "require_auth":
			closedDoor(c)
			every(c, func(s *edge.Service) { s.Auth.Leeway = -1 })
			err = nil
		case "ping":
			var interval time.Duration
			interval, err = time.ParseDuration(value)
			every(c, func(s *edge.Service) { s.Conn.PingInterval, s.Conn.PingTimeout = interval, interval })
		default:
			t.Fatalf("an edge has no %q", name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (p *player) connect(argument string) {
	p.t.Helper()
	service, token, _ := strings.Cut(argument, " ")
	var dialer ws.Dialer
	if token != "" {
		dialer.Header = ws.HandshakeHeaderHTTP{"Authorization": {"Bearer " + p.tokens(token)}}
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	nc, rd, _, err := dialer.Dial(ctx, "ws://"+p.edge.HTTPAddr().String()+"/ws/"+service)
	if err != nil {
		p.t.Fatal(err)
	}
	p.conn, p.in = nc, &bytes.Buffer{}
	if rd != nil {
		head := make([]byte, rd.Buffered())
		_, _ = rd.Read(head) // It is in memory.
		p.in.Write(head)
		ws.PutReader(rd)
	}
}

// retryAfter is random, so that clients do not come back together.
var retryAfter = regexp.MustCompile(`retry_after_ms=\d{1,3}$`)

var tokenText = regexp.MustCompile(`\{\{token (\S+) (\S+) (\S*)\}\}`)

// tokens replaces what stands for a token by one.
func (p *player) tokens(line string) string {
	return tokenText.ReplaceAllStringFunc(line, func(text string) string {
		m := tokenText.FindStringSubmatch(text)
		life, err := time.ParseDuration(m[2])
		p.must(err)
		return tokenOf(p.t, auth.MintClaims{User: m[1], Life: life, Permissions: strings.Split(m[3], ",")})
	})
}

var repetition = regexp.MustCompile(`\{\{(.*?)\*(\d+)\}\}`)

func expand(line string) string {
	return repetition.ReplaceAllStringFunc(line, func(s string) string {
		m := repetition.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[2])
		return strings.Repeat(m[1], n)
	})
}

func (p *player) send(line string) {
	p.t.Helper()
	op := ws.OpText
	switch {
	case line == "drop":
		_ = p.conn.Close()
		return
	case strings.HasPrefix(line, "raw "):
		data, err := hex.DecodeString(strings.ReplaceAll(line[4:], " ", ""))
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := p.conn.Write(data); err != nil {
			p.t.Fatal(err)
		}
		return
	case strings.HasPrefix(line, "binary "):
		op, line = ws.OpBinary, line[7:]
	}
	for epoch, name := range p.epoch {
		line = strings.ReplaceAll(line, name, epoch)
	}
	frame := ws.MaskFrameInPlace(ws.NewFrame(op, true, []byte(line)))
	if err := ws.WriteFrame(p.conn, frame); err != nil {
		p.t.Fatal(err)
	}
}

// Read takes what came with the handshake first.
func (p *player) Read(b []byte) (int, error) {
	if p.in.Len() > 0 {
		return p.in.Read(b)
	}
	return p.conn.Read(b)
}

// read is the next frame as a transcript shows it, empty when none comes in time.
func (p *player) read(wait time.Duration) string {
	p.t.Helper()
	if err := p.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		p.t.Fatal(err)
	}
	for {
		frame, err := readFrame(p)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return ""
		case err != nil:
			return "gone"
		case frame.Header.OpCode == ws.OpClose:
			code, reason := ws.ParseCloseFrameData(frame.Payload)
			reason = retryAfter.ReplaceAllString(reason, "retry_after_ms=N")
			return strings.TrimSpace(fmt.Sprintf("close %d %s", code, reason))
		case frame.Header.OpCode == ws.OpPong:
			return "pong " + string(frame.Payload)
		case frame.Header.OpCode == ws.OpText:
			if line := p.show(frame.Payload); !strings.Contains(line, `"event":"position"`) {
				return line
			}
		}
	}
}

func (p *player) readAll() (lines []string) {
	for wait := 3 * time.Second; ; wait = 700 * time.Millisecond {
		line := p.read(wait)
		if line == "" {
			return lines
		}
		lines = append(lines, line)
		if line == "gone" || strings.HasPrefix(line, "close") {
			return lines
		}
	}
}

// show replaces what differs from run to run, and sorts keys.
func (p *player) show(text []byte) string {
	var m map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&m); err != nil {
		return "not JSON: " + string(text)
	}
	p.replace(m)
	if m["type"] != "event" || m["event"] == "welcome" || m["event"] == "token.expiring" {
		if _, has := m["id"]; has {
			m["id"] = "ID"
		}
	}
	out, err := json.Marshal(m)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(out)
}

func (p *player) replace(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			p.replace(item)
		}
	case map[string]any:
		for key, item := range v {
			text, isText := item.(string)
			switch {
			case (key == "timestamp" || key == "expires_at") && isText:
				if _, err := time.Parse("2006-01-02T15:04:05.000000Z", text); err == nil {
					v[key] = "TIME"
				}
			case key == "connection_id":
				v[key] = "CONNECTION"
			case key == "uptime_seconds":
				v[key] = "SECONDS"
			case key == "expires_in_ms", key == "retry_after_ms":
				v[key] = "MS"
			case key == "epoch" && isText:
				if p.epoch[text] == "" {
					p.epoch[text] = fmt.Sprintf("EPOCH%d", len(p.epoch)+1)
				}
				v[key] = p.epoch[text]
			default:
				p.replace(item)
			}
		}
	}
}

func (p *player) nats(line string) {
	p.t.Helper()
	words := strings.SplitN(line, " ", 4)
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	switch words[0] {
	case "put":
		p.store.put(schema.Service(words[1]), words[2], expand(words[3]))
	case "forge": // A message that only looks as if the server had republished it.
		msg := nats.NewMsg(words[1])
		msg.Data = []byte(words[2])
		msg.Header.Set(schema.HeaderEvent, "forged")
		p.must(p.store.nc.PublishMsg(msg))
		p.must(p.store.nc.Flush())
	case "raw": // A message written past the SDK.
		_, err := p.store.js.Publish(words[1], []byte(words[2]))
		p.must(err)
	case "trim":
		trim(p.t, p.store.nc, schema.Service(words[1]).Stream(), words[2])
	case "recreate":
		p.must(p.store.js.DeleteStream(schema.Service(words[1]).Stream()))
		_, err := publisher.EnsureStreams(ctx, p.store.nc, publisher.StreamConfig{MaxBytes: natstest.MaxBytes}, schema.Service(words[1]))
		p.must(err)
	case "revoke":
		r := auth.Revocation{User: words[1], Before: time.Now(), At: time.Now()}
		value, err := r.Marshal()
		p.must(err)
		p.must(stream.PutRevocation(ctx, p.store.nc, r.Key(), func([]byte, time.Time) []byte { return value }))
	case "stop":
		p.srv.Shutdown()
	case "start":
		p.srv.Restart(p.t)
	case "drain": // The edge stops; the test's clean-up finds it stopped.
		go func() { _ = p.edge.Stop(context.Background()) }()
	default:
		p.t.Fatalf("nats cannot %q", line)
	}
}

func (p *player) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// trim drops a stream's front up to and including a position: the only way there
// is, since deleting and purging are denied, is to lower a limit for a moment.
func trim(t *testing.T, nc *nats.Conn, stream, seq string) {
	t.Helper()
	upTo, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	normal := cfg.MaxMsgs
	for _, cfg.MaxMsgs = range []int64{int64(s.CachedInfo().State.LastSeq - upTo), normal} {
		if s, err = js.UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if first := s.CachedInfo().State.FirstSeq; first != upTo+1 {
		t.Fatalf("%s begins at %d after trimming %d", stream, first, upTo)
	}
}
