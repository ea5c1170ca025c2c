package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bodhisattva/indranet/edge/certs/certstest"
	"github.com/bodhisattva/indranet/publisher/natstest"
)

// serving is a running indranet edge.
type serving struct {
	t       *testing.T
	process *exec.Cmd
	logs    *lockedBuffer
	ca      *certstest.CA
	dir     string
	address string // Of the shared listener.
	admin   string
	env     []string
	nats    string
}

// lockedBuffer is what a process writes.
type lockedBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

// freeAddress is one that nobody listens on now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

const plantedSecret = "PLANTED-kF93mdkq2LxZ81bTn47QpWs6YcVh0RgJ"

// serve starts an edge as production.yaml would, and waits until it is ready.
func serve(t *testing.T) *serving {
	t.Helper()
	srv := natstest.Start(t)
	s := &serving{t: t, logs: &lockedBuffer{}, dir: t.TempDir(), address: freeAddress(t), admin: freeAddress(t), nats: srv.URL()}
	s.ca = certstest.NewCA(t, certstest.Options{Name: "first"})
	s.ca.Leaf(t, certstest.Options{Hosts: []string{"127.0.0.1"}}).Write(t, s.dir)
	file := filepath.Join(s.dir, "edge.yaml")
	write(t, file, fmt.Sprintf(`
environment: production
nats:
  url: ${PLANTED_NATS_URL}
http:
  listen: %s
tls:
  enabled: true
  cert_file: %s
  key_file: %s
metrics:
  listen: ""
admin:
  listen: %s
logging:
  level: DEBUG
services:
  dhruva:
    websocket:
      port: 0
    jwt:
      leeway: 1s
`, s.address, filepath.Join(s.dir, "tls.crt"), filepath.Join(s.dir, "tls.key"), s.admin))
	withPassword := strings.Replace(srv.URL(), "nats://", "nats://edge:PLANTED-nats-password@", 1)
	s.env = append(os.Environ(), "DHRUVA_JWT_SECRET="+plantedSecret, "PLANTED_NATS_URL="+withPassword, "GORACE=atexit_sleep_ms=0")
	s.run("streams", "apply", "dhruva", "--max-bytes", "8MiB")
	s.process = exec.Command("indranet", "edge", "-c", file)
	s.process.Env, s.process.Stderr, s.process.Stdout = s.env, s.logs, s.logs
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.process.ProcessState == nil {
			_ = s.process.Process.Kill()
			_ = s.process.Wait()
		}
	})
	s.until("the edge is ready", func() bool {
		response, err := get("http://" + s.admin + "/healthz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return s
}

// get makes a request on a connection of its own.
func get(url string) (*http.Response, error) {
	return (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
}

func (s *serving) until(what string, is func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(end) {
			s.t.Fatalf("waited %v: %s\n%s", patience, what, s.logs)
		}
	}
}

// run runs a command with the environment of the edge.
func (s *serving) run(args ...string) string {
	s.t.Helper()
	command := exec.Command("indranet", args...)
	command.Env = append(s.env, "NATS_URL="+s.nats)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		s.t.Fatalf("indranet %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// dial connects with a token; the authority is whom the client trusts.
func (s *serving) dial(token string, ca *certstest.CA) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, DisableKeepAlives: true}
	ws, _, err := websocket.Dial(ctx, "wss://"+s.address+"/ws/dhruva", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
	if err == nil {
		s.t.Cleanup(func() { _ = ws.CloseNow() })
	}
	return ws, err
}

func (s *serving) enter(token string, ca *certstest.CA) *websocket.Conn {
	s.t.Helper()
	ws, err := s.dial(token, ca)
	if err != nil {
		s.t.Fatal(err)
	}
	return ws
}

// want takes messages until one has a text, and returns all.
func (s *serving) want(ws *websocket.Conn, text string) (all string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		_, data, err := ws.Read(ctx)
		if err != nil {
			s.t.Fatalf("waiting for %s: %v after %s", text, err, all)
		}
		all += string(data)
		if strings.Contains(string(data), text) {
			return all
		}
	}
}

func (s *serving) send(ws *websocket.Conn, text string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if err := ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		s.t.Fatal(err)
	}
}

// TestAnEdgeServesWhatItsConfigurationSays goes the way of an operator: streams, edge,
// token, event, new certificate, revocation, end.
func TestAnEdgeServesWhatItsConfigurationSays(t *testing.T) {
	s := serve(t)
	token := s.run("token", "dhruva", "-u", "alice", "-p", "dhruva:read")
	ws := s.enter(token, s.ca)
	s.want(ws, `"welcome"`)
	s.send(ws, `{"type":"request","event":"subscribe","data":{"channel":"adapter:a"}}`)
	s.want(ws, `"caught_up"`)
	s.run("publish", "dhruva", "adapter.activated", `{"adapter_id":"a","repo":"r","version":"1"}`)
	s.want(ws, `"adapter.activated"`)

	other := certstest.NewCA(t, certstest.Options{Name: "second"})
	other.Leaf(t, certstest.Options{Hosts: []string{"127.0.0.1"}}).Write(t, s.dir)
	if err := s.process.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.until("the new certificate is served", func() bool {
		fresh, err := s.dial(token, other)
		if err == nil {
			_ = fresh.CloseNow()
		}
		return err == nil
	})
	if _, err := s.dial(token, s.ca); err == nil {
		t.Error("the old certificate is still served")
	}
	certstest.WriteFile(t, filepath.Join(s.dir, "tls.key"), []byte("broken"))
	if err := s.process.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.until("the broken key is refused", func() bool { return strings.Contains(s.logs.String(), "the certificates stay what they were") })
	fresh := s.enter(token, other)
	s.want(fresh, `"welcome"`)
	s.run("publish", "dhruva", "adapter.activated", `{"adapter_id":"a","repo":"r","version":"2"}`)
	s.want(ws, `"version":"2"`) // The old connection lives on.

	if response, err := get("http://" + s.address + "/ws/dhruva"); err == nil {
		_ = response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP is answered with %d", response.StatusCode)
		}
	}
	s.run("revoke", "--user", "alice")
	at := time.Now()
	for _, one := range []*websocket.Conn{ws, fresh} {
		if code := s.closed(one); code != 4003 {
			t.Errorf("closed with %d", code)
		}
	}
	if took := time.Since(at); took > 2*time.Second {
		t.Errorf("closed %v after the revocation", took)
	}
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.process.Wait(); err != nil {
		t.Errorf("the edge ended with %v\n%s", err, s.logs)
	}
}

