package certs

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/edge/certs/certstest"
)

// block is a PEM block of any kind.
func block(kind string, data []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data})
}

// pkcs8 is any key as a file.
func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return block("PRIVATE KEY", der)
}

func TestEveryBrokenFileIsRefusedByNameWithoutShowingTheKey(t *testing.T) {
	// Keys of less than 1024 bits can't even be made otherwise.
	t.Setenv("GODEBUG", "rsa1024min=0")
	ca := certstest.NewCA(t, certstest.Options{})
	leaf := ca.Intermediate(t, certstest.Options{}).Leaf(t, certstest.Options{})
	other := ca.Leaf(t, certstest.Options{})
	cert, key := leaf.CertPEM(), leaf.KeyPEM(t)
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 768)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := pem.Decode(key)
	half := func(data []byte) []byte { return data[:len(data)/2] }
	const inCert, inKey, inCA = "tls.crt", "tls.key", "ca.crt"

	for name, test := range map[string]struct {
		cert, key, ca []byte // nil for good ones
		file          string // the one that is named
		code          Code
	}{
		"empty certificate":                 {cert: []byte{}, file: inCert, code: Empty},
		"empty key":                         {key: []byte{}, file: inKey, code: Empty},
		"empty authorities":                 {ca: []byte{}, file: inCA, code: Empty},
		"white space":                       {key: []byte(" \r\n\t\n"), file: inKey, code: Empty},
		"garbage":                           {cert: []byte("here be dragons\n"), file: inCert, code: NotPEM},
		"garbage as key":                    {key: []byte("hunter2hunter2hunter2\n"), file: inKey, code: NotPEM},
		"garbage as authorities":            {ca: []byte("\x00\xff\xfe"), file: inCA, code: NotPEM},
		"DER certificate":                   {cert: leaf.Cert().Raw, file: inCert, code: NotPEM},
		"DER key":                           {key: der.Bytes, file: inKey, code: NotPEM},
		"PEM in UTF-16":                     {key: bytes.Join(bytes.Split(key, nil), []byte{0}), file: inKey, code: NotPEM},
		"half a chain":                      {cert: cert[:len(cert)-100], file: inCert, code: Damaged},
		"half a certificate":                {cert: half(leaf.CertPEM()[:500]), file: inCert, code: Damaged},
		"half a key":                        {key: half(key), file: inKey, code: Damaged},
		"a key with a wrong letter":         {key: bytes.Replace(key, []byte("\nM"), []byte("\n!"), 1), file: inKey, code: Damaged},
		"a byte order mark":                 {cert: append([]byte("\xef\xbb\xbf"), cert...), file: inCert, code: Damaged},
		"half the authorities":              {ca: half(ca.PEM()), file: inCA, code: Damaged},
		"a certificate of garbage":          {cert: block("CERTIFICATE", []byte("garbage")), file: inCert, code: BadCertificate},
		"a second certificate of garbage":   {cert: append(bytes.Clone(cert), block("CERTIFICATE", nil)...), file: inCert, code: BadCertificate},
		"a key where the certificate is":    {cert: block("CERTIFICATE", der.Bytes), file: inCert, code: BadCertificate},
		"an authority of garbage":           {ca: block("CERTIFICATE", []byte("garbage")), file: inCA, code: BadCertificate},
		"exchanged, certificate":            {cert: key, file: inCert, code: NoCertificate},
		"a request":                         {cert: block("CERTIFICATE REQUEST", request), file: inCert, code: NoCertificate},
		"a public key":                      {cert: block("PUBLIC KEY", []byte("x")), file: inCert, code: NoCertificate},
		"no authorities":                    {ca: key, file: inCA, code: NoCertificate},
		"exchanged, key":                    {key: cert, file: inKey, code: NoKey},
		"parameters without key":            {key: block("EC PARAMETERS", []byte("x")), file: inKey, code: NoKey},
		"a key of garbage":                  {key: block("PRIVATE KEY", []byte("garbagegarbagegarbage")), file: inKey, code: BadKey},
		"a cut key":                         {key: block("PRIVATE KEY", half(der.Bytes)), file: inKey, code: BadKey},
		"an encrypted key":                  {key: block("ENCRYPTED PRIVATE KEY", der.Bytes), file: inKey, code: EncryptedKey},
		"an encrypted key of old":           {key: bytes.Replace(key, []byte("-----\n"), []byte("-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"), 1), file: inKey, code: EncryptedKey},
		"a key of ssh":                      {key: block("OPENSSH PRIVATE KEY", der.Bytes), file: inKey, code: UnsupportedKey},
		"a key on P-224":                    {key: pkcs8(t, p224), file: inKey, code: UnsupportedKey},
		"a key that can't sign":             {key: pkcs8(t, x25519), file: inKey, code: UnsupportedKey},
		"an RSA key of 768 bits":            {key: pkcs8(t, small), file: inKey, code: UnsupportedKey},
		"the key of another":                {key: other.KeyPEM(t), file: inKey, code: KeyMismatch},
		"the authority first":               {cert: append(block("CERTIFICATE", leaf.Chain[1].Raw), cert...), file: inCert, code: KeyMismatch},
		"a certificate that is a megabyte":  {cert: append(bytes.Clone(cert), bytes.Repeat([]byte("\n"), MaxFileBytes)...), file: inCert, code: TooBig},
		"a key that is a megabyte":          {key: append(bytes.Clone(key), bytes.Repeat([]byte("\n"), MaxFileBytes)...), file: inKey, code: TooBig},
		"authorities that are one megabyte": {ca: bytes.Repeat([]byte("\n"), MaxFileBytes+1), file: inCA, code: TooBig},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name string, data, good []byte) string {
				if data == nil {
					data = good
				}
				path := filepath.Join(dir, name)
				certstest.WriteFile(t, path, data)
				return path
			}
			files := Files{Cert: write(inCert, test.cert, cert), Key: write(inKey, test.key, key), ClientCA: write(inCA, test.ca, ca.PEM())}
			_, err := New(Config{Files: files, VerifyClient: true})
			found, ok := errors.AsType[*FileError](err)
			if !ok {
				t.Fatalf("New: %v", err)
			}
			if found.Finding.Code != test.code || filepath.Base(found.Finding.File) != test.file {
				t.Errorf("%s of %s, want %s of %s", found.Finding.Code, found.Finding.File, test.code, test.file)
			}
			if !strings.Contains(err.Error(), filepath.Join(dir, test.file)) {
				t.Errorf("the error does not name the file: %v", err)
			}
			if n := strings.Count(err.Error(), "\n"); n != 0 {
				t.Errorf("one thing is wrong, told in %d lines: %v", n+1, err)
			}
			report := Check(files, CheckOptions{})
			if report.Level() != Error || !report.Has(test.code) {
				t.Errorf("the report does not say %s:\n%s", test.code, report)
			}
			wantNoSecrets(t, err.Error()+report.String(), key, test.cert, test.key, other.KeyPEM(t))
		})
	}
}

