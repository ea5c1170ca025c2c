package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/bodhisattva/indranet/schema"
)

var update = flag.Bool("update", false, "write the reference file anew")

func deployed(name string) string { return filepath.Join("..", "..", "deploy", "config", name) }

func TestReferenceFileIsThatOfTheKeys(t *testing.T) {
	if *update {
		if err := os.WriteFile(deployed("reference.yaml"), []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(deployed("reference.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Reference(), string(file)); diff != "" {
		t.Errorf("the file differs from the keys, run go test ./edge/config -update (-keys +file):\n%s", diff)
	}
}

// find is the key and value of a path in a document.
func find(n *yaml.Node, path string) (key, value *yaml.Node) {
	value = n
	for part := range strings.SplitSeq(path, ".") {
		section := value
		value = nil
		for i := 0; i+1 < len(section.Content); i += 2 {
			if section.Content[i].Value == part {
				key, value = section.Content[i], section.Content[i+1]
			}
		}
		if value == nil {
			return nil, nil
		}
	}
	return key, value
}

func TestReferenceFileDocumentsEveryKeyWithItsDefault(t *testing.T) {
	file, err := os.ReadFile(deployed("reference.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Load(file, &document); err != nil {
		t.Fatal(err)
	}
	for prefix, keys := range map[string][]*key{"": edgeKeys, "services.mahavishnu.": serviceKeys} {
		for _, k := range keys {
			name, value := find(document.Content[0], prefix+k.path)
			if name == nil {
				t.Errorf("%s is not in the file", prefix+k.path)
				continue
			}
			comment := strings.Join(strings.Fields(strings.ReplaceAll(name.HeadComment, "#", " ")), " ")
			if !strings.Contains(comment, k.about) || !strings.Contains(comment, "Value: "+k.kind) {
				t.Errorf("%s is not documented: %q", k.path, comment)
			}
			if !strings.HasSuffix(k.about, ".") || len(k.about) < 20 {
				t.Errorf("%s is documented by no sentence: %q", k.path, k.about)
			}
			if k.rule != "" {
				continue // Compared as a whole, below.
			}
			if !strings.Contains(comment, "Default: "+k.normal+".") {
				t.Errorf("%s does not tell its default: %q", k.path, comment)
			}
			w := &walker{newLoading(nil), "reference.yaml"}
			into := layer{}
			w.set(entry{k.path, name, value}, k.path, k, into)
			var c Config
			var s Service
			target, want := any(&c), any(&Config{})
			if prefix != "" {
				target, want = any(&s), any(&Service{})
			}
			k.reset(want)
			if into[k.path].value != nil {
				k.set(target, into[k.path].value)
			}
			if diff := cmp.Diff(want, target, cmp.AllowUnexported(Service{})); diff != "" {
				t.Errorf("%s differs from its default (-default +file):\n%s", k.path, diff)
			}
		}
	}
}

func TestReferenceFileChangesNothing(t *testing.T) {
	reference, err := os.ReadFile(deployed("reference.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := mustLoad(t, secrets, "services: {mahavishnu: {}}")
	got, report := mustLoad(t, secrets, string(reference))
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Service{})); diff != "" {
		t.Errorf("the reference file is not the defaults (-defaults +file):\n%s", diff)
	}
	if got.Services[0].JWT.Secret.Reveal() != secrets["MAHAVISHNU_JWT_SECRET"] || got.Services[0].WebSocket.Port != schema.Mahavishnu.Port() {
		t.Error("the defaults of the secret and the port are not there")
	}
	wantWarnings(t, report, "proxies.trusted")
}

func TestEffectiveConfigurationLoadsAgain(t *testing.T) {
	text := "environment: development\nnats: {url: \"${NATS_URL}\"}\nservices: {dhruva: {websocket: {require_auth: false, max_connection_age: 90m}, anonymous_permissions: [\"dhruva:read\"]}}"
	env := vars{"NATS_URL": "nats://u:canary-word@host:4222,tls://other:1"}
	cfg, _ := mustLoad(t, env, text)
	if cfg.NATS.URL.Reveal() != env["NATS_URL"] {
		t.Error("the URL lost its password")
	}
	noSecret(t, env, cfg.String())
	again, _ := mustLoad(t, nil, cfg.String())
	if again.String() != cfg.String() {
		t.Errorf("printed\n%s\nloaded and printed\n%s", cfg, again)
	}
}

func TestProductionFileLoads(t *testing.T) {
	env := vars{}
	file, err := os.ReadFile(deployed("indranet.env.example"))
	if err != nil {
		t.Fatal(err)
	}
	// The example has no secrets, it says how to make them.
	for i, line := range strings.Split(string(file), "\n") {
		name, value, found := strings.Cut(line, "=")
		if strings.HasPrefix(line, "#") || !found {
			continue
		}
		if strings.HasSuffix(name, "_SECRET") && value != "" {
			t.Errorf("indranet.env.example:%d holds a secret", i+1)
		}
		if strings.HasSuffix(name, "_SECRET") {
			value = secrets[name]
		}
		env[name] = value
	}
	cfg, report, err := Load([]string{deployed("production.yaml")}, env.lookup)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Environment != Production || len(cfg.Services) != 7 {
		t.Errorf("%d services in %s", len(cfg.Services), cfg.Environment)
	}
	wantWarnings(t, report)
	noSecret(t, secrets, report.String(), cfg.String())

	// The log file that it proposes is where the unit lets it write.
	text, err := os.ReadFile(deployed("production.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	unit, err := os.ReadFile(filepath.Join("..", "..", "deploy", "indranet-edge.service"))
	if err != nil {
		t.Fatal(err)
	}
	logged, _ := mustLoad(t, env, strings.Replace(string(text), "# file: ", "file: ", 1))
	directory, inVar := strings.CutPrefix(filepath.Dir(logged.Logging.File), "/var/log/")
	if !inVar || !strings.Contains(string(unit), "\nLogsDirectory="+directory+"\n") {
		t.Errorf("the unit lets nothing be written to %q", logged.Logging.File)
	}

	// Without its environment it says so, by name.
	_, _, err = Load([]string{deployed("production.yaml")}, nil)
	if err == nil || !strings.Contains(err.Error(), "MAHAVISHNU_JWT_SECRET") {
		t.Errorf("without an environment: %v", err)
	}
}
