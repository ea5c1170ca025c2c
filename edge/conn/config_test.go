package conn

import (
	"strings"
	"testing"
	"time"
)

func TestZeroConfigIsTheDefault(t *testing.T) {
	got, err := Config{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		MaxMessageBytes: 1 << 20, MaxFramesPerSecond: 100_000, FlushBytes: 64 << 10,
		PingInterval: 20 * time.Second, PingTimeout: 20 * time.Second,
		CloseTimeout: 10 * time.Second, MessageTimeout: 30 * time.Second, SlowTimeout: 120 * time.Second,
		WriteBufferBytes: 64 << 10, UnsentBytes: 16 << 10, MaxConnections: 1000,
	}
	if got != want {
		t.Errorf("got %+v", got)
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	_, err := New(Config{
		MaxMessageBytes: 2 << 30, FlushBytes: -1, PingInterval: time.Millisecond, MessageTimeout: -1, SlowTimeout: -1, MaxConnections: -5,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"MaxMessageBytes", "FlushBytes", "PingInterval", "MessageTimeout", "SlowTimeout", "MaxConnections"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %q", name, err)
		}
	}
}
