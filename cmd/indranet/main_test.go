package main

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// patience bounds every wait of these tests.
const patience = 30 * time.Second

// TestMain makes this test binary the program as well: scripts and startDev run it
// as indranet.
func TestMain(m *testing.M) {
	// Under the race detector every program would wait a second at its end.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	testscript.Main(leakless{m}, map[string]func(){"indranet": func() { os.Exit(mainCode()) }})
}

// leakless fails a run that leaves goroutines behind.
type leakless struct{ m *testing.M }

func (l leakless) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// dev is a running indranet dev.
type dev struct {
	process *exec.Cmd
	stderr  *strings.Builder
	// page, nats and ws are what it printed when it was ready.
	page, nats, ws string
}

// startDev starts indranet dev in a process of its own and waits until it is ready.
func startDev(args ...string) (*dev, error) {
	d := &dev{process: exec.Command("indranet", append([]string{"dev"}, args...)...), stderr: &strings.Builder{}}
	d.process.Stderr = d.stderr
	stdout, err := d.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.process.Start(); err != nil {
		return nil, err
	}
	kill := time.AfterFunc(patience, func() { _ = d.process.Process.Kill() })
	defer kill.Stop()
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) != 2:
			return nil, errors.Join(fmt.Errorf("indranet dev printed %q", lines.Text()), d.stop())
		case fields[0] == "page":
			d.page = fields[1]
		case fields[0] == "nats":
			d.nats = fields[1]
		case fields[0] == "ws":
			d.ws = strings.TrimSuffix(fields[1], "/ws/{service}")
		case fields[0] == "data":
			return d, nil
		}
	}
	return nil, fmt.Errorf("indranet dev ended: %w\n%s", d.process.Wait(), d.stderr)
}

// stop ends it with SIGTERM and wants exit code 0.
func (d *dev) stop() error {
	if err := d.process.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	kill := time.AfterFunc(patience, func() { _ = d.process.Process.Kill() })
	defer kill.Stop()
	if err := d.process.Wait(); err != nil {
		return fmt.Errorf("indranet dev: %w\n%s", err, d.stderr)
	}
	return nil
}

// running is what one script has started.
type running struct {
	dev  *dev
	nats *embedded
}

type runningKey struct{}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			r := &running{}
			env.Values[runningKey{}] = r
			// Nothing answers here.
			env.Setenv("NATS_URL", "nats://127.0.0.1:1")
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Defer(func() {
				if r.nats != nil {
					r.nats.Stop()
				}
				if r.dev != nil {
					if err := r.dev.stop(); err != nil {
						t.Error(err)
					}
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"dev": scriptDev, "stop": scriptStop, "nats": scriptNATS, "occupy": scriptOccupy,
		},
	})
}

func of(ts *testscript.TestScript) *running { return ts.Value(runningKey{}).(*running) }

// scriptDev starts indranet dev on $WORK/data without demo events: dev [flags]. It
// sets NATS_URL, NATS_ADDR, PAGE, PAGE_ADDR and WS.
func scriptDev(ts *testscript.TestScript, _ bool, args []string) {
	d, err := startDev(append([]string{
		"--data", ts.MkAbs("data"), "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--service-ports=false", "--demo=false",
	}, args...)...)
	ts.Check(err)
	of(ts).dev = d
	ts.Setenv("NATS_URL", d.nats)
	ts.Setenv("NATS_ADDR", strings.TrimPrefix(d.nats, "nats://"))
	ts.Setenv("PAGE", d.page)
	ts.Setenv("PAGE_ADDR", strings.Trim(strings.TrimPrefix(d.page, "http:"), "/"))
	ts.Setenv("WS", d.ws)
}

// scriptStop ends what dev started.
func scriptStop(ts *testscript.TestScript, _ bool, _ []string) {
	d := of(ts).dev
	of(ts).dev = nil
	ts.Check(d.stop())
}

// scriptNATS starts a NATS server that has no streams and sets NATS_URL.
func scriptNATS(ts *testscript.TestScript, _ bool, _ []string) {
	var err error
	of(ts).nats, err = startNATS(ts.MkAbs("nats"), "127.0.0.1:0", slog.New(slog.DiscardHandler))
	ts.Check(err)
	ts.Setenv("NATS_URL", of(ts).nats.URL)
}

// scriptOccupy listens until the script ends and sets BUSY to the address.
func scriptOccupy(ts *testscript.TestScript, _ bool, _ []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv("BUSY", l.Addr().String())
}

// output runs a command in this process and returns what it printed.
func output(t *testing.T, args ...string) string {
	t.Helper()
	var out, problems strings.Builder
	if code := run(t.Context(), args, stdio{strings.NewReader(""), &out, &problems}); code != 0 {
		t.Fatalf("indranet %s: exit code %d\n%s", strings.Join(args, " "), code, &problems)
	}
	if problems.Len() > 0 {
		t.Errorf("indranet %s: %s", strings.Join(args, " "), &problems)
	}
	return out.String()
}

// testDev is startDev for a test, which ends it.
func testDev(t *testing.T, args ...string) *dev {
	t.Helper()
	d, err := startDev(append([]string{"--http=127.0.0.1:0", "--nats=127.0.0.1:0"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.process.ProcessState != nil {
			return // The test has stopped it.
		}
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	})
	return d
}
