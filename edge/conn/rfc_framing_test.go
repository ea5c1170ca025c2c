package conn

import (
	"fmt"
	"slices"
	"strings"
)

// Sections 1 to 5 of the table: first bytes are FIN (80), reserved bits (70) and
// opcode; 01 text, 02 binary, 08 close, 09 ping, 0a pong, 00 continuation.

// Messages of every form of length. A binary message is echoed as text.
var rfcFraming = []rfcCase{
	test("1.1.1", send(in(0x81, "")).gets(echo(""))),
	test("1.1.2", send(in(0x81, star(125))).gets(echo(star(125)))),
	test("1.1.3", send(in(0x81, star(126))).gets(echo(star(126)))),
	test("1.1.4", send(in(0x81, star(127))).gets(echo(star(127)))),
	test("1.1.5", send(in(0x81, star(128))).gets(echo(star(128)))),
	test("1.1.6", send(in(0x81, star(65535))).gets(echo(star(65535)))),
	test("1.1.7", send(in(0x81, star(65536))).gets(echo(star(65536)))),
	test("1.1.8", send(in(0x81, star(65536))).chopped(997).gets(echo(star(65536)))),
	test("1.2.1", send(in(0x82, "")).gets(echo(""))),
	test("1.2.2", send(in(0x82, star(125))).gets(echo(star(125)))),
	test("1.2.3", send(in(0x82, star(126))).gets(echo(star(126)))),
	test("1.2.4", send(in(0x82, star(127))).gets(echo(star(127)))),
	test("1.2.5", send(in(0x82, star(128))).gets(echo(star(128)))),
	test("1.2.6", send(in(0x82, star(65535))).gets(echo(star(65535)))),
	test("1.2.7", send(in(0x82, star(65536))).gets(echo(star(65536)))),
	test("1.2.8", send(in(0x82, star(65536))).chopped(997).gets(echo(star(65536)))),
}

