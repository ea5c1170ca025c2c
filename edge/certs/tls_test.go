package certs

import (
	"bufio"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/edge/certs/certstest"
)

// versions are those of TLS that are spoken.
var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// client trusts ca and speaks one version; it keeps its tickets.
func client(ca *certstest.CA, version uint16) *tls.Config {
	return &tls.Config{
		RootCAs: ca.Pool(), ServerName: "localhost", MinVersion: version, MaxVersion: version,
		ClientSessionCache: tls.NewLRUClientSessionCache(8),
	}
}

func TestSessionsAreResumedUntilTheCertificateChanges(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			ca := certstest.NewCA(t, certstest.Options{})
			first, second := ca.Leaf(t, certstest.Options{}), ca.Leaf(t, certstest.Options{})
			p, dir := pairOf(t, first, nil)
			address := listen(t, p.ServerTLS())
			config := client(ca, version)
			want := func(resumed bool, l *certstest.Leaf) *tls.Conn {
				t.Helper()
				c := mustDial(t, address, config)
				state := c.ConnectionState()
				if state.DidResume != resumed || !state.PeerCertificates[0].Equal(l.Cert()) {
					t.Fatalf("resumed %v with %s, want %v with %s", state.DidResume, state.PeerCertificates[0].Subject, resumed, l.Cert().Subject)
				}
				return c
			}
			old := want(false, first)
			want(true, first)
			// The same content, written anew, is no change.
			first.Write(t, dir)
			if err := p.Reload(); err != nil {
				t.Fatal(err)
			}
			want(true, first)

			second.Write(t, dir)
			want(true, first)
			if err := p.Reload(); err != nil {
				t.Fatal(err)
			}
			want(false, second)
			want(true, second)
			if err := echo(old); err != nil {
				t.Fatalf("the connection of before the reload: %v", err)
			}
		})
	}
}

func TestHandshakesShareOneConfigUntilAReload(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{})
	p, dir := pairOf(t, ca.Leaf(t, certstest.Options{}), nil)
	current := func() *tls.Config {
		t.Helper()
		config, err := p.ServerTLS().GetConfigForClient(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return config
	}
	server, before := p.ServerTLS(), current()
	if err := p.Reload(); err != nil || current() != before {
		t.Errorf("another configuration without a change: %v", err)
	}
	ca.Leaf(t, certstest.Options{}).Write(t, dir)
	if current() != before {
		t.Error("another configuration without a reload")
	}
	if err := p.Reload(); err != nil || current() == before {
		t.Errorf("the same configuration after a reload: %v", err)
	}
	if p.ServerTLS() != server {
		t.Error("the listener would need another configuration")
	}
}

func TestOnlyTheTwoSuitesOfTLS12AreSpoken(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{})
	for name, test := range map[string]struct {
		key     certstest.Key
		allowed uint16
	}{
		"ECDSA": {certstest.P256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		"RSA":   {certstest.RSA2048, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := pairOf(t, ca.Leaf(t, certstest.Options{Key: test.key}), nil)
			address := listen(t, p.ServerTLS())
			var others []uint16
			for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
				if suite.ID != test.allowed {
					others = append(others, suite.ID)
				}
			}
			config := client(ca, tls.VersionTLS12)
			config.CipherSuites = others
			if _, err := dial(t, address, config); err == nil || !strings.Contains(err.Error(), "handshake failure") {
				t.Errorf("without the suite: %v, want a handshake failure", err)
			}
			config.CipherSuites = append(others, test.allowed)
			if got := mustDial(t, address, config).ConnectionState().CipherSuite; got != test.allowed {
				t.Errorf("suite %s", tls.CipherSuiteName(got))
			}
		})
	}
}

func TestVersionsBefore12AreRefused(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{})
	p, _ := pairOf(t, ca.Leaf(t, certstest.Options{Key: certstest.RSA2048}), nil)
	address := listen(t, p.ServerTLS())
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		config := client(ca, version)
		for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			config.CipherSuites = append(config.CipherSuites, suite.ID)
		}
		if _, err := dial(t, address, config); err == nil || !strings.Contains(err.Error(), "protocol version not supported") {
			t.Errorf("%s: %v, want that it is not supported", tls.VersionName(version), err)
		}
	}
}

