package certs

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

// ExpiryWarning is how long before its end a certificate is warned of. Certbot and
// cert-manager renew 30 days before the end of 90: what is younger than that was
// renewed in time.
const ExpiryWarning = 30 * 24 * time.Hour

// CheckOptions say what files are checked for. The zero value checks what is to be
// served in production to clients who trust what this machine trusts.
type CheckOptions struct {
	// Host is the name or address that clients connect to. Empty leaves out whether
	// the certificate covers it.
	Host string
	// Now is the time to judge at. Default: the time it is.
	Now time.Time
	// Roots are the authorities that clients trust. Default: those of this machine.
	Roots *x509.CertPool
	// Development allows a self-signed certificate.
	Development bool
}

// Check reads files as an edge would and reports everything that is right and wrong
// with them. Where ClientCA is named, it is looked at too. It opens no connection.
func Check(files Files, o CheckOptions) Report {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	s := readSet(files, files.ClientCA != "")
	p, broken := parse(s)
	return Report{Findings: inspect(s, p, broken, o)}
}

// inspector collects what is found in one set of files.
type inspector struct {
	CheckOptions
	found []Finding
}

// inspect gives what was found, file by file: what parse found, and what there is to
// say about the files that could be parsed.
func inspect(s set, p parsed, broken []Finding, o CheckOptions) []Finding {
	in := &inspector{CheckOptions: o}
	told := 0
	tell := func(f file) {
		for _, finding := range broken {
			if finding.File == f.path && !slices.Contains(in.found, finding) {
				in.found = append(in.found, finding)
				told++
			}
		}
	}
	tell(s.cert)
	if len(p.chain) > 0 {
		in.chain(s.cert.path, p.chain)
		if p.keyInCert && s.cert.path != s.key.path {
			in.mode(s.cert)
		}
	}
	tell(s.key)
	if told == 0 {
		in.add(OK, "", s.key.path, "the private key belongs to the certificate, %s", describe(p.key.Public()))
	}
	if p.key != nil {
		in.mode(s.key)
	}
	if s.clientCA != nil {
		tell(*s.clientCA)
		if len(p.clientCAs) > 0 {
			in.authorities(s.clientCA.path, p.clientCAs)
		}
	}
	return in.found
}

func (in *inspector) add(level Level, code Code, path, format string, args ...any) {
	in.found = append(in.found, Finding{Level: level, Code: code, File: path, Text: fmt.Sprintf(format, args...)})
}

// mode says whether others may read a file that holds a key. On Windows the mode
// doesn't tell.
func (in *inspector) mode(f file) {
	switch {
	case runtime.GOOS == "windows":
	case f.mode&0o007 != 0:
		in.add(Warning, KeyMode, f.path, "mode %04o: everybody on this machine has access to the private key; chmod o= takes it away", f.mode)
	default:
		in.add(OK, "", f.path, "mode %04o", f.mode)
	}
}

// chain looks at the server's certificate and those that are sent with it.
func (in *inspector) chain(path string, chain []*x509.Certificate) {
	leaf := chain[0]
	in.add(OK, "", path, "%s, the first is %s, %s", plural(len(chain), "certificate"), subject(leaf), describe(leaf.PublicKey))
	in.names(path, leaf)
	in.usage(path, leaf)
	used := in.order(path, chain)
	for i, n := range used {
		in.validity(path, chain[n])
		in.strength(path, chain[n], i == 0)
	}
}

// names looks at whom the certificate is for.
func (in *inspector) names(path string, leaf *x509.Certificate) {
	names := hosts(leaf)
	switch {
	case len(names) == 0:
		in.add(Error, Names, path, "is for no host: it has no subjectAltName, and clients don't look at the common name")
	case in.Host == "":
		in.add(OK, "", path, "is for %s", list(names))
	case leaf.VerifyHostname(in.Host) != nil:
		in.add(Error, Names, path, "is not for %q but for %s", in.Host, list(names))
	default:
		in.add(OK, "", path, "is for %q", in.Host)
	}
}

