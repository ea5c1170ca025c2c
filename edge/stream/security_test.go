package stream_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/schema"
)

var discard = slog.New(slog.DiscardHandler)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// file writes a file of the test.
func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, content, 0o600))
	return path
}

// key makes an nkey and returns its public key and its seed too.
func key(t *testing.T, create func() (nkeys.KeyPair, error)) (pair nkeys.KeyPair, public string, seed []byte) {
	t.Helper()
	pair, err := create()
	must(t, err)
	public, err = pair.PublicKey()
	must(t, err)
	seed, err = pair.Seed()
	must(t, err)
	return pair, public, seed
}

// guarded is a server that lets in only whom its options say. It keeps its address over
// restarts.
type guarded struct {
	configure func(*server.Options)
	port      int
	srv       *server.Server
}

func guard(t *testing.T, configure func(*server.Options)) *guarded {
	t.Helper()
	g := &guarded{configure: configure, port: server.RANDOM_PORT}
	g.start(t)
	t.Cleanup(g.stop)
	return g
}

func (g *guarded) start(t *testing.T) {
	t.Helper()
	// A server changes its options, so each has its own.
	opts := &server.Options{Host: "127.0.0.1", Port: g.port, NoLog: true, NoSigs: true}
	g.configure(opts)
	srv, err := server.NewServer(opts)
	must(t, err)
	g.srv = srv
	g.srv.Start()
	if !g.srv.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	g.port = g.srv.Addr().(*net.TCPAddr).Port
}

func (g *guarded) stop() {
	g.srv.Shutdown()
	g.srv.WaitForShutdown()
}

// wantWorks has an edge connect with s, and again after the server was away.
func (g *guarded) wantWorks(t *testing.T, s stream.Security, meanwhile func()) {
	t.Helper()
	var log locked
	bus, err := stream.Connect(stream.Config{URL: g.srv.ClientURL(), Security: s}, slog.New(slog.NewTextHandler(&log, nil)))
	must(t, err)
	defer bus.Close()
	must(t, bus.Service(schema.Dhruva).Flush(t.Context()))
	g.stop()
	if meanwhile != nil {
		meanwhile()
	}
	g.start(t)
	until(t, "the edge to be back", func() bool { return bus.Stats.Reconnects.Load() >= 3 && bus.Connected() })
	must(t, bus.Service(schema.Dhruva).Flush(t.Context()))
}

func (g *guarded) wantRefused(t *testing.T, name string, s stream.Security) {
	t.Helper()
	if bus, err := stream.Connect(stream.Config{URL: g.srv.ClientURL(), Security: s}, discard); err == nil {
		bus.Close()
		t.Errorf("%s: was let in", name)
	}
}

// locked is a log that several goroutines write.
type locked struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestAnEdgeConnectsWithAnNKey(t *testing.T) {
	_, public, seed := key(t, nkeys.CreateUser)
	_, _, other := key(t, nkeys.CreateUser)
	g := guard(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} })
	g.wantWorks(t, stream.Security{NKey: file(t, "edge.nk", append(seed, '\n'))}, nil)
	g.wantRefused(t, "another key", stream.Security{NKey: file(t, "edge.nk", other)})
	g.wantRefused(t, "no key", stream.Security{})
}

// jwtServer trusts an operator with one account. issue makes a credentials file of a user.
func jwtServer(t *testing.T) (g *guarded, issue func(life time.Duration) []byte) {
	t.Helper()
	operator, operatorID, _ := key(t, nkeys.CreateOperator)
	account, accountID, _ := key(t, nkeys.CreateAccount)
	_, systemID, _ := key(t, nkeys.CreateAccount)
	resolver := &server.MemAccResolver{}
	for _, id := range []string{accountID, systemID} {
		token, err := jwt.NewAccountClaims(id).Encode(operator)
		must(t, err)
		must(t, resolver.Store(id, token))
	}
	g = guard(t, func(o *server.Options) {
		o.TrustedOperators = []*jwt.OperatorClaims{jwt.NewOperatorClaims(operatorID)}
		o.AccountResolver, o.SystemAccount = resolver, systemID
	})
	return g, func(life time.Duration) []byte {
		_, id, seed := key(t, nkeys.CreateUser)
		claims := jwt.NewUserClaims(id)
		claims.Expires = time.Now().Add(life).Unix()
		token, err := claims.Encode(account)
		must(t, err)
		creds, err := jwt.FormatUserConfig(token, seed)
		must(t, err)
		return creds
	}
}

func TestAnEdgeConnectsWithCredentials(t *testing.T) {
	g, issue := jwtServer(t)
	path := file(t, "edge.creds", issue(time.Hour))
	g.wantWorks(t, stream.Security{Creds: path}, nil)
	// Other credentials in the same file, of another user.
	g.wantWorks(t, stream.Security{Creds: path}, func() { must(t, os.WriteFile(path, issue(time.Hour), 0o600)) })
	g.wantRefused(t, "expired credentials", stream.Security{Creds: file(t, "old.creds", issue(-time.Minute))})
	g.wantRefused(t, "no credentials", stream.Security{})
}

