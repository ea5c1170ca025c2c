package certs

import (
	"crypto/tls"
	"crypto/x509"
)

// baseTLS is what every configuration of a server has in common.
func baseTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Of TLS 1.2; those of 1.3 can't be chosen and need not be.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		},
		NextProtos:                  []string{"http/1.1"},
		DynamicRecordSizingDisabled: true,
	}
}

// newTLS is the configuration of one set of files. clientCAs is empty where clients
// need no certificates.
func newTLS(p parsed) *tls.Config {
	c := baseTLS()
	cert := tls.Certificate{PrivateKey: p.key, Leaf: p.chain[0]}
	for _, link := range p.chain {
		cert.Certificate = append(cert.Certificate, link.Raw)
	}
	c.Certificates = []tls.Certificate{cert}
	if len(p.clientCAs) > 0 {
		c.ClientAuth = tls.RequireAndVerifyClientCert
		c.ClientCAs = x509.NewCertPool()
		for _, ca := range p.clientCAs {
			c.ClientCAs.AddCert(ca)
		}
	}
	// A configuration given by GetConfigForClient has its tickets encrypted with the
	// keys of the one that gave it, which would outlive every reload, unless it does so
	// itself. These are the keys that crypto/tls makes for c and changes every day.
	c.WrapSession = c.EncryptTicket
	c.UnwrapSession = c.DecryptTicket
	return c
}

// ServerTLS is the configuration for the server's listener, the same pointer always;
// it must not be changed, and cloning it (as net/http does) is fine. Every handshake
// is made with the set of files that is served at that moment: between two reloads
// that is one *tls.Config, so that sessions are resumed.
func (p *Pair) ServerTLS() *tls.Config { return p.server }

// newServer is the configuration that hands every handshake the one of the set that
// is served. It has no certificate of its own: nothing can be served without a set.
func (p *Pair) newServer() *tls.Config {
	c := baseTLS()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return p.serving.Load().config, nil
	}
	return c
}
