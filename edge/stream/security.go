package stream

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// Security says how a client of NATS proves who it is, and how it knows the server.
// The zero value does neither. All fields are paths of files, which are read again at
// every connect and reconnect, so that renewed credentials and certificates need no
// restart.
type Security struct {
	// Creds is a credentials file: a user's JWT and the seed of its nkey.
	Creds string
	// NKey is a file with the seed of a user's nkey (SU...). It excludes Creds.
	NKey string
	// CA is a PEM file with the certificates of those who may sign a server's
	// certificate. Empty: whom the system trusts. With it TLS is demanded.
	CA string
	// Cert and Key are PEM files with the client's certificate chain and its key. With
	// them TLS is demanded.
	Cert, Key string
}

// Options turns s into options of nats.go. It reads every file once, and its error has
// everything that is wrong, by the names of the files and never with what they hold.
func (s Security) Options() ([]nats.Option, error) {
	var (
		options []nats.Option
		errs    []error
	)
	check := func(err error, option nats.Option) {
		if err != nil {
			errs = append(errs, err)
			return
		}
		options = append(options, option)
	}
	if s.Creds != "" && s.NKey != "" {
		errs = append(errs, errors.New("stream: a credentials file and an nkey exclude each other"))
	}
	if (s.Cert == "") != (s.Key == "") {
		errs = append(errs, errors.New("stream: a client certificate and its key go together"))
	}
	if s.Creds != "" {
		_, pair, err := readCreds(s.Creds)
		if err == nil {
			pair.Wipe()
		}
		check(err, nats.UserJWT(s.jwt, s.signWithCreds))
	}
	if s.NKey != "" {
		public, err := publicKey(s.NKey)
		check(err, nats.Nkey(public, func(nonce []byte) ([]byte, error) { return signWithNKey(s.NKey, public, nonce) }))
	}
	if s.CA != "" {
		_, err := s.roots()
		check(err, func(o *nats.Options) error {
			demandTLS(o)
			o.RootCAsCB = s.roots
			return nil
		})
	}
	if s.Cert != "" && s.Key != "" {
		_, err := s.certificate()
		check(err, func(o *nats.Options) error {
			demandTLS(o)
			o.TLSCertCB = s.certificate
			return nil
		})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return options, nil
}

func demandTLS(o *nats.Options) {
	o.Secure = true
	if o.TLSConfig == nil {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
}

func (s Security) jwt() (string, error) {
	token, pair, err := readCreds(s.Creds)
	if err != nil {
		return "", err
	}
	pair.Wipe()
	return token, nil
}

func (s Security) signWithCreds(nonce []byte) ([]byte, error) {
	_, pair, err := readCreds(s.Creds)
	if err != nil {
		return nil, err
	}
	defer pair.Wipe()
	return sign(pair, nonce, s.Creds)
}

// readCreds reads a credentials file. The caller wipes the key. A file in which nkeys
// finds no JWT would be taken for one as a whole, and sent.
func readCreds(file string) (token string, pair nkeys.KeyPair, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", nil, fmt.Errorf("stream: credentials file: %w", err)
	}
	defer clear(text)
	token, err = nkeys.ParseDecoratedJWT(text)
	if err != nil || strings.Count(token, ".") != 2 || !strings.HasPrefix(token, "eyJ") || strings.ContainsAny(token, " \r\n\t") {
		return "", nil, fmt.Errorf("stream: credentials file %s: it holds no user JWT", file)
	}
	if pair, err = nkeys.ParseDecoratedUserNKey(text); err != nil {
		return "", nil, fmt.Errorf("stream: credentials file %s: it holds no seed of a user's nkey", file)
	}
	return token, pair, nil
}

// readNKey reads the seed of a user's nkey. The caller wipes the key.
func readNKey(file string) (nkeys.KeyPair, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("stream: nkey file: %w", err)
	}
	defer clear(text)
	pair, err := nkeys.ParseDecoratedUserNKey(bytes.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("stream: nkey file %s: it holds no seed of a user's nkey", file)
	}
	return pair, nil
}

func publicKey(file string) (string, error) {
	pair, err := readNKey(file)
	if err != nil {
		return "", err
	}
	defer pair.Wipe()
	public, err := pair.PublicKey()
	if err != nil {
		return "", fmt.Errorf("stream: nkey file %s: %w", file, err)
	}
	return public, nil
}

// signWithNKey signs with the key in a file, which must be the one that nats.go
// announces: it asks for the public key only once.
func signWithNKey(file, public string, nonce []byte) ([]byte, error) {
	pair, err := readNKey(file)
	if err != nil {
		return nil, err
	}
	defer pair.Wipe()
	if now, err := pair.PublicKey(); err != nil || now != public {
		return nil, fmt.Errorf("stream: nkey file %s: it holds another key than at the start", file)
	}
	return sign(pair, nonce, file)
}

func sign(pair nkeys.KeyPair, nonce []byte, file string) ([]byte, error) {
	signature, err := pair.Sign(nonce)
	if err != nil {
		return nil, fmt.Errorf("stream: sign with %s: %w", file, err)
	}
	return signature, nil
}

func (s Security) roots() (*x509.CertPool, error) {
	text, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, fmt.Errorf("stream: CA file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("stream: CA file %s: it holds no certificate in PEM", s.CA)
	}
	return pool, nil
}

func (s Security) certificate() (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("stream: client certificate %s with key %s: %w", s.Cert, s.Key, err)
	}
	return pair, nil
}
