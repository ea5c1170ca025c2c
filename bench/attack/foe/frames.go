//go:build linux

package foe

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/bodhisattva/indranet/bench/attack/peer"
)

const (
	fin = 0x80
	// messageLimit is the longest message that the edge takes, in bytes.
	messageLimit = 1 << 20
)

// inside makes a shot of who is in with a weak token: it sends something and reads how
// that ends.
func inside(ctx context.Context, a *attack, n int, bytes []byte) string {
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	end, ok := c.enter(ctx, bearer(a.weak(n)))
	if !ok {
		return end
	}
	c.covers = true
	_ = c.Send(bytes) // Reading tells.
	return c.listen(ctx, nil)
}

func hugeFrame(ctx context.Context, a *attack, n int) string {
	lengths := []uint64{messageLimit + 1, 1 << 30, 1<<31 - 1, 1 << 31, 1 << 32, 1 << 40, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	first := []byte{fin | peer.Text, peer.Text, fin | peer.Binary, fin | peer.Ping}[a.dice(4)]
	text := peer.Header(nil, first, lengths[a.dice(len(lengths))])
	if a.dice(3) == 0 { // Two fragments that are too long together.
		text = peer.Frame(nil, peer.Text, bytes.Repeat([]byte("x"), 1000))
		text = peer.Header(text, fin|peer.Continuation, messageLimit-999)
	}
	return inside(ctx, a, n, append(text, a.noise(2000)...))
}

func violate(ctx context.Context, a *attack, n int) string {
	code := func(c uint16, reason string) []byte {
		return peer.Frame(nil, fin|peer.Close, append(binary.BigEndian.AppendUint16(nil, c), reason...))
	}
	variants := [][]byte{
		{fin | peer.Text, 2, '{', '}'},                                                         // Unmasked.
		peer.Frame(nil, fin|0x40|peer.Text, []byte("{}")),                                      // An extension's bit.
		peer.Frame(nil, fin|0x10|peer.Text, []byte("{}")),                                      // Another one.
		peer.Frame(nil, fin|0x3, nil),                                                          // Opcodes that there are not.
		peer.Frame(nil, fin|0xB, nil),                                                          //
		peer.Frame(nil, peer.Ping, nil),                                                        // A control frame in fragments.
		peer.Frame(nil, fin|peer.Ping, make([]byte, 126)),                                      // One that is too long.
		peer.Frame(nil, fin|peer.Continuation, []byte("x")),                                    // Of nothing.
		peer.Frame(peer.Frame(nil, peer.Text, []byte("x")), fin|peer.Text, []byte("y")),        // A message within a message.
		peer.Frame(nil, fin|peer.Text, []byte{0xC3, 0x28}),                                     // No UTF-8.
		peer.Frame(nil, fin|peer.Text, []byte{0xED, 0xA0, 0x80}),                               // Half of a pair.
		peer.Frame(peer.Frame(nil, peer.Text, []byte{0xE2, 0x82}), fin|peer.Continuation, nil), // A character that never ends.
		peer.Frame(nil, fin|peer.Close, []byte{3}),                                             // Half a code.
		code(1005, ""), code(999, ""), code(2999, ""), code(1015, ""), code(65535, ""),
		code(1000, "\xff\xfe"),
	}
	return inside(ctx, a, n, variants[a.dice(len(variants))])
}

func announce(*attack) []byte         { return peer.Header(nil, fin|peer.Text, messageLimit) }
func oneByte(_ *attack, n int) []byte { return []byte{peer.Masked('x', n)} }
func begun(*attack) []byte            { return peer.Frame(nil, peer.Text, []byte(`{"type":"pi`)) }
func empty(*attack, int) []byte       { return emptyFragment }
func ping(*attack, int) []byte        { return longPing }
func flood(_ *attack, n int) []byte   { return floodOf[n%len(floodOf)] }

var (
	emptyFragment = peer.Frame(nil, peer.Continuation, nil)
	longPing      = peer.Frame(nil, fin|peer.Ping, bytes.Repeat([]byte("p"), 125))
	floodOf       = [][]byte{
		peer.Message(`{"type":"ping"}`),
		peer.Message(`{"type":"request","event":"list_channels","id":"1"}`),
		peer.Message(`{"type":"request","event":"get_status","id":"2"}`),
		peer.Message(`{"type":"request","event":"no_such_thing","id":"3"}`),
		peer.Message(`x`),
	}
)
