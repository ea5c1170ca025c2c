package certs

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/edge/certs/certstest"
)

// patience bounds what a test on real sockets waits for.
const patience = 20 * time.Second

// journal is a log that can be read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// logger writes the journal.
func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// lines are those that hold every one of words.
func (j *journal) lines(words ...string) int {
	n := 0
line:
	for line := range strings.Lines(j.String()) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue line
			}
		}
		n++
	}
	return n
}

// pairOf is a pair from a leaf's files in a directory of its own, and that directory.
func pairOf(t *testing.T, l *certstest.Leaf, log *journal) (*Pair, string) {
	t.Helper()
	dir := t.TempDir()
	cert, key := l.Write(t, dir)
	cfg := Config{Files: Files{Cert: cert, Key: key}}
	if log != nil {
		cfg.Log = log.logger()
	}
	return newPair(t, cfg), dir
}

func newPair(t *testing.T, cfg Config) *Pair {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantServed checks which certificate is served.
func wantServed(t *testing.T, p *Pair, l *certstest.Leaf) {
	t.Helper()
	if !p.Certificate().Equal(l.Cert()) {
		t.Fatalf("served is %s, want %s", p.Certificate().Subject, l.Cert().Subject)
	}
}

// wantNoSecrets checks that text shows nothing of private keys: no piece of their
// files, no piece of their bytes.
func wantNoSecrets(t *testing.T, text string, files ...[]byte) {
	t.Helper()
	for _, data := range files {
		for rest := data; ; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if !isKey(block) {
				continue
			}
			shown := hex.EncodeToString(block.Bytes)
			for i := range len(shown) - 12 {
				if strings.Contains(strings.ToLower(text), shown[i:i+12]) {
					t.Errorf("a key's bytes are shown: %s", text)
					return
				}
			}
			for line := range strings.Lines(string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))) {
				line = strings.TrimSpace(line)
				if strings.HasPrefix(line, "-----") || len(line) < 8 {
					continue
				}
				for i := range len(line) - 7 {
					if strings.Contains(text, line[i:i+8]) {
						t.Errorf("a key's text is shown: %s", text)
						return
					}
				}
			}
		}
	}
}

// listen serves an echo over TLS on a loopback address until the test ends.
func listen(t *testing.T, config *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	secure := tls.NewListener(l, config)
	all.Go(func() {
		for {
			c, err := secure.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				_, _ = io.Copy(c, c)
			})
		}
	})
	return l.Addr().String()
}

// dial connects and has one byte echoed: before that a client of TLS 1.3 has neither
// its tickets nor the server's verdict on its certificate.
func dial(t *testing.T, address string, config *tls.Config) (*tls.Conn, error) {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(nc, config)
	t.Cleanup(func() { _ = c.Close() })
	if err := echo(c); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func mustDial(t *testing.T, address string, config *tls.Config) *tls.Conn {
	t.Helper()
	c, err := dial(t, address, config)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	return c
}

// echo sends a byte and waits for it to come back.
func echo(c *tls.Conn) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte{'x'}); err != nil {
		return err
	}
	b := make([]byte, 1)
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if b[0] != 'x' {
		return errors.New("another byte came back")
	}
	return nil
}
