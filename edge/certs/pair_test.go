package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/edge/certs/certstest"
)

func TestABrokenPairNeverReplacesAGoodOne(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{})
	first, second := ca.Leaf(t, certstest.Options{}), ca.Leaf(t, certstest.Options{})
	log := &journal{}
	p, dir := pairOf(t, first, log)
	address := listen(t, p.ServerTLS())
	config := client(ca, tls.VersionTLS13)
	mustDial(t, address, config)

	certstest.WriteFile(t, filepath.Join(dir, "tls.crt"), second.CertPEM())
	for range 3 {
		err := p.Reload()
		if found, ok := errors.AsType[*FileError](err); !ok || found.Finding.Code != KeyMismatch {
			t.Fatalf("Reload: %v, want a key that does not belong to the certificate", err)
		}
		if !errors.Is(p.Err(), err) {
			t.Errorf("Err: %v", p.Err())
		}
	}
	wantServed(t, p, first)
	if !mustDial(t, address, config).ConnectionState().DidResume {
		t.Error("the broken files ended the sessions")
	}
	if got := p.Stats().Refused.Load(); got != 1 {
		t.Errorf("%d changes refused, want 1", got)
	}
	if got := log.lines("level=ERROR"); got != 1 {
		t.Errorf("%d errors are logged for one change:\n%s", got, log)
	}

	second.Write(t, dir)
	if err := p.Reload(); err != nil || p.Err() != nil {
		t.Fatalf("Reload: %v, Err: %v", err, p.Err())
	}
	wantServed(t, p, second)
	if got := p.Stats().Loaded.Load(); got != 2 {
		t.Errorf("%d sets loaded, want 2", got)
	}
	wantNoSecrets(t, log.String(), first.KeyPEM(t), second.KeyPEM(t))
}

func TestFilesThatGoAwayEndNothing(t *testing.T) {
	leaf := certstest.NewCA(t, certstest.Options{}).Leaf(t, certstest.Options{})
	p, dir := pairOf(t, leaf, nil)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	err := p.Reload()
	if err == nil || strings.Count(err.Error(), "no such file") != 2 {
		t.Errorf("Reload: %v, want both files named", err)
	}
	wantServed(t, p, leaf)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	leaf.Write(t, dir)
	if err := p.Reload(); err != nil || p.Err() != nil {
		t.Errorf("Reload: %v, Err: %v", err, p.Err())
	}
}

func TestAnExpiredCertificateStartsButNeverReplacesAValidOne(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{})
	expired := ca.Leaf(t, certstest.Options{NotAfter: time.Now().Add(-time.Minute)})
	expired2 := ca.Leaf(t, certstest.Options{NotAfter: time.Now().Add(-time.Minute)})
	later := ca.Leaf(t, certstest.Options{NotBefore: time.Now().Add(time.Hour)})
	good := ca.Leaf(t, certstest.Options{})

	p, dir := pairOf(t, expired, nil)
	for _, next := range []*certstest.Leaf{expired2, good} {
		next.Write(t, dir)
		if err := p.Reload(); err != nil {
			t.Fatal(err)
		}
		wantServed(t, p, next)
	}
	for code, next := range map[Code]*certstest.Leaf{Expired: expired, NotYetValid: later} {
		next.Write(t, dir)
		found, ok := errors.AsType[*FileError](p.Reload())
		if !ok || found.Finding.Code != code {
			t.Errorf("Reload: %v, want %s", found, code)
		}
		wantServed(t, p, good)
	}
}

func TestExpiresIsTheFirstEndOfTheChain(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{})
	at := time.Now().Add(1000 * time.Hour).Truncate(time.Second)
	for _, leaf := range []*certstest.Leaf{
		ca.Leaf(t, certstest.Options{NotAfter: at}),
		ca.Intermediate(t, certstest.Options{NotAfter: at}).Leaf(t, certstest.Options{NotAfter: at.Add(time.Hour)}),
		ca.Intermediate(t, certstest.Options{NotAfter: at.Add(time.Hour)}).Leaf(t, certstest.Options{NotAfter: at}),
	} {
		if p, _ := pairOf(t, leaf, nil); !p.Expires().Equal(at) {
			t.Errorf("expires %v, want %v", p.Expires(), at)
		}
	}
}

