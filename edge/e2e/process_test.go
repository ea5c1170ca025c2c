package e2e_test

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of these tests. It is long because two cores may
// carry a browser, the server and the race detector at once.
const patience = 30 * time.Second

// process is a program that a test started and that ends with the test.
type process struct {
	// Static after start.
	name    string
	command *exec.Cmd
	stdin   io.WriteCloser
	ended   chan struct{} // closed when stdout has been read to its end

	printed transcript
}

// start runs a program and hands each line of its stdout to onLine, on one
// goroutine. At the end of the test the program is asked to end, by the end of its
// stdin and by SIGTERM if that is what it listens to; the test fails if it does not
// end with status 0. What it printed is shown when the test failed.
func start(t *testing.T, sigterm bool, onLine func(line string), argv ...string) *process {
	t.Helper()
	p := &process{name: argv[0], command: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p.command.Stderr = &p.printed
	if err := p.command.Start(); err != nil {
		t.Fatalf("%v (run deploy/setup.sh)", err)
	}
	go func() {
		defer close(p.ended)
		lines := bufio.NewReader(io.TeeReader(stdout, &p.printed))
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			onLine(line)
		}
	}()
	t.Cleanup(func() { p.end(t, sigterm) })
	return p
}

func (p *process) end(t *testing.T, sigterm bool) {
	// Both fail for a program that ended by itself; Wait tells how it ended.
	_ = p.stdin.Close()
	if sigterm {
		_ = p.command.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Errorf("%s did not end", p.name)
		_ = p.command.Process.Kill()
		<-p.ended
	}
	if err := p.command.Wait(); err != nil {
		t.Errorf("%s: %v", p.name, err)
	}
	if t.Failed() {
		t.Logf("%s printed:\n%s", strings.Join(p.command.Args, " "), p.printed.String())
	}
}

// transcript keeps what a program printed. It is safe for concurrent use.
type transcript struct {
	mu sync.Mutex

	// Guarded by mu.
	text strings.Builder
}

func (tr *transcript) Write(p []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.text.Write(p)
}

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.text.String()
}
