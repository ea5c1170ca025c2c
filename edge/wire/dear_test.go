package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// dear are messages of about 1 MiB that cost the most to read.
func dear() map[string][]byte {
	message := func(data []byte) []byte {
		return append(append([]byte(`{"type":"ping","data":`), data...), '}')
	}
	object := func(n int, key string) []byte {
		var b bytes.Buffer
		for i := range n {
			fmt.Fprintf(&b, `,"`+key+`%05x":1`, (i*7919)&0xfffff)
		}
		return append(append([]byte{'{'}, b.Bytes()[1:]...), '}')
	}
	return map[string][]byte{
		"text":    message(append(append([]byte(`{"a":"`), bytes.Repeat([]byte("x"), 1_040_000)...), `"}`...)),
		"keys":    message(object(100_000, "")),
		"escapes": message(object(70_000, `\u0041`)),
		"numbers": message(append(append([]byte(`{"a":[1`), bytes.Repeat([]byte(",1"), 520_000)...), `]}`...)),
		"escaped": message(append(append([]byte(`{"a":"`), bytes.Repeat([]byte(`\u00e9`), 170_000)...), `"}`...)),
	}
}

// BenchmarkDear is what the dearest messages cost.
func BenchmarkDear(b *testing.B) {
	for name, payload := range dear() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(payload)))
			for b.Loop() {
				_, _ = Decode(payload)
			}
		})
	}
}

// TestMessagesOfTooManyValuesAreRefused: whatever the values are, and that the bound is
// one, not two.
func TestMessagesOfTooManyValuesAreRefused(t *testing.T) {
	const around = `{"type":"ping","data":{"a":}}`
	for _, one := range []string{`1`, `"a,[{"`, `[]`, `{}`, `"\","`, `null`} {
		each := 1 // The comma.
		if one == `[]` || one == `{}` {
			each = 2
		}
		for _, c := range []struct {
			values  int
			refused bool
		}{{MaxValues, false}, {MaxValues + each, true}} {
			n := (c.values - 3 - each) / each // Beside the message, its comma, data, the list and the first value.
			list := "[" + strings.Repeat(one+",", n) + one + "]"
			_, refusal := Decode([]byte(strings.Replace(around, ":}", ":"+list+"}", 1)))
			if (refusal != nil) != c.refused {
				t.Errorf("%d of %s: %v", n+1, one, refusal)
			}
			if refusal != nil && (refusal.Code != DecodeError || !strings.Contains(refusal.Message, "more than 16384 values")) {
				t.Errorf("%d of %s: %v", n+1, one, refusal)
			}
		}
	}
	var keys strings.Builder
	for i := range MaxValues {
		fmt.Fprintf(&keys, `"%x":1,`, i)
	}
	if _, refusal := Decode([]byte(strings.Replace(around, `"a":`, keys.String()+`"a":1`, 1))); refusal == nil {
		t.Error("as many keys are taken")
	}
}

// FuzzUnescape holds unescape against encoding/json.
func FuzzUnescape(f *testing.F) {
	for _, text := range []string{`a`, `\n\t\b\f\r\"\\\/`, `\u0041\u00e9\ud83d\ude00`, `\ud800x`, `\ud800\u0041`, `\udc00\ud800`, `x\u00aF`, `\ud800\ud83d\ude00`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		quoted := append(append([]byte{'"'}, text...), '"')
		var want string
		if !utf8.Valid(text) || json.Unmarshal(quoted, &want) != nil {
			unescape(text) // It does not panic.
			return
		}
		if got := unescape(text); string(got) != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	})
}
