package conn

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// violation is a breach of RFC 6455 by the peer. The text is sent to it.
type violation struct {
	code Code
	text string
}

func (v *violation) Error() string { return "conn: " + v.text }

// The violations there are.
var (
	errReservedBits     = &violation{CloseProtocol, "reserved bits are set"}
	errOpcode           = &violation{CloseProtocol, "unknown opcode"}
	errUnmasked         = &violation{CloseProtocol, "frame is not masked"}
	errControlFragment  = &violation{CloseProtocol, "control frame is fragmented"}
	errControlLength    = &violation{CloseProtocol, "control frame is too long"}
	errContinuation     = &violation{CloseProtocol, "continuation of nothing"}
	errFragmentExpected = &violation{CloseProtocol, "continuation expected"}
	errLength           = &violation{CloseProtocol, "length is too large"}
	errCloseLength      = &violation{CloseProtocol, "close frame with half a code"}
	errCloseCode        = &violation{CloseProtocol, "invalid close code"}
	errCloseText        = &violation{CloseInvalidUTF8, "close reason is not UTF-8"}
	errText             = &violation{CloseInvalidUTF8, "message is not UTF-8"}
	errTooBig           = &violation{CloseTooBig, "message is too big"}
)

// eventKind says what a parser found.
type eventKind uint8

const (
	eventNone    eventKind = iota // all input is consumed
	eventMessage                  // a complete message
	eventPing                     // a ping, to be answered with its payload
	eventPong                     // a pong
	eventClose                    // the peer's close frame; nothing follows it
)

// event is one thing the peer sent. The payload is valid until the parser's next
// call; of a close frame it is the reason.
type event struct {
	kind    eventKind
	code    Code
	payload []byte
}

// parser turns the bytes of a client into events. It does no input or output, and
// what it finds does not depend on how the bytes were cut. Between messages it
// holds no memory beyond itself. Not safe for concurrent use.
//
// A message that lies in one frame and in one piece of input is not copied. Any
// other is assembled in a buffer that grows with the bytes that came, never with
// those that were announced. Text and binary messages are treated alike: both must
// be UTF-8, checked as the bytes come, because what one client sends in a binary
// frame would reach others in a text frame.
type parser struct {
	limit  int // of a message, in bytes
	frames int // headers read; the owner may reset it

	// The header being read.
	head  [ws.MaxHeaderSize]byte
	nhead uint8

	// The frame being read.
	inFrame bool
	fin     bool
	op      ws.OpCode
	mask    [4]byte
	pos     uint8 // offset of the next byte in mask
	left    int   // bytes of payload still to come

	// The message being assembled; fragmented between its first and last frame.
	fragmented bool
	delivered  bool // message was an event already, its memory is to be released
	checked    int  // bytes of message known to be UTF-8
	message    []byte
	control    []byte // payload of a control frame that came in pieces

	closed bool
	broken error
}

// next consumes input up to the first event and returns the rest. It changes
// input. After an error, or a close frame, it consumes everything and says the
// same again, or nothing.
func (p *parser) next(in []byte) (ev event, rest []byte, err error) {
	p.release()
	for p.broken == nil && !p.closed {
		if !p.inFrame {
			var whole bool
			if in, whole, p.broken = p.header(in); !whole || p.broken != nil {
				break
			}
		}
		n := min(p.left, len(in))
		piece := in[:n]
		in = in[n:]
		ws.Cipher(piece, p.mask, int(p.pos))
		p.pos = uint8((int(p.pos) + n) & 3)
		p.left -= n
		var done bool
		if p.op.IsControl() {
			ev, done, p.broken = p.controlPiece(piece)
		} else {
			ev, done, p.broken = p.messagePiece(piece)
		}
		p.inFrame = p.left > 0
		if p.broken != nil {
			break
		}
		if done {
			return ev, in, nil
		}
		if p.inFrame {
			break // the input ended within the payload
		}
	}
	if p.broken != nil {
		p.drop()
	}
	return event{}, nil, p.broken
}

// missing is how many bytes of the current frame's payload are still to come.
func (p *parser) missing() int { return p.left }

// assembled is the memory that the message takes which is being assembled, beyond what a
// connection may borrow at any time, in bytes.
func (p *parser) assembled() int {
	if n := cap(p.message); n > pieceBytes {
		return n
	}
	return 0
}

// underway reports whether a message has begun and not ended.
func (p *parser) underway() bool { return p.fragmented || p.inFrame && p.op.IsData() }

// header consumes a frame's header, and reports whether it is complete. What can
// be said of the first two bytes is said before the others have come.
func (p *parser) header(in []byte) (rest []byte, whole bool, err error) {
	for {
		need := 2
		if p.nhead >= 2 {
			need = clientHeaderLen(p.head[1])
		}
		n := copy(p.head[p.nhead:need], in)
		p.nhead += uint8(n)
		in = in[n:]
		if int(p.nhead) < need {
			return nil, false, nil
		}
		if need == 2 {
			if err := p.checkStart(p.head[0], p.head[1]); err != nil {
				return nil, false, err
			}
			continue // a client's header is never as short as two bytes
		}
		break
	}
	length, err := p.length()
	if err != nil {
		return nil, false, err
	}
	p.fin = p.head[0]&bitFin != 0
	p.op = ws.OpCode(p.head[0] & bitsOp)
	p.mask = [4]byte(p.head[p.nhead-4 : p.nhead])
	p.pos, p.left = 0, length
	p.nhead = 0
	p.inFrame = true
	p.frames++
	return in, true, nil
}

