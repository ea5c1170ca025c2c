package conn

import "fmt"

// rfcClose is section 7. Where the suite lets an engine choose, this is the choice
// made here: a code of the peer comes back, a bad one is a protocol error, and what
// the handler had to say to messages before a close frame goes ahead of the answer.
func rfcClose() []rfcCase {
	list := []rfcCase{
		test("7.1.1", send(in(0x81, "Hello World!"), in(0x88, bye(1000, ""))).whole().gets(echo("Hello World!"), ended(1000))),
		test("7.1.2", send(in(0x88, bye(1000, "")), in(0x88, bye(1000, ""))).whole().gets(ended(1000))),
		test("7.1.3", send(in(0x88, bye(1000, "")), in(0x89, "")).whole().gets(ended(1000))),
		test("7.1.4", send(in(0x88, bye(1000, "")), in(0x81, "Hello World!")).whole().gets(ended(1000))),
		test("7.1.5", send(in(0x01, "fragment1"), in(0x88, bye(1000, "")), in(0x80, "fragment2")).whole().gets(ended(1000))),
		test("7.1.6", send(in(0x81, star(256<<10)), in(0x81, "Hello World!"), in(0x88, bye(1000, "")), in(0x89, "")).whole().
			gets(append(perhaps(echo(star(256<<10)), echo("Hello World!")), ended(1000))...)),

		test("7.3.1", send(in(0x88, "")).gets(answer{first: 0x88})),
		test("7.3.2", send(in(0x88, "a")).gets(ended(1002))),
		test("7.3.3", send(in(0x88, bye(1000, ""))).gets(ended(1000))),
		test("7.3.4", send(in(0x88, bye(1000, "Hello World!"))).gets(ended(1000))),
		test("7.3.5", send(in(0x88, bye(1000, star(123)))).gets(ended(1000))),
		test("7.3.6", send(in(0x88, bye(1000, star(124)))).gets(ended(1002))),

		test("7.5.1", send(in(0x88, bye(1000, greek+surrogate+"edited"))).gets(ended(1007))),
	}
	for i, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		list = append(list, test(fmt.Sprint("7.7.", i+1), send(in(0x88, bye(code, ""))).gets(ended(code))))
	}
	for i, code := range []uint16{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		list = append(list, test(fmt.Sprint("7.9.", i+1), send(in(0x88, bye(code, ""))).gets(ended(1002))))
	}
	for i, code := range []uint16{5000, 65535} {
		list = append(list, test(fmt.Sprint("7.13.", i+1), send(in(0x88, bye(code, ""))).gets(ended(1002))))
	}
	return list
}
