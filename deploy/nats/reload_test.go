package nats_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
)

// TestAReloadReplacesKeys replaces a publisher's key while everybody is connected, the
// way README.md tells: by lines at the top of accounts.conf.
func TestAReloadReplacesKeys(t *testing.T) {
	dir := t.TempDir()
	write := func(security map[role]stream.Security) {
		for _, file := range []string{"nats-server.conf", "accounts.conf"} {
			text, err := os.ReadFile(file)
			must(t, err)
			if file == "accounts.conf" {
				var lines strings.Builder
				for r, s := range security {
					fmt.Fprintf(&lines, "%s: %s\n", r.variable(), public(t, s))
				}
				text = append([]byte(lines.String()), text...)
			}
			must(t, os.WriteFile(filepath.Join(dir, file), text, 0o600))
		}
	}
	d := &deployment{security: keys(t)}
	for _, r := range roles() {
		t.Setenv(r.variable(), "UNUSED")
	}
	t.Setenv("INDRANET_NATS_NAME", "nats-1")
	t.Setenv("INDRANET_NATS_LISTEN", "127.0.0.1:-1")
	t.Setenv("INDRANET_NATS_STORE", t.TempDir())
	write(d.security)
	srv := run(t, filepath.Join(dir, "nats-server.conf"))
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	d.servers, d.url = []*server.Server{srv}, srv.ClientURL()
	d.apply(t, 1)

	bus := d.bus(t)
	closed := make(chan struct{})
	d.connect(t, role(schema.Dhruva), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	old, err := d.security[role(schema.Dhruva)].Options()
	must(t, err)
	d.security[role(schema.Dhruva)] = keys(t)[role(schema.Dhruva)]
	write(d.security)
	must(t, srv.Reload())
	wait(t, closed, "who holds the old key to be cut off")
	if nc, err := nats.Connect(d.url, old...); err == nil {
		nc.Close()
		t.Error("the old key was let in")
	}
	for _, service := range []schema.Service{schema.Dhruva, schema.Mahavishnu} {
		p, err := publisher.New(d.connect(t, role(service)))
		must(t, err)
		_, err = p.Publish(t.Context(), event{service: service, channel: channel(t, "registry")})
		must(t, err)
		p.Close()
		st, err := bus.Service(service).State(t.Context())
		if err != nil || st.Last != 1 {
			t.Errorf("%s after the reload: %+v, %v", service, st, err)
		}
	}
}
