package natstest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
)

// Cluster is a number of servers that share their streams.
type Cluster struct {
	// Servers are the nodes. Each may be shut down and restarted alone.
	Servers []*Server
}

// StartCluster runs a cluster of n nodes until the test ends. It returns when
// JetStream has a leader.
func StartCluster(t testing.TB, n int, opts ...Option) *Cluster {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	dir := t.TempDir()
	// A port that was free a moment ago may be taken by somebody else.
	var err error
	for range 3 {
		var c *Cluster
		if c, err = startCluster(dir, n, o); err == nil {
			t.Cleanup(c.Shutdown)
			c.waitMeta(t)
			ensure(t, c.Connect(t), o, n)
			return c
		}
	}
	t.Fatal(err)
	return nil
}

func startCluster(dir string, n int, o options) (*Cluster, error) {
	ports, err := freePorts(n)
	if err != nil {
		return nil, err
	}
	routes := make([]*url.URL, n)
	for i, port := range ports {
		routes[i] = &url.URL{Scheme: "nats-route", Host: fmt.Sprintf("127.0.0.1:%d", port)}
	}
	c := &Cluster{}
	for i := range n {
		name := fmt.Sprintf("n%d", i+1)
		opts := serverOptions(filepath.Join(dir, name), name, o)
		opts.Cluster = server.ClusterOpts{Name: "natstest", Host: "127.0.0.1", Port: ports[i], PoolSize: 1}
		opts.Routes = routes
		c.Servers = append(c.Servers, &Server{opts: opts})
	}
	// Nodes wait for each other, so they start together.
	errs := make([]error, n)
	var started sync.WaitGroup
	for i, s := range c.Servers {
		started.Go(func() { errs[i] = s.start() })
	}
	started.Wait()
	if err := errors.Join(errs...); err != nil {
		for i, s := range c.Servers {
			if errs[i] == nil {
				s.Shutdown()
			}
		}
		return nil, err
	}
	return c, nil
}

// freePorts returns ports on which nobody listens right now.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("natstest: %w", err)
		}
		// Closed only when all are known, so that they differ.
		defer func() { _ = l.Close() }()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// URL names all nodes.
func (c *Cluster) URL() string {
	urls := make([]string, len(c.Servers))
	for i, s := range c.Servers {
		urls[i] = s.URL()
	}
	return strings.Join(urls, ",")
}

// Connect connects to any node until the test ends. It reconnects to any other.
func (c *Cluster) Connect(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	return connect(t, c.URL(), opts)
}

// Shutdown ends all nodes that run.
func (c *Cluster) Shutdown() {
	var ended sync.WaitGroup
	for _, s := range c.Servers {
		ended.Go(s.Shutdown)
	}
	ended.Wait()
}

// Leader is the node that leads the stream of service. It waits for an election.
func (c *Cluster) Leader(t testing.TB, service schema.Service) *Server {
	t.Helper()
	var leader *Server
	until(t, "leader of "+service.Stream(), func() bool {
		for _, s := range c.Servers {
			if srv := s.NATS(); srv.Running() && srv.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, service.Stream()) {
				leader = s
				return true
			}
		}
		return false
	})
	return leader
}

// stepDownAnswer is how long an answer to the wish for another leader is waited for.
const stepDownAnswer = 2 * time.Second

// StepDown makes the leader of service's stream give up the lead, and waits until
// another node has it.
func (c *Cluster) StepDown(t testing.TB, service schema.Service) {
	t.Helper()
	old := c.Leader(t, service)
	nc := c.Connect(t)
	defer nc.Close()
	// A leader that is deposed while it is asked gives no answer.
	until(t, "another leader of "+service.Stream(), func() bool {
		if c.Leader(t, service) != old {
			return true
		}
		_, _ = nc.Request("$JS.API.STREAM.LEADER.STEPDOWN."+service.Stream(), nil, stepDownAnswer)
		return c.Leader(t, service) != old
	})
}

// WaitCurrent waits until every running replica of service's stream has everything
// the leader has.
func (c *Cluster) WaitCurrent(t testing.TB, service schema.Service) {
	t.Helper()
	nc := c.Connect(t)
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	until(t, "replicas of "+service.Stream(), func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), directget.DefaultStall)
		defer cancel()
		stream, err := js.Stream(ctx, service.Stream())
		if err != nil {
			return false
		}
		info := stream.CachedInfo().Cluster
		if info == nil || info.Leader == "" {
			return false
		}
		for _, replica := range info.Replicas {
			if !replica.Offline && (!replica.Current || replica.Lag > 0) {
				return false
			}
		}
		return true
	})
}

func (c *Cluster) waitMeta(t testing.TB) {
	t.Helper()
	until(t, "leader of the cluster", func() bool {
		for _, s := range c.Servers {
			if srv := s.NATS(); srv.JetStreamIsLeader() && len(srv.JetStreamClusterPeers()) == len(c.Servers) {
				return true
			}
		}
		return false
	})
}

// until asks again and again, for servers do not announce their elections.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("natstest: no %s after %s", what, patience)
		}
	}
}