// TestAnEdgeComesBackWithRenewedCredentials is the way of credentials that expire: the
// server refuses them as often as they are tried, and the edge goes on trying.
func TestAnEdgeComesBackWithRenewedCredentials(t *testing.T) {
	g, issue := jwtServer(t)
	path := file(t, "edge.creds", issue(time.Hour))
	var log locked
	bus, err := stream.Connect(stream.Config{URL: g.srv.ClientURL(), Security: stream.Security{Creds: path}}, slog.New(slog.NewTextHandler(&log, nil)))
	must(t, err)
	defer bus.Close()
	must(t, os.WriteFile(path, issue(-time.Minute), 0o600))
	g.stop()
	g.start(t)
	until(t, "a refusal", func() bool { return strings.Contains(strings.ToLower(log.String()), "authorization violation") })
	must(t, os.WriteFile(path, []byte("a half-written fi"), 0o600))
	until(t, "the broken file to be named", func() bool { return strings.Contains(log.String(), path) })
	if strings.Contains(log.String(), "half-written") {
		t.Errorf("the log has what the file holds: %s", log.String())
	}
	before := strings.Count(log.String(), "\n")
	until(t, "some more tries", func() bool { return tries(t, g) > 20 })
	must(t, os.WriteFile(path, issue(time.Hour), 0o600))
	until(t, "the edge to be back", bus.Connected)
	if n := strings.Count(log.String(), "\n") - before; n > 12 {
		t.Errorf("%d lines about refusals within a moment: %s", n, log.String())
	}
}

// tries is how many connections were made to the server.
func tries(t *testing.T, g *guarded) uint64 {
	t.Helper()
	v, err := g.srv.Varz(nil)
	must(t, err)
	return v.TotalConnections
}

// authority signs certificates.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue writes name.pem and name.key. The first one signs itself.
func (a *authority) issue(t *testing.T, name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	template.Subject = pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	must(t, err)
	text, err := x509.MarshalECPrivateKey(private)
	must(t, err)
	must(t, os.WriteFile(a.file(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(a.file(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text}), 0o600))
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert, private
}

func TestAnEdgeConnectsWithMutualTLS(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	client := func() *x509.Certificate {
		return &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	}
	a.issue(t, "server", &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	a.issue(t, "edge", client())
	other.issue(t, "edge", client())
	g := guard(t, func(o *server.Options) {
		config, err := server.GenTLSConfig(&server.TLSConfigOpts{
			CertFile: a.file("server.pem"), KeyFile: a.file("server.key"), CaFile: a.file("ca.pem"), Verify: true,
		})
		must(t, err)
		o.TLS, o.TLSVerify, o.TLSConfig, o.TLSTimeout = true, true, config, 10
	})
	s := stream.Security{CA: a.file("ca.pem"), Cert: a.file("edge.pem"), Key: a.file("edge.key")}
	g.wantWorks(t, s, nil)
	// Renewed certificates, of another key.
	g.wantWorks(t, s, func() { a.issue(t, "edge", client()) })
	g.wantRefused(t, "no certificate", stream.Security{CA: s.CA})
	g.wantRefused(t, "a certificate of others", stream.Security{CA: s.CA, Cert: other.file("edge.pem"), Key: other.file("edge.key")})
	g.wantRefused(t, "a server of others", stream.Security{CA: other.file("ca.pem"), Cert: s.Cert, Key: s.Key})
	g.wantRefused(t, "a server that the system does not know", stream.Security{Cert: s.Cert, Key: s.Key})
	options, err := s.Options()
	must(t, err)
	var o nats.Options
	for _, option := range options {
		must(t, option(&o))
	}
	if !o.Secure || o.TLSConfig.MinVersion < tls.VersionTLS12 || o.TLSConfig.InsecureSkipVerify {
		t.Errorf("TLS %+v", o.TLSConfig)
	}
}

func TestSecurityNamesFilesAndNotWhatTheyHold(t *testing.T) {
	a := newAuthority(t)
	a.issue(t, "other", &x509.Certificate{})
	_, _, seed := key(t, nkeys.CreateUser)
	_, _, account := key(t, nkeys.CreateAccount)
	const secret = "SUAHUNTER2HUNTER2"
	junk := file(t, "junk", []byte(secret))
	seedOnly := file(t, "seed", seed)
	missing := filepath.Join(t.TempDir(), "missing")
	for name, c := range map[string]struct {
		s    stream.Security
		want []string
	}{
		"creds missing":      {stream.Security{Creds: missing}, []string{missing}},
		"creds junk":         {stream.Security{Creds: junk}, []string{junk}},
		"creds without JWT":  {stream.Security{Creds: seedOnly}, []string{seedOnly, "no user JWT"}},
		"nkey missing":       {stream.Security{NKey: missing}, []string{missing}},
		"nkey junk":          {stream.Security{NKey: junk}, []string{junk}},
		"nkey of an account": {stream.Security{NKey: file(t, "account.nk", account)}, []string{"account.nk"}},
		"CA missing":         {stream.Security{CA: missing}, []string{missing}},
		"CA junk":            {stream.Security{CA: junk}, []string{junk}},
		"certificate junk":   {stream.Security{Cert: junk, Key: junk}, []string{junk}},
		"another's key":      {stream.Security{Cert: a.file("other.pem"), Key: a.file("ca.key")}, []string{"other.pem", "ca.key"}},
		"certificate alone":  {stream.Security{Cert: a.file("other.pem")}, []string{"go together"}},
		"two identities":     {stream.Security{Creds: junk, NKey: seedOnly}, []string{"exclude", junk}},
		"all at once":        {stream.Security{NKey: missing, CA: junk, Key: missing}, []string{missing, junk, "go together"}},
	} {
		options, err := c.s.Options()
		if err == nil || options != nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, without %q", name, err, want)
			}
		}
		for _, text := range []string{secret, string(seed), string(account)} {
			if strings.Contains(err.Error(), text) {
				t.Errorf("%s: the error holds a secret", name)
			}
		}
		if _, err := stream.Connect(stream.Config{URL: "nats://127.0.0.1:1", Security: c.s}, discard); err == nil || !strings.Contains(err.Error(), c.want[0]) {
			t.Errorf("%s: connect: %v", name, err)
		}
	}
}

