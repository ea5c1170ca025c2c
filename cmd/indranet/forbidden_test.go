package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/bodhisattva/indranet/schema"
)

func TestWhatNATSForbidsIsSaidAtOnce(t *testing.T) {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		Users: []*server.User{{Username: "reader", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"$JS.API.INFO"}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(patience) {
		t.Fatal("no NATS")
	}
	url := srv.ClientURL()
	reader := strings.Replace(url, "nats://", "nats://reader:p@", 1)
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"set --nkey (NATS_NKEY) or --creds (NATS_CREDS)", []string{"streams", "ls", "--nats=" + url}},
		{"NATS does not permit a publish to \"$JS.API.STREAM.INFO.IND_DHRUVA\"; use the key of the role operator (deploy/nats/README.md says who may what): --nkey or --creds\n",
			[]string{"streams", "ls", "dhruva", "--nats=" + reader}},
		{"NATS does not permit", []string{"streams", "apply", "--nats=" + reader}},
		{"NATS does not permit", []string{"streams", "diff", "--nats=" + reader}},
		{"NATS does not permit", []string{"revoke", "--user=alice", "--nats=" + reader}},
		{"NATS does not permit", []string{"publish", "dhruva", "adapter.activated", `{"adapter_id":"a","repo":"r","version":"1"}`, "--nats=" + reader}},
	} {
		var out, problems strings.Builder
		start := time.Now()
		code := run(t.Context(), tc.args, stdio{strings.NewReader(""), &out, &problems})
		if code != exitFailed || !strings.Contains(problems.String(), tc.want) || strings.Count(problems.String(), "\n") != 1 {
			t.Errorf("%v: exit code %d\n%s", tc.args, code, &problems)
		}
		if took := time.Since(start); took > 9*time.Second {
			t.Errorf("%v: took %v", tc.args, took)
		}
	}
}

// roles runs the NATS of deploy/nats, with its streams, and returns its URL and a
// directory with the seed of each role.
func roles(t *testing.T) (url, dir string) {
	t.Helper()
	dir = t.TempDir()
	all := []string{"operator", "edge"}
	for _, service := range schema.Services() {
		all = append(all, string(service))
	}
	for _, role := range all {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		seed, err := pair.Seed()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, role+".nk"), seed, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("INDRANET_NKEY_"+strings.ToUpper(strings.ReplaceAll(role, "-", "_")), public)
	}
	t.Setenv("INDRANET_NATS_NAME", "nats-1")
	t.Setenv("INDRANET_NATS_LISTEN", "127.0.0.1:-1")
	t.Setenv("INDRANET_NATS_STORE", t.TempDir())
	opts, err := server.ProcessConfigFile("../../deploy/nats/nats-server.conf")
	if err != nil {
		t.Fatal(err)
	}
	opts.NoLog, opts.NoSigs = true, true
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(srv.WaitForShutdown)
	t.Cleanup(srv.Shutdown)
	if !srv.ReadyForConnections(patience) {
		t.Fatal("no NATS")
	}
	url = srv.ClientURL()
	output(t, "streams", "apply", "--max-bytes=1MiB", "--nats="+url, "--nkey="+filepath.Join(dir, "operator.nk"))
	return url, dir
}

func TestAWrongRoleIsToldWhichOneMay(t *testing.T) {
	url, dir := roles(t)
	const event = `{"adapter_id":"a","repo":"r","version":"1"}`
	output(t, "publish", "dhruva", "adapter.activated", event, "--nats="+url, "--nkey="+filepath.Join(dir, "dhruva.nk"))
	if past := output(t, "history", "dhruva", "global", "--nats="+url, "--nkey="+filepath.Join(dir, "edge.nk")); strings.Count(past, "\n") != 1 {
		t.Errorf("history %q", past)
	}
	output(t, "tail", "dhruva", "global", "--since=start", "--count=1", "--nats="+url, "--nkey="+filepath.Join(dir, "edge.nk"))
	for _, tc := range []struct{ key, may, args string }{
		{"operator", "edge", "history dhruva global"},
		{"mahavishnu", "edge", "history dhruva global"},
		{"operator", "edge", "tail dhruva global"},
		{"dhruva", "edge", "tail dhruva global"},
		{"dhruva", "edge", "tail dhruva global --since start"},
		{"mahavishnu", "edge", "tail dhruva global"},
		{"operator", "dhruva", "publish dhruva adapter.activated " + event},
		{"edge", "dhruva", "publish dhruva adapter.activated " + event},
		{"mahavishnu", "dhruva", "publish dhruva adapter.activated " + event},
		{"mahavishnu", "excalidraw", `publish excalidraw cursor.moved {"room_id":"r","user_id":"u","x":1,"y":2}`},
		{"dhruva", "operator", "streams apply"},
		{"edge", "operator", "revoke --all"},
	} {
		var out, problems strings.Builder
		start := time.Now()
		args := append(strings.Fields(tc.args), "--nats="+url, "--nkey="+filepath.Join(dir, tc.key+".nk"))
		code := run(t.Context(), args, stdio{strings.NewReader(""), &out, &problems})
		text := problems.String()
		if code != exitFailed || strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "indranet: NATS does not permit a ") ||
			!strings.Contains(text, "; use the key of the role "+tc.may+" (") {
			t.Errorf("%s with the key of %s: exit code %d\n%s%s", tc.args, tc.key, code, &out, text)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s with the key of %s: took %v", tc.args, tc.key, took)
		}
	}
}

// full is a file on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestALineThatAFileDoesNotTakeIsNotLost(t *testing.T) {
	var standard strings.Builder
	if _, err := (fileOrStandard{full{}, &standard}).Write([]byte("a line\n")); err != nil || standard.String() != "a line\n" {
		t.Errorf("%q, %v", standard.String(), err)
	}
}
