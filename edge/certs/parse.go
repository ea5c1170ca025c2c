package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
)

// parsed is what a set of files holds.
type parsed struct {
	// chain is in the order of the file: the server's own certificate first.
	chain []*x509.Certificate
	key   crypto.Signer
	// clientCAs is empty where clients need no certificates.
	clientCAs []*x509.Certificate
	// keyInCert is set where the file of the certificate holds a private key too.
	keyInCert bool
}

// parse takes a set of files apart. Every finding makes the set unusable; without any,
// chain and key are there and belong together.
func parse(s set) (parsed, []Finding) {
	var p parsed
	var found []Finding
	note := func(f *Finding) {
		// Certificate and key may be one file, with one thing wrong.
		if f != nil && !slices.Contains(found, *f) {
			found = append(found, *f)
		}
	}
	var f *Finding
	p.chain, p.keyInCert, f = parseCertificates(s.cert)
	note(f)
	p.key, f = parseKey(s.key)
	note(f)
	if len(p.chain) > 0 && p.key != nil {
		note(fits(p, s.cert.path, s.key.path))
	}
	if s.clientCA != nil {
		p.clientCAs, _, f = parseCertificates(*s.clientCA)
		note(f)
	}
	return p, found
}

// unusable is a finding that makes f unusable.
func unusable(f file, code Code, format string, args ...any) *Finding {
	return &Finding{Level: Error, Code: code, File: f.path, Text: fmt.Sprintf(format, args...)}
}

// beginning is what every PEM block begins with.
var beginning = []byte("-----BEGIN ")

// decode splits a file into its PEM blocks. Text between them is allowed, as openssl
// writes it. A block that begins and can't be decoded is not: it is what a file looks
// like that is being written, and pem.Decode would pass over it.
func decode(f file) ([]*pem.Block, *Finding) {
	if f.finding != nil {
		return nil, f.finding
	}
	if len(bytes.TrimSpace(f.data)) == 0 {
		return nil, unusable(f, Empty, "is empty")
	}
	begin := bytes.Count(f.data, beginning)
	if begin == 0 {
		if f.data[0] == 0x30 { // An ASN.1 sequence.
			return nil, unusable(f, NotPEM, "is not PEM but looks like DER or PKCS #12: convert it with openssl")
		}
		return nil, unusable(f, NotPEM, "holds no PEM block")
	}
	var blocks []*pem.Block
	for rest := f.data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		blocks = append(blocks, block)
	}
	if len(blocks) != begin {
		return nil, unusable(f, Damaged, "%s, of which %d can be decoded: it is cut off or damaged", plural(begin, "PEM block"), len(blocks))
	}
	return blocks, nil
}

// parseCertificates gives the certificates of a file, at least one where there is no
// finding, and whether the file holds a private key too.
func parseCertificates(f file) (chain []*x509.Certificate, key bool, found *Finding) {
	blocks, found := decode(f)
	if found != nil {
		return nil, false, found
	}
	for _, block := range blocks {
		if isKey(block) {
			key = true
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, key, unusable(f, BadCertificate, "certificate %d can't be parsed: %q", len(chain)+1, err.Error())
		}
		chain = append(chain, cert)
	}
	switch {
	case len(chain) > 0:
		return chain, key, nil
	case key:
		return nil, key, unusable(f, NoCertificate, "holds a private key and no certificate: are certificate and key exchanged?")
	case blocks[0].Type == "CERTIFICATE REQUEST" || blocks[0].Type == "NEW CERTIFICATE REQUEST":
		return nil, key, unusable(f, NoCertificate, "holds a request for a certificate, not the certificate that the authority made of it")
	default:
		return nil, key, unusable(f, NoCertificate, "holds no certificate")
	}
}

// isKey reports whether a block is a private key of any kind.
func isKey(block *pem.Block) bool { return strings.HasSuffix(block.Type, "PRIVATE KEY") }

// parseKey gives the first private key of a file. What the parsers say is not passed
// on, they speak of the bytes they stumble over.
func parseKey(f file) (crypto.Signer, *Finding) {
	blocks, found := decode(f)
	if found != nil {
		return nil, found
	}
	for _, block := range blocks {
		if !isKey(block) {
			continue
		}
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, unusable(f, EncryptedKey, "the private key is encrypted, and nobody is there to enter its passphrase: decrypt it with \"openssl pkey\"")
		case block.Type == "OPENSSH PRIVATE KEY":
			return nil, unusable(f, UnsupportedKey, "holds a key of ssh, not of a certificate")
		}
		key := decodeKey(block.Bytes)
		if key == nil {
			return nil, unusable(f, BadKey, "the private key can't be parsed")
		}
		signer, ok := key.(crypto.Signer)
		if !ok || !supported(signer.Public()) {
			return nil, unusable(f, UnsupportedKey, "a private key of this kind or size can't be used for TLS: take ECDSA P-256 or RSA with 2048 bits")
		}
		return signer, nil
	}
	if blocks[0].Type == "CERTIFICATE" {
		return nil, unusable(f, NoKey, "holds a certificate and no private key: are certificate and key exchanged?")
	}
	return nil, unusable(f, NoKey, "holds no private key")
}

// decodeKey gives the key in any of the three forms that openssl writes, nil if it is
// none of them.
func decodeKey(der []byte) any {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key
	}
	return nil
}

// supported reports whether crypto/tls can sign a handshake with a key.
func supported(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= 1024
	case *ecdsa.PublicKey:
		return key.Curve != elliptic.P224()
	case ed25519.PublicKey:
		return true
	}
	return false
}

// fits says what is wrong where the key does not belong to the first certificate.
func fits(p parsed, certPath, keyPath string) *Finding {
	public, ok := p.key.Public().(interface{ Equal(crypto.PublicKey) bool })
	for i, cert := range p.chain {
		if !ok || !public.Equal(cert.PublicKey) {
			continue
		}
		if i == 0 {
			return nil
		}
		return &Finding{
			Level: Error, Code: KeyMismatch, File: certPath,
			Text: fmt.Sprintf("the private key in %s belongs to certificate %d of %d: the server's own must come first", keyPath, i+1, len(p.chain)),
		}
	}
	return &Finding{
		Level: Error, Code: KeyMismatch, File: keyPath,
		Text: "the private key does not belong to the certificate in " + certPath,
	}
}

// describe names the kind and size of a key.
func describe(key crypto.PublicKey) string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d bits", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown kind of key"
}
