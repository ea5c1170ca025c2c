package certstest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// WriteFile writes a file that only its owner may read, as a whole: who reads sees the
// old content or the new one. An existing file is replaced by another of its name, so a
// symlink at path is replaced too.
func WriteFile(t testing.TB, path string, data []byte) {
	t.Helper()
	next := path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		t.Fatalf("certstest: %v", err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatalf("certstest: %v", err)
	}
}

// Mount is a directory that looks like a secret mounted by Kubernetes: tls.crt and
// tls.key are symlinks into ..data, itself a symlink to a directory that every update
// makes anew.
type Mount struct {
	t   testing.TB
	dir string
}

// NewMount makes a directory with the leaf's files.
func NewMount(t testing.TB, l *Leaf) *Mount {
	t.Helper()
	m := &Mount{t: t, dir: t.TempDir()}
	m.Update(l)
	for _, path := range []string{m.Cert(), m.Key()} {
		if err := os.Symlink(filepath.Join("..data", filepath.Base(path)), path); err != nil {
			t.Fatalf("certstest: %v", err)
		}
	}
	return m
}

// Cert is the path of the certificate.
func (m *Mount) Cert() string { return filepath.Join(m.dir, "tls.crt") }

// Key is the path of the private key.
func (m *Mount) Key() string { return filepath.Join(m.dir, "tls.key") }

// Update does what the kubelet does when the secret changes: a new directory, one
// rename of the symlink, the old directory removed.
func (m *Mount) Update(l *Leaf) {
	m.t.Helper()
	fail := func(err error) {
		m.t.Helper()
		if err != nil {
			m.t.Fatalf("certstest: %v", err)
		}
	}
	data := filepath.Join(m.dir, "..data")
	old, err := os.Readlink(data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		fail(err)
	}
	next, err := os.MkdirTemp(m.dir, "..2026_")
	fail(err)
	l.Write(m.t, next)
	fail(os.Symlink(filepath.Base(next), data+"_tmp"))
	fail(os.Rename(data+"_tmp", data))
	if old != "" {
		fail(os.RemoveAll(filepath.Join(m.dir, old)))
	}
}
