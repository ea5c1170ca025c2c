package nats_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
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

// authority signs certificates.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// issue writes name.pem and name.key. The first one signs itself.
func (a *authority) issue(t *testing.T, name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	template.Subject = pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	must(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	must(t, os.WriteFile(a.file(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(a.file(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), 0o600))
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// cluster runs three nodes from cluster.conf, with all streams on all of them.
func cluster(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{security: keys(t)}
	a := newAuthority(t)
	a.issue(t, "node", &x509.Certificate{
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	a.issue(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	t.Setenv("INDRANET_NATS_CA", a.file("ca.pem"))
	t.Setenv("INDRANET_NATS_CERT", a.file("node.pem"))
	t.Setenv("INDRANET_NATS_KEY", a.file("node.key"))
	listen := freeAddresses(t, 3)
	var routes []string
	for _, addr := range listen {
		routes = append(routes, `"nats-route://`+addr+`"`)
	}
	t.Setenv("INDRANET_NATS_ROUTES", "["+strings.Join(routes, ", ")+"]")
	var nodes []*server.Options
	for i, addr := range listen {
		t.Setenv("INDRANET_NATS_NAME", fmt.Sprintf("nats-%d", i+1))
		t.Setenv("INDRANET_NATS_LISTEN", "127.0.0.1:-1")
		t.Setenv("INDRANET_NATS_CLUSTER_LISTEN", addr)
		t.Setenv("INDRANET_NATS_STORE", t.TempDir())
		opts, err := server.ProcessConfigFile("cluster.conf")
		must(t, err)
		nodes = append(nodes, opts)
	}
	for r, s := range d.security {
		s.CA, s.Cert, s.Key = a.file("ca.pem"), a.file("client.pem"), a.file("client.key")
		d.security[r] = s
	}
	return d.join(t, nodes)
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
			"no CA": {NKey: s.NKey, Cert: s.Cert, Key: s.Key},
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
