package main

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
)

func TestPositions(t *testing.T) {
	for text, want := range map[string]wire.Since{
		"start":                           {Kind: wire.SinceStart},
		"now":                             {},
		"0":                               {Kind: wire.SinceSeq},
		"42":                              {Kind: wire.SinceSeq, Seq: 42},
		"last:7":                          {Kind: wire.SinceLast, Last: 7},
		"2026-01-02T03:04:05.5+01:00":     {Kind: wire.SinceTime, Time: time.Date(2026, 1, 2, 2, 4, 5, 500_000_000, time.UTC)},
		`{"seq":7,"epoch":"e","id":"i"}`:  {Kind: wire.SinceSeq, Seq: 7, Epoch: "e", ID: "i"},
		`{"time":"2026-01-02T03:04:05Z"}`: {Kind: wire.SinceTime, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
	} {
		var p position
		if err := p.UnmarshalText([]byte(text)); err != nil || !cmp.Equal(p.Since, want) {
			t.Errorf("%s is %+v, %v", text, p.Since, err)
		}
	}
	for _, text := range []string{"", "-1", "1.5", "9007199254740992", "last:", "last:0", "last:1}", "yesterday", "{}", `{"seq":1`, `"start"`, "null"} {
		var p position
		if err := p.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %+v", text, p.Since)
		}
	}
}

func TestEpochCompletesAPosition(t *testing.T) {
	for _, tc := range []struct{ text, epoch, want string }{
		{"42", "", `{"seq":42}`},
		{"42", "e", `{"epoch":"e","seq":42}`},
		{`{"seq":42,"id":"i"}`, "e", `{"epoch":"e","id":"i","seq":42}`},
		{`{"seq":42,"epoch":"e"}`, "e", `{"epoch":"e","seq":42}`},
		{`{"seq":42,"epoch":"f"}`, "e", ""},
		{"start", "e", ""},
		{"start", "", `"start"`},
	} {
		var p position
		if err := p.UnmarshalText([]byte(tc.text)); err != nil {
			t.Fatal(err)
		}
		err := p.within(tc.epoch)
		if (err == nil) != (tc.want != "") || err == nil && string(p.json) != tc.want {
			t.Errorf("%s within %q is %s, %v", tc.text, tc.epoch, p.json, err)
		}
	}
}

// FuzzPosition wants what a person writes and what goes to an edge to be the same.
func FuzzPosition(f *testing.F) {
	for _, text := range []string{"start", "7", "last:7", "2026-01-02T03:04:05Z", `{"seq":1}`, `last:1,"seq":2`} {
		f.Add(text, "e")
	}
	f.Fuzz(func(t *testing.T, text, epoch string) {
		var p position
		if !utf8.ValidString(epoch) || p.UnmarshalText([]byte(text)) != nil || p.within(epoch) != nil {
			return
		}
		again, refusal := wire.ParseSince(p.json)
		if refusal != nil || !cmp.Equal(again, p.Since) {
			t.Errorf("%q: %s is %+v, %v; want %+v", text, p.json, again, refusal, p.Since)
		}
	})
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]size{
		"1": 1, "10B": 10, "4KiB": 4096, "128MiB": 128 << 20, "4 GiB": 4 << 30, "8388607TiB": 8388607 << 40,
		"": 0, "0": 0, "-1": 0, "MiB": 0, "1.5GiB": 0, "1GB": 0, "8388608TiB": 0, "1 MiB x": 0,
	} {
		var s size
		if err := s.UnmarshalText([]byte(text)); s != want || (err == nil) != (want > 0) {
			t.Errorf("%q is %d, %v", text, s, err)
		}
	}
	for s, want := range map[size]string{0: "0B", 1000: "1000B", 128 << 20: "128MiB", 4 << 30: "4GiB", 1 << 40: "1TiB"} {
		if s.String() != want {
			t.Errorf("%d is written %s", int64(s), s)
		}
	}
}

func TestTooLargePayloadIsNotCalledBroken(t *testing.T) {
	c := publishCmd{Service: serviceArg{schema.Dhruva}, Event: "adapter.activated"}
	cut := append([]byte(`{"adapter_id":"`), make([]byte, schema.MaxPayload)...)
	if _, err := c.parse(cut); !errors.Is(err, schema.ErrTooLarge) {
		t.Errorf("error %v", err)
	}
}

func TestPlacesAreCountedAsEditorsDo(t *testing.T) {
	for text, want := range map[string]string{
		"":               "line 1, column 1",
		"x":              "line 1, column 1",
		"{\n \"ä\": x}":  "line 2, column 7",
		"{\"a\":1}\n\nx": "line 3, column 1",
	} {
		var syntax *json.SyntaxError
		err := json.Unmarshal([]byte(text), new(json.RawMessage))
		if !errors.As(err, &syntax) || place([]byte(text), syntax.Offset) != want {
			t.Errorf("%q: %v at %s, want %s", text, err, place([]byte(text), syntax.Offset), want)
		}
	}
}

func TestNothingThatATerminalObeysIsPrinted(t *testing.T) {
	const text = "a\x1b[2J\u009b1m\u202eb\tä🕸"
	if got := visible(text); got != `a\u001b[2J\u009b1m\u202eb\u0009ä🕸` {
		t.Errorf("%q", got)
	}
}
