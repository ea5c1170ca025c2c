package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestDecodeAcceptsEverySpelling(t *testing.T) {
	for _, c := range []struct{ in, name, correlation string }{
		{`{"type":"request","event":"subscribe","data":{"channel":"a"},"id":"1"}`, "subscribe", "1"},
		{`{"type":"request","event":"subscribe","correlation_id":"c"}`, "subscribe", "c"},
		{`{"type":"request","event":"subscribe","id":"1","correlation_id":"c"}`, "subscribe", "1"},
		{`{"type":"subscribe","data":{"channel":"a"}}`, "subscribe", ""},
		{`{"type":"unsubscribe","data":{"channel":"a"}}`, "unsubscribe", ""},
		{`{"type":"event","event":"subscribe","data":{"room":"a"}}`, "subscribe", ""},
		{`{"type":"event","event":"unsubscribe","data":{"room":"a"}}`, "unsubscribe", ""},
		{`{"type":"event","event":"cursor.moved","data":{}}`, "publish", ""},
		{`{"type":"ping"}`, "ping", ""},
		{`{"type":"ping","id":null,"data":null,"extra":[1]}`, "ping", ""},
		{" \n{\"type\":\"request\",\"event\":\"Get-status_2.x\"}", "Get-status_2.x", ""},
	} {
		r, refusal := Decode([]byte(c.in))
		if refusal != nil || r.Name != c.name || r.Correlation != c.correlation {
			t.Errorf("%s: %+v, %v", c.in, r, refusal)
		}
	}
}

func TestDecodeRefusesByName(t *testing.T) {
	for _, c := range []struct {
		in   string
		code Code
		says string
	}{
		{``, DecodeError, "JSON"},
		{`null`, DecodeError, "JSON"},
		{`[]`, DecodeError, "JSON"},
		{`"x"`, DecodeError, "JSON"},
		{`{"type":`, DecodeError, "JSON"},
		{`{} {}`, DecodeError, "JSON"},
		{"{\"type\":\"\xff\"}", DecodeError, "UTF-8"},
		{strings.Repeat(`{"a":`, 20000), DecodeError, "deeper"},
		{`{}`, InvalidRequest, "type"},
		{`{"type":1}`, InvalidRequest, "type"},
		{`{"type":"x"}`, InvalidRequest, "type"},
		{`{"type":"request"}`, InvalidRequest, "event"},
		{`{"type":"request","event":[]}`, InvalidRequest, "event"},
		{`{"type":"request","event":"a","id":7}`, InvalidRequest, "id"},
		{`{"type":"request","event":"a","data":[]}`, InvalidRequest, "data"},
		{`{"type":"request","event":"a","id":"` + strings.Repeat("x", 257) + `"}`, InvalidRequest, "id"},
		{`{"type":"request","event":"` + strings.Repeat("x", 300) + `"}`, UnknownRequest, "event"},
		{`{"type":"request","event":"weiß"}`, UnknownRequest, "event"},
	} {
		_, refusal := Decode([]byte(c.in))
		if refusal == nil || refusal.Code != c.code || !strings.Contains(refusal.Message, c.says) {
			t.Errorf("%.60q: %v, want %s about %s", c.in, refusal, c.code, c.says)
		}
	}
}

