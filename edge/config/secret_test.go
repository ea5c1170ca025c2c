package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"go.yaml.in/yaml/v4"
)

func TestNothingPrintsASecret(t *testing.T) {
	const canary = "canary-Zt2mXw9LbV4nRcY8sKfH1jQ7dPgU5e"
	env := vars{"S": canary, "U": "nats://user:" + canary + "@host:4222,tls://" + canary + "@b"}
	cfg, _ := mustLoad(t, env, "services: {dhruva: {jwt: {secret: '${S}'}}}\nnats: {url: '${U}'}\n")
	if cfg.Services[0].JWT.Secret.Reveal() != canary || cfg.NATS.URL.Reveal() != env["U"] {
		t.Fatal("the secret is not there")
	}
	type inner struct {
		hidden   Secret
		Exported Secret
		url      URL
	}
	for name, v := range map[string]any{
		"secret": NewSecret(canary), "pointer": &cfg.Services[0].JWT.Secret, "url": cfg.NATS.URL,
		"config": cfg, "pointer to config": &cfg, "service": cfg.Services[0], "services": cfg.Services, "jwt": cfg.Services[0].JWT,
		"nats": cfg.NATS, "map": map[string]Secret{"s": NewSecret(canary)}, "key": map[Secret]string{NewSecret(canary): "s"},
		"unexported": inner{NewSecret(canary), NewSecret(canary), NewURL("nats://" + canary + "@h")},
		"error":      fmt.Errorf("no: %v", NewSecret(canary)),
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%40.3s", "%!"} {
			if text := fmt.Sprintf(verb, v); bytes.Contains([]byte(text), []byte(canary)) || bytes.Contains([]byte(text), fmt.Appendf(nil, "%x", canary)) {
				t.Errorf("%s of %s: %s", verb, name, text)
			}
		}
		var log bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
			slog.New(handler).Info("loaded", "v", v)
		}
		text, err := json.Marshal(v)
		if err != nil && name != "error" {
			t.Errorf("JSON of %s: %v", name, err)
		}
		document, _ := yaml.Dump(v)
		for what, printed := range map[string][]byte{"slog": log.Bytes(), "JSON": text, "YAML": document} {
			if bytes.Contains(printed, []byte(canary)) {
				t.Errorf("%s of %s: %s", what, name, printed)
			}
		}
	}
	if s := fmt.Sprint(NewSecret(canary), Secret{}, cfg.NATS.URL); s != "[redacted]  nats://redacted@host:4222,tls://redacted@b" {
		t.Errorf("%q", s)
	}
	if text, _ := json.Marshal(NewSecret(canary)); string(text) != `"[redacted]"` {
		t.Errorf("%s", text)
	}
	if !NewSecret("").IsZero() || !NewSecret("a").Equal(NewSecret("a")) || NewSecret("a").Equal(Secret{}) {
		t.Error("secrets do not compare")
	}
}

func TestURLPrintsWhatIsNoSecret(t *testing.T) {
	for text, want := range map[string]string{
		"nats://h:4222":                "nats://h:4222",
		"nats://h:4222, ws://b:1":      "nats://h:4222,ws://b:1",
		"nats://h/canary?token=canary": "nats://h",
		"nats://u:canary%zz@h":         "[redacted]",
		"u:canary@h:1":                 "[redacted]",
	} {
		if got := NewURL(text).String(); got != want {
			t.Errorf("%q prints %q, want %q", text, got, want)
		}
	}
}
