package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
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
		{"NATS does not permit a publish to \"$JS.API.STREAM.INFO.IND_DHRUVA\"", []string{"streams", "ls", "dhruva", "--nats=" + reader}},
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

// full is a file on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestALineThatAFileDoesNotTakeIsNotLost(t *testing.T) {
	var standard strings.Builder
	if _, err := (fileOrStandard{full{}, &standard}).Write([]byte("a line\n")); err != nil || standard.String() != "a line\n" {
		t.Errorf("%q, %v", standard.String(), err)
	}
}