// hosts are the names and addresses that a certificate is for.
func hosts(cert *x509.Certificate) []string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// list quotes names, ten at most.
func list(names []string) string {
	var b strings.Builder
	for i, name := range names[:min(len(names), 10)] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", name)
	}
	if len(names) > 10 {
		fmt.Fprintf(&b, " and %d more", len(names)-10)
	}
	return b.String()
}

// usage looks at what the certificate may be used for.
func (in *inspector) usage(path string, leaf *x509.Certificate) {
	limited := len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0
	server := slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
	if limited && !server {
		in.add(Error, Usage, path, "is not for servers: its extended key usage leaves out serverAuth")
	}
	if leaf.IsCA && !selfSigned(leaf) {
		in.add(Warning, Usage, path, "is an authority's certificate, which some clients refuse from a server")
	}
}

// order looks at whether every certificate is followed by its issuer's, up to an
// authority that clients know. It gives the indexes of those that belong to the
// server's, in the order of the chain.
func (in *inspector) order(path string, chain []*x509.Certificate) []int {
	used := []int{0}
	last := chain[0]
	for !selfSigned(last) {
		next := issuer(chain, used)
		if next < 0 {
			break
		}
		used, last = append(used, next), chain[next]
	}
	complete := true
	switch {
	case selfSigned(last) && len(used) == 1:
		complete = false
		in.add(choose(in.Development, Warning, Error), SelfSigned, path, "is self-signed: no client trusts it by itself")
	case in.known(last):
	case len(used) == 1:
		complete = false
		in.add(Error, ChainIncomplete, path, "the certificate of its issuer, %s, is missing, and %s: most clients will refuse", quote(last.Issuer.String()), in.stranger())
	default:
		complete = false
		in.add(choose(in.Roots == nil, Warning, Error), ChainUnknown, path, "the chain ends at %s, and %s: only clients that trust it can connect", quote(last.Issuer.String()), in.stranger())
	}
	if !slices.IsSorted(used) {
		complete = false
		in.add(Error, ChainOrder, path, "the certificates are in the wrong order: each must be followed by its issuer's, here %s", numbers(used))
	}
	if len(used) < len(chain) {
		complete = false
		in.add(Warning, ChainExtra, path, "%d of %s don't belong to the chain of the first: every client gets them for nothing", len(chain)-len(used), plural(len(chain), "certificate"))
	}
	if complete {
		in.add(OK, "", path, "the chain is complete and in order")
	}
	return used
}

// issuer is the index of the certificate that signed the last of used, -1 if it is not
// there. Where several did (an authority's certificate was renewed, or cross-signed),
// the one that follows is preferred.
func issuer(chain []*x509.Certificate, used []int) int {
	last := used[len(used)-1]
	for i := range chain {
		i = (last + 1 + i) % len(chain)
		if !slices.Contains(used, i) && signed(chain[last], chain[i]) {
			return i
		}
	}
	return -1
}

// signed reports whether parent's key signed child. Where the algorithm is too weak to
// be looked at, names decide.
func signed(child, parent *x509.Certificate) bool {
	if string(child.RawIssuer) != string(parent.RawSubject) {
		return false
	}
	return weakSignature(child) || child.CheckSignatureFrom(parent) == nil
}

