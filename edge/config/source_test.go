package config

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

// The files in testdata/source are the YAML blocks that the services' deployment guide and
// protocol document print, byte for byte.
var printed = []string{
	"mahavishnu.yaml", "session-buddy.yaml", "crackerjack.yaml", "akosha.yaml",
	"dhruva.yaml", "excalidraw.yaml", "fastblocks.yaml",
}

func sourceFile(name string) string { return filepath.Join("testdata", "source", name) }

func TestThePrintedServiceFilesLoadTogether(t *testing.T) {
	var paths []string
	for _, name := range printed {
		paths = append(paths, sourceFile(name))
	}
	cfg, report, err := Load(paths, secrets.lookup)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Services) != 7 || cfg.Environment != Production {
		t.Fatalf("%d services in %s", len(cfg.Services), cfg.Environment)
	}
	connections := map[schema.Service]int{
		schema.Mahavishnu: 1000, schema.SessionBuddy: 500, schema.Crackerjack: 200, schema.Akosha: 300,
		schema.Dhruva: 200, schema.Excalidraw: 500, schema.Fastblocks: 300,
	}
	for _, s := range cfg.Services {
		directory := string(s.Name)
		if s.WebSocket.Addr() != net.JoinHostPort("0.0.0.0", strconv.Itoa(s.Name.Port())) || s.WebSocket.MaxConnections != connections[s.Name] || !s.TLS.Enabled || !s.WebSocket.RequireAuth {
			t.Errorf("%s: %+v", s.Name, s.WebSocket)
		}
		if s.TLS.CertFile != "/opt/bodhisattva/certificates/"+directory+"/cert.pem" {
			t.Errorf("%s: certificate %s", s.Name, s.TLS.CertFile)
		}
		if s.Logging.File != "/opt/bodhisattva/logs/"+directory+"/websocket.log" || s.Logging.Level != slog.LevelInfo {
			t.Errorf("%s: logging %+v", s.Name, s.Logging)
		}
		if want := secrets[strings.ToUpper(strings.ReplaceAll(directory, "-", "_"))+"_JWT_SECRET"]; s.JWT.Secret.Reveal() != want {
			t.Errorf("%s has not its own secret", s.Name)
		}
	}
	mahavishnu, _ := cfg.Service(schema.Mahavishnu)
	if mahavishnu.ServerName != "Mahavishnu Orchestrator" || mahavishnu.JWT.TokenExpiry != time.Hour ||
		mahavishnu.Logging.Rotation != 10e6 || mahavishnu.Logging.Retention != 30*24*time.Hour ||
		mahavishnu.WebSocket.CloseTimeout != 10*time.Second {
		t.Errorf("mahavishnu: %+v", mahavishnu)
	}
	if buddy, _ := cfg.Service(schema.SessionBuddy); buddy.WebSocket.MessageRateLimit != 50 || buddy.ServerName != "Session-Buddy Manager" {
		t.Errorf("session-buddy: %+v", buddy)
	}
	if excalidraw, _ := cfg.Service(schema.Excalidraw); excalidraw.Collaboration != (Collaboration{50, 50 * time.Millisecond}) {
		t.Errorf("excalidraw: %+v", excalidraw.Collaboration)
	}
	if fastblocks, _ := cfg.Service(schema.Fastblocks); fastblocks.HotReload != (HotReload{true, 100 * time.Millisecond}) {
		t.Errorf("fastblocks: %+v", fastblocks.HotReload)
	}
	// The edge's own lines go where those of the first file go.
	if cfg.ServerName != "Mahavishnu Orchestrator" || cfg.Logging.File != mahavishnu.Logging.File {
		t.Errorf("the edge: %q %+v", cfg.ServerName, cfg.Logging)
	}

	var ignored []string
	for _, p := range report.Ignored {
		ignored = append(ignored, p.Key)
	}
	if want := []string{"pools", "adapters", "sessions", "memory", "qc", "analytics", "distribution",
		"collaboration.auto_save_interval", "ui.render_timeout"}; !slices.Equal(ignored, want) {
		t.Errorf("ignored %v, want %v", ignored, want)
	}
	wantWarnings(t, report)
	noSecret(t, secrets, report.String(), cfg.String())
	if !strings.Contains(report.String(), "ignored:  testdata/source/mahavishnu.yaml:30:1: pools: ") {
		t.Errorf("the report does not list pools:\n%s", report)
	}
}

