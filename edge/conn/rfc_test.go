package conn

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// engines are the engines that are held against RFC 6455.
var engines = []struct {
	name string
	make func(Config) (Engine, error)
}{
	{"portable", New},
}

// A rfcCase is a conversation: what the client sends, and everything that an
// engine whose handler echoes messages must answer. The ids are those of the
// Autobahn test suite, so that a result can be compared with its reports. A
// conversation that does not end in a close frame is closed by the client with 1000.
type rfcCase struct {
	id    string
	turns []turn
}

// A turn is what the client sends before it waits for the answers.
type turn struct {
	pieces [][]byte
	want   []answer
}

// An answer is one frame of the server. What may be is left out by an engine that
// answers only the latest ping (RFC 6455, 5.5.3), or the close frame first (5.5.1).
type answer struct {
	first   byte
	payload string
	may     bool
}

func (a answer) String() string { return fmt.Sprintf("%x %.40q", a.first, a.payload) }

// test makes a case.
func test(id string, turns ...turn) rfcCase { return rfcCase{id, turns} }

// send is a turn in which frames go out one write each.
func send(frames ...[]byte) turn { return turn{pieces: frames} }

// whole makes one write of them all.
func (s turn) whole() turn { return turn{[][]byte{slices.Concat(s.pieces...)}, s.want} }

// chopped makes a write of every n bytes.
func (s turn) chopped(n int) turn {
	return turn{slices.Collect(slices.Chunk(slices.Concat(s.pieces...), n)), s.want}
}

// gets says what the answers are; nothing is an answer, too.
func (s turn) gets(want ...answer) turn { return turn{s.pieces, want} }

// in is a frame of a client, of the first byte as it stands on the wire.
func in(first byte, payload string) []byte {
	f := []byte{first}
	switch n := len(payload); {
	case n < lenIs16:
		f = append(f, bitMask|byte(n))
	case n <= 0xffff:
		f = binary.BigEndian.AppendUint16(append(f, bitMask|lenIs16), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, bitMask|lenIs64), uint64(n))
	}
	mask := [4]byte{0xa1, 0x02, 0xf3, 0x44}
	f = append(f, mask[:]...)
	f = append(f, payload...)
	ws.Cipher(f[len(f)-len(payload):], mask, 0)
	return f
}

// bye is the payload of a close frame.
func bye(code uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, code)) + reason
}

func echo(payload string) answer { return answer{first: 0x81, payload: payload} }
func pong(payload string) answer { return answer{first: 0x8a, payload: payload} }

// ended is a close frame of any reason.
func ended(code uint16) answer { return answer{first: 0x88, payload: bye(code, "")} }

// perhaps makes answers optional.
func perhaps(answers ...answer) []answer {
	for i := range answers {
		answers[i].may = true
	}
	return answers
}

func star(n int) string { return strings.Repeat("*", n) }

// rfcSections are all cases, and how many the suite has of each section. Of the
// limits (9) it is a short form.
var rfcSections = []struct {
	name  string
	cases []rfcCase
	count int
}{
	{"1 framing", rfcFraming, 16},
	{"2 pings and pongs", rfcPings, 11},
	{"3 reserved bits", rfcReserved, 7},
	{"4 opcodes", rfcOpcodes, 10},
	{"5 fragmentation", rfcFragments, 20},
	{"6 UTF-8 handling", rfcUTF8(), 145},
	{"7 close handling", rfcClose(), 37},
	{"9 limits", rfcLimits(), 26},
	{"10 auto-fragmentation", rfcMisc(), 1},
	{"ours", rfcOurs, 12},
}

func TestEverySectionOfRFC6455HasItsCases(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range rfcSections {
		if len(s.cases) != s.count {
			t.Errorf("section %s: %d cases, want %d", s.name, len(s.cases), s.count)
		}
		section, _, _ := strings.Cut(s.name, " ")
		for _, c := range s.cases {
			if !strings.HasPrefix(c.id, section+".") || seen[c.id] {
				t.Errorf("section %s: case %s is in the wrong place, or twice", s.name, c.id)
			}
			seen[c.id] = true
		}
	}
}

