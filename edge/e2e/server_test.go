package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

var (
	httpAddress = regexp.MustCompile(`http://([0-9.]+:[0-9]+)`)
	natsAddress = regexp.MustCompile(`nats://[0-9.]+:[0-9]+`)
)

// server is a running `indranet dev`, on ports of its own.
type server struct {
	// Static after startServer.
	host string // of the shared listener, as host:port
	nats string // the address for publishers
}

// startServer starts the program, waits until it has printed its addresses, and
// ends it with the test.
func startServer(t *testing.T) *server {
	t.Helper()
	lookAt(t, inputs...)
	var s server
	ready := make(chan struct{})
	p := start(t, true, func(line string) {
		if s.host != "" && s.nats != "" {
			return
		}
		if m := httpAddress.FindStringSubmatch(line); m != nil && s.host == "" {
			s.host = m[1]
		}
		if m := natsAddress.FindString(line); m != "" && s.nats == "" {
			s.nats = m
		}
		if s.host != "" && s.nats != "" {
			close(ready)
		}
	}, binary, "dev",
		"--data", t.TempDir(),
		"--http", "127.0.0.1:0",
		"--nats", "127.0.0.1:0",
		"--service-ports=false")

	select {
	case <-ready:
	case <-p.ended:
		t.Fatal("indranet dev ended before it printed an http and a nats address")
	case <-time.After(patience):
		t.Fatal("indranet dev did not print an http and a nats address")
	}
	return &s
}

// socketURL is the address of a service on the shared listener.
func (s *server) socketURL(service string) string {
	return "ws://" + s.host + "/ws/" + service
}

// pageURL is the address of the page for people.
func (s *server) pageURL() string {
	return "http://" + s.host + "/"
}

// publish publishes one event with the command line, as an operator would.
func (s *server) publish(t *testing.T, service, event string, payload any) {
	t.Helper()
	body, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), binary, "publish", service, event, string(body), "--nats", s.nats)
	// The race detector would wait a second at the end of every program.
	command.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	if printed, err := command.CombinedOutput(); err != nil {
		t.Fatalf("indranet publish: %v\n%s", err, printed)
	}
}
