package schema_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/schema"
)

func TestParseChannel(t *testing.T) {
	long := strings.Repeat("x", schema.MaxChannelID)
	for _, tc := range []struct {
		name, kind, id string
		ok             bool
	}{
		{"workflow:42", "workflow", "42", true},
		{"registry", "registry", "", true},
		{"hot_reload", "hot_reload", "", true},
		{"distribution:github.com/a/b:v2", "distribution", "github.com/a/b:v2", true},
		{"workflow:*", "workflow", "*", true},
		{"workflow:" + long, "workflow", long, true},
		{"workflow:" + long + "x", "", "", false},
		{"workflow:", "", "", false},
		{"", "", "", false},
		{":42", "", "", false},
		{"Workflow:42", "", "", false},
		{"work.flow:42", "", "", false},
		{"workflow:a\x00b", "", "", false},
		{"workflow:a\u0085b", "", "", false},
		{"workflow:\xff", "", "", false},
		{strings.Repeat("k", schema.MaxChannelKind+1), "", "", false},
	} {
		c, err := schema.ParseChannel(tc.name)
		if (err == nil) != tc.ok || c.Kind() != tc.kind || c.ID() != tc.id {
			t.Errorf("ParseChannel(%q) = %q %q, %v", tc.name, c.Kind(), c.ID(), err)
		}
		if tc.ok && c.String() != tc.name {
			t.Errorf("%q is written %q", tc.name, c.String())
		}
		if !tc.ok && (!errors.Is(err, schema.ErrChannel) || !c.IsZero()) {
			t.Errorf("ParseChannel(%q) = %q, %v", tc.name, c, err)
		}
	}
}

func TestNoEventIsPublishedToAForgottenIDOrToAView(t *testing.T) {
	for _, id := range []string{"", schema.AllID, "a\nb", "\xff"} {
		if c, err := schema.NewHomeChannel("workflow", id); !errors.Is(err, schema.ErrChannel) || !c.IsZero() {
			t.Errorf("NewHomeChannel(%q) = %q, %v", id, c, err)
		}
	}
	if c, err := schema.NewHomeChannel("workflow", "**"); err != nil || c.String() != "workflow:**" {
		t.Errorf("%q, %v", c, err)
	}
}

func TestServicesHavePortsStreamsAndAliases(t *testing.T) {
	if n := len(schema.Services()); n != 7 {
		t.Fatalf("%d services", n)
	}
	for _, service := range schema.Services() {
		if parsed, err := schema.ParseService(string(service)); err != nil || parsed != service || service.Port() == 0 {
			t.Errorf("%s: %q, %v", service, parsed, err)
		}
	}
	if s, err := schema.ParseService("excalidraw-mcp"); err != nil || s != schema.Excalidraw {
		t.Errorf("alias: %q, %v", s, err)
	}
	if got := schema.SessionBuddy.Stream(); got != "IND_SESSION_BUDDY" {
		t.Errorf("stream %q", got)
	}
	if _, err := schema.ParseService("nobody"); !errors.Is(err, schema.ErrUnknownService) || !strings.Contains(err.Error(), "mahavishnu") {
		t.Errorf("error %v", err)
	}
	if schema.Service("nobody").Port() != 0 {
		t.Error("an unknown service has a port")
	}
}

func TestEventIDs(t *testing.T) {
	for id, want := range map[string]bool{
		"0190163d-8694-739b-aea5-966c26f8ad90":   true,
		"a":                                      true,
		"":                                       false,
		"a b":                                    false,
		"ä":                                      false,
		"a\n":                                    false,
		strings.Repeat("x", schema.MaxEventID):   true,
		strings.Repeat("x", schema.MaxEventID+1): false,
	} {
		if schema.ValidEventID(id) != want {
			t.Errorf("ValidEventID(%q) = %v", id, !want)
		}
	}
}
