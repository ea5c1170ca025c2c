package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// TestEveryPairArrivesAndIsThereAfterARestart publishes the example of every pair
// with the publish command, wants it on its home channel, and wants every log to be
// the same after the process was replaced, from NATS and through the edge.
func TestEveryPairArrivesAndIsThereAfterARestart(t *testing.T) {
	data := t.TempDir()
	d := testDev(t, "--data", data, "--service-ports=false", "--demo=false")
	stored := map[schema.Service]int{}
	for _, row := range catalogue.Default().Rows() {
		service := string(row.Service)
		event, err := catalogue.Default().Parse(row.Service, row.Name, []byte(row.Example))
		if err != nil {
			t.Fatal(err)
		}
		channel, err := event.EventChannel()
		if err != nil {
			t.Fatal(err)
		}
		publish := func() publisher.Receipt {
			var receipt publisher.Receipt
			printed := output(t, "publish", service, row.Name, row.Example, "--nats", d.nats)
			if err := json.Unmarshal([]byte(printed), &receipt); err != nil {
				t.Fatalf("%v: %s", err, printed)
			}
			if receipt.Channel != channel.String() {
				t.Errorf("%s of %s went to %s, not %s", row.Name, service, receipt.Channel, channel)
			}
			return receipt
		}
		if row.Transient {
			wantTransient(t, d, row, channel, publish)
			continue
		}
		stored[row.Service]++
		receipt := publish()
		for _, from := range [][]string{{"--nats", d.nats}, {"--url", d.ws}} {
			since := strconv.FormatUint(receipt.Seq-1, 10)
			got := parse(t, output(t, append([]string{"tail", service, channel.String(), "--since", since,
				"--epoch", receipt.Epoch, "--count", "1", "--json"}, from...)...))[0]
			if got.ID != receipt.ID || got.Seq != receipt.Seq || got.Event != row.Name || string(got.Data) != row.Example {
				t.Errorf("%s of %s arrived as %+v, receipt %+v", row.Name, service, got, receipt)
			}
		}
	}

	everything := func(d *dev, flag, from string) string {
		var all strings.Builder
		for _, service := range schema.Services() {
			all.WriteString(output(t, "tail", string(service), "global", "--since", "start", "--json",
				"--count", strconv.Itoa(stored[service]), flag, from))
		}
		return all.String()
	}
	before := everything(d, "--nats", d.nats)
	if n := len(parse(t, before)); n != 50 {
		t.Errorf("%d durable events, want 50", n)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	d = testDev(t, "--data", data, "--service-ports=false", "--demo=false")
	if after := everything(d, "--nats", d.nats); after != before {
		t.Errorf("after the restart\n%swant\n%s", after, before)
	}
	if after := everything(d, "--url", d.ws); after != before {
		t.Errorf("after the restart, through the edge\n%swant\n%s", after, before)
	}
}

// wantTransient publishes until a tail that was started before has the event: nobody
// gets what is transient later, but for the last one of each user.
func wantTransient(t *testing.T, d *dev, row catalogue.Row, channel schema.Channel, publish func() publisher.Receipt) {
	t.Helper()
	for _, from := range [][]string{{"--nats", d.nats}, {"--url", d.ws}} {
		ctx, cancel := context.WithCancel(t.Context())
		arrived, ended := make(lines, 1000), make(chan int, 1)
		go func() {
			args := append([]string{"tail", string(row.Service), channel.String(), "--json"}, from...)
			ended <- run(ctx, args, stdio{nil, arrived, io.Discard})
		}()
		ticker := time.NewTicker(50 * time.Millisecond)
		deadline := time.After(patience)
		for got := (message{}); got.Event != row.Name; {
			select {
			case line := <-arrived:
				got = parse(t, line)[0]
				if got.Event == row.Name && (got.Seq != 0 || string(got.Data) != row.Example) {
					t.Errorf("%s arrived as %s", row.Name, line)
				}
			case <-ticker.C:
				publish()
			case <-deadline:
				t.Fatalf("%s never arrives", row.Name)
			}
		}
		ticker.Stop()
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
}

// lines takes what a command prints, one write a line.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// message is what these tests look at of the envelope.
type message struct {
	Event string          `json:"event"`
	ID    string          `json:"id"`
	Seq   uint64          `json:"seq"`
	Data  json.RawMessage `json:"data"`
}

func parse(t *testing.T, printed string) []message {
	t.Helper()
	var list []message
	for line := range strings.Lines(printed) {
		var m message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		list = append(list, m)
	}
	return list
}

func TestServicePortsAreTheSources(t *testing.T) {
	cfg := (&devCmd{ServicePorts: true}).edgeConfig("nats://127.0.0.1:4222")
	want := map[schema.Service]string{
		schema.Mahavishnu: "127.0.0.1:8690", schema.Dhruva: "127.0.0.1:8693", schema.Excalidraw: "127.0.0.1:3042",
		schema.Fastblocks: "127.0.0.1:8684", schema.Akosha: "127.0.0.1:8692", schema.Crackerjack: "127.0.0.1:8686",
		schema.SessionBuddy: "127.0.0.1:8765",
	}
	for service, addr := range want {
		if got := cfg.Services[service].Addr; got != addr {
			t.Errorf("%s at %q", service, got)
		}
	}
	if len(cfg.Services) != len(want) || !cfg.LocalOrigins {
		t.Errorf("%+v", cfg)
	}
	for service, s := range (&devCmd{}).edgeConfig("nats://127.0.0.1:4222").Services {
		if s.Addr != "" {
			t.Errorf("%s at %q", service, s.Addr)
		}
	}
}

// TestEveryServiceIsServedOnThePortThatIsPrinted takes any ports, since somebody may
// be using the real ones.
func TestEveryServiceIsServedOnThePortThatIsPrinted(t *testing.T) {
	d := testDev(t, "--data", t.TempDir(), "--service-ports=false", "--demo=false")
	cmd := &devCmd{HTTP: "127.0.0.1:0", ServicePorts: true}
	cfg := cmd.edgeConfig(d.nats)
	for service := range cfg.Services {
		one := cfg.Services[service]
		one.Addr = "127.0.0.1:0"
		cfg.Services[service] = one
	}
	e, err := edge.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	var ready strings.Builder
	cmd.printReady(&ready, e, d.nats)
	lines := strings.Split(ready.String(), "\n")
	for i, service := range schema.Services() {
		fields := strings.Fields(lines[3+i])
		if len(fields) != 3 || fields[0] != "ws" || fields[2] != string(service) {
			t.Fatalf("%q is no line of %s", lines[3+i], service)
		}
		output(t, "publish", string(service), "system.events", "{}", "--nats", d.nats)
		output(t, "tail", string(service), "global", "--since", "start", "--count", "1", "--url", fields[1])
	}
}

func TestBusyServicePortIsNamedWithItsFlag(t *testing.T) {
	// Where this fails, somebody else has the port: just as well.
	if l, err := net.Listen("tcp", "127.0.0.1:8690"); err == nil {
		defer l.Close()
	}
	printed, err := exec.Command("indranet", "dev", "--data", t.TempDir(), "--http=127.0.0.1:0", "--nats=127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(printed), "cannot listen at 127.0.0.1:") ||
		!strings.Contains(string(printed), "set --service-ports=false: address already in use") {
		t.Errorf("%v\n%s", err, printed)
	}
}

func TestDevServesThePage(t *testing.T) {
	d := testDev(t, "--data", t.TempDir(), "--no-service-ports", "--no-demo")
	defer http.DefaultClient.CloseIdleConnections()
	for path, want := range map[string]string{
		"":            `<script type="module" src="app.js">`,
		"app.js":      "new Follower",
		"follower.js": "class Follower",
		"channels.js": "export const channels",
		"style.css":   "color-scheme",
		"healthz":     `{"status":"ok"}`,
	} {
		response, err := http.Get(d.page + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.Body.Close() != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, %v\n%s", path, response.Status, err, body)
		}
	}
}

// TestInterruptedTail ends well, unless it was to print a number of events.
func TestInterruptedTail(t *testing.T) {
	d := testDev(t, "--data", t.TempDir(), "--service-ports=false")
	for _, from := range []string{"--nats=" + d.nats, "--url=" + d.ws} {
		for count, want := range map[string]int{"--count=0": 0, "--count=1000": exitFailed} {
			tail := exec.Command("indranet", "tail", "dhruva", "global", "--since=start", count, from)
			var problems strings.Builder
			tail.Stderr = &problems
			stdout, err := tail.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := tail.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(stdout)
			if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "adapter.activated") {
				t.Errorf("%q, %v", line, err)
			}
			if err := tail.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, lines) // Until it has ended.
			_ = tail.Wait()                   // Its exit code is looked at.
			if code := tail.ProcessState.ExitCode(); code != want || (want == 0) != (problems.Len() == 0) {
				t.Errorf("%s %s: exit code %d, want %d: %s", count, from, code, want, &problems)
			}
		}
	}
}

// TestWhatTheLogNoLongerHoldsIsSaid fills a small stream until its front is gone.
func TestWhatTheLogNoLongerHoldsIsSaid(t *testing.T) {
	d := testDev(t, "--data", t.TempDir(), "--service-ports=false", "--demo=false", "--max-bytes=64KiB")
	event := `{"adapter_id":"a","version":"1","repo":"` + strings.Repeat("x", 8000) + `"}`
	for range 20 {
		output(t, "publish", "dhruva", "adapter.activated", event, "--nats", d.nats)
	}
	first := parse(t, output(t, "history", "dhruva", "adapter:a", "--since=start", "--json", "--nats", d.nats))[0].Seq
	if first < 10 {
		t.Fatalf("the log begins at %d", first)
	}
	for _, args := range [][]string{
		{"tail", "--count=1", "--nats", d.nats}, {"tail", "--count=1", "--url", d.ws}, {"history", "--nats", d.nats},
	} {
		var out, problems strings.Builder
		args = append(args, "dhruva", "adapter:a", "--since=3", "--json")
		if code := run(t.Context(), args, stdio{nil, &out, &problems}); code != 0 {
			t.Errorf("%v: exit code %d", args, code)
		}
		want := "(position_expired): the log no longer holds everything after the position; what follows begins after position " +
			strconv.FormatUint(first-1, 10)
		if !strings.Contains(problems.String(), want) || parse(t, out.String())[0].Seq != first {
			t.Errorf("%v: %s\n%s", args, &problems, &out)
		}
	}
}

// TestTailLosesNothingWhileEverythingIsReplaced follows through an edge whose process
// is replaced, NATS with it, and wants every event once.
func TestTailLosesNothingWhileEverythingIsReplaced(t *testing.T) {
	data := t.TempDir()
	d := testDev(t, "--data", data, "--service-ports=false", "--demo=false")
	fixed := []string{"--data", data, "--service-ports=false", "--demo=false",
		"--http=" + strings.TrimPrefix(d.ws, "ws://"), "--nats=" + strings.TrimPrefix(d.nats, "nats://")}
	const total = 30
	for _, from := range [][]string{{"--url", d.ws}, {"--nats", d.nats}} {
		first := len(parse(t, output(t, "history", "dhruva", "adapter:a", "--json", "--limit=1000", "--nats", d.nats)))
		ended := make(chan string, 1)
		go func() {
			var out, problems strings.Builder
			args := append([]string{"tail", "dhruva", "adapter:a", "--since", strconv.Itoa(first), "--json", "--count", strconv.Itoa(total)}, from...)
			if code := run(t.Context(), args, stdio{nil, &out, &problems}); code != 0 {
				t.Errorf("%v: exit code %d: %s", args, code, &problems)
			}
			ended <- out.String()
		}()
		for i := range total {
			output(t, "publish", "dhruva", "adapter.activated", `{"adapter_id":"a","repo":"r","version":"1"}`, "--nats", d.nats)
			if i%10 == 9 {
				if err := d.stop(); err != nil {
					t.Fatal(err)
				}
				d = testDev(t, fixed...)
			}
		}
		select {
		case printed := <-ended:
			var seqs, want []uint64
			for i, m := range parse(t, printed) {
				seqs, want = append(seqs, m.Seq), append(want, uint64(first+i+1))
			}
			if len(seqs) != total || !slices.Equal(seqs, want) {
				t.Errorf("%v: positions %v", from, seqs)
			}
		case <-time.After(patience):
			t.Fatalf("%v: not everything came", from)
		}
	}
}
