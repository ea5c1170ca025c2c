package publisher_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
)

// What is known of the header Nats-Expected-Last-Msg-Id, with which a message is stored
// only if the stream's last message has that id. On three replicas a mismatch is written
// to the replicas' log as an error that ends the stream there.
const (
	lastMsgIDServer = "2.15.2"
	// lastMsgIDFreezes says that a stream takes no message any more after a mismatch.
	lastMsgIDFreezes = true
)

const headerLastMsgID = "Nats-Expected-Last-Msg-Id"

// TestWhatAMismatchOfTheLastMessageIDDoes documents the server, not this package: it is
// the reason for the tests below.
func TestWhatAMismatchOfTheLastMessageIDDoes(t *testing.T) {
	const update = "read the server's notes, then update the constants in this test, the comment on headers in encode.go and deploy/nats/README.md"
	if server.VERSION != lastMsgIDServer {
		t.Errorf("the server is %s, this was found with %s: %s", server.VERSION, lastMsgIDServer, update)
	}
	c := natstest.StartCluster(t, 3, natstest.Streams(schema.Mahavishnu))
	nc := c.Connect(t)
	send := func(expected string, patience time.Duration) (string, error) {
		m := nats.NewMsg("ev.mahavishnu.workflow.1")
		m.Data = []byte(`{}`)
		if expected != "" {
			m.Header.Set(headerLastMsgID, expected)
		}
		for until := time.Now().Add(patience); ; {
			answer, err := nc.RequestMsg(m, patience)
			switch {
			case err == nil:
				return string(answer.Data), nil
			case !errors.Is(err, nats.ErrNoResponders) || time.Now().After(until):
				return "", err
			}
			// A new cluster's node need not know yet that somebody listens.
			tick := time.NewTimer(50 * time.Millisecond)
			<-tick.C
		}
	}
	if answer, err := send("", 10*time.Second); err != nil || strings.Contains(answer, "error") {
		t.Fatalf("before: %s, %v", answer, err)
	}
	// Refused, whether or not the answer comes.
	if answer, err := send("another", 2*time.Second); err == nil && !strings.Contains(answer, "10070") {
		t.Errorf("a mismatch was answered with %s: %s", answer, update)
	}
	// Elections pass; a stream that is frozen stays so.
	freezes := true
	for deadline := time.Now().Add(6 * time.Second); freezes && time.Now().Before(deadline); {
		answer, err := send("", 2*time.Second)
		freezes = err != nil || strings.Contains(answer, "error")
	}
	if freezes != lastMsgIDFreezes {
		t.Errorf("a mismatch freezes a stream of three replicas: %v, was %v: %s", freezes, lastMsgIDFreezes, update)
	}
}

// TestNobodySendsTheLastMessageID looks through everything that is built into a program.
func TestNobodySendsTheLastMessageID(t *testing.T) {
	forbidden := []string{
		headerLastMsgID, "ExpectedLastMsgIdHdr", "ExpectedLastMsgIDHeader", "WithExpectLastMsgID", "ExpectLastMsgId",
	}
	// Who builds headers of messages for NATS, and so may send one.
	senders := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == "bin" || strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".."):
			return filepath.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			name := ""
			switch n := n.(type) {
			case *ast.BasicLit:
				name = strings.ToLower(n.Value)
			case *ast.SelectorExpr:
				name = strings.ToLower(n.Sel.Name)
			}
			for _, f := range forbidden {
				if strings.Contains(name, strings.ToLower(f)) {
					t.Errorf("%s mentions %s", path, f)
				}
			}
			if builds(n) {
				senders[filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))] = true
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"publisher/encode.go"}
	got := slices.DeleteFunc(slices.Sorted(maps.Keys(senders)), func(path string) bool {
		// Load and chaos are no part of what is deployed.
		return strings.HasPrefix(path, "bench/")
	})
	if !slices.Equal(got, want) {
		t.Errorf("headers for NATS are built in %q, want %q: see that no header of a caller's gets through, then add the file", got, want)
	}
}

// builds reports whether a node makes a header or a message of nats.go.
func builds(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CompositeLit:
		return isNATS(n.Type, "Header") || isNATS(n.Type, "Msg")
	case *ast.CallExpr:
		if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "make" && len(n.Args) > 0 {
			return isNATS(n.Args[0], "Header")
		}
		return isNATS(n.Fun, "NewMsg") || isNATS(n.Fun, "Header")
	}
	return false
}

func isNATS(n ast.Expr, name string) bool {
	s, ok := n.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "nats"
}

// named is an event whose type chooses its own name.
type named struct {
	schema.Event
	name string
}

func (n named) EventName() string { return n.name }

// TestNoHeaderOfACallersGetsThrough puts headers into every text that a caller may give.
func TestNoHeaderOfACallersGetsThrough(t *testing.T) {
	_, nc, p := start(t)
	const evil = "x\r\n" + headerLastMsgID + ": another\r\nNats-Rollup: all"
	event := workflow("1")
	event.Prompt = evil
	publish(t, p, event)
	for _, name := range []string{evil, "x\n" + headerLastMsgID + ": another", "x\r" + headerLastMsgID + ": another"} {
		for _, option := range []publisher.PublishOption{
			publisher.WithID(name), publisher.WithTraceContext(name, ""), publisher.WithTraceContext("00-1-2-01", name),
		} {
			if _, err := p.Publish(t.Context(), workflow("1"), option); !errors.Is(err, publisher.ErrInvalid) {
				t.Errorf("%q: %v", name, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		// Whether it is refused or stored: never with a header more.
		_, err := p.Publish(ctx, named{workflow("1"), name})
		t.Logf("an event called %q: %v", name, err)
		_, err = p.PublishBatch(ctx, []schema.Event{named{workflow("1"), name}, workflow("2")})
		t.Logf("a batch with it: %v", err)
		cancel()
	}
	rs, err := p.PublishBatch(t.Context(), []schema.Event{workflow("1"), workflow("2")},
		publisher.WithID("batch"), publisher.WithTraceContext("00-1-2-01", "a=b"))
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{
		"Nats-Msg-Id", schema.HeaderEvent, schema.HeaderContentType, "Nats-Expected-Last-Subject-Sequence",
		"traceparent", "tracestate", "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit",
	}
	for seq := uint64(1); seq <= rs[1].Seq; seq++ {
		for key := range message(t, nc, seq).Header {
			if !slices.Contains(allowed, key) {
				t.Errorf("message %d has the header %q", seq, key)
			}
		}
	}
}
