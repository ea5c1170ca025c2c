package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"
)

// strictRead is an independent reading of a message: token by token, with every
// object a map. It is false for what must be a DECODE_ERROR.
func strictRead(in []byte) (map[string]any, bool) {
	if !utf8.Valid(in) || !json.Valid(in) {
		return nil, false
	}
	units := regexp.MustCompile(`\\(?:u([0-9a-fA-F]{4})|.)`).FindAllSubmatchIndex(in, -1)
	high := -1 // where the low half must stand
	for _, at := range units {
		unit := uint64(0)
		if at[2] >= 0 {
			unit, _ = strconv.ParseUint(string(in[at[2]:at[3]]), 16, 16)
		}
		low := unit>>10 == 0xdc00>>10
		if high >= 0 && (high != at[0] || !low) || high < 0 && low {
			return nil, false
		}
		if high = -1; unit>>10 == 0xd800>>10 {
			high = at[1]
		}
	}
	if high >= 0 {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(in))
	d.UseNumber()
	errBad := errors.New("bad")
	values := 0
	var read func(depth int) (any, error)
	read = func(depth int) (any, error) {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		delim, ok := token.(json.Delim)
		if !ok {
			return token, nil
		}
		if depth == 0 {
			return nil, errBad
		}
		object, list := map[string]any{}, []any{}
		for values++; d.More(); {
			if len(list) > 0 {
				values++
			}
			var key string
			if delim == '{' {
				token, err := d.Token()
				if err != nil {
					return nil, err
				}
				key = token.(string)
			}
			value, err := read(depth - 1)
			if err != nil {
				return nil, err
			}
			if _, twice := object[key]; twice && delim == '{' {
				return nil, errBad
			}
			object[key] = value
			list = append(list, value)
		}
		if _, err := d.Token(); err != nil || delim == '[' {
			return list, err
		}
		return object, nil
	}
	value, err := read(maxDepth)
	object, ok := value.(map[string]any)
	return object, ok && err == nil && values <= MaxValues
}

// FuzzDecode holds Decode against the independent reading: the same messages are
// refused, and of the others it understands the same. No input panics, and every
// refusal can be sent.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"type":"request","event":"subscribe","data":{"channel":"a:b","since":{"seq":1,"epoch":"e"}},"id":"1"}`))
	f.Add([]byte(`{"type":"event","event":"subscribe","data":{"room":"x","channels":[{"channel":"a"},7]}}`))
	f.Add([]byte(`{"type":"ping","id":null,"correlation_id":"\ud83d\ude00\n","x":[1e3,-0.5,true,false,null,{}]}`))
	f.Add([]byte(`{"type":"ping","typ\u0065":"request","Type":"x","id":"\ud800"}`))
	f.Add([]byte("{\"type\":\"\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		kept := bytes.Clone(in)
		r, refusal := Decode(in)
		if !bytes.Equal(in, kept) {
			t.Fatal("the input was changed")
		}
		want, strict := strictRead(in)
		if strict == (refusal != nil && refusal.Code == DecodeError) {
			t.Fatalf("%q: %v, read as %v", in, refusal, want)
		}
		if strict && refusal == nil {
			text := func(key string) string { s, _ := want[key].(string); return s }
			correlation := text("id")
			if correlation == "" {
				correlation = text("correlation_id")
			}
			names := map[string]string{"ping": Ping, "request": text("event"), "subscribe": Subscribe, "unsubscribe": Unsubscribe, "event": Publish}
			if e := text("event"); e == Subscribe || e == Unsubscribe {
				names["event"] = e
			}
			if r.Correlation != correlation || r.Name == "" || r.Name != names[text("type")] {
				t.Fatalf("%q: %+v, read as %v", in, r, want)
			}
			data, _ := want["data"].(map[string]any)
			if (r.Data == nil) != (data == nil) {
				t.Fatalf("%q: data %s, read as %v", in, r.Data, data)
			}
			for _, key := range append(slices.Collect(maps.Keys(data)), "channel", "Channel") {
				value, there := data[key]
				field := Field(r.Data, key)
				if there != (field != nil) || there && !json.Valid(field) {
					t.Fatalf("%q: %q is %q, read as %v", in, key, field, value)
				}
				if s, ok := value.(string); ok {
					var got string
					if json.Unmarshal(field, &got) != nil || got != s {
						t.Fatalf("%q: %q is %q, read as %q", in, key, got, s)
					}
				}
			}
		}
		if refusal == nil {
			list, _, bad := ParseSubscribe(r.Data)
			if len(list) > MaxSelections {
				t.Fatalf("%d selections", len(list))
			}
			if _, refusal = ParseHistory(r.Data); refusal == nil {
				refusal = bad
			}
		}
		if refusal != nil {
			f := ErrorResponse(time.Time{}, r.Name, r.Correlation, refusal)
			if !json.Valid(f[headerSize(f):]) || !printable(refusal.Message) {
				t.Fatalf("the refusal is %s", f)
			}
		}
	})
}

// BenchmarkDecode is the way of an ordinary subscribe.
func BenchmarkDecode(b *testing.B) {
	in := []byte(`{"type":"request","event":"subscribe","data":{"channel":"adapter:llamaindex","since":{"seq":7,"epoch":"2f1c"}},"id":"sub_adapter:llamaindex"}`)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		r, refusal := Decode(in)
		if refusal != nil {
			b.Fatal(refusal)
		}
		if _, _, refusal := ParseSubscribe(r.Data); refusal != nil {
			b.Fatal(refusal)
		}
	}
}