func TestEveryProblemIsToldAtOnce(t *testing.T) {
	dir := t.TempDir()
	_, err := New(Config{Files: Files{Cert: dir, Key: filepath.Join(dir, "no.key"), ClientCA: filepath.Join(dir, "no.crt")}, VerifyClient: true})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want one that is fs.ErrNotExist", err)
	}
	for _, want := range []string{dir + ": is not a regular file", "no.key: can't be read: no such file", "no.crt: can't be read"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

func TestOneFileMayHoldCertificateAndKey(t *testing.T) {
	leaf := certstest.NewCA(t, certstest.Options{}).Leaf(t, certstest.Options{})
	both := filepath.Join(t.TempDir(), "both.pem")
	certstest.WriteFile(t, both, append(leaf.KeyPEM(t), leaf.CertPEM()...))
	wantServed(t, newPair(t, Config{Files: Files{Cert: both, Key: both}}), leaf)

	certstest.WriteFile(t, both, []byte("garbage"))
	if _, err := New(Config{Files: Files{Cert: both, Key: both}}); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v, want one error of one file", err)
	}
}

func TestEveryFormOfAKeyIsRead(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{})
	for name, kind := range map[string]certstest.Key{"P-256": certstest.P256, "RSA": certstest.RSA2048, "Ed25519": certstest.Ed25519} {
		leaf := ca.Leaf(t, certstest.Options{Key: kind})
		forms := map[string][]byte{"PKCS #8": leaf.KeyPEM(t)}
		switch key := leaf.Key.(type) {
		case *rsa.PrivateKey:
			forms["PKCS #1"] = block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
		case *ecdsa.PrivateKey:
			der, err := x509.MarshalECPrivateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			forms["SEC 1"] = append(block("EC PARAMETERS", []byte{6, 0}), block("EC PRIVATE KEY", der)...)
		}
		for form, data := range forms {
			t.Run(name+"/"+form, func(t *testing.T) {
				dir := t.TempDir()
				cert, key := leaf.Write(t, dir)
				// As "openssl x509 -text" writes it, and with the line ends of Windows.
				certstest.WriteFile(t, cert, append([]byte("Certificate:\n    Data:\n"), leaf.CertPEM()...))
				certstest.WriteFile(t, key, bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n")))
				wantServed(t, newPair(t, Config{Files: Files{Cert: cert, Key: key}}), leaf)
			})
		}
	}
}

