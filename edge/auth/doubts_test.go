package auth

import (
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/schema"
)

func TestDoubtsNameWhatGrantsLessThanWasMeant(t *testing.T) {
	for _, test := range []struct {
		service schema.Service
		list    string // Separated by spaces.
		want    []string
	}{
		{schema.Dhruva, "admin dhruva:read dhruva:write dhruva:admin adapter:read registry:write dhruva:read:adapter:a dhruva:read:adapter:* " +
			"dhruva:write:registry dhruva:admin:adapter:a", nil},
		{schema.Excalidraw, "excalidraw-mcp:read", nil},
		{schema.Dhruva, "dhruva:raed", []string{"has no known form and grants nothing; the forms are admin, {service}:read|write|admin, "}},
		{schema.Dhruva, "dhruva:read mahavishnu:read excalidraw-mcp:read:room:1", []string{"", "grants nothing at dhruva", "grants nothing at dhruva"}},
		{schema.Dhruva, "dhruva:read:adaptr:x", []string{`grants nothing: dhruva has no "adaptr" (nearest: adapter:{adapter_id}, adapter:*; all: `}},
		{schema.Dhruva, "dhruva:read:registry:x", []string{"grants nothing: dhruva has registry"}},
		{schema.Dhruva, "workflow:read", []string{"grants nothing at dhruva, whose channels are of the kinds adapter, "}},
		{schema.Mahavishnu, "workflow:read pool:admin", nil},
		// A view needs what all its channels need.
		{schema.Dhruva, "dhruva:read:global", []string{"is not enough for a view: that needs dhruva:read, or read on every channel of the kinds that it shows (adapter, "}},
		{schema.Dhruva, "dhruva:read:global dhruva:read", nil},
		{schema.Dhruva, "lifecycle:read", []string{"is not enough for a view"}},
		{schema.Dhruva, "lifecycle:read adapter:read distribution:read dhruva:read:lifecycle", nil},
		{schema.Mahavishnu, "mahavishnu:write:worker:w", []string{"is not enough for a view: that needs mahavishnu:write, or write"}},
		{schema.Mahavishnu, "worker:read", []string{"grants nothing at mahavishnu, whose channels are of the kinds workflow, "}},
	} {
		list := strings.Fields(test.list)
		doubts := Doubts(test.service, list)
		for i, want := range test.want {
			if want == "" {
				continue
			}
			if len(doubts) == 0 || doubts[0].Permission != list[i] || !strings.HasPrefix(doubts[0].Text, want) {
				t.Errorf("%s: %q, want of %s that it %s", test.service, doubts, list[i], want)
				break
			}
			doubts = doubts[1:]
		}
		if test.want == nil && len(doubts) > 0 || len(doubts) > len(test.want) {
			t.Errorf("%s: %s is doubted: %q", test.service, test.list, doubts)
		}
	}
}
