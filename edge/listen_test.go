package edge

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/bodhisattva/indranet/edge/audit"
	"github.com/bodhisattva/indranet/edge/limit"
)

// TestWhatAListenerDoesNotReturnIsLoggedWithinBounds: at a level that is seen, and an edge
// without descriptors does not fill a disk as well.
func TestWhatAListenerDoesNotReturnIsLoggedWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
		e := &Edge{logger: logger, audit: audit.New(logger, metrics.NewSet())}
		report := e.report(sharedListener, audit.HandshakeRefused)
		for range 61 {
			report.Failed(syscall.EMFILE)
			<-time.After(time.Second)
		}
		if n := strings.Count(log.String(), "too many open files"); n != 7 {
			t.Errorf("%d lines in a minute: %s", n, log.String())
		}
		log.Reset()
		for range 1000 {
			report.Refused(netip.MustParseAddr("192.0.2.1"), limit.ReasonHalfOpen)
		}
		if n := strings.Count(log.String(), "security.address=192.0.2.1 security.listener=shared"); n != 100 {
			t.Errorf("%d lines of 1000 refusals", n)
		}
	})
}
