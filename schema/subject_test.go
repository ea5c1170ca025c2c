package schema_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/bodhisattva/indranet/schema"
)

func channel(t testing.TB, name string) schema.Channel {
	t.Helper()
	c, err := schema.ParseChannel(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSubjectsEscapeWhatIsUnsafeAndKeepWhatIsReadable(t *testing.T) {
	for _, tc := range []struct {
		class   schema.Class
		service schema.Service
		channel string
		want    string
	}{
		{schema.Stored, schema.Mahavishnu, "workflow:42", "ev.mahavishnu.workflow.42"},
		{schema.Live, schema.Dhruva, "registry", "live.dhruva.registry"},
		{schema.Transient, schema.Excalidraw, "collaboration:room-1", "now.excalidraw.collaboration.room-1"},
		{schema.Stored, schema.SessionBuddy, "sessions", "ev.session-buddy.sessions"},
		{schema.Stored, schema.Dhruva, "distribution:github.com/a/b", "ev.dhruva.distribution.github%2Ecom/a/b"},
		{schema.Stored, schema.Dhruva, "adapter:*", "ev.dhruva.adapter.%2A"},
		{schema.Stored, schema.Dhruva, "adapter:>", "ev.dhruva.adapter.%3E"},
		{schema.Stored, schema.Dhruva, "adapter:a b", "ev.dhruva.adapter.a%20b"},
		{schema.Stored, schema.Dhruva, "adapter:50%", "ev.dhruva.adapter.50%25"},
		{schema.Stored, schema.Dhruva, "adapter:%2A", "ev.dhruva.adapter.%252A"},
		{schema.Stored, schema.Dhruva, "adapter:a:b", "ev.dhruva.adapter.a:b"},
		{schema.Stored, schema.Dhruva, "adapter:größe-東京-🎨", "ev.dhruva.adapter.größe-東京-🎨"},
		{schema.Stored, schema.Dhruva, "adapter:a\u00a0b\u2003c\u3000d", "ev.dhruva.adapter.a%C2%A0b%E2%80%83c%E3%80%80d"},
		{schema.Stored, schema.Dhruva, "adapter:\u202eabc\ufeff\ufffd", "ev.dhruva.adapter.%E2%80%AEabc%EF%BB%BF%EF%BF%BD"},
	} {
		c := channel(t, tc.channel)
		got := schema.Subject(tc.class, tc.service, c)
		if got != tc.want {
			t.Errorf("Subject(%q) = %q, want %q", tc.channel, got, tc.want)
		}
		class, service, back, err := schema.ParseSubject(got)
		if err != nil || class != tc.class || service != tc.service || back != c {
			t.Errorf("ParseSubject(%q) = %q %q %q, %v", got, class, service, back, err)
		}
	}
}

func TestParseSubjectRefusesWhatSubjectDoesNotMake(t *testing.T) {
	for _, subject := range []string{
		"", "ev", "ev.dhruva", "ev.dhruva.adapter.a.b", "xx.dhruva.adapter.a", "ev.nobody.adapter.a",
		"ev.dhruva.Adapter.a", "ev.dhruva.adapter.", "ev.dhruva..a", "ev.dhruva.adapter.*", "ev.dhruva.adapter.>",
		"ev.dhruva.*", "ev.dhruva.adapter.%2", "ev.dhruva.adapter.%zz", "ev.dhruva.adapter.%2a", "ev.dhruva.adapter.%41",
		"ev.dhruva.adapter.%00", "ev.dhruva.adapter.%FF", "ev.dhruva.adapter.a b", "ev.dhruva.adapter." + strings.Repeat("a", 201),
	} {
		if _, _, c, err := schema.ParseSubject(subject); !errors.Is(err, schema.ErrChannel) {
			t.Errorf("ParseSubject(%q) = %q, %v", subject, c, err)
		}
	}
}

func TestFiltersMatchExactlyTheirChannels(t *testing.T) {
	workflow := schema.Subject(schema.Live, schema.Mahavishnu, channel(t, "workflow:a.b"))
	registry := schema.Subject(schema.Stored, schema.Dhruva, channel(t, "registry"))
	for _, tc := range []struct {
		filter  string
		subject string
		want    bool
	}{
		{schema.KindSubject(schema.Live, schema.Mahavishnu, "workflow", true), workflow, true},
		{schema.KindSubject(schema.Live, schema.Mahavishnu, "workflow", false), workflow, false},
		{schema.KindSubject(schema.Live, schema.Mahavishnu, "pool", true), workflow, false},
		{schema.KindSubject(schema.Stored, schema.Dhruva, "registry", false), registry, true},
		{schema.ServiceSubject(schema.Live, schema.Mahavishnu), workflow, true},
		{schema.ServiceSubject(schema.Stored, schema.Dhruva), registry, true},
		{schema.ServiceSubject(schema.Live, schema.Dhruva), registry, false},
		{schema.ServiceSubject(schema.Live, schema.Dhruva), workflow, false},
	} {
		if got := server.SubjectsCollide(tc.filter, tc.subject); got != tc.want {
			t.Errorf("%q matches %q: %v, want %v", tc.filter, tc.subject, got, tc.want)
		}
	}
}

func FuzzChannelSubject(f *testing.F) {
	for _, id := range []string{"", "42", "*", ">", "a.b", "%", "%2E", "github.com/a/b", "ä ö\u2028", "\xff", "a\tb", "\ufffd"} {
		f.Add("workflow", id)
	}
	f.Fuzz(func(t *testing.T, kind, id string) {
		c, err := schema.NewChannel(kind, id)
		if err != nil {
			if !errors.Is(err, schema.ErrChannel) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if again, err := schema.ParseChannel(c.String()); err != nil || again != c {
			t.Fatalf("ParseChannel(%q) = %q, %v", c.String(), again, err)
		}
		subject := schema.Subject(schema.Stored, schema.Dhruva, c)
		// A literal subject has no wildcards, no empty tokens and no white space.
		if !server.IsValidLiteralSubject(subject) || !server.IsValidPublishSubject(subject) || !utf8.ValidString(subject) {
			t.Fatalf("%q is no subject to publish to", subject)
		}
		if want := 3; id == "" && strings.Count(subject, ".") != want-1 || id != "" && strings.Count(subject, ".") != want {
			t.Fatalf("%q has the wrong number of tokens", subject)
		}
		// The way back gives the same channel, so no two channels share a subject.
		class, service, back, err := schema.ParseSubject(subject)
		if err != nil || class != schema.Stored || service != schema.Dhruva || back != c {
			t.Fatalf("%q came back as %q %q %q, %v", subject, class, service, back, err)
		}
	})
}

func FuzzParseSubject(f *testing.F) {
	for _, subject := range []string{"ev.dhruva.registry", "live.mahavishnu.workflow.42", "now.excalidraw.collaboration.a%20b", "ev.dhruva.adapter.%2e"} {
		f.Add(subject)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		class, service, c, err := schema.ParseSubject(subject)
		if err == nil && schema.Subject(class, service, c) != subject {
			t.Fatalf("%q is not the spelling of %q", subject, c)
		}
	})
}
