package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/bodhisattva/indranet/schema"
)

func TestKeysCountAsTheyAreSpelled(t *testing.T) {
	for _, c := range []struct {
		in, name, correlation string
		code                  Code
	}{
		{`{"type":"ping","Type":"request","EVENT":"a"}`, "ping", "", ""},
		{`{"Type":"ping"}`, "", "", InvalidRequest},
		{`{"\u0074ype":"ping"}`, "ping", "", ""},
		{`{"type":"ping","ID":"x","iD":"y"}`, "ping", "", ""},
		{`{"type":"request","event":"auth","id":"1","Correlation_ID":"2"}`, "auth", "1", ""},
		{`{"type":"ping","ıd":"x"}`, "ping", "", ""}, // a dotless i, which folds to I
		{`{"type":"request","event":"a","data":{},"datA":[]}`, "a", "", ""},
	} {
		r, refusal := Decode([]byte(c.in))
		if r.Name != c.name || r.Correlation != c.correlation || refusal != nil && refusal.Code != c.code || refusal == nil && c.code != "" {
			t.Errorf("%s: %+v, %v", c.in, r, refusal)
		}
	}
	if _, _, refusal := ParseSubscribe(json.RawMessage(`{"Channel":"a","ROOM":"b"}`)); refusal == nil || !strings.Contains(refusal.Message, "missing") {
		t.Errorf("%v", refusal)
	}
	list, _, refusal := ParseSubscribe(json.RawMessage(`{"channel":"a","Channel":"b","Channels":[],"since":{"seq":1,"Seq":2,"Last":3},"SINCE":"start"}`))
	if refusal != nil || list[0].Name != "a" || list[0].Since != (Since{Kind: SinceSeq, Seq: 1}) {
		t.Errorf("%+v, %v", list, refusal)
	}
	h, refusal := ParseHistory(json.RawMessage(`{"channel":"a","Limit":5,"BEFORE":9}`))
	if refusal != nil || h.Limit != DefaultHistory || h.Before != 0 {
		t.Errorf("%+v, %v", h, refusal)
	}
	data := json.RawMessage(` {"Token":"no", "t\u006fken" : "yes" , "TOKEN":1}`)
	if got := Field(data, "token"); string(got) != `"yes"` {
		t.Errorf("token is %s", got)
	}
	for _, in := range []string{``, `{}`, `[]`, `"token"`, `null`, `{"`, `{"a":`, `{"a"`, `{,,`, `{"a":"\`} {
		if got := Field(json.RawMessage(in), "token"); got != nil {
			t.Errorf("%s: token is %s", in, got)
		}
	}
}

func TestWhatReadersReadDifferentlyIsADecodeError(t *testing.T) {
	for name, list := range map[string][]string{
		"has a key twice": {
			`{"type":"ping","type":"ping"}`, `{"type":"ping","typ\u0065":"request"}`, `{"a":1,"a":1,"type":"ping"}`,
			`{"type":"ping","id":"1","id":"2"}`, `{"type":"request","event":"publish","data":{"payload":{"deep":[{"x":1,"y":2,"x":3}]}}}`,
			`{"type":"ping","":1,"":2}`, `{"type":"ping","é":1,"\u00e9":2}`, `{"type":"ping","\/":1,"/":2}`,
			`{"type":"ping","\ud83d\ude00":1,"😀":2}`, `{"type":"ping","a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"a":0}`,
		},
		"half of a surrogate pair": {
			`{"type":"ping","id":"\ud800"}`, `{"type":"ping","id":"\udc00"}`, `{"type":"ping","id":"\ud800x"}`,
			`{"type":"ping","id":"\udc00\ud800"}`, `{"type":"ping","id":"\ud83d\ud83d\ude00"}`, `{"type":"ping","id":"\ud83d\\ude00"}`,
			`{"type":"ping","\uDBFF":1}`, `{"type":"ping","data":{"x":["\uDFFF"]}}`, `{"type":"ping","id":"\ud83d\u0064"}`,
		},
		"is nested deeper": {
			`{"type":"ping","x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`,
			`{"type":"ping","x":` + strings.Repeat(`{"a":`, 64) + `1` + strings.Repeat("}", 64) + `}`,
			`{"type":"ping","x":` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + `}`,
		},
		"is not JSON": {
			`{"type":"ping"`, `{"type":"ping",}`, `{type:"ping"}`, `{'type':'ping'}`, `{"type":"ping"} x`, `{"type":"ping"}{}`, "{\"type\":\"ping\"}\x00",
			"{\"type\":\"pi\nng\"}", "{\"type\":\"\x00\"}", `{"type":"\x"}`, `{"type":"\u12"}`, `{"type":01}`, `{"type":+1}`, `{"type":1.}`, `{"type":.5}`,
			`{"type":0x1}`, `{"type":NaN}`, `{"type":Infinity}`, `{"type":1e}`, `{"type":True}`, `{/**/"type":"ping"}`, "{\"type\":\"ping\"}\u00a0",
		},
		"is not a JSON object": {`[{"type":"ping"}]`, `"ping"`, `null`, `7`, "\ufeff{\"type\":\"ping\"}"},
		"is not valid UTF-8":   {"{\"type\":\"\xff\"}", "{\"type\":\"\xed\xa0\x80\"}", "{\"\xc0\xaf\":1}"},
	} {
		for _, in := range list {
			r, refusal := Decode([]byte(in))
			if refusal == nil || refusal.Code != DecodeError || !strings.Contains(refusal.Message, name) || r.Name+r.Correlation != "" || r.Data != nil {
				t.Errorf("%.80s: %+v, %v, want that it %s", in, r, refusal, name)
			}
		}
	}
	for _, in := range []string{ // as strange, but everybody reads them alike
		`{"type":"ping","a":{"x":1},"b":{"x":1}}`, `{"type":"ping","Type":1}`, `{"type":"ping","id":"\ud83d\ude00\\ud800"}`,
		`{"type":"ping","x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, `{"type":"ping","x":-1e999}`,
		`{"type":"ping","x":` + strings.Repeat("9", 10_000) + `}`, `{"type":"ping","\u0000":"\u0000"}`,
	} {
		if r, refusal := Decode([]byte(in)); refusal != nil || r.Name != Ping {
			t.Errorf("%.80s: %+v, %v", in, r, refusal)
		}
	}
}

func TestNumbersAreWholeAndWritten(t *testing.T) {
	for _, number := range []string{
		"1e3", "1E3", "1.0", "-0", "-1", "0.5", "1e-3", "9007199254740992", "18446744073709551616", "1e400", `"5"`, `" 5"`, "true", "null",
		"[5]", `{"x":5}`, strings.Repeat("9", 1000),
	} {
		for _, in := range []string{`{"seq":%s}`, `{"last":%s}`} {
			if s, refusal := ParseSince(json.RawMessage(fmt.Sprintf(in, number))); refusal == nil || refusal.Code != InvalidRequest {
				t.Errorf(in+": %+v, %v", number, s, refusal)
			}
		}
		for _, in := range []string{`{"channel":"a","limit":%s}`, `{"channel":"a","before":%s}`} {
			if h, refusal := ParseHistory(json.RawMessage(fmt.Sprintf(in, number))); refusal == nil || refusal.Code != InvalidRequest {
				t.Errorf(in+": %+v, %v", number, h, refusal)
			}
		}
	}
}

// TestBombsAreBounded: whatever a message of the largest size is made of, reading it
// allocates a small multiple of it, and takes no time to speak of.
func TestBombsAreBounded(t *testing.T) {
	const size = 1 << 20
	fill := func(head, one, tail string) string {
		return head + strings.Repeat(one, (size-len(head)-len(tail))/len(one)) + tail
	}
	var keys strings.Builder
	for i := 0; keys.Len() < size-20; i++ {
		fmt.Fprintf(&keys, `"%x":0,`, i)
	}
	subscribe := `{"type":"subscribe","data":`
	for name, in := range map[string]string{
		"lists in lists":       fill(subscribe, "[", ""),
		"objects in objects":   fill(subscribe, `{"":`, ""),
		"objects, then lists":  fill(subscribe, `{"":[`, ""),
		"many channels":        fill(subscribe+`{"channels":[`, "1,", "1]}}"),
		"many empty channels":  fill(subscribe+`{"channels":[`, "{},", "{}]}}"),
		"many keys":            subscribe + `{` + keys.String() + `"channel":"a"}}`,
		"the same key":         fill(subscribe+`{`, `"channel":"a",`, `"channel":"a"}}`),
		"many small objects":   fill(subscribe+`{"x":[`, `{"a":1,"b":2},`, `0],"channel":"a"}}`),
		"a long number":        fill(subscribe+`{"since":{"seq":`, "1", `},"channel":"a"}}`),
		"a long channel":       fill(subscribe+`{"channel":"a:`, "x", `"}}`),
		"a channel of escapes": fill(subscribe+`{"channel":"a:`, `\u0000`, `"}}`),
		"a long epoch":         fill(subscribe+`{"channel":"a","since":{"seq":1,"epoch":"`, "x", `"}}}`),
		"a long id":            fill(`{"type":"ping","id":"`, "x", `"}`),
		"a long event":         fill(`{"type":"request","event":"`, "x", `"}`),
		"blanks":               fill(`{`, " ", `"type":"ping"}`),
		"many long keys":       fill(subscribe+`{"x":[`, `{"`+strings.Repeat("k", 1000)+`":1},`, `0],"channel":"a"}}`),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			r, refusal := Decode([]byte(in))
			if refusal == nil {
				_, _, _ = ParseSubscribe(r.Data)
				_, _ = ParseHistory(r.Data)
			}
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			t.Logf("%d bytes, %v, %v", after.TotalAlloc-before.TotalAlloc, took, refusal)
			if n := after.TotalAlloc - before.TotalAlloc; n > 20*size {
				t.Errorf("%d bytes were allocated", n)
			}
			start = time.Now()
			json.Valid([]byte(in))
			if plain := time.Since(start); took > 50*plain+time.Second { // quadratic would be hours
				t.Errorf("it took %v, a look at it %v", took, plain)
			}
			if len(r.Name) > schema.MaxEventID || len(r.Correlation) > MaxCorrelation {
				t.Error("a long name or correlation was kept")
			}
		})
	}
}

// hostile are ids, names and texts made to mean something to whoever gets them.
var hostile = []string{
	"*", ">", "a.*", "a.>", "a.b", ".", "..", "a b", " ", "\t", "$JS.API.STREAM.DELETE.IND_DHRUVA", "_INBOX.x", "a\r\nNats-Msg-Id: x",
	"a\nPUB x 0\r\n", "\r\n\r\n", "\x00", "a\x00b", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\u009b31m", "\u2028", "a\u2029b", "\u202eabc", "\u200b",
	"\ufeff", "\ufffd", "\U000e0041", "%2E", "%", "%%", "%zz", `"}`, `\`, `","error_code":"x`, "</script><script>", "level=ERROR msg=forged", "\x7f", "\u0085",
	"a:b", "a/b", "a%2Fb", "é", "e\u0301", "😀", "\u00a0", "\u3000", "'; DROP", "${HOME}", "{{.}}", strings.Repeat("x", 200), strings.Repeat("x", 201),
}

func TestHostileNamesAreOneTokenOfASubject(t *testing.T) {
	token := regexp.MustCompile(`^[^\s.*>\x00-\x20\x7f-\x{9f}]+$`)
	for _, text := range hostile {
		for _, name := range []string{text, "workflow:" + text, text + ":1", "*:" + text} {
			quoted, err := json.Marshal(name)
			if err != nil {
				t.Fatal(err)
			}
			c, cut, refusal := ParseChannel(quoted)
			if refusal != nil {
				if !printable(refusal.Message) || !c.IsZero() || len(cut) > maxChannelName {
					t.Errorf("%q: refused with %q, %d bytes of name", name, refusal.Message, len(cut))
				}
				continue
			}
			subject := schema.Subject(schema.Stored, "dhruva", c)
			tokens := strings.Split(subject, ".")
			if want := 3 + strings.Count(name, ":")/max(1, strings.Count(name, ":")); len(tokens) != want {
				t.Errorf("%q: subject %q", name, subject)
			}
			for _, one := range tokens {
				if !token.MatchString(one) || strings.ContainsFunc(one, unicode.IsSpace) {
					t.Errorf("%q: token %q", name, one)
				}
			}
			if _, _, back, err := schema.ParseSubject(subject); err != nil || back != c {
				t.Errorf("%q: %q is read as %v, %v", name, subject, back, err)
			}
		}
	}
}

// TestHostileTextIsEscapedWhereverItIsSaid sends it as every field, and looks at
// what can come of it: names of requests, refusals, answers, and log lines of both
// handlers that hold all of these.
func TestHostileTextIsEscapedWhereverItIsSaid(t *testing.T) {
	for _, text := range hostile {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range []string{
			`{"type":%s}`, `{"type":"request","event":%s,"id":"1"}`, `{"type":"event","event":%s}`, `{"type":"request","event":"x","id":%s}`,
			`{"type":"request","event":7,"correlation_id":%s}`, `{"type":"subscribe","data":{"channel":%s,"since":"start"}}`,
			`{"type":"subscribe","data":{"channel":"a","since":%s}}`, `{"type":"subscribe","data":{"channel":"a","since":{"time":%s}}}`,
			`{"type":"subscribe","data":{"channels":[{"channel":%s}]}}`, `{"type":"ping",%s:1}`,
		} {
			r, refusal := Decode(fmt.Appendf(nil, in, quoted))
			if !printable(r.Name) || strings.ContainsAny(r.Name, " *>\"") {
				t.Errorf("%q: name %q", text, r.Name)
			}
			var list []Selection
			if refusal == nil {
				list, _, refusal = ParseSubscribe(r.Data)
			}
			if refusal == nil {
				refusal = Errorf(InternalError, "none")
			}
			if !printable(refusal.Message) {
				t.Errorf("%q: message %q", text, refusal.Message)
			}
			answers := [][]byte{ErrorResponse(time.Now(), r.Name, r.Correlation, refusal)}
			for _, one := range list {
				answers = append(answers, SubscribeResponse(time.Now(), r.Correlation, Subscribed{Channel: one.Name, ErrorText: refusal.Message}))
			}
			for _, frame := range answers {
				answer := frame[headerSize(frame):]
				if !json.Valid(answer) || bytes.ContainsFunc(answer, func(c rune) bool { return c < ' ' || c == '\u2028' || c == '\u2029' }) {
					t.Errorf("%q: answer %q", text, answer)
				}
			}
			for _, handler := range []func(io.Writer) slog.Handler{
				func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
				func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
			} {
				var line bytes.Buffer
				slog.New(handler(&line)).Info("refused", "request", r.Name, "error", refusal)
				if !printable(strings.TrimSuffix(line.String(), "\n")) {
					t.Errorf("%q: log line %q", text, line.String())
				}
			}
		}
	}
}

// printable reports whether s can be shown anywhere.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}

// TestMessagesOfThePrintedClients are those of the ecosystem's JavaScript and Python
// examples, byte for byte.
func TestMessagesOfThePrintedClients(t *testing.T) {
	for _, channel := range []string{"adapter:llamaindex", "global", "distribution:github.com/a/b", "diagram:ü"} {
		ascii := strings.ReplaceAll(channel, "ü", `\u00fc`) // as json.dumps writes it
		for _, c := range []struct{ in, name, id string }{
			{`{"type":"request","event":"subscribe","data":{"channel":"` + channel + `"},"id":"sub_` + channel + `"}`, Subscribe, "sub_"},
			{`{"type":"request","event":"unsubscribe","data":{"channel":"` + channel + `"},"id":"unsub_` + channel + `"}`, Unsubscribe, "unsub_"},
			{`{"type": "request", "event": "subscribe", "data": {"channel": "` + ascii + `"}, "id": "sub_` + ascii + `"}`, Subscribe, "sub_"},
			{`{"type": "request", "event": "unsubscribe", "data": {"channel": "` + ascii + `"}, "id": "unsub_` + ascii + `"}`, Unsubscribe, "unsub_"},
		} {
			r, refusal := Decode([]byte(c.in))
			if refusal != nil || r.Name != c.name || r.Correlation != c.id+channel {
				t.Errorf("%s: %+v, %v", c.in, r, refusal)
			}
			if list, many, refusal := ParseSubscribe(r.Data); refusal != nil || many || len(list) != 1 || list[0].Channel.String() != channel {
				t.Errorf("%s: %+v, %v", c.in, list, refusal)
			}
		}
	}
}
