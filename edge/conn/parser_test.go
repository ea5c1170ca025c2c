package conn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

const testLimit = 1000

// parseAll feeds pieces to a parser and tells what it found, one line an event.
func parseAll(pieces ...[]byte) (events []string, err error) {
	p := parser{limit: testLimit}
	for _, piece := range pieces {
		in := bytes.Clone(piece)
		for {
			ev, rest, err := p.next(in)
			if err != nil {
				return events, err
			}
			if ev.kind == eventNone {
				break
			}
			events = append(events, describe(ev))
			in = rest
		}
	}
	return events, nil
}

func describe(ev event) string {
	name := [...]string{"none", "message", "ping", "pong", "close"}[ev.kind]
	if ev.kind == eventClose {
		name += fmt.Sprint(" ", uint16(ev.code))
	}
	return name + " " + string(ev.payload)
}

// raw is a frame with every bit under control; the mask is zero.
func raw(first, second byte, rest ...byte) []byte {
	return append([]byte{first, second}, rest...)
}

func frames(list ...[]byte) []byte { return bytes.Join(list, nil) }

var parserCases = []struct {
	name   string
	input  []byte
	events []string
	err    error
}{
	{"nothing", nil, nil, nil},
	{"text", text("hello"), []string{"message hello"}, nil},
	{"binary is read as text", masked(ws.OpBinary, true, "hello"), []string{"message hello"}, nil},
	{"empty text", text(""), []string{"message "}, nil},
	{"125 bytes", text(strings.Repeat("a", 125)), []string{"message " + strings.Repeat("a", 125)}, nil},
	{"126 bytes", text(strings.Repeat("a", 126)), []string{"message " + strings.Repeat("a", 126)}, nil},
	{"the limit", text(strings.Repeat("a", testLimit)), []string{"message " + strings.Repeat("a", testLimit)}, nil},
	{"a 64-bit length that is small", raw(0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 'x'), []string{"message x"}, nil},
	{"three messages", frames(text("a"), text("b"), text("c")), []string{"message a", "message b", "message c"}, nil},
	{"fragments", frames(masked(ws.OpText, false, "he"), masked(ws.OpContinuation, false, ""), masked(ws.OpContinuation, true, "llo")), []string{"message hello"}, nil},
	{"empty fragments", frames(masked(ws.OpText, false, ""), masked(ws.OpContinuation, true, "")), []string{"message "}, nil},
	{"first fragment empty", frames(masked(ws.OpText, false, ""), masked(ws.OpContinuation, true, "x"), text("y")), []string{"message x", "message y"}, nil},
	{"control frames between fragments", frames(masked(ws.OpText, false, "a"), masked(ws.OpPing, true, "p"), masked(ws.OpPong, true, "q"), masked(ws.OpContinuation, true, "b")), []string{"ping p", "pong q", "message ab"}, nil},
	{"ping of 125 bytes", masked(ws.OpPing, true, strings.Repeat("p", 125)), []string{"ping " + strings.Repeat("p", 125)}, nil},
	{"a rune cut by fragments", frames(masked(ws.OpText, false, "\xf0\x9f"), masked(ws.OpContinuation, false, "\x98"), masked(ws.OpContinuation, true, "\x80")), []string{"message \U0001F600"}, nil},
	{"close", closing(1000, "bye"), []string{"close 1000 bye"}, nil},
	{"close without code", closing(0, ""), []string{"close 1005 "}, nil},
	{"bytes behind a close frame", frames(closing(1001, ""), []byte{0xff, 0xff}), []string{"close 1001 "}, nil},
	{"a message, then garbage", frames(text("a"), raw(0xff, 0xff)), []string{"message a"}, errReservedBits},

	{"reserved bit 1", raw(0xc1, 0x80), nil, errReservedBits},
	{"reserved bit 2", raw(0xa1, 0x80), nil, errReservedBits},
	{"reserved bit 3", raw(0x91, 0x80), nil, errReservedBits},
	{"opcode 3", raw(0x83, 0x80), nil, errOpcode},
	{"opcode 7", raw(0x87, 0x80), nil, errOpcode},
	{"opcode 11", raw(0x8b, 0x80), nil, errOpcode},
	{"opcode 15", raw(0x8f, 0x80), nil, errOpcode},
	{"no mask", raw(0x81, 0x00), nil, errUnmasked},
	{"ping without mask", raw(0x89, 0x00), nil, errUnmasked},
	{"fragmented ping", raw(0x09, 0x80), nil, errControlFragment},
	{"fragmented close", raw(0x08, 0x80), nil, errControlFragment},
	{"ping of 126 bytes", raw(0x89, 0xfe), nil, errControlLength},
	{"ping with a 64-bit length", raw(0x89, 0xff), nil, errControlLength},
	{"continuation first", raw(0x80, 0x80), nil, errContinuation},
	{"continuation after a message", frames(text("a"), raw(0x80, 0x80)), []string{"message a"}, errContinuation},
	{"text between fragments", frames(masked(ws.OpText, false, "a"), raw(0x81, 0x80)), nil, errFragmentExpected},
	{"binary between fragments", frames(masked(ws.OpText, false, "a"), raw(0x82, 0x80)), nil, errFragmentExpected},
	{"over the limit, no payload yet", raw(0x81, 0xfe, 0x03, 0xe9, 0, 0, 0, 0), nil, errTooBig},
	{"far over the limit", raw(0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), nil, errTooBig},
	{"length with the top bit", raw(0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), nil, errLength},
	{"over the limit by fragments", frames(masked(ws.OpText, false, strings.Repeat("a", testLimit-1)), raw(0x80, 0x82, 0, 0, 0, 0)), nil, errTooBig},
	{"the limit by fragments", frames(masked(ws.OpText, false, strings.Repeat("a", testLimit-1)), masked(ws.OpContinuation, true, "b")), []string{"message " + strings.Repeat("a", testLimit-1) + "b"}, nil},
	{"invalid UTF-8", text("a\xffb"), nil, errText},
	{"invalid UTF-8 in binary", masked(ws.OpBinary, true, "\xff"), nil, errText},
	{"a surrogate", text("\xed\xa0\x80"), nil, errText},
	{"an overlong rune", text("\xc0\xaf"), nil, errText},
	{"a cut rune at the end", text("a\xf0\x9f\x98"), nil, errText},
	{"a cut rune at the end of fragments", frames(masked(ws.OpText, false, "a\xf0"), masked(ws.OpContinuation, true, "\x9f")), nil, errText},
	{"invalid UTF-8 fails in the first fragment", frames(masked(ws.OpText, false, "a\xff"), masked(ws.OpPing, true, "")), nil, errText},
	{"invalid UTF-8 fails before the frame is complete", text("\xf4\x90" + strings.Repeat("a", 500))[:10], nil, errText},
	{"half a close code", masked(ws.OpClose, true, "\x03"), nil, errCloseLength},
	{"close 999", closing(999, ""), nil, errCloseCode},
	{"close 1004", closing(1004, ""), nil, errCloseCode},
	{"close 1005", closing(1005, ""), nil, errCloseCode},
	{"close 1006", closing(1006, ""), nil, errCloseCode},
	{"close 1015", closing(1015, ""), nil, errCloseCode},
	{"close 2999", closing(2999, ""), nil, errCloseCode},
	{"close 5000", closing(5000, ""), nil, errCloseCode},
	{"close 1014", closing(1014, ""), []string{"close 1014 "}, nil},
	{"close 3000", closing(3000, ""), []string{"close 3000 "}, nil},
	{"close 4999", closing(4999, ""), []string{"close 4999 "}, nil},
	{"close reason is not UTF-8", closing(1000, "\xff"), nil, errCloseText},
}