func TestOnlyHTTP1IsNegotiated(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{})
	p, _ := pairOf(t, ca.Leaf(t, certstest.Options{}), nil)
	for name, address := range map[string]string{
		"listener": listen(t, p.ServerTLS()),
		// It would like to speak HTTP/2.
		"net/http": serveHTTP(t, p.ServerTLS(), true),
	} {
		t.Run(name, func(t *testing.T) {
			for offered, want := range map[string]string{"h2,http/1.1": "http/1.1", "http/1.1": "http/1.1", "": ""} {
				config := client(ca, tls.VersionTLS13)
				if offered != "" {
					config.NextProtos = strings.Split(offered, ",")
				}
				c, err := tls.Dial("tcp", address, config)
				if err != nil {
					t.Fatal(err)
				}
				if got := c.ConnectionState().NegotiatedProtocol; got != want {
					t.Errorf("%q of %q", got, offered)
				}
				_ = c.Close()
			}
			config := client(ca, tls.VersionTLS13)
			config.NextProtos = []string{"h2"}
			if c, err := tls.Dial("tcp", address, config); err == nil {
				_ = c.Close()
				t.Error("HTTP/2 was agreed on")
			}
		})
	}
}

// serveHTTP serves an empty 200 by net/http until the test ends: with its own TLS,
// which clones the configuration, or behind a listener of ours.
func serveHTTP(t *testing.T, config *tls.Config, own bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:     http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		ReadTimeout: patience, ErrorLog: log.New(io.Discard, "", 0),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if own {
			server.TLSConfig = config
			_ = server.ServeTLS(l, "", "")
			return
		}
		_ = server.Serve(tls.NewListener(l, config))
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return l.Addr().String()
}

func TestNetHTTPResumesSessionsUntilTheCertificateChanges(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{})
	p, dir := pairOf(t, ca.Leaf(t, certstest.Options{}), nil)
	address := serveHTTP(t, p.ServerTLS(), true)
	config := client(ca, tls.VersionTLS13)
	resumed := func() bool {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
		defer transport.CloseIdleConnections()
		response, err := (&http.Client{Transport: transport, Timeout: patience}).Get("https://" + address)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.TLS.DidResume
	}
	if resumed() || !resumed() {
		t.Error("the second connection did not resume the first")
	}
	ca.Leaf(t, certstest.Options{}).Write(t, dir)
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	if resumed() || !resumed() {
		t.Error("the reload was not seen, or sessions are not resumed after it")
	}
}

// plainHTTP sends a request without TLS and gives everything that comes back.
func plainHTTP(t *testing.T, address string) string {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	// What is cut off by a reset has been received nevertheless.
	answer, _ := io.ReadAll(bufio.NewReader(nc))
	return string(answer)
}

func TestPlainHTTPGetsNoAnswerThatHelps(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{})
	p, _ := pairOf(t, ca.Leaf(t, certstest.Options{}), nil)
	// An alert of TLS is seven bytes, of which the first says so.
	if answer := plainHTTP(t, listen(t, p.ServerTLS())); answer != "" && (len(answer) != 7 || answer[0] != 21) {
		t.Errorf("the listener answers %q", answer)
	}
	// net/http says by itself what is wrong, but neither serves the request nor tells
	// more about the server.
	for _, own := range []bool{true, false} {
		answer := plainHTTP(t, serveHTTP(t, p.ServerTLS(), own))
		if want := "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"; answer != "" && answer != want {
			t.Errorf("net/http answers %q", answer)
		}
	}
}

