package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/edge/certs/certstest"
)

func TestListenersWithOneCertificateAreOneFinding(t *testing.T) {
	dir := t.TempDir()
	ca := certstest.NewCA(t, certstest.Options{Name: "ours"})
	ca.Leaf(t, certstest.Options{Hosts: []string{"ws.example.com"}}).Write(t, dir)
	t.Setenv("DHRUVA_JWT_SECRET", plantedSecret)
	t.Setenv("AKOSHA_JWT_SECRET", "Zq83nVb50sLm29KwXe71TdPa64RyHu3J")
	file := filepath.Join(dir, "edge.yaml")
	write(t, file, fmt.Sprintf(`
tls: {cert_file: %s, key_file: %s}
defaults: {websocket: {tls_enabled: true}}
services: {dhruva: {}, akosha: {}}
`, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")))
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitFailed, "no authority that this machine trusts"},
		{[]string{"--ca", ca.Write(t, dir)}, 0, "verdict: good"},
		{[]string{"--ca", file}, exitFailed, "holds no certificate in PEM"},
	} {
		var out strings.Builder
		args := append([]string{"verify-certs", "--host=ws.example.com", "-c", file}, tc.args...)
		code := run(t.Context(), args, stdio{nil, &out, &out})
		if code != tc.code || !strings.Contains(out.String(), tc.want) || strings.Count(out.String(), "verdict:") > 1 {
			t.Errorf("%v: exit code %d\n%s", tc.args, code, &out)
		}
	}
}
