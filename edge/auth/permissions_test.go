package auth

import (
	"slices"
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// target looks a channel up as the request layer does.
func target(t testing.TB, service schema.Service, name string) catalogue.Target {
	t.Helper()
	channel, err := schema.ParseChannel(name)
	if err != nil {
		t.Fatal(err)
	}
	target, err := catalogue.Default().Lookup(service, channel)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestAllows(t *testing.T) {
	all := []schema.Service{schema.Mahavishnu, schema.Dhruva, schema.Excalidraw, schema.Crackerjack, schema.SessionBuddy}
	tests := []struct {
		list    string // Separated by spaces.
		only    string // Admin-only channels, too.
		action  Action
		service schema.Service
		channel string
		want    bool
	}{
		{"", "", Read, schema.Dhruva, "registry", false},
		// admin is everything.
		{"admin", "", Read, schema.Dhruva, "registry", true},
		{"admin", "registry", Write, schema.Dhruva, "registry", true},
		{"admin", "registry adapter:*", Read, schema.Dhruva, "global", true},
		{"Admin", "", Read, schema.Dhruva, "registry", false},
		{"admin:", "", Read, schema.Dhruva, "registry", false},
		{" admin", "", Read, schema.Dhruva, "registry", false},
		// Of a service.
		{"dhruva:admin", "registry", Write, schema.Dhruva, "registry", true},
		{"dhruva:admin", "", Read, schema.Mahavishnu, "workflow:1", false},
		{"dhruva:read", "", Read, schema.Dhruva, "registry", true},
		{"dhruva:read", "", Read, schema.Dhruva, "global", true},
		{"dhruva:read", "", Write, schema.Dhruva, "registry", false},
		{"dhruva:write", "", Read, schema.Dhruva, "registry", false},
		{"dhruva:write", "", Write, schema.Dhruva, "registry", true},
		{"dhruva:read", "registry", Read, schema.Dhruva, "registry", false},
		{"dhruva:read", "registry", Read, schema.Dhruva, "adapter:a", true},
		{"dhruva:read", "registry", Read, schema.Dhruva, "global", false},
		{"dhruva:read", "registry", Read, schema.Dhruva, "lifecycle", true},
		{"dhruva:Read", "", Read, schema.Dhruva, "registry", false},
		{"Dhruva:read", "", Read, schema.Dhruva, "registry", false},
		{"dhruva:*", "", Read, schema.Dhruva, "registry", false},
		{"*:read", "", Read, schema.Dhruva, "registry", false},
		{"dhruva", "", Read, schema.Dhruva, "registry", false},
		{"excalidraw-mcp:read", "", Read, schema.Excalidraw, "diagram:d", true},
		// Of a kind, in any service.
		{"workflow:read", "", Read, schema.Mahavishnu, "workflow:1", true},
		{"workflow:read", "", Read, schema.Mahavishnu, "workflow:*", true},
		{"workflow:read", "", Read, schema.Mahavishnu, "pool:1", false},
		{"workflow:read", "", Write, schema.Mahavishnu, "workflow:1", false},
		{"workflow:read", "workflow:1", Read, schema.Mahavishnu, "workflow:1", false},
		{"workflow:read", "workflow:1", Read, schema.Mahavishnu, "workflow:2", true},
		{"workflow:read", "workflow:1", Read, schema.Mahavishnu, "workflow:*", false},
		{"workflow:admin", "workflow:1", Read, schema.Mahavishnu, "workflow:*", true},
		{"metrics:read", "", Read, schema.SessionBuddy, "metrics", true},
		{"metrics:read", "", Read, schema.Akosha, "metrics", true},
		{"workflow:read:1", "", Read, schema.Mahavishnu, "workflow:1", false},
		// Of a channel.
		{"mahavishnu:read:workflow:42", "", Read, schema.Mahavishnu, "workflow:42", true},
		{"mahavishnu:read:workflow:42", "", Read, schema.Mahavishnu, "workflow:4", false},
		{"mahavishnu:read:workflow:42", "", Read, schema.Mahavishnu, "workflow:42:1", false},
		{"mahavishnu:read:workflow:a:b", "", Read, schema.Mahavishnu, "workflow:a:b", true},
		{"mahavishnu:read:workflow:42", "", Read, schema.Mahavishnu, "workflow:*", false},
		{"mahavishnu:read:workflow:*", "", Read, schema.Mahavishnu, "workflow:42", true},
		{"mahavishnu:read:workflow:*", "", Read, schema.Mahavishnu, "workflow:*", true},
		{"mahavishnu:read:workflow:4*", "", Read, schema.Mahavishnu, "workflow:42", false},
		{"mahavishnu:read:workflow", "", Read, schema.Mahavishnu, "workflow:42", false},
		{"mahavishnu:read:workflow", "", Read, schema.Mahavishnu, "workflow:*", false},
		{"mahavishnu:read:workflow:", "", Read, schema.Mahavishnu, "workflow:42", false},
		{"mahavishnu:read:*", "", Read, schema.Mahavishnu, "workflow:42", false},
		{"mahavishnu:write:workflow:42", "", Read, schema.Mahavishnu, "workflow:42", false},
		{"mahavishnu:write:workflow:42", "", Write, schema.Mahavishnu, "workflow:42", true},
		{"mahavishnu:admin:workflow:42", "", Write, schema.Mahavishnu, "workflow:42", true},
		{"mahavishnu:admin:workflow:42", "workflow:*", Read, schema.Mahavishnu, "workflow:42", true},
		{"mahavishnu:read:workflow:42", "workflow:*", Read, schema.Mahavishnu, "workflow:42", false},
		{"dhruva:read:registry", "", Read, schema.Dhruva, "registry", true},
		{"dhruva:read:registry:*", "", Read, schema.Dhruva, "registry", true},
		{"dhruva:read:workflow:42", "", Read, schema.Mahavishnu, "workflow:42", false},
		// Views.
		{"mahavishnu:read:worker:7", "", Read, schema.Mahavishnu, "worker:7", false},
		{"worker:read", "", Read, schema.Mahavishnu, "worker:7", false},
		{"pool:read", "", Read, schema.Mahavishnu, "worker:7", true},
		{"mahavishnu:read:pool:*", "", Read, schema.Mahavishnu, "worker:7", true},
		{"mahavishnu:read:pool:1", "", Read, schema.Mahavishnu, "worker:7", false},
		{"dhruva:read:lifecycle", "", Read, schema.Dhruva, "lifecycle", false},
		{"dhruva:read:lifecycle adapter:read", "", Read, schema.Dhruva, "lifecycle", false},
		{"dhruva:read:lifecycle adapter:read distribution:read", "", Read, schema.Dhruva, "lifecycle", true},
		{"dhruva:read:lifecycle dhruva:read:adapter:a distribution:read", "", Read, schema.Dhruva, "lifecycle", false},
		{"crackerjack:read:quality:p", "", Read, schema.Crackerjack, "quality:p", false},
		{"crackerjack:read:quality:p coverage:read", "", Read, schema.Crackerjack, "quality:p", true},
		{"crackerjack:read:quality:p coverage:read", "", Read, schema.Crackerjack, "quality:q", false},
		{"crackerjack:read:quality:p coverage:read", "quality:q", Read, schema.Crackerjack, "quality:p", false},
		{"dhruva:read:global", "", Read, schema.Dhruva, "global", false},
		{"excalidraw:read:element:d/e", "", Read, schema.Excalidraw, "element:d/e", false},
		{"diagram:read", "", Read, schema.Excalidraw, "element:d/e", true},
		{"diagram:read", "", Read, schema.Excalidraw, "element:e", false},
		{"excalidraw:read", "", Read, schema.Excalidraw, "element:e", true},
		{"excalidraw:read", "collaboration:r", Read, schema.Excalidraw, "element:e", false},
		{"excalidraw:read", "collaboration:r", Read, schema.Excalidraw, "cursor", false},
		{"excalidraw:read", "cursor", Read, schema.Excalidraw, "cursor", false},
		{"excalidraw:read", "element:*", Read, schema.Excalidraw, "element:d/e", false},
		{"excalidraw:read", "element:d/e", Read, schema.Excalidraw, "element:d/f", true},
		{"excalidraw:admin", "cursor", Read, schema.Excalidraw, "cursor", true},
		{"session-buddy:read:sessions", "", Read, schema.SessionBuddy, "session:1", false},
		{"session-buddy:read:sessions:*", "", Read, schema.SessionBuddy, "session:1", true},
		// The action must be one of the two.
		{"admin", "", 0, schema.Dhruva, "registry", false},
		{"admin", "", 3, schema.Dhruva, "registry", false},
	}
	for _, test := range tests {
		restricted, err := ParseRestricted(strings.Fields(test.only))
		if err != nil {
			t.Fatal(err)
		}
		list := strings.Split(test.list, " ")
		if test.list == " admin" {
			list = []string{test.list}
		}
		to := target(t, test.service, test.channel)
		if got := ParsePermissions(list).Allows(test.action, to, restricted); got != test.want {
			t.Errorf("%q allows %s of %s %s (admin-only: %q): %t, want %t", list, test.action, test.service, test.channel, test.only, got, test.want)
		}
		if got := naive(list, test.action, to, strings.Fields(test.only)); got != test.want {
			t.Errorf("the naive one says %t to %q, want %t", got, list, test.want)
		}
	}
	if admin := ParsePermissions([]string{"admin"}); admin.Allows(Read, catalogue.Target{}, Restricted{}) ||
		admin.Allows(Read, catalogue.Target{Service: all[0], Channel: target(t, all[0], "workflow:1").Channel, View: true}, Restricted{}) {
		t.Error("what is no target is allowed")
	}
	if (Permissions{}).Allows(Read, target(t, schema.Dhruva, "registry"), Restricted{}) {
		t.Error("the zero value allows something")
	}
}

func TestActionsAreSpelledAsInPermissions(t *testing.T) {
	if Read.String() != "read" || Write.String() != "write" || Action(9).String() != "unknown" {
		t.Error(Read, Write, Action(9))
	}
}

func TestUnknownPermissionsAreListed(t *testing.T) {
	list := []string{"admin ", "dhruva:read", "", ":", "read", "dhruva", "dhruva:", "dhruva:reads", "dhruva:read:", "dhruva:read:*",
		"dhruva:read::1", "dhruva:read:Workflow:1", "workflow:read:1", "work flow:read", "*:read", "workflow:read", "dhruva:read:adapter:a\x00",
		"dhruva:admin:adapter:*", "admin"}
	want := slices.DeleteFunc(slices.Clone(list), func(s string) bool {
		return slices.Contains([]string{"dhruva:read", "workflow:read", "dhruva:admin:adapter:*", "admin"}, s)
	})
	p := ParsePermissions(list)
	if got := p.Unknown(); !slices.Equal(got, want) {
		t.Errorf("unknown are %q, want %q", got, want)
	}
	p.Unknown()[0] = "changed"
	if p.Unknown()[0] != want[0] {
		t.Error("Unknown gives its own list away")
	}
}

func TestEveryBadAdminOnlyChannelIsNamed(t *testing.T) {
	_, err := ParseRestricted([]string{"registry", "Workflow:1", "workflow:", "workflow:*"})
	if err == nil || !strings.Contains(err.Error(), "channel 2") || !strings.Contains(err.Error(), "channel 3") || strings.Contains(err.Error(), "channel 4") {
		t.Errorf("the error is %v", err)
	}
}

// naive decides by writing down every text that would grant what is asked for.
func naive(list []string, a Action, to catalogue.Target, only []string) bool {
	words := map[Action][]string{Read: {"read", "admin"}, Write: {"write", "admin"}}[a]
	if words == nil || to.Channel.String() == "" {
		return false
	}
	kinds := []string{to.Channel.Kind()}
	if to.View {
		kinds = to.Kinds
	}
	for _, pattern := range only {
		kind, _, _ := strings.Cut(pattern, ":")
		own := pattern == to.Channel.String() || pattern == to.Channel.Kind()+":*"
		if own || to.View && slices.Contains(to.Kinds, kind) {
			words = []string{"admin"}
		}
	}
	names := []string{string(to.Service)}
	if to.Service == schema.Excalidraw {
		names = append(names, "excalidraw-mcp")
	}
	for _, kind := range kinds {
		texts := []string{"admin"}
		for _, word := range words {
			for _, name := range names {
				texts = append(texts, name+":"+word, name+":"+word+":"+kind+":*")
				if kind == to.Channel.Kind() {
					texts = append(texts, name+":"+word+":"+to.Channel.String())
				}
			}
			if !slices.Contains(serviceNames, kind) {
				texts = append(texts, kind+":"+word)
			}
		}
		if !slices.ContainsFunc(texts, func(text string) bool { return slices.Contains(list, text) }) {
			return false
		}
	}
	return len(kinds) > 0
}

var serviceNames = []string{"mahavishnu", "dhruva", "excalidraw", "excalidraw-mcp", "fastblocks", "akosha", "crackerjack", "session-buddy"}

// FuzzAllows compares Allows with the naive one, for real channels and made up ones.
func FuzzAllows(f *testing.F) {
	f.Add("dhruva:read,workflow:admin", "registry", uint8(1), uint8(1), "registry", uint8(0), "")
	f.Add("mahavishnu:read:workflow:*,pool:read", "workflow:1", uint8(0), uint8(1), "worker:7", uint8(0), "")
	f.Add("dhruva:read:lifecycle,adapter:read,distribution:read", "", uint8(1), uint8(1), "lifecycle", uint8(0), "")
	f.Add("mahavishnu:read,dhruva:read", "", uint8(0), uint8(1), "dhruva:1", uint8(1), "")
	f.Add("crackerjack:write:quality:p,coverage:write", "quality:*", uint8(5), uint8(2), "quality:p", uint8(2), "quality,coverage")
	f.Add("excalidraw-mcp:read:diagram:*,admin", "cursor,element:*", uint8(2), uint8(1), "element:d/e", uint8(0), "")
	f.Fuzz(func(t *testing.T, list, only string, service, action uint8, name string, how uint8, kinds string) {
		channel, err := schema.ParseChannel(name)
		if err != nil {
			return
		}
		all := schema.Services()
		to := catalogue.Target{Service: all[int(service)%len(all)], Channel: channel}
		switch how % 3 {
		case 0:
			if to, err = catalogue.Default().Lookup(to.Service, channel); err != nil {
				return
			}
		case 1:
			if channel.ID() == schema.AllID {
				return // Always a view.
			}
			to.Kinds = []string{channel.Kind()}
		case 2:
			to.View = true
			for kind := range strings.SplitSeq(kinds, ",") {
				if _, err := schema.NewChannel(kind, ""); err == nil {
					to.Kinds = append(to.Kinds, kind)
				}
			}
		}
		patterns := strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
		restricted, err := ParseRestricted(patterns)
		if err != nil {
			return
		}
		permissions := strings.Split(list, ",")
		a := Action(action)
		got, want := ParsePermissions(permissions).Allows(a, to, restricted), naive(permissions, a, to, patterns)
		if got != want {
			t.Fatalf("%q allows %v of %+v (admin-only %q): %t, the naive one says %t", permissions, a, to, patterns, got, want)
		}
		if got && !ParsePermissions(append(permissions, "more:read")).Allows(a, to, restricted) {
			t.Fatal("another permission takes one away")
		}
	})
}

// FuzzPermissions throws anything at the parser: what is unknown must grant nothing.
func FuzzPermissions(f *testing.F) {
	for _, text := range []string{"admin", "dhruva:read:adapter:a:b", "workflow:write", "dhruva:read:\xff", "::", "dhruva:admin:*:*"} {
		f.Add(text)
	}
	channels := map[schema.Service][]string{
		schema.Dhruva: {"registry", "adapter:a", "global"}, schema.Mahavishnu: {"workflow:1", "workflow:*", "worker:w"},
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := ParsePermissions([]string{text})
		if len(p.Unknown()) == 0 {
			return
		}
		for service, names := range channels {
			for _, name := range names {
				for _, a := range []Action{Read, Write} {
					if p.Allows(a, target(t, service, name), Restricted{}) {
						t.Fatalf("%q is unknown, but allows %v of %s", text, a, name)
					}
				}
			}
		}
	})
}

func TestAllowsDoesNotAllocate(t *testing.T) {
	p, restricted, to := busy(t)
	if n := testing.AllocsPerRun(100, func() { p.Allows(Read, to, restricted) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// busy is a long list of permissions and the view with the most kinds.
func busy(t testing.TB) (Permissions, Restricted, catalogue.Target) {
	t.Helper()
	list := []string{"dhruva:read:adapter:*", "dhruva:read:distribution:*", "registry:read", "lifecycle:read", "dhruva:read:global"}
	for range 50 {
		list = append(list, "mahavishnu:read:workflow:"+strings.Repeat("x", len(list)))
	}
	restricted, err := ParseRestricted([]string{"page:*", "render"})
	if err != nil {
		t.Fatal(err)
	}
	to := target(t, schema.Dhruva, "global")
	p := ParsePermissions(list)
	if !p.Allows(Read, to, restricted) {
		t.Fatal("it should be allowed")
	}
	return p, restricted, to
}

func BenchmarkAllows(b *testing.B) {
	p, restricted, view := busy(b)
	for _, bench := range []struct {
		name string
		to   catalogue.Target
	}{{"home", target(b, schema.Dhruva, "adapter:llamaindex")}, {"view", view}} {
		b.Run("target="+bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Allows(Read, bench.to, restricted)
			}
		})
	}
}