func TestOnlyClientsOfTheAuthorityConnect(t *testing.T) {
	ca, clients, strangers := certstest.NewCA(t, certstest.Options{}), certstest.NewCA(t, certstest.Options{}), certstest.NewCA(t, certstest.Options{})
	dir := t.TempDir()
	cert, key := ca.Leaf(t, certstest.Options{}).Write(t, dir)
	p := newPair(t, Config{Files: Files{Cert: cert, Key: key, ClientCA: clients.Write(t, dir)}, VerifyClient: true})
	address := listen(t, p.ServerTLS())
	for name, test := range map[string]struct {
		show *certstest.Leaf
		want string // in the client's error; empty where it may connect
	}{
		"of the authority":               {clients.Leaf(t, certstest.Options{Client: true}), ""},
		"of an authority below":          {clients.Intermediate(t, certstest.Options{}).Leaf(t, certstest.Options{Client: true}), ""},
		"none":                           {nil, "certificate required"},
		"of another authority":           {strangers.Leaf(t, certstest.Options{Client: true}), "unknown certificate authority"},
		"of the server's authority":      {ca.Leaf(t, certstest.Options{Client: true}), "unknown certificate authority"},
		"self-signed":                    {certstest.SelfSigned(t, certstest.Options{Client: true}), "unknown certificate authority"},
		"expired":                        {clients.Leaf(t, certstest.Options{Client: true, NotAfter: time.Now().Add(-time.Minute)}), "expired certificate"},
		"a server's, of the authority":   {clients.Leaf(t, certstest.Options{}), "bad certificate"},
		"an authority that posed as one": {certstest.NewCA(t, certstest.Options{Name: clients.Cert.Subject.CommonName}).Leaf(t, certstest.Options{Client: true}), "certificate"},
	} {
		for version, number := range versions {
			t.Run(name+"/"+version, func(t *testing.T) {
				config := client(ca, number)
				if test.show != nil {
					shown := test.show.TLS()
					// Also where the server did not ask for this authority.
					config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shown, nil }
				}
				_, err := dial(t, address, config)
				switch {
				case test.want == "" && err != nil:
					t.Errorf("refused: %v", err)
				case test.want != "" && err == nil:
					t.Error("it may connect")
				case test.want != "" && !strings.Contains(err.Error(), test.want) && number == tls.VersionTLS13:
					t.Errorf("%v, want %q", err, test.want)
				}
			})
		}
	}
}

func TestTicketsAreOfNoUseOnceTheirAuthorityIsGone(t *testing.T) {
	ca, old, next := certstest.NewCA(t, certstest.Options{}), certstest.NewCA(t, certstest.Options{}), certstest.NewCA(t, certstest.Options{})
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cert, key := ca.Leaf(t, certstest.Options{}).Write(t, dir)
			authorities := old.Write(t, dir)
			p := newPair(t, Config{Files: Files{Cert: cert, Key: key, ClientCA: authorities}, VerifyClient: true})
			address := listen(t, p.ServerTLS())
			config := client(ca, version)
			config.Certificates = []tls.Certificate{old.Leaf(t, certstest.Options{Client: true}).TLS()}
			mustDial(t, address, config)
			c := mustDial(t, address, config)
			if !c.ConnectionState().DidResume {
				t.Fatal("a client with a certificate did not resume its session")
			}
			certstest.WriteFile(t, authorities, next.PEM())
			if err := p.Reload(); err != nil {
				t.Fatal(err)
			}
			if _, err := dial(t, address, config); err == nil {
				t.Error("a client of an authority that is gone may connect")
			}
			config.Certificates = []tls.Certificate{next.Leaf(t, certstest.Options{Client: true}).TLS()}
			mustDial(t, address, config)
			if err := echo(c); err != nil {
				t.Errorf("the connection of before the reload: %v", err)
			}
		})
	}
}

func TestBrokenAuthoritiesNeverOpenTheDoor(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{})
	dir := t.TempDir()
	cert, key := ca.Leaf(t, certstest.Options{}).Write(t, dir)
	authorities := ca.Write(t, dir)
	p := newPair(t, Config{Files: Files{Cert: cert, Key: key, ClientCA: authorities}, VerifyClient: true})
	address := listen(t, p.ServerTLS())
	for _, content := range []string{"", "garbage", "-----BEGIN CERTIFICATE-----\n"} {
		certstest.WriteFile(t, authorities, []byte(content))
		if err := p.Reload(); err == nil || !strings.Contains(err.Error(), filepath.Base(authorities)) {
			t.Errorf("%q: %v, want an error that names the file", content, err)
		}
		if _, err := dial(t, address, client(ca, tls.VersionTLS13)); err == nil {
			t.Errorf("%q: a client without a certificate may connect", content)
		}
	}
}

func TestTheChainIsSent(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{})
	leaf := ca.Intermediate(t, certstest.Options{}).Intermediate(t, certstest.Options{}).Leaf(t, certstest.Options{})
	p, _ := pairOf(t, leaf, nil)
	c := mustDial(t, listen(t, p.ServerTLS()), client(ca, tls.VersionTLS13))
	if got := len(c.ConnectionState().PeerCertificates); got != 3 {
		t.Errorf("%d certificates were sent, want 3", got)
	}
}
