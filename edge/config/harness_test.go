package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// vars are the environment of a test.
type vars map[string]string

func (v vars) lookup(name string) (string, bool) {
	value, ok := v[name]
	return value, ok
}

// secrets are the environment of the services' documents: a secret for each, and the
// certificates of mahavishnu.
var secrets = vars{
	"MAHAVISHNU_JWT_SECRET":    "canary-mahavishnu-q7Zt2mXw9LbV4nRcY8sKfH1jG",
	"SESSION_BUDDY_JWT_SECRET": "canary-session-buddy-Nd5xPv8TgQ3hWk6BzYr1MfJc9",
	"CRACKERJACK_JWT_SECRET":   "canary-crackerjack-Lr4sUy7EaX2pHm9VtCq6DnKb3",
	"AKOSHA_JWT_SECRET":        "canary-akosha-Tg8wKz3RfY5jNv1QxBm7LcPh2",
	"DHRUVA_JWT_SECRET":        "canary-dhruva-Hx6cVn9MtW2sJq4ZpRy8KgDb5",
	"EXCALIDRAW_JWT_SECRET":    "canary-excalidraw-Yb3kRm7XqF9vLt5PwHn2CzJs8",
	"FASTBLOCKS_JWT_SECRET":    "canary-fastblocks-Ps9jDw4GhZ6tXc8RbNk3VyQm1",
}

// with is the environment and some more.
func (v vars) with(pairs ...string) vars {
	more := vars{}
	for name, value := range v {
		more[name] = value
	}
	for i := 0; i < len(pairs); i += 2 {
		more[pairs[i]] = pairs[i+1]
	}
	return more
}

// loadTexts loads texts as files a.yaml, b.yaml, ….
func loadTexts(env vars, texts ...string) (Config, Report, error) {
	l := newLoading(env.lookup)
	for i, text := range texts {
		name := string(rune('a'+i)) + ".yaml"
		l.files = append(l.files, name)
		l.read(source{name, []byte(text)})
	}
	return l.finish()
}

// mustLoad loads texts that are right.
func mustLoad(t *testing.T, env vars, texts ...string) (Config, Report) {
	t.Helper()
	cfg, report, err := loadTexts(env, texts...)
	if err != nil {
		t.Fatalf("%v\nof\n%s", err, strings.Join(texts, "\n---\n"))
	}
	return cfg, report
}

// wantProblems loads texts that are wrong, and wants exactly the problems, each of which
// holds what is wanted of it.
func wantProblems(t *testing.T, env vars, texts []string, want ...string) {
	t.Helper()
	_, _, err := loadTexts(env, texts...)
	var all *Error
	if !errors.As(err, &all) {
		t.Fatalf("loaded, want %q, of\n%s", want, strings.Join(texts, "\n---\n"))
	}
	noSecret(t, env, err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err))
	for i, p := range all.Problems {
		if i >= len(want) || !strings.Contains(p.Error(), want[i]) {
			t.Errorf("problem %d: %s\nwant %q", i, p.Error(), want)
		}
	}
	if len(all.Problems) < len(want) {
		t.Errorf("problems\n%v\nwant %q", err, want)
	}
}

// wantWarnings wants exactly the warnings.
func wantWarnings(t *testing.T, report Report, want ...string) {
	t.Helper()
	for i, p := range report.Warnings {
		if i >= len(want) || !strings.Contains(p.Error(), want[i]) {
			t.Errorf("warning %d: %s\nwant %q", i, p.Error(), want)
		}
	}
	if len(report.Warnings) < len(want) {
		t.Errorf("warnings %v, want %q", report.Warnings, want)
	}
}

// noSecret wants none of the environment's values, nor the word canary, in texts.
func noSecret(t *testing.T, env vars, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(text, "canary") {
			t.Errorf("a secret in %s", text)
		}
		for name, value := range env {
			if len(value) >= 8 && strings.Contains(text, value) {
				t.Errorf("the value of %s in %s", name, text)
			}
		}
	}
}