func TestSinceForms(t *testing.T) {
	moment := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for in, want := range map[string]Since{
		``: {}, `null`: {}, `"now"`: {}, `"start"`: {Kind: SinceStart},
		`{"seq":7,"epoch":"e","id":"i"}`:                {Kind: SinceSeq, Seq: 7, Epoch: "e", ID: "i"},
		`{"seq":0}`:                                     {Kind: SinceSeq},
		`{"seq":9007199254740991}`:                      {Kind: SinceSeq, Seq: MaxSeq},
		`{"last":100000}`:                               {Kind: SinceLast, Last: MaxLast},
		`{"time":"2026-01-02T04:04:05.000006+01:00"}`:   {Kind: SinceTime, Time: moment},
		` {"time":"2026-01-02T03:04:05.000006Z","x":1}`: {Kind: SinceTime, Time: moment},
	} {
		got, err := ParseSince(json.RawMessage(in))
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{
		`"x"`, `1`, `[]`, `{}`, `{"seq":-1}`, `{"seq":1.5}`, `{"seq":"1"}`, `{"seq":9007199254740992}`, `{"seq":99999999999999999999}`,
		`{"last":0}`, `{"last":100001}`, `{"last":1,"seq":1}`, `{"time":"yesterday"}`, `{"time":5}`, `{"time":"0001-01-01T00:00:00Z"}`,
		`{"time":"1970-01-01T00:00:00+01:00"}`, `{"time":"9999-12-31T23:59:59-01:00"}`, `{"time":"2026-01-02T03:04:05,5Z"}`, `{"time":"2026-01-02T3:04:05Z"}`,
		`{"time":"2026-01-02T03:04:60Z"}`, `{"time":null}`, `{"time":["2026-01-02T03:04:05Z"]}`,
		`{"seq":1,"epoch":5}`, `{"seq":1,"id":5}`, `{"epoch":"e"}`, `true`,
	} {
		if got, err := ParseSince(json.RawMessage(in)); err == nil || err.Code != InvalidRequest {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
}

func TestParseSubscribe(t *testing.T) {
	list, many, refusal := ParseSubscribe(json.RawMessage(`{"channels":[{"channel":"a:1","since":"start"},{"channel":"A"},{"channel":"b","since":5},7,{}]}`))
	if refusal != nil || !many || len(list) != 5 || list[0].Err != nil || list[0].Since.Kind != SinceStart {
		t.Fatalf("%+v, %v", list, refusal)
	}
	for i, code := range []Code{InvalidChannel, InvalidRequest, InvalidRequest, InvalidRequest} {
		if e := list[i+1].Err; e == nil || e.Code != code {
			t.Errorf("entry %d: %v, want %s", i+1, e, code)
		}
	}
	for in, code := range map[string]Code{
		``: InvalidRequest, `{}`: InvalidRequest, `{"channel":5}`: InvalidRequest, `{"channels":[]}`: InvalidRequest,
		`{"channels":{}}`: InvalidRequest, `{"channel":"a","channels":[{"channel":"b"}]}`: InvalidRequest,
		`{"channels":[` + strings.Repeat(`{"channel":"a"},`, 100) + `{"channel":"a"}]}`: InvalidRequest,
		`{"channel":"a:` + strings.Repeat("x", 300) + `"}`:                              InvalidChannel,
		`{"channel":"a:\u0000"}`: InvalidChannel, `{"channel":"a:"}`: InvalidChannel,
		`{"channel":""}`: InvalidChannel,
	} {
		if _, _, refusal := ParseSubscribe(json.RawMessage(in)); refusal == nil || refusal.Code != code {
			t.Errorf("%.60s: %v, want %s", in, refusal, code)
		}
	}
	for _, id := range []string{"a.b", "a b", "*", ">", "ü😀", "a/b:c", strings.Repeat("x", 200)} {
		name, _ := json.Marshal("kind:" + id)
		list, _, refusal := ParseSubscribe(json.RawMessage(`{"room":` + string(name) + `}`))
		if refusal != nil || list[0].Channel.ID() != id {
			t.Errorf("%s: %v", name, refusal)
		}
	}
}

func TestParseHistory(t *testing.T) {
	h, refusal := ParseHistory(json.RawMessage(`{"channel":"a","limit":5,"before":9}`))
	if refusal != nil || h.Limit != 5 || h.Before != 9 || h.Since != (Since{Kind: SinceLast, Last: 5}) {
		t.Errorf("%+v, %v", h, refusal)
	}
	for _, in := range []string{
		``, `{}`, `{"channel":"a","limit":0}`, `{"channel":"a","limit":1001}`, `{"channel":"a","limit":"x"}`,
		`{"channel":"a","before":0}`, `{"channel":"a","before":-1}`, `{"channel":"a","since":7}`,
	} {
		if h, refusal := ParseHistory(json.RawMessage(in)); refusal == nil || refusal.Code != InvalidRequest {
			t.Errorf("%s: %+v, %v", in, h, refusal)
		}
	}
}

// FuzzSince: no input panics, and what is accepted is within its bounds.
func FuzzSince(f *testing.F) {
	f.Add([]byte(`{"seq":7,"epoch":"e"}`))
	f.Add([]byte(`{"time":"2026-01-02T04:04:05Z"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := ParseSince(in)
		if err == nil && (s.Seq > MaxSeq || s.Kind == SinceLast && (s.Last < 1 || s.Last > MaxLast) || s.Kind == SinceTime && s.Time.IsZero()) {
			t.Fatalf("%q: %+v", in, s)
		}
	})
}

func TestFramesAreTheSameInOnePieceAndInTwo(t *testing.T) {
	stored := time.Date(2026, 1, 2, 3, 4, 5, 678900, time.UTC)
	for _, size := range []int{0, 10, 100, 200, 70_000} {
		data := []byte(`{"x":"` + strings.Repeat("y", size) + `"}`)
		whole := NewWholeFrame("room:ü\n", 9, 4, "e.v", "id", stored, data)
		parts := NewFrame("room:ü\n", 9, 4, AppendBody(nil, "e.v", "id", stored, data))
		if got, want := parts.JSON(nil), whole.JSON(nil); !bytes.Equal(got, want) || !json.Valid(got) {
			t.Fatalf("%d: %s, want %s", size, got, want)
		}
		if !bytes.Equal(append(append([]byte{}, parts.Head...), parts.Body...), whole.Head) {
			t.Fatalf("%d: headers differ", size)
		}
		for _, f := range []Frame{whole, parts} {
			other := f.WithPrev("room:ü\n", 123456)
			want := NewWholeFrame("room:ü\n", 9, 123456, "e.v", "id", stored, data)
			if !bytes.Equal(append(append([]byte{}, other.Head...), other.Body...), want.Head) {
				t.Fatalf("%d: WithPrev gave %s", size, other.JSON(nil))
			}
		}
	}
}

func TestTextFrameHeaders(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		f := TextFrame(make([]byte, n))
		if got := headerSize(f); len(f) != got+n {
			t.Errorf("%d bytes: header of %d in a frame of %d", n, got, len(f))
		}
	}
}

func TestAFrameIsOneAllocation(t *testing.T) {
	body := AppendBody(nil, "e", "i", time.Time{}, []byte(`{}`))
	if n := testing.AllocsPerRun(100, func() { NewFrame("adapter:a", 5, 4, body) }); n > 1 {
		t.Errorf("NewFrame: %v allocations", n)
	}
	data := []byte(`{"a":1}`)
	if n := testing.AllocsPerRun(100, func() { NewWholeFrame("adapter:a", 5, 4, "e", "i", time.Time{}, data) }); n > 1 {
		t.Errorf("NewWholeFrame: %v allocations", n)
	}
}