// closed is the code that a connection ends with.
func (s *serving) closed(ws *websocket.Conn) websocket.StatusCode {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		if _, _, err := ws.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// TestPlantedSecretsAppearNowhere: whatever is done with them, secrets, tokens,
// passwords and payloads are in no log line at the lowest level, no metric, no answer
// to a client, no profile, no dump of a dying process and no argument of one.
func TestPlantedSecretsAppearNowhere(t *testing.T) {
	s := serve(t)
	good := s.run("token", "dhruva", "-u", "alice", "-p", "dhruva:read:adapter:a", "--id", "PLANTED-jti")
	var told bytes.Buffer // What clients were told, but for the events themselves.
	hear := func(ws *websocket.Conn) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for {
			_, data, err := ws.Read(ctx)
			if err != nil {
				fmt.Fprintln(&told, err)
				return
			}
			told.Write(data)
		}
	}
	signature := good[strings.LastIndexByte(good, '.')+1:]
	forged := good[:len(good)-len(signature)] + base64.RawURLEncoding.EncodeToString([]byte("PLANTED-forged-signature-bytes!!"))
	for _, bad := range []string{forged, "PLANTED-not-a-token", good + "PLANTED", "PLANTED.PLANTED.PLANTED"} {
		hear(s.enter(bad, s.ca))
		ws := s.enter(good, s.ca)
		s.want(ws, `"welcome"`)
		s.send(ws, fmt.Sprintf(`{"type":"request","event":"refresh_token","data":{"token":%q}}`, bad))
		told.WriteString(s.want(ws, `"AUTH_FAILED"`))
		for _, text := range []string{
			`{"type":"request","event":"auth","data":{"token":"PLANTED-in-auth"}}`,
			`{"type":"request","event":"publish","data":{"event":"adapter.activated","payload":{"adapter_id":"PLANTED-payload"}}}`,
			`{"type":"request","event":"no_such_request","data":{"password":"PLANTED-field"}}`,
			`{"PLANTED":`,
			`{"type":"request","event":"subscribe","data":{"channel":"adapter:b","token":"PLANTED-key"}}`,
		} {
			s.send(ws, text)
			told.WriteString(s.want(ws, `"error"`))
		}
		s.send(ws, `{"type":"request","event":"subscribe","data":{"channel":"adapter:a"}}`)
		s.want(ws, `"caught_up"`)
		s.run("publish", "dhruva", "adapter.activated", `{"adapter_id":"a","repo":"PLANTED-payload","version":"1"}`)
		s.want(ws, "PLANTED-payload") // To whom it is for, it comes.
		_ = ws.CloseNow()
	}
	for _, path := range []string{"/metrics", "/healthz", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline"} {
		response, err := get("http://" + s.admin + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || len(body) == 0 && path != "/debug/pprof/cmdline" {
			t.Errorf("%s: %v, %d bytes", path, err, len(body))
		}
		told.Write(body)
	}
	if nc, err := net.Dial("tcp", s.address); err == nil { // No TLS: it is logged at the lowest level.
		_, _ = nc.Write([]byte("GET /PLANTED HTTP/1.1\r\nAuthorization: Bearer PLANTED\r\n\r\n"))
		answer, _ := io.ReadAll(nc)
		told.Write(answer)
		_ = nc.Close()
	}
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	told.Write(arguments)
	if err := s.process.Process.Signal(syscall.SIGQUIT); err != nil { // It dies with every stack.
		t.Fatal(err)
	}
	_ = s.process.Wait()
	told.WriteString(s.logs.String())
	all := told.String()
	if !strings.Contains(all, "SIGQUIT: quit") || !strings.Contains(all, "auth_refused") || !strings.Contains(all, `"level":"DEBUG"`) {
		t.Errorf("what was looked at is not everything:\n%.3000s", all)
	}
	payload := strings.Split(good, ".")[1]
	for what, secret := range map[string]string{"a planted text": "PLANTED", "a token": payload, "a signature": signature} {
		for at := strings.Index(all, secret); at >= 0; {
			t.Fatalf("%s: …%s…", what, all[max(0, at-200):min(len(all), at+200)])
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTailReadsThroughAnEdgeWithAToken takes its token from a file, and a new one from
// there when the first has expired.
func TestTailReadsThroughAnEdgeWithAToken(t *testing.T) {
	s := serve(t)
	tokens := filepath.Join(s.dir, "token")
	// It expires after the edge's leeway of a second.
	write(t, tokens, s.run("token", "dhruva", "-u", "alice", "-p", "dhruva:read", "--expiry", "1s")+"\n")
	s.run("publish", "dhruva", "adapter.activated", `{"adapter_id":"a","repo":"r","version":"1"}`)
	arguments := []string{"tail", "dhruva", "adapter:a", "--since", "start", "--url", "wss://" + s.address}
	var out, problems lockedBuffer
	if code := run(t.Context(), arguments, stdio{nil, &out, &problems}); code != exitFailed || !strings.Contains(problems.String(), "set --ca") {
		t.Errorf("without --ca: exit code %d, %s", code, &problems)
	}
	arguments = append(arguments, "--ca", s.ca.Write(t, s.dir))
	if code := run(t.Context(), arguments, stdio{nil, &out, &problems}); code != exitFailed || !strings.Contains(problems.String(), "--token-file") {
		t.Errorf("without a token: exit code %d, %s", code, &problems)
	}
	ended := make(chan int)
	go func() {
		ended <- run(t.Context(), append(arguments, "--token-file", tokens, "--count", "2"), stdio{nil, &out, &problems})
	}()
	s.until("the first event", func() bool { return strings.Contains(out.String(), `"version":"1"`) })
	write(t, tokens, s.run("token", "dhruva", "-u", "alice", "-p", "dhruva:read"))
	s.until("the first token has expired", func() bool { return strings.Contains(problems.String(), "connection lost") })
	s.run("publish", "dhruva", "adapter.activated", `{"adapter_id":"a","repo":"r","version":"2"}`)
	if code := <-ended; code != 0 || strings.Count(out.String(), "adapter.activated") != 2 {
		t.Errorf("exit code %d\n%s%s", code, &out, &problems)
	}
}
