package edge_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/certs"
	"github.com/bodhisattva/indranet/edge/certs/certstest"
	"github.com/bodhisattva/indranet/schema"
)

// TestAnEdgeDoesNotStartWithCertificatesThatCannotBeUsed: it says which file, of which
// listener, and lets go of every port.
func TestAnEdgeDoesNotStartWithCertificatesThatCannotBeUsed(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{Name: "servers"})
	cert, key := ca.Leaf(t, certstest.Options{Hosts: []string{"127.0.0.1"}}).Write(t, t.TempDir())
	_, other := ca.Leaf(t, certstest.Options{Hosts: []string{"127.0.0.1"}}).Write(t, t.TempDir())
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for name, c := range map[string]struct {
		files certs.Files
		want  string
	}{
		"another key":    {certs.Files{Cert: cert, Key: other}, other},
		"no certificate": {certs.Files{Cert: missing, Key: key}, missing},
		"exchanged":      {certs.Files{Cert: key, Key: cert}, cert},
		"no key":         {certs.Files{Cert: cert}, "cert_file and key_file"},
	} {
		for _, where := range []string{"shared", "dhruva"} {
			cfg := edge.Config{Services: edge.Public(edge.Service{}), Name: "test"}
			cfg.NATS.URL = "nats://127.0.0.1:1"
			if where == "shared" {
				cfg.HTTP, cfg.TLS.Files = "127.0.0.1:0", c.files
			} else {
				s := cfg.Services[schema.Dhruva]
				s.Addr, s.TLS.Files = "127.0.0.1:0", c.files
				cfg.Services[schema.Dhruva] = s
			}
			e, err := edge.New(cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if err := e.Start(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), where) {
				t.Errorf("%s of %s: %v, without %q", name, where, err, c.want)
			}
		}
	}
}