func TestParser(t *testing.T) {
	for _, c := range parserCases {
		t.Run(c.name, func(t *testing.T) {
			events, err := parseAll(c.input)
			if !slices.Equal(events, c.events) || !errors.Is(err, c.err) {
				t.Errorf("got %.200q, %v\nwant %.200q, %v", events, err, c.events, c.err)
			}
		})
	}
}

func TestParseResultIsIndependentOfCuts(t *testing.T) {
	for _, c := range parserCases {
		t.Run(c.name, func(t *testing.T) {
			single := make([][]byte, len(c.input))
			for i := range c.input {
				single[i] = c.input[i : i+1]
			}
			if events, err := parseAll(single...); !slices.Equal(events, c.events) || !errors.Is(err, c.err) {
				t.Errorf("byte by byte: got %.200q, %v", events, err)
			}
			for i := range c.input {
				if events, err := parseAll(c.input[:i], c.input[i:]); !slices.Equal(events, c.events) || !errors.Is(err, c.err) {
					t.Errorf("cut at %d: got %.200q, %v", i, events, err)
				}
			}
		})
	}
}

func TestParserHoldsNothingBetweenMessages(t *testing.T) {
	p := parser{limit: 1 << 20}
	for _, in := range [][]byte{text(strings.Repeat("a", 100_000)), masked(ws.OpPing, true, "0123456789")} {
		for _, b := range in { // in pieces, so that it must assemble
			for piece := []byte{b}; ; {
				ev, rest, err := p.next(piece)
				if err != nil {
					t.Fatal(err)
				}
				if piece = rest; ev.kind == eventNone {
					break
				}
			}
		}
		if p.message != nil || p.control != nil {
			t.Errorf("holds %d bytes of message and %d of control", cap(p.message), cap(p.control))
		}
	}
}

func TestParserMemoryGrowsWithWhatCameNotWithWhatWasAnnounced(t *testing.T) {
	p := parser{limit: 1 << 30}
	header := binary.BigEndian.AppendUint64(raw(0x81, 0xff), 1<<30)
	in := append(header, 0, 0, 0, 0)
	for range 10_000 {
		in = append(in, 'a')
	}
	if _, _, err := p.next(in); err != nil {
		t.Fatal(err)
	}
	if cap(p.message) > 3*10_000 {
		t.Errorf("holds %d bytes for 10000 that came", cap(p.message))
	}
}

