package conn

import (
	"fmt"
	"testing"
	"unicode/utf8"
)

const (
	greek     = "\u03ba\u1f79\u03c3\u03bc\u03b5" // eleven bytes: 2, 3, 2, 2, 2
	mixed     = "Hello-µ@ßöäüàá-UTF-8!!"
	surrogate = "\xed\xa0\x80"
	beyond    = "\xf4\x90\x80\x80" // U+110000, were it a code point
)

// rfcUTF8 is section 6: text in whole, in fragments that cut runes, and the
// sequences that a decoder gets wrong most easily.
func rfcUTF8() []rfcCase {
	wrong := greek + beyond + "edited"
	header := in(0x81, wrong)[:6]
	body := in(0x81, wrong)[6:]
	list := []rfcCase{
		test("6.1.1", send(in(0x81, "")).gets(echo(""))),
		test("6.1.2", send(in(0x01, ""), in(0x00, ""), in(0x80, "")).whole().gets(echo(""))),
		test("6.1.3", send(in(0x01, ""), in(0x00, "middle"), in(0x80, "")).whole().gets(echo("middle"))),
		test("6.2.1", send(in(0x81, mixed)).gets(echo(mixed))),
		test("6.2.2", send(in(0x01, mixed[:15]), in(0x80, mixed[15:])).gets(echo(mixed))),
		test("6.2.3", fragments(0x01, mixed, 1)),
		test("6.2.4", fragments(0x01, greek, 1)),
		test("6.3.1", send(in(0x81, greek+surrogate+"edited")).gets(ended(1007))),
		test("6.3.2", fragments(0x01, greek+surrogate+"edited", 1).gets(ended(1007))),
		// The first part is fine, the second one fails at once: the rest is never sent.
		test("6.4.1", send(in(0x01, greek), in(0x89, "")).gets(pong("")), send(in(0x00, beyond)).gets(ended(1007))),
		test("6.4.2", send(in(0x01, wrong[:12]), in(0x89, "")).gets(pong("")), send(in(0x00, wrong[12:13])).gets(ended(1007))),
		test("6.4.3", send(header, body[:11]), send(body[11:15]).gets(ended(1007))),
		test("6.4.4", send(header, body[:12]), send(body[12:13]).gets(ended(1007))),
	}
	for i, group := range utf8Groups() {
		for j, s := range group.sequences {
			want := ended(1007)
			if group.valid == nil || group.valid[j] {
				want = echo(s)
			}
			list = append(list, test(fmt.Sprintf("6.%d.%d", i+5, j+1), send(in(0x81, s)).gets(want)))
		}
	}
	return list
}

// utf8Group is one subsection from 6.5 on.
type utf8Group struct {
	name      string
	sequences []string
	valid     []bool // nil means all
}

func all(name string, sequences ...string) utf8Group {
	return utf8Group{name: name, sequences: sequences}
}

func none(name string, sequences ...string) utf8Group {
	return utf8Group{name, sequences, make([]bool, len(sequences))}
}

func utf8Groups() []utf8Group {
	prefixes := none("prefixes")
	for n := 1; n <= len(greek); n++ {
		prefixes.sequences = append(prefixes.sequences, greek[:n])
		prefixes.valid = append(prefixes.valid, n == 2 || n == 5 || n == 7 || n == 9 || n == 11)
	}
	boundaries := none("other boundaries", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\U0010ffff", beyond)
	boundaries.valid = []bool{true, true, true, true, false}

	unexpected := none("unexpected continuations")
	for n := 1; n <= 6; n++ {
		unexpected.sequences = append(unexpected.sequences, "\x80\xbf\x80\xbf\x80\xbf"[:n])
	}
	unexpected.sequences = append(unexpected.sequences[:1:1], append([]string{"\xbf"}, unexpected.sequences[1:]...)...)
	unexpected.sequences = append(unexpected.sequences, span(0x80, 0xbf, ""))
	unexpected.valid = make([]bool, len(unexpected.sequences))

	short := []string{ // the last continuation is missing
		"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
		"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf",
	}
	joined := ""
	for _, s := range short {
		joined += s
	}
	pairs := none("paired surrogates")
	for _, high := range []string{surrogate, "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf"} {
		for _, low := range []string{"\xed\xb0\x80", "\xed\xbf\xbf"} {
			pairs.sequences = append(pairs.sequences, high+low)
		}
	}
	pairs.valid = make([]bool, len(pairs.sequences))

	noncharacters := all("noncharacters")
	for plane := range rune(17) {
		noncharacters.sequences = append(noncharacters.sequences, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	return []utf8Group{
		all("valid text", "hello$world", "hello\u00a2world", "hello\u20acworld", "hello\U00024b62world", greek),
		prefixes,
		all("first of each length", "\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"),
		none("first of 5 and 6 bytes", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"),
		all("last of each length", "\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"),
		none("last of 4, 5 and 6 bytes", "\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"),
		boundaries,
		unexpected,
		none("lonely starts", span(0xc0, 0xdf, " "), span(0xe0, 0xef, " "), span(0xf0, 0xf7, " "), span(0xf8, 0xfb, " "), span(0xfc, 0xfd, " ")),
		none("the last continuation is missing", short...),
		none("incomplete sequences, joined", joined),
		none("impossible bytes", "\xfe", "\xff", "\xfe\xfe\xff\xff"),
		none("overlong slash", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"),
		none("longest overlong", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"),
		none("overlong NUL", "\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"),
		none("single surrogates", surrogate, "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"),
		pairs,
		noncharacters,
		all("specials", "\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"),
	}
}

// span is every byte of a range, each with a tail.
func span(first, last byte, tail string) (s string) {
	for c := int(first); c <= int(last); c++ {
		s += string([]byte{byte(c)}) + tail
	}
	return s
}

// TestUTF8FailsAtTheFirstWrongByte cuts every sequence of section 6 into any two
// fragments, and gives them byte by byte: the parser says no at the byte that no
// continuation could save, neither earlier nor later.
func TestUTF8FailsAtTheFirstWrongByte(t *testing.T) {
	for _, group := range utf8Groups() {
		for _, s := range group.sequences {
			bad := firstWrong(s)
			for cut := range len(s) + 1 {
				input := frames(in(0x01, s[:cut]), in(0x80, s[cut:]))
				want := len(input) // where the parser fails: at that byte, or never
				switch {
				case bad < cut:
					want = 6 + bad
				case bad < len(s):
					want = 12 + bad
				case !utf8.ValidString(s): // it ends within a rune, which the last byte tells
					want = len(input) - 1
				}
				p := parser{limit: testLimit}
				got := len(input)
				for i := range input {
					if _, _, err := p.next([]byte{input[i]}); err != nil {
						got = i
						break
					}
				}
				if got != want {
					t.Errorf("%s: %x cut at %d failed at byte %d, want %d", group.name, s, cut, got, want)
				}
			}
		}
	}
}

// firstWrong is the index of the first byte after which s can't become UTF-8 any
// more, len(s) if there is none: no rune begins with what follows the last whole one.
func firstWrong(s string) int {
	whole := 0
	for n := 1; n <= len(s); n++ {
		if utf8.ValidString(s[:n]) {
			whole = n
		} else if !runeStarts[s[whole:n]] {
			return n - 1
		}
	}
	return len(s)
}

// runeStarts are all proper beginnings of runes.
var runeStarts = func() map[string]bool {
	starts := map[string]bool{}
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if one := string(r); utf8.ValidRune(r) && (len(one) < 4 || one[3] == 0x80) {
			for n := 1; n < len(one); n++ {
				starts[one[:n]] = true
			}
		}
	}
	return starts
}()
