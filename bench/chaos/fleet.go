//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/bench/chaos/link"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
)

const (
	loopback = "127.0.0.1"
	// nodes and edges are how many there are of each.
	nodes = 3
	edges = 3
	// patience is how long the fleet may take to come up.
	patience = 60 * time.Second
	// clientBuffer is what a link to an edge holds for a client that does not read.
	clientBuffer = 16 << 10
)

// services are those that the run uses.
var services = []schema.Service{schema.Dhruva, schema.Mahavishnu, schema.Excalidraw}

// streamConfig is what the streams are like.
var streamConfig = publisher.StreamConfig{Replicas: nodes, MaxBytes: 1 << 30}

// fleet is all servers, and all links.
type fleet struct {
	// Static after construction.
	dir string
	// claim keeps the ports of the servers from other runs.
	claim net.Listener
	nats  []*process
	edge  []*process
	// urls are those of the NATS nodes, http the edges' own addresses.
	urls, http []string
	// routes are the links of the other nodes to each node, toNATS those of an edge to
	// each node; publish those of the publishers; clients one to each edge.
	routes  []*link.Link
	toNATS  [edges][]*link.Link
	publish []*link.Link
	clients []*link.Link
	admin   *nats.Conn
	ask     *directget.Client
	// streams is what was made of the streams in the beginning.
	streams publisher.Report

	// Guarded by mu.
	mu sync.Mutex
	// metrics are the newest of each edge process, by when it was started.
	metrics map[string]map[string]float64
}

// newFleet starts everything in dir and waits until it serves.
func newFleet(ctx context.Context, dir string, s settings) (_ *fleet, err error) {
	f := &fleet{dir: dir, metrics: map[string]map[string]float64{}}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	var ports []int
	if f.claim, ports, err = claimPorts(2*nodes + edges); err != nil {
		return nil, err
	}
	if err := f.startNATS(ctx, ports[:2*nodes]); err != nil {
		return nil, err
	}
	if err := f.startEdges(ctx, ports[2*nodes:], s); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *fleet) log(name string) string { return filepath.Join(f.dir, name+".log") }

func (f *fleet) startNATS(ctx context.Context, ports []int) error {
	var routes []string
	for i := range nodes {
		l, err := link.Route(fmt.Sprintf("%s:%d", loopback, ports[nodes+i]))
		if err != nil {
			return err
		}
		f.routes = append(f.routes, l)
		routes = append(routes, "nats-route://"+l.Addr())
	}
	for i := range nodes {
		name := "n" + strconv.Itoa(i+1)
		p := &process{role: role{Name: name, Log: f.log(name), NATS: &natsRole{
			Dir: filepath.Join(f.dir, "store", name), Port: ports[i], Route: ports[nodes+i], Advertise: f.routes[i].Addr(), Routes: routes,
		}}}
		f.nats = append(f.nats, p)
		f.urls = append(f.urls, fmt.Sprintf("nats://%s:%d", loopback, ports[i]))
		if err := p.start(); err != nil {
			return err
		}
	}
	err := f.until(ctx, "the cluster", func() (err error) {
		if f.admin == nil {
			f.admin, err = nats.Connect(strings.Join(f.urls, ","), nats.MaxReconnects(-1), nats.PingInterval(time.Second),
				nats.ReconnectWait(50*time.Millisecond), nats.IgnoreDiscoveredServers(),
				nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
			if err != nil {
				return err
			}
			f.ask = directget.New(f.admin)
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		f.streams, err = publisher.EnsureStreams(ctx, f.admin, streamConfig, services...)
		return err
	})
	if err != nil {
		return err
	}
	for _, url := range f.urls {
		l, err := link.NATS(strings.TrimPrefix(url, "nats://"), 0)
		if err != nil {
			return err
		}
		f.publish = append(f.publish, l)
	}
	return nil
}

// feeds are the edges' different ways to hold what is new: as by default, with little
// in memory, and forgetting soon.
var feeds = [edges]feed.Config{
	{},
	{RingFrames: 4, RingBytes: 32 << 10, PageFrames: 100, PageBytes: 64 << 10},
	{RingFrames: 200, Linger: 500 * time.Millisecond},
}

func (f *fleet) startEdges(ctx context.Context, ports []int, s settings) error {
	for i := range edges {
		var urls []string
		for n, url := range f.urls {
			l, err := link.NATS(strings.TrimPrefix(url, "nats://"), s.seed+uint64(i*nodes+n))
			if err != nil {
				return err
			}
			f.toNATS[i] = append(f.toNATS[i], l)
			urls = append(urls, "nats://"+l.Addr())
		}
		name := "edge" + strconv.Itoa(i+1)
		address := net.JoinHostPort(loopback, strconv.Itoa(ports[i]))
		p := &process{role: role{Name: name, Log: f.log(name), Edge: &edgeRole{
			HTTP: address, NATS: strings.Join(urls, ","), Feed: feeds[i], Plant: s.plant,
		}}}
		f.edge = append(f.edge, p)
		f.http = append(f.http, address)
		l, err := link.TCP(address, clientBuffer)
		if err != nil {
			return err
		}
		f.clients = append(f.clients, l)
		if err := p.start(); err != nil {
			return err
		}
	}
	return f.until(ctx, "the edges", func() error { return f.ready(ctx) })
}

// ready reports whether every edge says that it is.
func (f *fleet) ready(ctx context.Context) error {
	for i, address := range f.http {
		response, err := f.get(ctx, "http://"+address+"/healthz")
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("chaos: edge%d is not ready: %s", i+1, response.Status)
		}
	}
	return nil
}

func (f *fleet) get(ctx context.Context, url string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	r.Close = true
	client := http.Client{Timeout: 2 * time.Second}
	response, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	return response, nil
}

// until asks again and again, for servers do not announce that they are ready.
func (f *fleet) until(ctx context.Context, what string, ok func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("chaos: %s did not come up: %w", what, err)
		}
	}
}

