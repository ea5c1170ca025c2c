package edge

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/request"
	"github.com/bodhisattva/indranet/edge/web"
	"github.com/bodhisattva/indranet/schema"
)

// sharedHandler serves what all services share.
func (e *Edge) sharedHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/ws/{service}", func(w http.ResponseWriter, r *http.Request) {
		service, err := schema.ParseService(r.PathValue("service"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		e.upgrade(w, r, e.servers[service])
	})
	mux.HandleFunc("GET /healthz", e.health)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		e.metrics.WritePrometheus(w)
	})
	mux.Handle("/", web.Handler())
	return mux
}

// serviceHandler takes WebSockets at any path.
func (e *Edge) serviceHandler(service schema.Service) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" && r.Header.Get("Upgrade") == "" {
			e.health(w, r)
			return
		}
		e.upgrade(w, r, e.servers[service])
	})
}

func (e *Edge) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if err := e.Ready(); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"status":"unavailable"}` + "\n"))
		return
	}
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n"))
}

// upgrade makes a WebSocket of a request and hands it to the engine.
func (e *Edge) upgrade(w http.ResponseWriter, r *http.Request, server *request.Server) {
	if !e.allowed(r) {
		http.Error(w, "this origin may not connect here", http.StatusForbidden)
		return
	}
	nc, buffered, err := conn.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered.
	}
	err = e.engine.Serve(nc, buffered, server.Open)
	if err != nil && !errors.Is(err, conn.ErrFull) && !errors.Is(err, conn.ErrShutdown) {
		e.logger.Warn("a connection could not be served", "error", err)
	}
}

// allowed decides by the Origin header, which browsers always send: absent is no
// browser; else its hostname must be the one asked for, or a configured one.
func (e *Edge) allowed(r *http.Request) bool {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return true
	}
	if len(values) > 1 {
		return false
	}
	if values[0] == "null" {
		return e.cfg.LocalOrigins
	}
	origin, err := url.Parse(values[0])
	if err != nil || origin.Hostname() == "" {
		return false
	}
	host := strings.ToLower(origin.Hostname())
	if host == hostname(r.Host) || slices.Contains(e.cfg.Origins, host) {
		return true
	}
	return e.cfg.LocalOrigins && loopback(host)
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		hostport = host
	}
	return strings.ToLower(strings.Trim(hostport, "[]"))
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
