package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"time"
)

// autoLife is how long a certificate is valid that an edge makes for itself, autoUse
// how long it is in service: until a day before it would be warned of.
const (
	autoLife = 90 * 24 * time.Hour
	autoUse  = autoLife - ExpiryWarning - 24*time.Hour
)

// autoName is what stands in the place of a file's path.
const autoName = "auto_cert"

// autoFiles makes a self-signed certificate for this machine, in memory: two files
// that were never written.
func autoFiles(now time.Time) (cert, key file, err error) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, key, fmt.Errorf("certs: make a key: %w", err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "Indranet development"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:   now.Add(-time.Hour), // Clocks of containers and phones differ.
		NotAfter:    now.Add(autoLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// Without this some clients take a self-signed certificate for an authority.
		BasicConstraintsValid: true,
	}
	if host, err := os.Hostname(); err == nil && isName(host) && host != "localhost" {
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return cert, key, fmt.Errorf("certs: make a certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return cert, key, fmt.Errorf("certs: encode a key: %w", err)
	}
	cert = file{path: autoName, mode: 0o600, data: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	key = file{path: autoName, mode: 0o600, data: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})}
	return cert, key, nil
}

// isName reports whether a host's name can stand in a certificate.
func isName(host string) bool {
	for _, c := range host {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return host != "" && len(host) <= 253
}