// TestMissingPermissionsAreCountedAndLoggedOnce has a server refuse what an edge needs.
func TestMissingPermissionsAreCountedAndLoggedOnce(t *testing.T) {
	_, public, seed := key(t, nkeys.CreateUser)
	g := guard(t, func(o *server.Options) {
		o.Nkeys = []*server.NkeyUser{{Nkey: public, Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Deny: []string{"$JS.>"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}}}
	})
	var log locked
	bus, err := stream.Connect(stream.Config{URL: g.srv.ClientURL(), Security: stream.Security{NKey: file(t, "edge.nk", seed)}},
		slog.New(slog.NewTextHandler(&log, nil)))
	must(t, err)
	defer bus.Close()
	r := follow(t, bus) // Asks four times a second.
	s := bus.Service(schema.Dhruva)
	w, err := s.Watch(schema.Channel{}, false, func(feed.Message) {})
	must(t, err)
	defer w.Stop()
	until(t, "three requests to be refused", func() bool { return bus.Stats.Denied.Load() >= 4 })
	for subject, want := range map[string]int{"$JS.API.STREAM.INFO.KV_IND_REVOCATIONS": 1, "live.dhruva.>": 1} {
		if n := strings.Count(log.String(), subject); n != want {
			t.Errorf("%s is logged %d times: %s", subject, n, log.String())
		}
	}
	if r.Fresh(time.Now(), time.Hour) {
		t.Error("the revocations are fresh although nobody may ask for them")
	}
}

// TestAnEdgeThatMayNotDoItsWorkIsNotReady: before the first client asks for anything, and
// until it may.
func TestAnEdgeThatMayNotDoItsWorkIsNotReady(t *testing.T) {
	_, public, seed := key(t, nkeys.CreateUser)
	may := func(live ...string) func(o *server.Options) {
		return func(o *server.Options) {
			o.Nkeys = []*server.NkeyUser{{Nkey: public, Permissions: &server.Permissions{
				Subscribe: &server.SubjectPermission{Allow: append(live, "_INBOX.>"), Deny: []string{"live.dhruva.secret.>"}},
			}}}
		}
	}
	connect := func(g *guarded) *stream.Bus {
		bus, err := stream.Connect(stream.Config{URL: g.srv.ClientURL(), Security: stream.Security{NKey: file(t, "edge.nk", seed)}}, discard)
		must(t, err)
		t.Cleanup(bus.Close)
		bus.Service(schema.Dhruva)
		bus.Service(schema.Akosha)
		bus.Probe()
		return bus
	}
	bus := connect(guard(t, may("live.akosha.>")))
	until(t, "it is noticed", func() bool { return bus.Permitted() != nil })
	if err := bus.Permitted().Error(); !strings.Contains(err, `a subscription to "live.dhruva.>"`) || !strings.Contains(err, "deploy/nats") {
		t.Error(err)
	}

	// What one channel is refused for is no reason to serve nobody.
	bus = connect(guard(t, may("live.>")))
	channel, err := schema.ParseChannel("secret:x")
	must(t, err)
	w, err := bus.Service(schema.Dhruva).Watch(channel, false, func(feed.Message) {})
	must(t, err)
	defer w.Stop()
	until(t, "the channel is refused", func() bool { return bus.Stats.Denied.Load() > 0 })
	if err := bus.Permitted(); err != nil {
		t.Error(err)
	}
}
