package e2e_test

import (
	"encoding/json"
	"testing"
	"time"
)

// command is what a peer is told, as one line of JSON.
type command struct {
	// Do is "open", "send" or "close"; a browser also takes "see".
	Do string `json:"do"`
	// URL is what "open" connects to.
	URL string `json:"url,omitempty"`
	// Frame is what "send" sends.
	Frame any `json:"frame,omitempty"`
	// Text is what "see" waits for, anywhere on the page.
	Text string `json:"text,omitempty"`
}

// report is what a peer tells, as one line of JSON with one key.
type report struct {
	Ready  bool   `json:"ready"`  // a browser has opened the page
	Opened bool   `json:"opened"` // the WebSocket handshake is done
	Frame  *frame `json:"frame"`  // a frame came, and parsed as JSON
	Closed int    `json:"closed"` // the close code that came, after the last frame
	Seen   string `json:"seen"`   // the text is on the page
	Failed string `json:"failed"` // the peer cannot go on, and why
}

// frame is the envelope of the protocol, as far as these tests look at it.
type frame struct {
	Type          string          `json:"type"`
	Event         string          `json:"event"`
	ID            string          `json:"id"`
	CorrelationID string          `json:"correlation_id"`
	Room          string          `json:"room"`
	Seq           uint64          `json:"seq"`
	Prev          uint64          `json:"prev"`
	Data          json.RawMessage `json:"data"`
	// Older clients look for these two beside data.
	Status  string `json:"status"`
	Channel string `json:"channel"`
}

// peer is a remote-controlled client. Only the test's goroutine may use it.
type peer struct {
	process *process
	reports chan report
}

// startPeer starts one of the programs in peers/.
func startPeer(t *testing.T, argv ...string) *peer {
	t.Helper()
	p := &peer{reports: make(chan report)}
	p.process = start(t, false, func(line string) {
		var r report
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			r.Failed = "not a report: " + line
		}
		select {
		case p.reports <- r:
		case <-t.Context().Done(): // nobody asks any more
		}
	}, argv...)
	return p
}

func pythonPeer(t *testing.T, _ *server) *peer {
	t.Helper()
	return startPeer(t, "/usr/bin/python3", "-u", "peers/peer.py")
}

func nodePeer(t *testing.T, _ *server) *peer {
	t.Helper()
	return startPeer(t, "node", "peers/peer.mjs")
}

// browserPeer is a headless Chromium that has opened the server's page.
func browserPeer(t *testing.T, s *server) *peer {
	t.Helper()
	p := startPeer(t, "node", "peers/browser.mjs", s.pageURL(), t.TempDir())
	if r := p.next(t); !r.Ready {
		t.Fatalf("the browser did not open the page: %+v", r)
	}
	return p
}

func (p *peer) tell(t *testing.T, c command) {
	t.Helper()
	line, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.process.stdin.Write(append(line, '\n')); err != nil {
		t.Fatalf("the peer takes no commands: %v", err)
	}
}

// next is the peer's next report. The test fails when the peer does.
func (p *peer) next(t *testing.T) report {
	t.Helper()
	select {
	case r := <-p.reports:
		if r.Failed != "" {
			t.Fatalf("the peer failed: %s", r.Failed)
		}
		return r
	case <-p.process.ended:
		t.Fatal("the peer ended")
	case <-time.After(patience):
		t.Fatal("the peer had nothing to tell")
	}
	return report{}
}

// wantFrame is the next frame but for those that may come at any time: news of the
// position, and JSON pings.
func (p *peer) wantFrame(t *testing.T) *frame {
	t.Helper()
	for {
		r := p.next(t)
		if r.Frame == nil {
			t.Fatalf("want a frame, got %+v", r)
		}
		anyTime := r.Frame.Type == "ping" || r.Frame.Type == "ack" && r.Frame.Event == "position"
		if !anyTime {
			return r.Frame
		}
	}
}

// open connects to a service and takes its welcome.
func (p *peer) open(t *testing.T, s *server, service string) {
	t.Helper()
	p.tell(t, command{Do: "open", URL: s.socketURL(service)})
	if r := p.next(t); !r.Opened {
		t.Fatalf("want the connection to open, got %+v", r)
	}
	f := p.wantFrame(t)
	if f.Type != "event" || f.Event != "welcome" {
		t.Fatalf("want a welcome first, got %+v", f)
	}
	var welcome struct {
		ConnectionID string `json:"connection_id"`
		Service      string `json:"service"`
	}
	f.decode(t, &welcome)
	if welcome.ConnectionID == "" || welcome.Service != service {
		t.Fatalf("welcome of %s: %s", service, f.Data)
	}
}

// close closes the connection and takes what was under way, which must be frames,
// and the close code, which must be 1000.
func (p *peer) close(t *testing.T) {
	t.Helper()
	p.tell(t, command{Do: "close"})
	for {
		switch r := p.next(t); {
		case r.Frame != nil:
		case r.Closed == 1000:
			return
		default:
			t.Fatalf("want close code 1000, got %+v", r)
		}
	}
}

func (f *frame) decode(t *testing.T, data any) {
	t.Helper()
	if err := json.Unmarshal(f.Data, data); err != nil {
		t.Fatalf("data of %s %s: %v: %s", f.Type, f.Event, err, f.Data)
	}
}
