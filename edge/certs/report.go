package certs

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Level says what a finding means for who operates the edge.
type Level string

// The levels, in ascending order.
const (
	// OK is something that was looked at and is as it should be.
	OK Level = "ok"
	// Warning is something that works today or depends on what this machine can't
	// know.
	Warning Level = "warning"
	// Error is something that keeps the edge from starting, or clients from
	// connecting, or that must not be in production.
	Error Level = "error"
)

// Code names what a finding found, for programs. Codes don't change; texts may.
type Code string

// What makes a set of files unusable: an edge refuses it.
const (
	Unreadable     Code = "unreadable"      // not there, not permitted, a directory, a pipe
	TooBig         Code = "too_big"         // larger than MaxFileBytes
	Empty          Code = "empty"           // nothing but white space
	NotPEM         Code = "not_pem"         // no PEM block: DER, PKCS #12, garbage
	Damaged        Code = "damaged"         // a PEM block is cut off or can't be decoded
	NoCertificate  Code = "no_certificate"  // PEM blocks, but none is a certificate
	BadCertificate Code = "bad_certificate" // a certificate that can't be parsed
	NoKey          Code = "no_key"          // PEM blocks, but none is a private key
	BadKey         Code = "bad_key"         // a private key that can't be parsed
	EncryptedKey   Code = "encrypted_key"   // a private key with a passphrase
	UnsupportedKey Code = "unsupported_key" // a kind or size of key that TLS here can't use
	KeyMismatch    Code = "key_mismatch"    // the key belongs to another certificate, or not to the first
)

// What is wrong with files that can be used.
const (
	KeyMode         Code = "key_mode"         // others on the machine may read the key
	WeakKey         Code = "weak_key"         // RSA under 2048 bits
	KeyType         Code = "key_type"         // a kind of key that browsers refuse
	WeakSignature   Code = "weak_signature"   // SHA-1 or MD5
	Expired         Code = "expired"          // no longer valid
	NotYetValid     Code = "not_yet_valid"    // valid later
	ExpiresSoon     Code = "expires_soon"     // in less than ExpiryWarning
	SelfSigned      Code = "self_signed"      // signed with its own key
	ChainIncomplete Code = "chain_incomplete" // an issuer's certificate is missing
	ChainOrder      Code = "chain_order"      // each must be followed by its issuer's
	ChainExtra      Code = "chain_extra"      // a certificate that has nothing to do with the chain
	ChainUnknown    Code = "chain_unknown"    // ends at an authority that is not known here
	Names           Code = "names"            // the host is not covered, or no host is
	Usage           Code = "usage"            // not a server's certificate, or not an authority's
)

// timely reports whether a finding of this code comes and goes with the time of day.
func (c Code) timely() bool {
	return c == Expired || c == NotYetValid || c == ExpiresSoon
}

// Finding is one line of a report. It never holds a part of a key.
type Finding struct {
	// Level is what it means.
	Level Level `json:"level"`
	// Code names what is wrong; empty where nothing is.
	Code Code `json:"code,omitempty"`
	// File is the file it is about.
	File string `json:"file"`
	// Text says it to people, on one line. What comes from a certificate is quoted.
	Text string `json:"text"`

	// cause is what the system said, for errors.Is.
	cause error
}

// FileError is a finding that makes a file unusable, as an error. It wraps the
// system's error where there is one, so errors.Is(err, fs.ErrNotExist) works.
type FileError struct {
	// Finding says which file, and what is wrong with it.
	Finding Finding
}

// Error names the file and says what is wrong with it.
func (e *FileError) Error() string { return "certs: " + e.Finding.File + ": " + e.Finding.Text }

// Unwrap is what the system said, nil where it has nothing to do with it.
func (e *FileError) Unwrap() error { return e.Finding.cause }

// Report is what [Check] found.
type Report struct {
	// Findings are in the order of the files: certificate, key, authorities of
	// clients. There is at least one.
	Findings []Finding `json:"findings"`
}

// Count is the number of findings of a level.
func (r Report) Count(level Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// Level is the worst level of all findings: the verdict.
func (r Report) Level() Level {
	switch {
	case r.Count(Error) > 0:
		return Error
	case r.Count(Warning) > 0:
		return Warning
	}
	return OK
}

// Has reports whether something was found under code.
func (r Report) Has(code Code) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Code == code })
}

// String is the report as text: a line for every finding, with its level, its file
// and its code, and a line with the verdict.
func (r Report) String() string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%-8s %s: %s", f.Level, f.File, f.Text)
		if f.Code != "" {
			fmt.Fprintf(&b, " [%s]", f.Code)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "verdict: %s\n", r.verdict())
	return b.String()
}

func (r Report) verdict() string {
	errors, warnings := plural(r.Count(Error), "error"), plural(r.Count(Warning), "warning")
	switch r.Level() {
	case Error:
		return "not good: " + errors + ", " + warnings
	case Warning:
		return "usable: " + warnings
	default:
		return "good"
	}
}

// WriteTo writes the report as String gives it.
func (r Report) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, r.String())
	return int64(n), err
}

// plural is "1 error", "2 errors".
func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
