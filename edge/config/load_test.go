package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/schema"
)

func TestFilesThatCannotBeReadAreNamed(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yaml", one)
	large := write("large.yaml", one+strings.Repeat("# more\n", maxFile/7))
	limit := write("limit.yaml", one+strings.Repeat("#", maxFile-len(one)))

	if _, _, err := Load([]string{limit}, secrets.lookup); err != nil {
		t.Errorf("256 KiB: %v", err)
	}
	cfg, report, err := Load([]string{good, filepath.Join(dir, "none.yaml"), dir, large, good}, secrets.lookup)
	var all *Error
	if !errors.As(err, &all) || len(all.Problems) != 4 || !reflect.DeepEqual(cfg, Config{}) {
		t.Fatalf("%v", err)
	}
	for i, want := range []string{"good.yaml: is given twice", "none.yaml: cannot be read: no such file", ": cannot be read: is a directory", "large.yaml: is larger than 256 KiB"} {
		if !strings.Contains(all.Problems[i].Error(), want) {
			t.Errorf("%v, want %s", all.Problems[i], want)
		}
	}
	var first Problem
	if !errors.As(err, &first) || len(report.Files) != 2 {
		t.Errorf("%v, files %v", first, report.Files)
	}
	if _, _, err := Load(nil, nil); err == nil || !strings.Contains(err.Error(), "names no service") {
		t.Errorf("no files: %v", err)
	}
}

func TestConfigsShareNothing(t *testing.T) {
	a, _ := mustLoad(t, secrets, "defaults: {admin_channels: [global]}\nservices: {dhruva: {}, akosha: {}}")
	b, _ := mustLoad(t, secrets, one)
	a.Metrics.Allow[0] = "changed"
	a.Services[0].AdminChannels[0] = "changed"
	a.Services[0].JWT.Algorithms[0] = "changed"
	if b.Metrics.Allow[0] != "loopback" || a.Admin.Allow[0] != "loopback" || a.Services[1].AdminChannels[0] != "global" || a.Services[1].JWT.Algorithms[0] != "HS256" {
		t.Error("a list is shared")
	}
}

func TestServiceIsFoundByName(t *testing.T) {
	cfg, _ := mustLoad(t, secrets, one)
	if s, ok := cfg.Service(schema.Dhruva); !ok || s.Name != schema.Dhruva || s.WebSocket.Addr() != "127.0.0.1:8693" {
		t.Errorf("%+v", s)
	}
	if _, ok := cfg.Service(schema.Akosha); ok {
		t.Error("akosha is not served")
	}
}

func TestReportPrints(t *testing.T) {
	_, report := mustLoad(t, secrets, "service: dhruva\ndistribution: {}\njwt: {secret: '${DHRUVA_JWT_SECRET}', issuer: '${NOT_SET:-us}', audience: '${NOT_SET:-}'}\n", "services: {akosha: {enabled: false}}")
	want := `read:     a.yaml
read:     b.yaml
warning:  a.yaml:1:1: websocket.host: is a loopback address: if a proxy is in front, name it in proxies.trusted, or all clients have its address
ignored:  a.yaml:2:1: distribution: is not for an edge
disabled: akosha
from the environment: DHRUVA_JWT_SECRET
`
	if report.String() != want {
		t.Errorf("got\n%s\nwant\n%s", report, want)
	}
}

// FuzzLoad wants no panic, bounded output, and of a configuration that loads that it
// prints to one that loads the same.
func FuzzLoad(f *testing.F) {
	for _, name := range append([]string{"tuning.yaml", "debug.yaml", "settings-excalidraw.yaml"}, printed...) {
		text, err := os.ReadFile(sourceFile(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), "server_name: edge\n")
	}
	f.Add(Reference(), "")
	for _, text := range []string{one, "a: &a [*a]\n", "? ? ?\n", "{", "services: {dhruva: {websocket: {port: ${PORT:-1}}}}", "--- 1\n--- 2\n",
		"services:\n  dhruva:\n    jwt: {secret: '${SECRET}', algorithm: [HS256, ES256]}\n", "nats: {url: '${URL}'}\n", "%YAML 1.1\n---\na: !!binary =\n"} {
		f.Add(text, one)
	}
	env := secrets.with("PORT", "7000", "SECRET", "canary-Zt2mXw9LbV4nRcY8sKfH1jQ7dPgU5e", "URL", "nats://u:canary-word@h")
	f.Fuzz(func(t *testing.T, a, b string) {
		cfg, report, err := loadTexts(env, a, b)
		if err != nil {
			if !strings.Contains(a+b, "canary") {
				noSecret(t, env, err.Error(), report.String())
			}
			if n := len(err.Error()); n > 400<<10 {
				t.Errorf("the error has %d bytes", n)
			}
			return
		}
		if len(cfg.Services) == 0 || len(cfg.Services) > 7 {
			t.Fatalf("%d services", len(cfg.Services))
		}
		if !strings.Contains(a+b, "canary") {
			noSecret(t, env, cfg.String(), report.String())
		}
		if strings.Contains(cfg.String(), redacted) || strings.Contains(cfg.String(), "//redacted@") {
			return // A secret that was redacted is another one.
		}
		again, _, err := loadTexts(env, cfg.String())
		if err != nil || again.String() != cfg.String() {
			t.Errorf("%v: printed\n%s\nagain\n%s", err, cfg, again)
		}
	})
}