// clientHeaderLen is the length of a masked header by its second byte.
func clientHeaderLen(second byte) int {
	switch second & bitsLen {
	case lenIs16:
		return 8
	case lenIs64:
		return ws.MaxHeaderSize
	}
	return 6
}

// checkStart applies the rules for the first two bytes of a frame.
func (p *parser) checkStart(first, second byte) error {
	op := ws.OpCode(first & bitsOp)
	switch {
	case first&bitsRsv != 0:
		return errReservedBits
	case op.IsReserved():
		return errOpcode
	case second&bitMask == 0:
		return errUnmasked
	case op.IsControl() && first&bitFin == 0:
		return errControlFragment
	case op.IsControl() && second&bitsLen > ws.MaxControlFramePayloadSize:
		return errControlLength
	case op == ws.OpContinuation && !p.fragmented:
		return errContinuation
	case op.IsData() && op != ws.OpContinuation && p.fragmented:
		return errFragmentExpected
	}
	return nil
}

// length reads the payload's length and holds it against the limit.
func (p *parser) length() (int, error) {
	n := uint64(p.head[1] & bitsLen)
	switch n {
	case lenIs16:
		n = uint64(binary.BigEndian.Uint16(p.head[2:]))
	case lenIs64:
		n = binary.BigEndian.Uint64(p.head[2:])
	}
	switch {
	case n>>63 != 0:
		return 0, errLength
	case ws.OpCode(p.head[0] & bitsOp).IsControl():
		return int(n), nil
	case n > uint64(max(p.limit-len(p.message), 0)):
		return 0, errTooBig
	}
	return int(n), nil
}

// messagePiece takes the next bytes of a data frame.
func (p *parser) messagePiece(piece []byte) (ev event, done bool, err error) {
	last := p.left == 0 && p.fin
	p.fragmented = !last && (p.fragmented || p.left == 0)
	if last && len(p.message) == 0 {
		if !utf8.Valid(piece) {
			return event{}, false, errText
		}
		return event{kind: eventMessage, payload: piece}, true, nil
	}
	p.assemble(piece)
	n, ok := validUTF8(p.message[p.checked:])
	p.checked += n
	if !ok || last && p.checked < len(p.message) {
		return event{}, false, errText
	}
	if !last {
		return event{}, false, nil
	}
	p.delivered = true
	return event{kind: eventMessage, payload: p.message}, true, nil
}

// controlPiece takes the next bytes of a control frame.
func (p *parser) controlPiece(piece []byte) (ev event, done bool, err error) {
	if p.left > 0 || len(p.control) > 0 {
		p.control = append(p.control, piece...)
		piece = p.control
	}
	if p.left > 0 {
		return event{}, false, nil
	}
	switch p.op {
	case ws.OpPing:
		return event{kind: eventPing, payload: piece}, true, nil
	case ws.OpPong:
		return event{kind: eventPong, payload: piece}, true, nil
	}
	ev = event{kind: eventClose, code: CloseNoStatus}
	switch len(piece) {
	case 0:
	case 1:
		return event{}, false, errCloseLength
	default:
		ev.code = Code(binary.BigEndian.Uint16(piece))
		ev.payload = piece[2:]
		if !ev.code.Sendable() {
			return event{}, false, errCloseCode
		}
		if !utf8.Valid(ev.payload) {
			return event{}, false, errCloseText
		}
	}
	p.closed = true
	return ev, true, nil
}

// validUTF8 returns how many bytes of b are complete valid runes. It is false if
// no continuation could make the rest valid.
func validUTF8(b []byte) (n int, ok bool) {
	n = len(b)
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		if tail := b[len(b)-back:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				n -= back
			}
			break
		}
	}
	return n, utf8.Valid(b[:n])
}

// assemble appends a piece to the message, in a borrowed buffer.
func (p *parser) assemble(piece []byte) {
	if need := len(p.message) + len(piece); need > cap(p.message) {
		grown := append(borrow(need), p.message...)
		p.returnBuffer()
		p.message = grown
	}
	p.message = append(p.message, piece...)
}

// release frees what the last event referred to.
func (p *parser) release() {
	if p.delivered {
		p.returnBuffer()
		p.delivered, p.checked = false, 0
	}
	if p.control != nil && !p.inFrame {
		p.control = nil
	}
}

// drop frees everything.
func (p *parser) drop() {
	p.returnBuffer()
	p.control = nil
}

// returnBuffer gives the message's buffer up.
func (p *parser) returnBuffer() {
	giveBack(p.message)
	p.message = nil
}
