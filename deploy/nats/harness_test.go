package nats_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"

	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what takes a busy machine its time.
const patience = 30 * time.Second

// role is who connects: a service's name, or one of these.
type role string

const (
	operator role = "operator"
	edge     role = "edge"
)

func roles() []role {
	all := []role{operator, edge}
	for _, service := range schema.Services() {
		all = append(all, role(service))
	}
	return all
}

// variable is the environment variable with a role's public key.
func (r role) variable() string {
	return "INDRANET_NKEY_" + strings.ToUpper(strings.ReplaceAll(string(r), "-", "_"))
}

// deployment is a server or cluster that runs from this directory's files.
type deployment struct {
	servers []*server.Server
	// url names all servers.
	url string
	// security has what each role connects with.
	security map[role]stream.Security
}

// keys makes an nkey for every role, puts the public keys into the environment and the
// seeds into files.
func keys(t *testing.T) map[role]stream.Security {
	t.Helper()
	dir, security := t.TempDir(), map[role]stream.Security{}
	for _, r := range roles() {
		pair, err := nkeys.CreateUser()
		must(t, err)
		public, err := pair.PublicKey()
		must(t, err)
		seed, err := pair.Seed()
		must(t, err)
		t.Setenv(r.variable(), public)
		file := filepath.Join(dir, string(r)+".nk")
		must(t, os.WriteFile(file, seed, 0o600))
		security[r] = stream.Security{NKey: file}
	}
	return security
}

// public is the public key of s.
func public(t *testing.T, s stream.Security) string {
	t.Helper()
	seed, err := os.ReadFile(s.NKey)
	must(t, err)
	pair, err := nkeys.FromSeed(seed)
	must(t, err)
	key, err := pair.PublicKey()
	must(t, err)
	return key
}

// run starts a server from a file as it is.
func run(t *testing.T, file string) *server.Server {
	t.Helper()
	opts, err := server.ProcessConfigFile(file)
	must(t, err)
	return start(t, opts)
}

func start(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	return startWith(t, opts, nil)
}

// startWith starts a server with a log, where it is to have one.
func startWith(t *testing.T, opts *server.Options, log server.Logger) *server.Server {
	t.Helper()
	// Not of the configuration, but of a server within a test.
	opts.NoLog, opts.NoSigs = true, true
	srv, err := server.NewServer(opts)
	must(t, err)
	if log != nil {
		srv.SetLogger(log, false, false)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	return srv
}

// single runs nats-server.conf with all streams and the revocations.
func single(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{security: keys(t)}
	t.Setenv("INDRANET_NATS_NAME", "nats-1")
	t.Setenv("INDRANET_NATS_LISTEN", "127.0.0.1:-1")
	t.Setenv("INDRANET_NATS_STORE", t.TempDir())
	srv := run(t, "nats-server.conf")
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	d.servers, d.url = []*server.Server{srv}, srv.ClientURL()
	d.apply(t, 1)
	return d
}

// apply does what an operator does before anything else.
func (d *deployment) apply(t *testing.T, replicas int) {
	t.Helper()
	nc := d.connect(t, operator)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	report, err := publisher.EnsureStreams(ctx, nc, publisher.StreamConfig{Replicas: replicas, MaxBytes: 64 << 20}, schema.Services()...)
	must(t, err)
	for _, one := range report {
		if one.Action != publisher.Created {
			t.Errorf("%s was %s", one.Stream, one.Action)
		}
	}
	_, err = stream.EnsureRevocations(ctx, nc, replicas)
	must(t, err)
}

// connect connects as a role, the way a program does.
func (d *deployment) connect(t *testing.T, r role, more ...nats.Option) *nats.Conn {
	t.Helper()
	options, err := d.security[r].Options()
	must(t, err)
	options = append(options, nats.Name("test "+string(r)), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	nc, err := nats.Connect(d.url, append(options, more...)...)
	must(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// bus connects as an edge.
func (d *deployment) bus(t *testing.T) *stream.Bus {
	t.Helper()
	bus, err := stream.Connect(stream.Config{URL: d.url, Name: "edge", Security: d.security[edge]}, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(bus.Close)
	return bus
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func channel(t *testing.T, name string) schema.Channel {
	t.Helper()
	c, err := schema.ParseChannel(name)
	must(t, err)
	return c
}

// until asks again and again.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}