// selfSigned reports whether a certificate was signed with its own key.
func selfSigned(cert *x509.Certificate) bool {
	if string(cert.RawIssuer) != string(cert.RawSubject) {
		return false
	}
	return weakSignature(cert) || cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

// known reports whether clients know who signed a certificate. When it expires is told
// elsewhere, so it is looked at in its own time.
func (in *inspector) known(cert *x509.Certificate) bool {
	at := in.Now
	if at.After(cert.NotAfter) {
		at = cert.NotAfter
	}
	if at.Before(cert.NotBefore) {
		at = cert.NotBefore
	}
	_, err := cert.Verify(x509.VerifyOptions{
		Roots: in.Roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil
}

// stranger says of an issuer that known does not know it.
func (in *inspector) stranger() string {
	if in.Roots == nil {
		return "it is no authority that this machine trusts"
	}
	return "it is none of the given authorities"
}

// validity looks at the time from which and until which a certificate is valid.
func (in *inspector) validity(path string, cert *x509.Certificate) {
	left := cert.NotAfter.Sub(in.Now)
	switch {
	case left < 0:
		in.add(Error, Expired, path, "%s has expired: it was valid until %s", subject(cert), date(cert.NotAfter))
	case in.Now.Before(cert.NotBefore):
		in.add(Error, NotYetValid, path, "%s is not valid before %s: is the clock right?", subject(cert), date(cert.NotBefore))
	case left < ExpiryWarning:
		in.add(Warning, ExpiresSoon, path, "%s expires in %s, %s", subject(cert), plural(days(left), "day"), date(cert.NotAfter))
	default:
		in.add(OK, "", path, "%s is valid for %s, until %s", subject(cert), plural(days(left), "day"), date(cert.NotAfter))
	}
}

// strength looks at a certificate's key and signature. Nobody looks at the signature
// of a root.
func (in *inspector) strength(path string, cert *x509.Certificate, leaf bool) {
	if weakKey(cert) {
		in.add(Error, WeakKey, path, "the key of %s is weak: %s, of which clients want 2048", subject(cert), describe(cert.PublicKey))
	}
	if describe(cert.PublicKey) == "Ed25519" && leaf {
		in.add(Warning, KeyType, path, "browsers refuse Ed25519 certificates: take ECDSA P-256")
	}
	if weakSignature(cert) && (leaf || !selfSigned(cert)) {
		in.add(Error, WeakSignature, path, "%s is signed with %s, which clients refuse", subject(cert), cert.SignatureAlgorithm)
	}
}

func weakKey(cert *x509.Certificate) bool {
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	return ok && key.N.BitLen() < 2048
}

func weakSignature(cert *x509.Certificate) bool {
	switch cert.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return true
	}
	return false
}

// authorities looks at the certificates of those who sign the clients'.
func (in *inspector) authorities(path string, cas []*x509.Certificate) {
	in.add(OK, "", path, "%s of authorities whose clients may connect", plural(len(cas), "certificate"))
	last := latest(cas)
	for _, ca := range cas {
		if !ca.IsCA {
			in.add(Warning, Usage, path, "%s is no authority: it vouches for nobody but itself", subject(ca))
		}
		if weakKey(ca) {
			in.add(Error, WeakKey, path, "the key of %s is weak: %s", subject(ca), describe(ca.PublicKey))
		}
		if ca != last && in.Now.After(ca.NotAfter) {
			in.add(Warning, Expired, path, "%s has expired, its clients are refused: it was valid until %s", subject(ca), date(ca.NotAfter))
		}
	}
	in.validity(path, last)
}

// latest is the authority that expires last: after it no client can connect.
func latest(cas []*x509.Certificate) *x509.Certificate {
	return slices.MaxFunc(cas, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
}

// subject names a certificate: its common name, else its first host, else its number.
func subject(cert *x509.Certificate) string {
	switch names := hosts(cert); {
	case cert.Subject.CommonName != "":
		return quote(cert.Subject.CommonName)
	case len(names) > 0:
		return quote(names[0])
	default:
		return fmt.Sprintf("number %x", cert.SerialNumber)
	}
}

// quote makes a name from a certificate harmless on a terminal.
func quote(name string) string { return fmt.Sprintf("%q", short(name)) }

// short cuts a name that is longer than any sensible one.
func short(name string) string {
	if len(name) > 200 {
		return name[:200] + "…"
	}
	return name
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// days are the full days in a duration.
func days(d time.Duration) int { return int(d / (24 * time.Hour)) }

// numbers are indexes as people count.
func numbers(indexes []int) string {
	var b strings.Builder
	for i, n := range indexes {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, n+1)
	}
	return b.String()
}

func choose[T any](condition bool, yes, no T) T {
	if condition {
		return yes
	}
	return no
}
