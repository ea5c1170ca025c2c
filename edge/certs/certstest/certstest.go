package certstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Key is a kind of private key.
type Key int

// The kinds of keys. Those of RSA take a second to make; a test binary makes each once
// and uses it for everybody.
const (
	P256 Key = iota // ECDSA
	Ed25519
	RSA2048
	RSA1024 // too weak
)

// Options say what a certificate is like. The zero value is good for localhost.
type Options struct {
	// Name is the common name. Default: "test", and a number.
	Name string
	// Hosts are names and addresses. Default: localhost, 127.0.0.1 and ::1. An
	// authority and a client have none, nor has who says []string{}.
	Hosts []string
	// NotBefore is when it begins to be valid. Default: an hour ago.
	NotBefore time.Time
	// NotAfter is when it ceases to be. Default: in a year.
	NotAfter time.Time
	// Key is the kind of the private key. Default: ECDSA P-256.
	Key Key
	// Client makes it a client's certificate and not a server's.
	Client bool
	// SHA1 has the issuer sign with SHA-1.
	SHA1 bool
}

// CA is an authority. Safe for concurrent use.
type CA struct {
	// Cert is the authority's own certificate.
	Cert *x509.Certificate
	key  crypto.Signer
	// above are the certificates between this one's and the root, without the root.
	above []*x509.Certificate
	root  *x509.Certificate
}

// Leaf is a certificate with its key. Safe for concurrent use.
type Leaf struct {
	// Chain is the certificate, and those between it and the root.
	Chain []*x509.Certificate
	// Key is its private key.
	Key crypto.Signer
}

// NewCA makes a root.
func NewCA(t testing.TB, o Options) *CA {
	t.Helper()
	cert, key := issue(t, o, true, nil, nil)
	return &CA{Cert: cert, key: key, root: cert}
}

// Intermediate makes an authority below ca.
func (ca *CA) Intermediate(t testing.TB, o Options) *CA {
	t.Helper()
	cert, key := issue(t, o, true, ca.Cert, ca.key)
	return &CA{Cert: cert, key: key, above: append([]*x509.Certificate{cert}, ca.above...), root: ca.root}
}

// Leaf makes a certificate of a server or a client.
func (ca *CA) Leaf(t testing.TB, o Options) *Leaf {
	t.Helper()
	cert, key := issue(t, o, false, ca.Cert, ca.key)
	return &Leaf{Chain: append([]*x509.Certificate{cert}, ca.above...), Key: key}
}

// SelfSigned makes a server's certificate that nobody else signed.
func SelfSigned(t testing.TB, o Options) *Leaf {
	t.Helper()
	cert, key := issue(t, o, false, nil, nil)
	return &Leaf{Chain: []*x509.Certificate{cert}, Key: key}
}

// Pool holds the root, for those who shall trust it.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.root)
	return pool
}

// PEM is the authority's certificate as a file.
func (ca *CA) PEM() []byte { return certPEM(ca.Cert) }

// Write writes the authority's certificate into dir as ca.crt and gives its path.
func (ca *CA) Write(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "ca.crt")
	WriteFile(t, path, ca.PEM())
	return path
}

// Cert is the certificate itself.
func (l *Leaf) Cert() *x509.Certificate { return l.Chain[0] }

// CertPEM is the chain as a file.
func (l *Leaf) CertPEM() []byte { return certPEM(l.Chain...) }

// KeyPEM is the private key as a file, in PKCS #8.
func (l *Leaf) KeyPEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(l.Key)
	if err != nil {
		t.Fatalf("certstest: %v", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// TLS is the certificate as crypto/tls wants it, for a client to show.
func (l *Leaf) TLS() tls.Certificate {
	c := tls.Certificate{PrivateKey: l.Key, Leaf: l.Chain[0]}
	for _, cert := range l.Chain {
		c.Certificate = append(c.Certificate, cert.Raw)
	}
	return c
}

// Write writes chain and key into dir as tls.crt and tls.key, over what is there, and
// gives their paths. Only the owner may read the key.
func (l *Leaf) Write(t testing.TB, dir string) (cert, key string) {
	t.Helper()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	WriteFile(t, cert, l.CertPEM())
	WriteFile(t, key, l.KeyPEM(t))
	return cert, key
}

func certPEM(certs ...*x509.Certificate) []byte {
	var b []byte
	for _, cert := range certs {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return b
}

// issue makes a certificate and its key; without a parent it signs itself.
func issue(t testing.TB, o Options, ca bool, parent *x509.Certificate, parentKey crypto.Signer) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key, err := newKey(o.Key)
	if err != nil {
		t.Fatalf("certstest: make a key: %v", err)
	}
	if parent == nil {
		parentKey = key
	}
	template := o.template(ca)
	if o.SHA1 {
		template.SignatureAlgorithm = x509.ECDSAWithSHA1
		if _, ok := parentKey.Public().(*rsa.PublicKey); ok {
			template.SignatureAlgorithm = x509.SHA1WithRSA
		}
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatalf("certstest: make a certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("certstest: parse a certificate: %v", err)
	}
	return cert, key
}

func (o Options) template(ca bool) *x509.Certificate {
	id := newID()
	now := time.Now()
	c := &x509.Certificate{
		Subject:               pkix.Name{CommonName: o.Name},
		NotBefore:             o.NotBefore,
		NotAfter:              o.NotAfter,
		BasicConstraintsValid: true,
		IsCA:                  ca,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if o.Name == "" {
		c.Subject.CommonName = "test " + id
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = now.Add(-time.Hour)
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = now.AddDate(1, 0, 0)
	}
	switch {
	case ca:
		c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageCertSign, nil
		// Authorities of the same name are still told apart.
		c.SubjectKeyId = []byte(id)
	case o.Client:
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	case o.Hosts == nil:
		o.Hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	for _, host := range o.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, host)
		}
	}
	return c
}

// newID is short and different every time.
func newID() string {
	b := make([]byte, 4)
	_, _ = rand.Read(b) // It never fails.
	return fmt.Sprintf("%x", b)
}

var (
	rsa2048 = sync.OnceValues(func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) })
	rsa1024 = sync.OnceValues(func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 1024) })
)

func newKey(kind Key) (crypto.Signer, error) {
	switch kind {
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case RSA2048:
		return rsa2048()
	case RSA1024:
		return rsa1024()
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}