func TestConfigsThatContradictThemselvesAreRefused(t *testing.T) {
	for want, cfg := range map[string]Config{
		"must be empty":        {Auto: true, Files: Files{Cert: "a", Key: "b"}},
		"are needed":           {},
		"cert_file and key":    {Files: Files{Cert: "a"}},
		"verify_client needs":  {Auto: true, VerifyClient: true},
		"can't be looked at":   {Auto: true, Poll: -1},
		"both cert_file and k": {VerifyClient: true},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
}

// keyTexts are all that can be said of a file with a key, but for digits: nothing of
// them comes from the file.
var keyTexts = []string{
	"is empty",
	"holds no PEM block",
	"is not PEM but looks like DER or PKCS #: convert it with openssl",
	" PEM block, of which  can be decoded: it is cut off or damaged",
	" PEM blocks, of which  can be decoded: it is cut off or damaged",
	"holds no private key",
	"holds a certificate and no private key: are certificate and key exchanged?",
	"holds a key of ssh, not of a certificate",
	"the private key can't be parsed",
	"the private key is encrypted, and nobody is there to enter its passphrase: decrypt it with \"openssl pkey\"",
	"a private key of this kind or size can't be used for TLS: take ECDSA P- or RSA with  bits",
	"the private key does not belong to the certificate in FILE",
}

func undigit(r rune) rune {
	if '0' <= r && r <= '9' {
		return -1
	}
	return r
}

func FuzzFilesNeverCrashNorShowTheirContent(f *testing.F) {
	ca := certstest.NewCA(f, certstest.Options{})
	leaf := ca.Leaf(f, certstest.Options{})
	cert, key := leaf.CertPEM(), leaf.KeyPEM(f)
	roots := ca.Pool()
	f.Add(cert, key)
	f.Add(key, cert)
	f.Add(append(bytes.Clone(cert), ca.PEM()...), append(block("EC PARAMETERS", nil), key...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n"), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte{0x30}, block("ENCRYPTED PRIVATE KEY", []byte("secret")))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		s := set{cert: file{path: "cert.pem", data: cert}, key: file{path: "key.pem", data: key}}
		p, broken := parse(s)
		if (len(broken) == 0) != (len(p.chain) > 0 && p.key != nil && fits(p, "", "") == nil) {
			t.Fatalf("%d findings with %d certificates", len(broken), len(p.chain))
		}
		report := Report{Findings: inspect(s, p, broken, CheckOptions{Host: "localhost", Roots: roots})}
		if lines := strings.Count(report.String(), "\n"); lines != len(report.Findings)+1 {
			t.Errorf("%d findings in %d lines:\n%s", len(report.Findings), lines, report)
		}
		for _, b := range broken {
			text := strings.Map(undigit, strings.ReplaceAll(b.Text, s.cert.path, "FILE"))
			if b.File == s.key.path && !slices.Contains(keyTexts, text) {
				t.Errorf("said of a key: %q", b.Text)
			}
		}
	})
}