// leader is the node that leads the stream of a service, -1 if nobody says so.
func (f *fleet) leader(ctx context.Context, service schema.Service) int {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	info, err := f.ask.Info(ctx, service.Stream())
	if err != nil {
		return -1
	}
	for i, p := range f.nats {
		if p.role.Name == info.Leader {
			return i
		}
	}
	return -1
}

// scrape reads the counters of all edges that answer.
func (f *fleet) scrape(ctx context.Context) {
	for i, address := range f.http {
		life := fmt.Sprintf("%d/%d", i, f.edge[i].starts.Load())
		response, err := f.get(ctx, "http://"+address+"/metrics")
		if err != nil {
			continue
		}
		values := map[string]float64{}
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			name, text, _ := strings.Cut(lines.Text(), " ")
			if value, err := strconv.ParseFloat(text, 64); err == nil {
				values[name] = value
			}
		}
		_ = response.Body.Close()
		f.mu.Lock()
		f.metrics[life] = values
		f.mu.Unlock()
	}
}

// scrapeAlways reads the counters again and again, for an edge that is killed takes
// its own with it.
func (f *fleet) scrapeAlways(ctx context.Context) error {
	for wait(ctx, time.Second) {
		f.scrape(ctx)
	}
	return nil
}

// sum adds up a counter with a label over all edges and all of their lives.
func (f *fleet) sum(name, label string) float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	total := 0.0
	for _, values := range f.metrics {
		for full, value := range values {
			if strings.HasPrefix(full, name) && strings.Contains(full, label) {
				total += value
			}
		}
	}
	return total
}

// heal ends everything that was done to the fleet.
func (f *fleet) heal() error {
	for _, l := range f.links() {
		l.Set(link.Rules{})
	}
	for _, p := range f.processes() {
		p.signal(syscall.SIGCONT)
		if err := p.start(); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) processes() []*process { return slices.Concat(f.edge, f.nats) }

func (f *fleet) links() []*link.Link {
	return slices.Concat(f.publish, f.clients, f.routes, slices.Concat(f.toNATS[:]...))
}

// close ends all processes and links, and removes the stores.
func (f *fleet) close() {
	if f.claim != nil {
		defer func() { _ = f.claim.Close() }()
	}
	if f.admin != nil {
		f.admin.Close()
	}
	var ended sync.WaitGroup
	for _, p := range f.processes() {
		ended.Go(func() { p.end(syscall.SIGKILL) })
	}
	ended.Wait()
	for _, l := range f.links() {
		l.Close()
	}
	_ = os.RemoveAll(filepath.Join(f.dir, "store")) // At worst, something is left in the temporary directory.
}
