package stream

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
)

// violationOf is what nats.go makes of the server's words.
func violationOf(text string) error { return fmt.Errorf("%w: %s", nats.ErrPermissionViolation, text) }

func TestViolationsAreLoggedOnceASubjectAndMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := &Bus{logger: slog.New(slog.NewTextHandler(&out, nil))}
		violate := func(texts ...string) int {
			out.Reset()
			for _, text := range texts {
				b.asyncError(nil, nil, violationOf(text))
			}
			return strings.Count(out.String(), "\n")
		}
		const one, other = `Permissions Violation for Publish to "ev.dhruva.a"`, `Permissions Violation for Subscription to "ev.dhruva.a"`
		if n := violate(one, one, other, one, other); n != 2 {
			t.Errorf("%d lines for two things: %s", n, out.String())
		}
		if !strings.Contains(out.String(), `operation=publish subject=ev.dhruva.a`) || !strings.Contains(out.String(), `operation=subscription`) {
			t.Errorf("logged %s", out.String())
		}
		<-time.After(59 * time.Second)
		if n := violate(one, other); n != 0 {
			t.Errorf("%d lines within the minute", n)
		}
		<-time.After(time.Second)
		if n := violate(one, one); n != 1 || !strings.Contains(out.String(), "held_back=3") {
			t.Errorf("after a minute: %s", out.String())
		}
		// Inboxes are all different, and are one subject.
		if n := violate(`Permissions Violation for Subscription to "_INBOX.a"`, `Permissions Violation for Subscription to "_INBOX.b"`); n != 1 {
			t.Errorf("inboxes: %s", out.String())
		}
		if n := violate("in words that nobody knows"); n != 1 {
			t.Errorf("unknown words: %s", out.String())
		}
		if n := b.Stats.Denied.Load(); n != 12 {
			t.Errorf("%d counted, want 12", n)
		}
		// Whatever is thought up: what is remembered and logged is bounded.
		for i := range 3 * maxReports {
			violate(fmt.Sprintf(`Permissions Violation for Publish to "x.%d"`, i))
		}
		if n := len(b.reports.last); n > maxReports+1 {
			t.Errorf("%d things remembered", n)
		}
		<-time.After(time.Minute)
		if n := violate(`Permissions Violation for Publish to "y"`); n != 1 || len(b.reports.last) > 10 {
			t.Errorf("after the flood: %d lines, %d remembered", n, len(b.reports.last))
		}
	})
}
