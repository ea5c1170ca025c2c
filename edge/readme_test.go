package edge_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/schema"
)

// snippet is the README's block of a language, with what is fixed in it replaced
// by what this test serves.
func snippet(t *testing.T, language string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatalf("the README has no block of %s", language)
	}
	code := string(block[1])
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(code, replace[i]) {
			t.Fatalf("the README's %s does not hold %q", language, replace[i])
		}
		code = strings.ReplaceAll(code, replace[i], replace[i+1])
	}
	return code
}

// TestTheReadmeIsTrue runs the README's publisher, in a function of a program, and
// its subscriber against each other.
func TestTheReadmeIsTrue(t *testing.T) {
	srv, e := started(t, func(c *edge.Config) {
		every(c, func(s *edge.Service) { s.Addr = "127.0.0.1:0" })
		c.LocalOrigins = true
	})
	dir := t.TempDir()
	program := filepath.Join(dir, "main.go")
	write(t, program, `package main

import (
	"context"
	"fmt"
	"log"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema/dhruva"
	"github.com/nats-io/nats.go"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
`+snippet(t, "go", "nats://127.0.0.1:4222", srv.URL())+`
	return err
}
`)
	// The overlay makes the program a package of this module for one command.
	place, err := filepath.Abs("../cmd/readme/main.go")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {place: program}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "overlay.json"), string(overlay))
	run := exec.CommandContext(t.Context(), "go", "run", "-overlay", filepath.Join(dir, "overlay.json"), "./cmd/readme")
	run.Dir = ".."
	out, err := run.CombinedOutput()
	if err != nil || !bytes.HasPrefix(out, []byte("adapter:llamaindex 1 <nil>")) {
		t.Fatalf("the publisher: %v\n%s", err, out)
	}
	script := snippet(t, "js", "ws://127.0.0.1:8693", "ws://"+e.Addr(schema.Dhruva).String(),
		"console.log(m.event, m.data);", "console.log(m.event, m.data.version); process.exit(0);")
	write(t, filepath.Join(dir, "subscriber.mjs"), script)
	node := exec.CommandContext(t.Context(), "node", "--experimental-websocket", filepath.Join(dir, "subscriber.mjs"))
	out, err = node.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("adapter.activated 1.4.2")) {
		t.Fatalf("the subscriber (it needs node, see deploy/setup.sh): %v\n%s", err, out)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