func TestWhatIsRemarkableIsLoggedWhenItIsLoaded(t *testing.T) {
	log := &journal{}
	leaf := certstest.SelfSigned(t, certstest.Options{})
	dir := t.TempDir()
	cert, key := leaf.Write(t, dir)
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	p := newPair(t, Config{Files: Files{Cert: cert, Key: key}, Log: log.logger()})
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{
		{"level=INFO", "certificate in service", cert, "localhost", "not_after="},
		{"level=WARN", "code=self_signed", cert},
		{"level=WARN", "code=key_mode", key},
	} {
		if got := log.lines(words...); got != 1 {
			t.Errorf("%d lines with %q:\n%s", got, words, log)
		}
	}
	if got := log.lines(""); got != 3 {
		t.Errorf("%d lines, want 3:\n%s", got, log)
	}
	wantNoSecrets(t, log.String(), leaf.KeyPEM(t))
}

func TestAutoIsForThisMachine(t *testing.T) {
	log := &journal{}
	p := newPair(t, Config{Auto: true, Log: log.logger()})
	cert := p.Certificate()
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	address := listen(t, p.ServerTLS())
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil && isName(host) {
		hosts = append(hosts, host)
	}
	for _, host := range hosts {
		config := &tls.Config{RootCAs: pool, ServerName: host, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		mustDial(t, address, config)
		if !mustDial(t, address, config).ConnectionState().DidResume {
			t.Errorf("%s: the session is not resumed", host)
		}
	}
	if cert.IsCA {
		t.Error("who trusts it trusts whatever it signs")
	}
	// A reload makes no other one, every start does.
	if err := p.Reload(); err != nil || !p.Certificate().Equal(cert) {
		t.Errorf("another certificate after a reload: %v", err)
	}
	if newPair(t, Config{Auto: true}).Certificate().Equal(cert) {
		t.Error("two edges share a key")
	}
	if log.lines("level=WARN") != 0 || log.lines("cert_file=auto_cert") != 1 {
		t.Errorf("logged:\n%s", log)
	}
}

func TestAutoMayVerifyClients(t *testing.T) {
	clients := certstest.NewCA(t, certstest.Options{})
	p := newPair(t, Config{Auto: true, VerifyClient: true, Files: Files{ClientCA: clients.Write(t, t.TempDir())}})
	pool := x509.NewCertPool()
	pool.AddCert(p.Certificate())
	config := &tls.Config{RootCAs: pool, ServerName: "localhost"}
	address := listen(t, p.ServerTLS())
	if _, err := dial(t, address, config); err == nil {
		t.Error("a client without a certificate may connect")
	}
	config.Certificates = []tls.Certificate{clients.Leaf(t, certstest.Options{Client: true}).TLS()}
	mustDial(t, address, config)
}

func TestReloadsAndHandshakesDoNotMeet(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{})
	leaves := []*certstest.Leaf{ca.Leaf(t, certstest.Options{}), ca.Leaf(t, certstest.Options{Key: certstest.RSA2048})}
	p, dir := pairOf(t, leaves[0], nil)
	address := listen(t, p.ServerTLS())
	done := make(chan struct{})
	var writers sync.WaitGroup
	writers.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				leaves[i%2].Write(t, dir)
				_ = p.Reload()
				_, _ = p.Err(), p.Expires()
			}
		}
	})
	config := client(ca, tls.VersionTLS13)
	for range 50 {
		c := mustDial(t, address, config)
		got := c.ConnectionState().PeerCertificates[0]
		if !slices.ContainsFunc(leaves, func(l *certstest.Leaf) bool { return got.Equal(l.Cert()) }) {
			t.Error("neither certificate is served")
		}
		_ = c.Close()
	}
	close(done)
	writers.Wait()
}