func TestParserStaysBroken(t *testing.T) {
	p := parser{limit: 10}
	for range 3 {
		if _, _, err := p.next(raw(0xff, 0xff)); !errors.Is(err, errReservedBits) {
			t.Errorf("got %v", err)
		}
	}
}

// oracle reads complete frames with gobwas' reader and joins them the plain way.
// It is false if the input ends within a frame.
func oracle(input []byte) (events []string, complete bool, err error) {
	r := bytes.NewReader(input)
	var message []byte
	fragmented := false
	for {
		before := r.Len()
		h, err := ws.ReadHeader(r)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return events, before == 0, nil
		}
		state := ws.StateServerSide
		if fragmented {
			state = state.Set(ws.StateFragmented)
		}
		if err != nil || ws.CheckHeader(h, state) != nil {
			return events, true, errOpcode
		}
		if h.OpCode.IsData() && h.Length > int64(testLimit-len(message)) {
			return events, true, errTooBig
		}
		payload := make([]byte, min(h.Length, int64(r.Len())))
		_, _ = io.ReadFull(r, payload)
		if int64(len(payload)) < h.Length {
			return events, false, nil
		}
		ws.Cipher(payload, h.Mask, 0)
		switch h.OpCode {
		case ws.OpPing:
			events = append(events, "ping "+string(payload))
		case ws.OpPong:
			events = append(events, "pong "+string(payload))
		case ws.OpClose:
			if len(payload) == 0 {
				return append(events, "close 1005 "), true, nil
			}
			if len(payload) == 1 || !Code(binary.BigEndian.Uint16(payload)).Sendable() {
				return events, true, errCloseCode
			}
			if !utf8.Valid(payload[2:]) {
				return events, true, errText
			}
			return append(events, fmt.Sprintf("close %d %s", binary.BigEndian.Uint16(payload), payload[2:])), true, nil
		default:
			message = append(message, payload...)
			fragmented = !h.Fin
			if !extendable(message, h.Fin) {
				return events, true, errText
			}
			if h.Fin {
				events = append(events, "message "+string(message))
				message = nil
			}
		}
	}
}

// extendable reports whether b is UTF-8, or could become it if it is not final.
func extendable(b []byte, final bool) bool {
	for len(b) > 0 {
		if !final && !utf8.FullRune(b) {
			return true
		}
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			return false
		}
		b = b[n:]
	}
	return true
}

// FuzzParser holds the parser against the oracle, and against itself with the
// input cut anywhere: each byte of cuts is the length of a piece. Whatever comes,
// what the parser holds is bounded by what came of the message.
func FuzzParser(f *testing.F) {
	for _, c := range parserCases {
		f.Add(c.input, []byte{3, 1, 0, 17})
	}
	for _, s := range rfcSections {
		for _, c := range s.cases {
			if c.size() < 500 {
				var input []byte
				for _, turn := range c.turns {
					input = append(input, slices.Concat(turn.pieces...)...)
				}
				f.Add(input, []byte{1})
			}
		}
	}
	f.Fuzz(func(t *testing.T, input, cuts []byte) {
		events, err := parseAll(input)
		var pieces [][]byte
		rest := input
		for i := 0; len(rest) > 0 && i < len(cuts); i++ {
			n := min(int(cuts[i]), len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		cutEvents, cutErr := parseAll(append(pieces, rest)...)
		if !slices.Equal(events, cutEvents) || !errors.Is(cutErr, err) {
			t.Errorf("whole %q, %v\ncut %q, %v", events, err, cutEvents, cutErr)
		}
		checkMemory(t, input)

		wantEvents, complete, wantErr := oracle(input)
		if !slices.Equal(events, wantEvents) {
			t.Errorf("got %q, oracle %q", events, wantEvents)
		}
		switch {
		case complete && (err == nil) != (wantErr == nil):
			t.Errorf("error %v, oracle %v", err, wantErr)
		case wantErr != nil:
			var got, want *violation
			if !errors.As(err, &got) || !errors.As(wantErr, &want) || got.code != want.code {
				t.Errorf("error %v, oracle %v", err, wantErr)
			}
		}
	})
}

// checkMemory feeds bytes one by one and looks at what the parser holds after each:
// a borrowed buffer, or twice what has come, and never more than a control frame of
// one; nothing at all once it is closed or broken.
func checkMemory(t *testing.T, input []byte) {
	t.Helper()
	p := parser{limit: testLimit}
	for i, b := range input {
		_, _, err := p.next([]byte{b})
		if n := cap(p.message); n > max(pieceBytes, 2*(i+1)+16) || n > max(pieceBytes, 2*testLimit) {
			t.Fatalf("holds %d bytes after %d", n, i+1)
		}
		if n := cap(p.control); n > 2*ws.MaxControlFramePayloadSize+6 {
			t.Fatalf("holds %d bytes of a control frame", n)
		}
		if err != nil && (p.message != nil || p.control != nil) {
			t.Fatal("holds bytes after an error")
		}
	}
}
