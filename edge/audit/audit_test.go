package audit

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

type line struct {
	Msg      string
	Level    string
	Security struct {
		Event, Reason, Service, Address string
		NotLogged                       uint64 `json:"not_logged"`
	}
}

func lines(t *testing.T, text string) (list []line) {
	t.Helper()
	for one := range strings.Lines(text) {
		var l line
		if err := json.Unmarshal([]byte(one), &l); err != nil {
			t.Fatal(err)
		}
		list = append(list, l)
	}
	return list
}

func TestAnEventIsOneLineWithAGroupAndOneCount(t *testing.T) {
	var out bytes.Buffer
	set := metrics.NewSet()
	l := New(slog.New(slog.NewJSONHandler(&out, nil)), set)
	l.Record(AuthRefused, "dhruva", "expired", slog.String("address", "192.0.2.1"))
	l.Record(AuthRefused, "dhruva", "expired")
	l.Record(AdminRefused, "", "network")
	got := lines(t, out.String())
	if len(got) != 3 || got[0].Msg != "security event" || got[0].Level != "WARN" || got[0].Security.Event != "auth_refused" ||
		got[0].Security.Reason != "expired" || got[0].Security.Service != "dhruva" || got[0].Security.Address != "192.0.2.1" {
		t.Errorf("%+v", got)
	}
	var text bytes.Buffer
	set.WritePrometheus(&text)
	if want := `indranet_security_events_total{service="dhruva",event="auth_refused",reason="expired"} 2`; !strings.Contains(text.String(), want) {
		t.Errorf("no %s in %s", want, text.String())
	}
}

func TestAFloodIsCountedAndNotAllLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := New(slog.New(slog.NewJSONHandler(&out, nil)), metrics.NewSet())
		for range 10_000 {
			l.Record(RateLimited, "dhruva", "message")
		}
		if got := len(lines(t, out.String())); got != linesAtOnce {
			t.Errorf("%d lines", got)
		}
		l.Record(Forbidden, "dhruva", "subscribe") // Another event has its own room.
		<-time.After(time.Second)
		out.Reset()
		l.Record(RateLimited, "dhruva", "message")
		if got := lines(t, out.String()); len(got) != 1 || got[0].Security.NotLogged != 10_000-linesAtOnce {
			t.Errorf("%+v", got)
		}
		if n := l.Count(RateLimited, "dhruva", "message"); n != 10_001 {
			t.Errorf("counted %d", n)
		}
	})
}

// TestAFloodHidesNothingElse: not another service's events nor those of another reason, of
// the same sort.
func TestAFloodHidesNothingElse(t *testing.T) {
	var out bytes.Buffer
	l := New(slog.New(slog.NewJSONHandler(&out, nil)), metrics.NewSet())
	for range 1000 {
		l.Record(AuthRefused, "dhruva", "malformed")
	}
	out.Reset()
	l.Record(AuthRefused, "dhruva", "revoked")
	l.Record(AuthRefused, "akosha", "malformed")
	if got := lines(t, out.String()); len(got) != 2 || got[0].Security.NotLogged+got[1].Security.NotLogged != 0 {
		t.Errorf("%+v", got)
	}
}

// TestALogThatIsQuietIsNotBlind: whatever level it has.
func TestALogThatIsQuietIsNotBlind(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelError, slog.LevelError + 100} {
		var out bytes.Buffer
		New(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: level})).With("edge", "e1"), metrics.NewSet()).Record(AuthRefused, "dhruva", "expired")
		if got := lines(t, out.String()); len(got) != 1 || got[0].Level != "WARN" || got[0].Security.Reason != "expired" || !strings.Contains(out.String(), `"edge":"e1"`) {
			t.Errorf("%v: %s", level, out.String())
		}
	}
}