// Pings may hold any bytes. Unasked pongs are taken without a word.
var rfcPings = []rfcCase{
	test("2.1", send(in(0x89, "")).gets(pong(""))),
	test("2.2", send(in(0x89, "Hello, world!")).gets(pong("Hello, world!"))),
	test("2.3", send(in(0x89, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")).gets(pong("\x00\xff\xfe\xfd\xfc\xfb\x00\xff"))),
	test("2.4", send(in(0x89, fe(125))).gets(pong(fe(125)))),
	test("2.5", send(in(0x89, fe(126))).gets(ended(1002))),
	test("2.6", send(in(0x89, fe(125))).chopped(1).gets(pong(fe(125)))),
	test("2.7", send(in(0x8a, ""))),
	test("2.8", send(in(0x8a, "unasked"))),
	test("2.9", send(in(0x8a, "unasked"), in(0x89, "ping")).whole().gets(pong("ping"))),
	test("2.10", tenPings.whole()),
	test("2.11", tenPings.chopped(1)),
}

// tenPings may be answered with the pong of the last one.
var tenPings = func() (t turn) {
	for i := range 10 {
		payload := fmt.Sprintf("payload-%d", i)
		t.pieces = append(t.pieces, in(0x89, payload))
		t.want = append(t.want, pong(payload))
	}
	perhaps(t.want[:9]...)
	return t
}()

func fe(n int) string { return strings.Repeat("\xfe", n) }

// Reserved bits end the connection; what stands before them counts, what stands
// behind them does not.
var rfcReserved = []rfcCase{
	test("3.1", send(in(0x91, "Hello, world!")).gets(ended(1002))),
	test("3.2", send(in(0x81, "Hello, world!"), in(0xa1, "Hello, world!"), in(0x89, "")).whole().gets(echo("Hello, world!"), ended(1002))),
	test("3.3", send(in(0x81, "Hello, world!"), in(0xb1, "Hello, world!"), in(0x89, "")).gets(echo("Hello, world!"), ended(1002))),
	test("3.4", send(in(0x81, "Hello, world!"), in(0xc1, "Hello, world!"), in(0x89, "")).chopped(1).gets(echo("Hello, world!"), ended(1002))),
	test("3.5", send(in(0xd2, fe(8))).gets(ended(1002))),
	test("3.6", send(in(0xe9, "Hello, world!")).gets(ended(1002))),
	test("3.7", send(in(0xf8, bye(1000, ""))).gets(ended(1002))),
}

// Unknown opcodes, likewise.
var rfcOpcodes = []rfcCase{
	test("4.1.1", send(in(0x83, "")).gets(ended(1002))),
	test("4.1.2", send(in(0x84, "payload")).gets(ended(1002))),
	test("4.1.3", send(in(0x81, "Hello"), in(0x85, ""), in(0x89, "")).whole().gets(echo("Hello"), ended(1002))),
	test("4.1.4", send(in(0x81, "Hello"), in(0x86, "payload"), in(0x89, "")).whole().gets(echo("Hello"), ended(1002))),
	test("4.1.5", send(in(0x81, "Hello"), in(0x87, "payload"), in(0x89, "")).chopped(1).gets(echo("Hello"), ended(1002))),
	test("4.2.1", send(in(0x8b, "")).gets(ended(1002))),
	test("4.2.2", send(in(0x8c, "payload")).gets(ended(1002))),
	test("4.2.3", send(in(0x81, "Hello"), in(0x8d, ""), in(0x89, "")).whole().gets(echo("Hello"), ended(1002))),
	test("4.2.4", send(in(0x81, "Hello"), in(0x8e, "payload"), in(0x89, "")).whole().gets(echo("Hello"), ended(1002))),
	test("4.2.5", send(in(0x81, "Hello"), in(0x8f, "payload"), in(0x89, "")).chopped(1).gets(echo("Hello"), ended(1002))),
}

// Messages in fragments, with control frames between them, and fragments where
// there is nothing to continue.
var rfcFragments = []rfcCase{
	test("5.1", send(in(0x09, "fragment1"), in(0x80, "fragment2")).gets(ended(1002))),
	test("5.2", send(in(0x0a, "fragment1"), in(0x80, "fragment2")).gets(ended(1002))),
	test("5.3", twoParts.whole()),
	test("5.4", twoParts),
	test("5.5", twoParts.chopped(1)),
	test("5.6", pingBetween.whole()),
	test("5.7", pingBetween),
	test("5.8", pingBetween.chopped(1)),
	test("5.9", send(in(0x80, "nothing before"), in(0x81, "Hello")).whole().gets(ended(1002))),
	test("5.10", send(in(0x80, "nothing before"), in(0x81, "Hello")).gets(ended(1002))),
	test("5.11", send(in(0x80, "nothing before"), in(0x81, "Hello")).chopped(1).gets(ended(1002))),
	test("5.12", send(in(0x00, "nothing before"), in(0x81, "Hello")).whole().gets(ended(1002))),
	test("5.13", send(in(0x00, "nothing before"), in(0x81, "Hello")).gets(ended(1002))),
	test("5.14", send(in(0x00, "nothing before"), in(0x81, "Hello")).chopped(1).gets(ended(1002))),
	test("5.15", send(in(0x01, "fragment1"), in(0x80, "fragment2"), in(0x00, "nothing before"), in(0x81, "Hello")).whole().
		gets(echo("fragment1fragment2"), ended(1002))),
	test("5.16", send(in(0x00, "nothing before"), in(0x01, "fragment1"), in(0x80, "fragment2"),
		in(0x00, "nothing before"), in(0x01, "fragment1"), in(0x80, "fragment2")).gets(ended(1002))),
	test("5.17", send(in(0x80, "nothing before"), in(0x01, "fragment1"), in(0x80, "fragment2"),
		in(0x80, "nothing before"), in(0x01, "fragment1"), in(0x80, "fragment2")).gets(ended(1002))),
	test("5.18", send(in(0x01, "fragment1"), in(0x81, "fragment2")).whole().gets(ended(1002))),
	test("5.19", fiveParts(turn.whole)...),
	test("5.20", fiveParts(func(t turn) turn { return t })...),
}

var (
	twoParts    = send(in(0x01, "fragment1"), in(0x80, "fragment2")).gets(echo("fragment1fragment2"))
	pingBetween = send(in(0x01, "fragment1"), in(0x89, "ping payload"), in(0x80, "fragment2")).
			gets(pong("ping payload"), echo("fragment1fragment2"))
)

// fiveParts waits for the first pong before it sends the third fragment.
func fiveParts(how func(turn) turn) []turn {
	return []turn{
		how(send(in(0x01, "fragment1"), in(0x00, "fragment2"), in(0x89, "pongme 1!"))).gets(pong("pongme 1!")),
		how(send(in(0x00, "fragment3"), in(0x00, "fragment4"), in(0x89, "pongme 2!"), in(0x80, "fragment5"))).
			gets(pong("pongme 2!"), echo("fragment1fragment2fragment3fragment4fragment5")),
	}
}

// rfcLimits is the short form of section 9: the limit of a message is 1 MiB here.
func rfcLimits() (list []rfcCase) {
	const mega = 1 << 20
	for i, size := range []int{64 << 10, 256 << 10, mega, 4 * mega} {
		want := echo(star(size))
		if size > mega {
			want = ended(1009)
		}
		list = append(list,
			test(fmt.Sprint("9.1.", i+1), send(in(0x81, star(size))).gets(want)),
			test(fmt.Sprint("9.2.", i+1), send(in(0x82, star(size))).gets(want)))
	}
	for i, size := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10} {
		list = append(list,
			test(fmt.Sprint("9.3.", i+1), fragments(0x01, star(mega), size)),
			test(fmt.Sprint("9.4.", i+1), fragments(0x02, star(mega), size)))
	}
	for i, chop := range []int{64, 256, 1 << 10} {
		list = append(list,
			test(fmt.Sprint("9.5.", i+1), send(in(0x81, star(mega))).chopped(chop).gets(echo(star(mega)))),
			test(fmt.Sprint("9.6.", i+1), send(in(0x82, star(mega))).chopped(chop).gets(echo(star(mega)))))
	}
	return list
}

// rfcMisc is section 10: a message as an endpoint cuts it by itself.
func rfcMisc() []rfcCase {
	return []rfcCase{test("10.1.1", fragments(0x01, star(65536), 1300))}
}

// fragments sends a message in frames of n bytes, in one write, and gets it back.
func fragments(first byte, message string, n int) turn {
	var t turn
	for part := range slices.Chunk([]byte(message), n) {
		t.pieces = append(t.pieces, in(first, string(part)))
		first = 0x00
	}
	last := t.pieces[len(t.pieces)-1]
	last[0] |= bitFin
	return t.whole().gets(echo(message))
}

// rfcOurs are rules that the suite does not test, and ours.
var rfcOurs = []rfcCase{
	test("ours.unmasked", send([]byte("\x81\x05Hello")).gets(ended(1002))),
	test("ours.unmasked empty", send([]byte("\x81\x00")).gets(ended(1002))),
	test("ours.unmasked close", send([]byte("\x88\x00")).gets(ended(1002))),
	test("ours.length 2^63", send([]byte("\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00\xa1\x02\xf3\x44")).gets(ended(1002))),
	test("ours.length 2^63-1", send([]byte("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\xa1\x02\xf3\x44")).gets(ended(1009))),
	test("ours.ping of 2^63", send([]byte("\x89\xff")).gets(ended(1002))),
	test("ours.long length of a short message", send([]byte("\x81\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00x")).gets(echo("x"))),
	test("ours.binary that is not UTF-8", send(in(0x82, fe(125))).gets(ended(1007))),
	test("ours.text between fragments", send(in(0x01, "a"), in(0x89, ""), in(0x81, "b")).gets(append(perhaps(pong("")), ended(1002))...)),
	test("ours.close between fragments", send(in(0x01, "a"), in(0x88, bye(1001, "")), in(0x80, "b")).gets(ended(1001))),
	test("ours.the last byte over the limit", send(in(0x01, star(1<<20)), in(0x00, ""), in(0x80, "*")).gets(ended(1009))),
	test("ours.empty fragments over the limit", send(in(0x01, star(1<<20)), in(0x00, ""), in(0x80, "")).gets(echo(star(1<<20)))),
}
