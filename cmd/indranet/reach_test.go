package main

import (
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// TestPublishWaitsForANATSThatIsNotThereYet: the server begins to listen when the
// command has found nobody.
func TestPublishWaitsForANATSThatIsNotThereYet(t *testing.T) {
	dir, logger := t.TempDir(), slog.New(slog.DiscardHandler)
	nats, err := startNATS(dir, "127.0.0.1:0", logger)
	if err != nil {
		t.Fatal(err)
	}
	output(t, "streams", "apply", "--max-bytes=1MiB", "--nats="+nats.URL)
	nats.Stop()
	addr := strings.TrimPrefix(nats.URL, "nats://")
	door, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	published := make(chan string, 1)
	go func() {
		published <- output(t, "publish", "dhruva", "adapter.activated", `{"adapter_id":"a","repo":"r","version":"1"}`,
			"--nats="+nats.URL, "--timeout=30s")
	}()
	// Who knocks first finds the door closed.
	first, err := door.Accept()
	if err := errors.Join(err, door.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	if nats, err = startNATS(dir, addr, logger); err != nil {
		t.Fatal(err)
	}
	defer nats.Stop()
	if receipt := <-published; !strings.Contains(receipt, `"seq":1`) {
		t.Errorf("receipt %s", receipt)
	}
}

func TestWhoSpeaksAnotherProtocolIsNotCalledAbsent(t *testing.T) {
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(patience) {
		t.Fatal("no NATS")
	}
	handler := http.NotFoundHandler()
	plain, secure := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	defer plain.Close()
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	defer secure.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	host := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	for _, tc := range []struct{ args, want string }{
		{"streams ls --nats=" + srv.ClientURL() + " --tlsca=" + ca, "has no TLS, which --tlsca (NATS_CA)"},
		{"tail dhruva global --url=ws://" + host(secure), "no WebSocket without TLS, try wss://" + host(secure) + "/ws/dhruva\n"},
		{"tail dhruva global --url=wss://" + host(plain), "has no TLS, try ws://" + host(plain) + "/ws/dhruva\n"},
		{"tail dhruva global --url=ws://" + host(plain), "answers 404 Not Found: 404 page not found\n"},
		{"tail dhruva global --url=wss://" + host(secure), "is not trusted, set --ca"},
	} {
		var problems strings.Builder
		code := run(t.Context(), strings.Fields(tc.args), stdio{strings.NewReader(""), &strings.Builder{}, &problems})
		if code != exitFailed || !strings.Contains(problems.String(), tc.want) {
			t.Errorf("%s: exit code %d, want %q\n%s", tc.args, code, tc.want, &problems)
		}
	}
}

func TestErrorsAreForWhoReadsTheTerminal(t *testing.T) {
	for text, want := range map[string]string{
		"client: refused by the edge: no":        "indranet: refused by the edge: no",
		"publisher: stream: both\nauth: mint: x": "indranet: both\nindranet: mint: x",
		"feed: away: directget: no answer":       "indranet: away: no answer",
		"stream IND_X: \x1b[2J":                  `indranet: stream IND_X: \u001b[2J`,
	} {
		if got := said(errors.New(text)); got != want {
			t.Errorf("%q is said %q", text, got)
		}
	}
}
