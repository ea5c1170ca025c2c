package deploy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// checklists are the lines that deploy/SECURITY.md answers, by their first words.
var checklists = map[string][]string{
	"Authentication": {
		"JWT secrets are unique", "JWT secrets are stored", "JWT token expiry", "`require_auth: true`", "Token validation",
		"Token refresh", "Rate limiting is enabled on authentication",
	},
	"Authorization": {
		"Permission-based access control", "Channel-level authorization", "Admin-only channels", "Cross-service communication",
		"User permissions are validated",
	},
	"TLS/WSS": {
		"TLS is enabled", "Valid certificates", "Certificate paths", "Certificate renewal", "Only secure cipher suites",
		"HTTP/1 is disabled", "Certificate validation",
	},
	"Network": {
		"Firewall rules", "Only necessary ports", "WebSocket servers bind", "Reverse proxy", "DDoS protection", "IP whitelisting",
		"Network segmentation",
	},
	"Data": {
		"Sensitive data", "Message payloads", "Message size limits", "Rate limiting prevents", "Input validation", "Secrets are never transmitted",
	},
	"Monitoring": {
		"Failed authentication", "Unauthorized access", "Unusual connection patterns", "Security events are sent", "Regular security audits",
		"Intrusion detection",
	},
}

func TestEveryLineOfTheChecklistsHasAnAnswerAndATest(t *testing.T) {
	text := read(t, "SECURITY.md")
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`")
	for name, lines := range checklists {
		_, section, found := strings.Cut(text, "### "+name+"\n")
		if !found {
			t.Errorf("there is no checklist %s", name)
			continue
		}
		section, _, _ = strings.Cut(section, "\n##")
		rows := regexp.MustCompile(`(?m)^\| .* \|$`).FindAllString(section, -1)
		if len(rows)-1 != len(lines) { // One is the head.
			t.Errorf("%s has %d rows, want %d", name, len(rows)-1, len(lines))
		}
		for _, line := range lines {
			found := false
			for _, row := range rows {
				found = found || strings.HasPrefix(row, "| "+line) && named.MatchString(row)
			}
			if !found {
				t.Errorf("%s: %q has no row with a test", name, line)
			}
		}
	}
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() != ".." && strings.HasPrefix(entry.Name(), ".")):
			return filepath.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			for _, match := range declared.FindAllStringSubmatch(read(t, path), -1) {
				tests[match[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range named.FindAllStringSubmatch(text, -1) {
		if !tests[match[1]] {
			t.Errorf("there is no %s", match[1])
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
