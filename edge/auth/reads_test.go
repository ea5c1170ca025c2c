package auth

import (
	"testing"

	"github.com/bodhisattva/indranet/schema"
)

func TestReadsOf(t *testing.T) {
	for permission, want := range map[string]bool{
		"admin": true, "dhruva:read": true, "dhruva:admin": true, "dhruva:read:adapter:a": true, "dhruva:admin:registry": true,
		"adapter:read": true, "adapter:admin": true,
		"": false, "dhruva:write": false, "adapter:write": false, "dhruva:write:adapter:a": false, "mahavishnu:read": false,
		"mahavishnu:read:workflow:42": false, "workflow:read": false, "dhruva:read:": false,
	} {
		has := func(kind string) bool { return kind == "adapter" }
		if got := ParsePermissions([]string{permission}).ReadsOf(schema.Dhruva, has); got != want {
			t.Errorf("%q: %v", permission, got)
		}
	}
}
