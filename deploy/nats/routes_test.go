package nats_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
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

// closings is the log of a server that counts the routes it has lost, or did not get.
type closings struct{ atomic.Int32 }

var _ server.Logger = (*closings)(nil)

func (c *closings) Noticef(format string, _ ...any) {
	if strings.Contains(format, "connection closed") {
		c.Add(1)
	}
}
func (*closings) Warnf(string, ...any)  {}
func (*closings) Fatalf(string, ...any) {}
func (*closings) Errorf(string, ...any) {}
func (*closings) Debugf(string, ...any) {}
func (*closings) Tracef(string, ...any) {}

// TestOnlyNodesJoinTheCluster has servers of others say that they are nodes, with what
// they may have: nothing, or an edge's certificate. Who is let in would need no nkey.
func TestOnlyNodesJoinTheCluster(t *testing.T) {
	keys(t)
	nodes, clients, others := newAuthority(t), newAuthority(t), newAuthority(t)
	others.issue(t, "node", &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	opts := configure(t, nodes, clients, 1)[0]
	node := start(t, opts)
	until(t, "the node to be ready", func() bool { return node.ReadyForConnections(time.Second) })

	join := func(config *tls.Config) (*server.Server, *closings) {
		rogue := &server.Options{ServerName: "rogue", Host: "127.0.0.1", Port: server.RANDOM_PORT, Routes: opts.Routes}
		rogue.Cluster.Name, rogue.Cluster.Host, rogue.Cluster.Port = opts.Cluster.Name, "127.0.0.1", server.RANDOM_PORT
		rogue.Cluster.TLSConfig, rogue.Cluster.TLSTimeout = config, opts.Cluster.TLSTimeout
		log := &closings{}
		return startWith(t, rogue, log), log
	}
	with := func(a *authority, name string) *tls.Config {
		pair, err := tls.LoadX509KeyPair(a.file(name+".pem"), a.file(name+".key"))
		must(t, err)
		return &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}
	}
	type rogue struct {
		srv *server.Server
		log *closings
	}
	rogues := map[string]rogue{}
	for name, config := range map[string]*tls.Config{
		"no TLS": nil, "no certificate": {InsecureSkipVerify: true},
		"an edge's certificate": with(clients, "client"), "a certificate of its own": with(others, "node"),
	} {
		srv, log := join(config)
		rogues[name] = rogue{srv, log}
	}
	for name, r := range rogues {
		until(t, "an answer to who has "+name, func() bool { return r.log.Load() > 0 || r.srv.NumRoutes() > 0 })
		if r.srv.NumRoutes() > 0 {
			t.Errorf("who has %s was let in", name)
		}
	}
	if n := node.NumRoutes(); n > 0 {
		t.Errorf("the node has %d routes", n)
	}
	srv, _ := join(with(nodes, "node"))
	until(t, "another node to join", func() bool { return srv.NumRoutes() > 0 && node.NumRoutes() > 0 })
}

// TestNoOtherPortIsOpen looks at every port that a server can open.
func TestNoOtherPortIsOpen(t *testing.T) {
	for _, d := range []*deployment{single(t), {servers: []*server.Server{start(t, configure(t, newAuthority(t), newAuthority(t), 1)[0])}}} {
		srv := d.servers[0]
		ports := srv.PortsInfo(patience)
		if ports == nil {
			t.Fatal("the server is not ready")
		}
		if len(ports.Nats) == 0 || len(ports.Monitoring)+len(ports.Profile)+len(ports.WebSocket) > 0 {
			t.Errorf("open: %+v", ports)
		}
		if addr := srv.GatewayAddr(); addr != nil {
			t.Errorf("gateways: %s", addr)
		}
		varz, err := srv.Varz(nil)
		must(t, err)
		if n := varz.LeafNode.Port; n != 0 {
			t.Errorf("leaf nodes: %d", n)
		}
		if n := varz.MQTT.Port; n != 0 {
			t.Errorf("MQTT: %d", n)
		}
		if clustered := varz.Cluster.Name != ""; clustered != (len(ports.Cluster) > 0) {
			t.Errorf("routes: %v", ports.Cluster)
		}
	}
}
