package nats_test

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
)

// cluster runs three nodes from cluster.conf, with all streams on all of them.
func cluster(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{security: keys(t)}
	nodes, clients := newAuthority(t), newAuthority(t)
	opts := configure(t, nodes, clients, 3)
	for r, s := range d.security {
		s.CA, s.Cert, s.Key = nodes.file("ca.pem"), clients.file("client.pem"), clients.file("client.key")
		d.security[r] = s
	}
	return d.join(t, opts)
}

// configure reads cluster.conf for n nodes, and makes their certificates and a client's.
func configure(t *testing.T, nodes, clients *authority, n int) []*server.Options {
	t.Helper()
	nodes.issue(t, "node", &x509.Certificate{
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	clients.issue(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	t.Setenv("INDRANET_NATS_CA", nodes.file("ca.pem"))
	t.Setenv("INDRANET_NATS_CLIENT_CA", clients.file("ca.pem"))
	t.Setenv("INDRANET_NATS_CERT", nodes.file("node.pem"))
	t.Setenv("INDRANET_NATS_KEY", nodes.file("node.key"))
	listen := freeAddresses(t, n)
	var routes []string
	for _, addr := range listen {
		routes = append(routes, `"nats-route://`+addr+`"`)
	}
	t.Setenv("INDRANET_NATS_ROUTES", "["+strings.Join(routes, ", ")+"]")
	var all []*server.Options
	for i, addr := range listen {
		t.Setenv("INDRANET_NATS_NAME", fmt.Sprintf("nats-%d", i+1))
		t.Setenv("INDRANET_NATS_LISTEN", "127.0.0.1:-1")
		t.Setenv("INDRANET_NATS_CLUSTER_LISTEN", addr)
		t.Setenv("INDRANET_NATS_STORE", t.TempDir())
		opts, err := server.ProcessConfigFile("cluster.conf")
		must(t, err)
		all = append(all, opts)
	}
	return all
}

// freeAddresses are n on which nobody listens right now.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var list []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		// Closed only when all are known, so that they differ.
		defer func() { must(t, l.Close()) }()
		list = append(list, l.Addr().String())
	}
	return list
}

// join starts the nodes of a cluster.
func (d *deployment) join(t *testing.T, nodes []*server.Options) *deployment {
	t.Helper()
	for _, opts := range nodes {
		d.servers = append(d.servers, start(t, opts))
	}
	var urls []string
	for _, srv := range d.servers {
		until(t, "a node to be ready", func() bool { return srv.ReadyForConnections(time.Second) })
		urls = append(urls, srv.ClientURL())
	}
	d.url = strings.Join(urls, ",")
	until(t, "a leader of the cluster", func() bool {
		for _, srv := range d.servers {
			if srv.JetStreamIsLeader() && len(srv.JetStreamClusterPeers()) == len(d.servers) {
				return true
			}
		}
		return false
	})
	d.apply(t, len(d.servers))
	return d
}

// TestPublishersAndEdgesSurviveALostNode ends the node that leads a stream while its
// publisher publishes.
func TestPublishersAndEdgesSurviveALostNode(t *testing.T) {
	d := cluster(t)
	log := d.bus(t).Service(schema.Dhruva)
	p, err := publisher.New(d.connect(t, role(schema.Dhruva), nats.PingInterval(time.Second)))
	must(t, err)
	defer p.Close()
	c := channel(t, "registry")
	for i := range 100 {
		if i == 50 {
			for _, srv := range d.servers {
				if srv.JetStreamIsStreamLeader("INDRANET", schema.Dhruva.Stream()) {
					srv.Shutdown()
					break
				}
			}
		}
		r, err := p.Publish(t.Context(), event{service: schema.Dhruva, channel: c})
		if err != nil || r.Seq != uint64(i+1) {
			t.Fatalf("event %d: %+v, %v", i, r, err)
		}
	}
	until(t, "all of history", func() bool {
		n := 0
		more, err := log.Read(t.Context(), feed.Query{Channel: c, From: 1, Count: 200, Bytes: 1 << 20}, func(feed.Message) { n++ })
		return err == nil && n == 100 && !more
	})
	until(t, "the state", func() bool {
		st, err := log.State(t.Context())
		return err == nil && st.Last == 100
	})
}

func TestEveryRoleCanDoItsWorkInACluster(t *testing.T) {
	d := cluster(t)
	works(t, d, 3)
	t.Run("without a certificate", func(t *testing.T) {
		s := d.security[edge]
		for name, less := range map[string]stream.Security{
			"no certificate": {NKey: s.NKey, CA: s.CA}, "no nkey": {CA: s.CA, Cert: s.Cert, Key: s.Key},
			"no CA":                {NKey: s.NKey, Cert: s.Cert, Key: s.Key},
			"a node's certificate": {NKey: s.NKey, CA: s.CA, Cert: os.Getenv("INDRANET_NATS_CERT"), Key: os.Getenv("INDRANET_NATS_KEY")},
		} {
			options, err := less.Options()
			must(t, err)
			nc, err := nats.Connect(d.servers[0].ClientURL(), options...)
			if err == nil {
				nc.Close()
				t.Errorf("%s: was let in", name)
			}
		}
	})
}
