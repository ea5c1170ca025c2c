package publisher_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher/natstest"
)

// proxy stands between a client and a server, reads NATS' protocol, and loses or holds
// what the server answers to publishes. Everything else passes.
type proxy struct {
	// Static after construction.
	listener net.Listener
	server   string
	run      sync.WaitGroup

	// Guarded by mu.
	mu sync.Mutex
	// drop counts the acknowledgements to lose.
	drop    int
	dropped chan struct{}
	holding bool
	held    []func()
	conns   []net.Conn
}

func newProxy(t testing.TB, srv *natstest.Server) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: srv.URL()[len("nats://"):], dropped: make(chan struct{}, 64)}
	p.run.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.run.Wait()
	})
	return p
}

// connect connects through the proxy.
func (p *proxy) connect(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	opts = append([]nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(1)}, opts...)
	nc, err := nats.Connect("nats://"+p.listener.Addr().String(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// dropAnswers loses the next n acknowledgements.
func (p *proxy) dropAnswers(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop = n
}

// holdAnswers keeps acknowledgements until releaseAnswers.
func (p *proxy) holdAnswers() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holding = true
}

func (p *proxy) releaseAnswers() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holding = false
	for _, release := range p.held {
		release()
	}
	p.held = nil
}

// cut breaks every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.run.Go(func() {
			_, _ = io.Copy(server, client)
			_ = server.Close()
		})
		p.run.Go(func() {
			p.answers(client, server)
			_ = client.Close()
		})
	}
}

// answers passes what the server says, message by message.
func (p *proxy) answers(client, server net.Conn) {
	var writing sync.Mutex
	write := func(b []byte) {
		writing.Lock()
		defer writing.Unlock()
		_, _ = client.Write(b)
	}
	in := bufio.NewReader(server)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		frame := line
		if bytes.HasPrefix(line, []byte("MSG ")) || bytes.HasPrefix(line, []byte("HMSG ")) {
			words := bytes.Fields(line)
			size, err := strconv.Atoi(string(words[len(words)-1]))
			if err != nil {
				return
			}
			body := make([]byte, size+2)
			if _, err := io.ReadFull(in, body); err != nil {
				return
			}
			frame = append(frame, body...)
		}
		if !p.keeps(frame, write) {
			write(frame)
		}
	}
}

// keeps loses or holds frame if it is an acknowledgement to be lost or held.
func (p *proxy) keeps(frame []byte, write func([]byte)) bool {
	if !bytes.Contains(frame, []byte(`{"stream":"IND_`)) && !bytes.Contains(frame, []byte(`"stream":"IND_MAHAVISHNU","seq":0`)) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.drop > 0:
		p.drop--
		p.dropped <- struct{}{}
		return true
	case p.holding:
		p.held = append(p.held, func() { write(frame) })
		return true
	}
	return false
}
