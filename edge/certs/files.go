package certs

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// MaxFileBytes bounds a certificate or key file, in bytes. A chain has some
// kilobytes, the collection of all public authorities 250; what is larger is another
// file.
const MaxFileBytes = 1 << 20

// Files are the PEM files of a pair.
type Files struct {
	// Cert holds the server's certificate, followed by those of the authorities
	// between it and the root: certbot's fullchain.pem, Kubernetes' tls.crt.
	Cert string
	// Key holds the private key of the first certificate, not encrypted. It may be
	// the same file as Cert.
	Key string
	// ClientCA holds the certificates of the authorities whose clients may connect.
	// It is read only where clients must have certificates.
	ClientCA string
}

// file is one reading of a file.
type file struct {
	path string
	data []byte
	mode fs.FileMode
	// finding says why there is no data.
	finding *Finding
}

// readFile reads a file whole, if it is a regular file of at most MaxFileBytes.
func readFile(path string) file {
	f := file{path: path}
	refuse := func(code Code, cause error, format string, args ...any) file {
		f.finding = &Finding{Level: Error, Code: code, File: path, Text: fmt.Sprintf(format, args...), cause: cause}
		return f
	}
	if path == "" {
		f.path = "(no file)"
		return refuse(Unreadable, nil, "no file is named")
	}
	// Asked before it is opened: opening a pipe would wait for a writer.
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return refuse(Unreadable, nil, "is not a regular file (%s)", info.Mode().Type())
	}
	if err != nil {
		return refuse(Unreadable, err, "can't be read: %v", reason(err))
	}
	in, err := os.Open(path)
	if err != nil {
		return refuse(Unreadable, err, "can't be read: %v", reason(err))
	}
	defer in.Close()
	// Of what was opened: a symlink may have been swapped in between.
	if info, err = in.Stat(); err == nil {
		f.mode = info.Mode().Perm()
		f.data, err = io.ReadAll(io.LimitReader(in, MaxFileBytes+1))
	}
	switch {
	case err != nil:
		f.data = nil
		return refuse(Unreadable, err, "can't be read: %v", reason(err))
	case len(f.data) > MaxFileBytes:
		f.data = nil
		return refuse(TooBig, nil, "is larger than %d bytes, which no certificate file is", MaxFileBytes)
	}
	return f
}

// reason is what the system says, without the path that is named anyway.
func reason(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

// set is one reading of a pair's files.
type set struct {
	cert, key file
	// clientCA is nil where clients need no certificates.
	clientCA *file
}

// readSet reads what a pair needs.
func readSet(files Files, verifyClient bool) set {
	s := set{cert: readFile(files.Cert)}
	if s.key = s.cert; files.Key != files.Cert {
		s.key = readFile(files.Key)
	}
	if verifyClient {
		ca := readFile(files.ClientCA)
		s.clientCA = &ca
	}
	return s
}

// sum tells two readings apart. It covers what was read and why something was not.
func (s set) sum() [sha256.Size]byte {
	h := sha256.New()
	add := func(data []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(data))))
		h.Write(data)
	}
	one := func(f file) {
		add(f.data)
		if f.finding != nil {
			add([]byte(f.finding.Text))
		} else {
			add(nil)
		}
	}
	one(s.cert)
	one(s.key)
	if s.clientCA != nil {
		one(*s.clientCA)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