func TestRFC6455(t *testing.T) {
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, tls bool) {
				e, err := engine.make(Config{})
				if err != nil {
					t.Fatal(err)
				}
				defer stop(t, e)
				p := newPairs(t, tls)
				for _, s := range rfcSections {
					t.Run(s.name, func(t *testing.T) {
						for _, c := range s.cases {
							t.Run(c.id, func(t *testing.T) { c.run(t, e, p, 0) })
							if c.size() <= 70_000 { // what is longer has its own chops
								t.Run(c.id+" byte by byte", func(t *testing.T) { c.run(t, e, p, 1) })
							}
						}
					})
				}
			})
		})
	}
}

// size is what the client sends, in bytes.
func (c rfcCase) size() (n int) {
	for _, s := range c.turns {
		for _, piece := range s.pieces {
			n += len(piece)
		}
	}
	return n
}

// run has the conversation on a connection of its own, with writes of chop bytes
// where that is not 0.
func (c rfcCase) run(t *testing.T, e Engine, p *pairs, chop int) {
	h := newEcho(t)
	server, nc := p.open(t)
	if err := e.Serve(server, nil, h.open); err != nil {
		t.Fatal(err)
	}
	peer := newClient(t, nc)
	defer peer.nc.Close()
	eventually(t, "the handler was asked once", func() bool { // so that it is asked again only after news
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.fills > 0
	})
	turns := c.turns
	if last := turns[len(turns)-1].want; len(last) == 0 || last[len(last)-1].first != 0x88 {
		turns = append(turns[:len(turns):len(turns)], send(in(0x88, bye(1000, ""))).gets(ended(1000)))
	}
	var end answer
	for _, s := range turns {
		if chop > 0 {
			s = s.chopped(chop)
		}
		for _, piece := range s.pieces {
			if _, err := nc.Write(piece); err != nil {
				break // the server is through with us; what it said is to be read
			}
		}
		peer.wantAnswers(s.want)
		if n := len(s.want); n > 0 {
			end = s.want[n-1]
		}
	}
	if _, _, err := peer.read(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the close frame: %v", err)
	}
	_ = peer.nc.Close()
	want := CloseNoStatus
	if len(end.payload) >= 2 {
		want = Code(binary.BigEndian.Uint16([]byte(end.payload)))
	}
	h.wantClosed(want)
}

// wantAnswers expects frames in order; of a close frame only the code counts.
func (c *client) wantAnswers(want []answer) {
	c.t.Helper()
	for len(want) > 0 {
		op, payload, err := c.read()
		if err != nil {
			c.t.Fatalf("%v, want %v", err, want)
		}
		got := answer{first: 0x80 | byte(op), payload: string(payload)}
		if op == ws.OpClose && len(payload) > 2 {
			got.payload = got.payload[:2]
		}
		for len(want) > 1 && want[0].may && !got.is(want[0]) {
			want = want[1:]
		}
		if !got.is(want[0]) {
			c.t.Fatalf("got %v, want %v", got, want)
		}
		want = want[1:]
	}
}

func (a answer) is(b answer) bool { return a.first == b.first && a.payload == b.payload }

// pairs opens loopback connections, of TLS if it has a configuration.
type pairs struct {
	listener       net.Listener
	server, client *tls.Config
}

func newPairs(t *testing.T, secure bool) *pairs {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &pairs{listener: l}
	if secure {
		s := httptest.NewTLSServer(nil) // for its certificate
		s.Close()
		p.server = &tls.Config{Certificates: s.TLS.Certificates}
		p.client = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "example.com"}
		p.client.RootCAs.AddCert(s.Certificate())
	}
	return p
}

// open returns the two ends of a new connection.
func (p *pairs) open(t *testing.T) (server, client net.Conn) {
	t.Helper()
	s, c := dialPair(t, p.listener)
	deadline := time.Now().Add(patience)
	_ = c.SetDeadline(deadline)
	if p.server == nil {
		return s, c
	}
	secure, peer := tls.Server(s, p.server), tls.Client(c, p.client)
	done := make(chan error, 1)
	go func() { done <- secure.HandshakeContext(t.Context()) }()
	if err := peer.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return secure, peer
}
