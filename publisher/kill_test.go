package publisher_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
)

// nodeEnv makes the test binary one node of a cluster, which can be killed: its
// configuration as JSON.
const nodeEnv = "PUBLISHER_TEST_NODE"

// nodeConfig is one node of a cluster of processes.
type nodeConfig struct {
	Name, Dir     string
	Client, Route int
	Routes        []int
	cmd           *exec.Cmd
	stdin         io.Closer
}

func TestMain(m *testing.M) {
	if text := os.Getenv(nodeEnv); text != "" {
		if err := serveNode(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// serveNode is a NATS server until standard input ends.
func serveNode(text string) error {
	var n nodeConfig
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return err
	}
	opts := &server.Options{
		ServerName: n.Name, Host: "127.0.0.1", Port: n.Client, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: n.Dir, JetStreamMaxStore: 1 << 30,
		Cluster: server.ClusterOpts{Name: "kill", Host: "127.0.0.1", Port: n.Route, PoolSize: 1},
	}
	for _, port := range n.Routes {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	srv.Start()
	if !srv.ReadyForConnections(30 * time.Second) {
		return fmt.Errorf("%s is not ready", n.Name)
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	srv.Shutdown()
	return err
}

// start runs the node and returns when it says that it is ready.
func (n *nodeConfig) start(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	n.cmd = exec.Command(os.Args[0])
	n.cmd.Env = append(os.Environ(), nodeEnv+"="+string(text))
	n.cmd.Stderr = os.Stderr
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if n.stdin, err = n.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%s: %v", n.Name, err)
	}
}

// kill ends the node like a power failure, but for what the kernel still writes.
func (n *nodeConfig) kill() {
	_ = n.stdin.Close()
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

func processes(t *testing.T, count int) []*nodeConfig {
	t.Helper()
	ports := make([]int, 2*count)
	var listeners []net.Listener
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	for _, l := range listeners {
		_ = l.Close()
	}
	dir := t.TempDir()
	nodes := make([]*nodeConfig, count)
	for i := range nodes {
		name := fmt.Sprintf("k%d", i+1)
		nodes[i] = &nodeConfig{
			Name: name, Dir: filepath.Join(dir, name),
			Client: ports[i], Route: ports[count+i], Routes: ports[count:],
		}
		nodes[i].start(t)
		t.Cleanup(func() { nodes[i].kill() })
	}
	return nodes
}

func TestKilledLeaderLosesAndRepeatsNothing(t *testing.T) {
	nodes := processes(t, 3)
	var urls []string
	for _, n := range nodes {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", n.Client))
	}
	nc, err := nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.PingInterval(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	// The cluster may not have a leader yet.
	ensure(t, nc, publisher.StreamConfig{Replicas: 3, MaxBytes: 64 << 20}, schema.Mahavishnu)
	p := newPublisher(t, nc)
	f := startFlow(t, p, 20)
	f.wantProgress(t, 1000)
	info, err := directget.New(nc).Info(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	leader := nodes[slices.IndexFunc(nodes, func(n *nodeConfig) bool { return n.Name == info.Leader })]
	leader.kill()
	began := time.Now()
	f.wantProgress(t, 1000)
	t.Logf("publishing went on after %s", time.Since(began).Round(time.Millisecond))
	leader.start(t)
	f.wantProgress(t, 1000)
	want := f.stop(t)
	wantChannels(t, ids(t, nc), want)
}