func TestEveryPrintedFileLoadsAlone(t *testing.T) {
	env := secrets.with("MAHAVISHNU_CERT_FILE", "/certs/tls.crt", "MAHAVISHNU_KEY_FILE", "/certs/tls.key")
	for name, want := range map[string]schema.Service{
		"mahavishnu.yaml": schema.Mahavishnu, "session-buddy.yaml": schema.SessionBuddy, "crackerjack.yaml": schema.Crackerjack,
		"akosha.yaml": schema.Akosha, "dhruva.yaml": schema.Dhruva, "excalidraw.yaml": schema.Excalidraw,
		"fastblocks.yaml": schema.Fastblocks, "configmap-mahavishnu.yaml": schema.Mahavishnu,
		"settings-service.yaml": schema.Dhruva, "settings-dhruva.yaml": schema.Dhruva,
		"settings-excalidraw.yaml": schema.Excalidraw, "settings-fastblocks.yaml": schema.Fastblocks,
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _, err := Load([]string{sourceFile(name)}, env.lookup)
			if err != nil {
				t.Fatal(err)
			}
			if len(cfg.Services) != 1 || cfg.Services[0].Name != want {
				t.Errorf("services %v, want %s", cfg.Services, want)
			}
		})
	}
	cfg, _, err := Load([]string{sourceFile("configmap-mahavishnu.yaml")}, env.lookup)
	if err != nil || cfg.Services[0].TLS.CertFile != "/certs/tls.crt" || cfg.Services[0].TLS.KeyFile != "/certs/tls.key" {
		t.Errorf("the certificate is not that of the environment: %v %+v", err, cfg)
	}
}

func TestPrintedFragmentsAreWholeWithAName(t *testing.T) {
	fragment, err := os.ReadFile(sourceFile("tuning.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, _ := mustLoad(t, secrets, "service: mahavishnu\n"+string(fragment))
	if w := cfg.Services[0].WebSocket; w.MaxConnections != 10000 || w.MessageRateLimit != 1000 || w.PingInterval != 30*time.Second ||
		w.PingTimeout != 30*time.Second || w.CloseTimeout != 5*time.Second {
		t.Errorf("%+v", w)
	}
	wantProblems(t, secrets, []string{string(fragment)}, `a.yaml:2:1: cannot be told which service it is for`)

	debug, err := os.ReadFile(sourceFile("debug.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, _ = mustLoad(t, secrets, "services: {dhruva: }", string(debug))
	if cfg.Logging.Level != slog.LevelDebug || cfg.Services[0].Logging.Level != slog.LevelDebug {
		t.Errorf("%+v", cfg.Logging)
	}
}

func TestServiceIsToldFromTheFile(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"websocket: {port: 8686}", "crackerjack"},
		{"websocket: {}\nqc: {}", "crackerjack"},
		{"websocket: {port: 7000}\nui: {render_timeout: 1}", "fastblocks"},
		{"websocket: {hot_reload: {enabled: false}}", "fastblocks"},
		{"websocket: {collaboration: {max_users_per_room: 2}}", "excalidraw"},
		{"server_name: The Excalidraw-MCP of Rome\nwebsocket: {}", "excalidraw"},
		{"server_name: Session-Buddy\njwt: {}", "session-buddy"},
		{"service: excalidraw-mcp\nwebsocket: {port: 8690}\nqc: {}", "excalidraw"},
		{"service: ${WHICH:-akosha}", "akosha"},
	} {
		cfg, _, err := loadTexts(secrets, test.text)
		if err != nil || len(cfg.Services) != 1 || string(cfg.Services[0].Name) != test.want {
			t.Errorf("%q is of %v (%v), want %s", test.text, cfg.Services, err, test.want)
		}
	}
}

func TestFileThatCouldBeOfTwoServicesIsRefused(t *testing.T) {
	wantProblems(t, secrets, []string{"websocket:\n  port: 8690\nqc:\n  enabled: true\n"},
		`a.yaml:3:1: the section qc is that of crackerjack, but the port 8690 in line 2 that of mahavishnu; write "service: NAME"`)
	wantProblems(t, secrets, []string{"websocket: {}\nserver_name: from mahavishnu to dhruva\n"}, "cannot be told")
	wantProblems(t, secrets, []string{"service: mahvishnu\nwebsocket: {}\n"}, `a.yaml:1:10: service: "mahvishnu" is not a service`)
	wantProblems(t, secrets, []string{"service: [dhruva]"}, `is a list`)
	wantProblems(t, secrets, []string{"services: {dhruva: {}}\nwebsocket: {max_connections: 5}"},
		`a.yaml:2:1: websocket: is for a file of one service, but this file has services or defaults`)
}
