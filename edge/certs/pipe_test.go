//go:build unix

package certs

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestWhatIsNoFileIsRefusedAndNotWaitedFor(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/zero"} {
		_, err := New(Config{Files: Files{Cert: path, Key: path}})
		if err == nil || !strings.Contains(err.Error(), path+": is not a regular file") {
			t.Errorf("%v, want an error that names %s", err, path)
		}
	}
}
