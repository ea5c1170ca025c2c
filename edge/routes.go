package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bodhisattva/indranet/edge/audit"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/edge/request"
	"github.com/bodhisattva/indranet/edge/web"
	"github.com/bodhisattva/indranet/schema"
)

// handler is what a listener serves.
func (e *Edge) handler(name string) http.Handler {
	switch name {
	case sharedListener:
		return e.once(e.sharedHandler())
	case metricsListener:
		return e.operators("", false)
	case adminListener:
		return e.operators(e.cfg.Admin.Addr, true)
	}
	return e.once(e.serviceHandler(e.services[schema.Service(name)]))
}

// once makes a request the only one of its connection, unless that becomes a WebSocket:
// what comes behind it is no request, whatever somebody in front takes it for. A panic is
// told; net/http ends the connection then.
func (e *Edge) once(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				e.logger.Error("a handshake panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				panic(http.ErrAbortHandler)
			}
		}()
		w.Header().Set("Connection", "close")
		next.ServeHTTP(w, r)
	})
}

// sharedHandler serves what all services share.
func (e *Edge) sharedHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/ws/{service}", func(w http.ResponseWriter, r *http.Request) {
		name, err := schema.ParseService(r.PathValue("service"))
		s := e.services[name]
		if err != nil || s == nil {
			http.Error(w, "there is no such service here", http.StatusNotFound)
			return
		}
		e.upgrade(w, r, s)
	})
	mux.HandleFunc("GET /healthz", e.tellHealth(false))
	if e.cfg.OpenMetrics {
		mux.HandleFunc("GET /metrics", e.writeMetrics)
	}
	if e.cfg.Page {
		mux.Handle("/", web.Handler())
	}
	return mux
}

// serviceHandler takes WebSockets at any path.
func (e *Edge) serviceHandler(s *service) http.Handler {
	health := e.tellHealth(false)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" && r.Header.Get("Upgrade") == "" {
			health(w, r)
			return
		}
		e.upgrade(w, r, s)
	})
}

// operators serves those who run the edge. Others were not let through to here, but a page
// in an operator's browser may have had its own name lead here: for all, addr is what the
// edge may be called by. Metrics hold nothing that is worth it, and whoever collects
// them calls the edge by any name.
func (e *Edge) operators(addr string, all bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", e.tellHealth(true))
	mux.HandleFunc("GET /metrics", e.writeMetrics)
	if all {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostname(r.Host); all && !e.ours(host) && host != hostname(addr) {
			e.audit.Record(audit.AdminRefused, "", "host", slog.String("address", peerOf(r).String()), slog.String("host", foreign(host)))
			http.Error(w, "not under this name: use the address, or have the name in admin.listen or in origins", http.StatusForbidden)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		mux.ServeHTTP(w, r)
	})
}

func (e *Edge) writeMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	e.metrics.WritePrometheus(w)
}

// tellHealth says whether the edge is ready, and to operators why not.
func (e *Edge) tellHealth(why bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		answer := struct {
			Status string `json:"status"`
			Reason string `json:"reason,omitempty"`
		}{Status: "ok"}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err := e.Ready(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			if answer.Status = "unavailable"; why {
				answer.Reason = err.Error()
			}
		}
		_ = json.NewEncoder(w).Encode(answer) // Who does not hear it asks again.
	}
}

// peerOf is the address of a request's peer, the zero one where it has none.
func peerOf(r *http.Request) netip.Addr {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr) // A Unix socket has none.
	return peer.Addr()
}

// tokenTimeout bounds the check of a handshake's token, its delay included.
const tokenTimeout = 10 * time.Second

// upgrade makes a WebSocket of a request and hands it to the engine. What is cheapest
// to refuse is refused first.
func (e *Edge) upgrade(w http.ResponseWriter, r *http.Request, s *service) {
	address := e.cfg.Gate.Trusted.Client(peerOf(r), r.Header.Values("X-Forwarded-For"), r.Header.Get("X-Real-Ip"))
	key := limit.Key(address)
	if !e.mayEnter(w, r, s, address) {
		return
	}
	// The gate counts by what it sees, until the handshake is over. This counts by client,
	// until that is let in or gone.
	peer := request.Peer{Address: address.String(), Waited: func() { e.waiting.Release(key) }}
	served := false
	defer func() {
		if !served {
			peer.Waited()
		}
	}()
	if header := r.Header.Values("Authorization"); len(header) > 0 && conn.IsHandshake(r) {
		ctx, cancel := context.WithTimeout(r.Context(), tokenTimeout)
		s.server.Authenticate(ctx, &peer, bearer(header))
		cancel()
	}
	if !peer.Authenticated {
		if !s.outside.Acquire(s.name) {
			e.audit.Record(audit.ConnectionRefused, string(s.name), "crowded", slog.String("address", peer.Address))
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many connections that are not let in yet", http.StatusServiceUnavailable)
			return
		}
		peer.Waited = func() { s.outside.Release(s.name); e.waiting.Release(key) }
	}
	nc, buffered, err := conn.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered.
	}
	nc = limit.Opened(nc)
	if s.addresses.Acquire(key) {
		peer.Left = func() { s.addresses.Release(key) }
	} else {
		peer.Full = "address"
	}
	err = s.engine.Serve(nc, buffered, func(c conn.Conn) conn.Handler { return s.server.Open(c, peer) })
	if served = err == nil; served {
		return
	}
	if peer.Left != nil {
		peer.Left()
	}
	switch {
	case errors.Is(err, conn.ErrFull):
		e.audit.Record(audit.ConnectionRefused, string(s.name), "service", slog.String("address", peer.Address))
	case !errors.Is(err, conn.ErrShutdown):
		e.logger.Warn("a connection could not be served", "error", err)
	}
}

// mayEnter answers who may not even try. Who may has a place among those of the address
// that wait, and gives it back.
func (e *Edge) mayEnter(w http.ResponseWriter, r *http.Request, s *service, address netip.Addr) bool {
	refuse := func(event audit.Event, reason string, status int, text string, attrs ...slog.Attr) bool {
		e.audit.Record(event, string(s.name), reason, append(attrs, slog.String("address", address.String()))...)
		http.Error(w, text, status)
		return false
	}
	if until, blocked := s.failures.Blocked(limit.Key(address), time.Now()); blocked {
		w.Header().Set("Retry-After", strconv.Itoa(int(time.Until(until)/time.Second)+1))
		return refuse(audit.ConnectionRefused, "blocked", http.StatusTooManyRequests, "too many failed attempts from this address")
	}
	if e.memory.scarce.Load() {
		w.Header().Set("Retry-After", "5")
		return refuse(audit.ConnectionRefused, "memory", http.StatusServiceUnavailable, "no room now, try another time")
	}
	if !e.allowed(r, s) {
		origin := slog.String("origin", foreign(strings.Join(r.Header.Values("Origin"), ", ")))
		return refuse(audit.OriginRefused, "origin", http.StatusForbidden, "this origin may not connect here", origin)
	}
	if !e.waiting.Acquire(limit.Key(address)) {
		w.Header().Set("Retry-After", "1")
		return refuse(audit.ConnectionRefused, "waiting", http.StatusTooManyRequests, "too many connections from this address that are not let in yet")
	}
	return true
}

// bearer is the token of an Authorization header; what is none is no token either.
func bearer(header []string) string {
	scheme, token, _ := strings.Cut(header[0], " ")
	if len(header) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// allowed decides by the Origin header, which browsers always send: absent is no
// browser; else its hostname must be the one asked for, or a configured one. Where
// neither a token nor a certificate is needed and no proxy answers to names, the one
// asked for must be ours: a page can have its own name lead to here.
func (e *Edge) allowed(r *http.Request, s *service) bool {
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
	if slices.Contains(e.cfg.Origins, host) || slices.Contains(s.cfg.Origins, host) || e.cfg.LocalOrigins && loopback(host) {
		return true
	}
	return host == hostname(r.Host) && (s.cfg.RequireAuth || r.TLS != nil || e.proxied(r) || e.ours(host))
}

// proxied reports whether a request came through a proxy that is trusted: no page can make
// a browser say so.
func (e *Edge) proxied(r *http.Request) bool {
	return e.cfg.Gate.Trusted.Contains(peerOf(r)) && (r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("X-Real-Ip") != "")
}

// ours reports whether no page of somebody else can have the hostname: an address, a name
// without a dot, which nobody can register, or a configured one.
func (e *Edge) ours(host string) bool {
	return !strings.Contains(host, ".") || net.ParseIP(host) != nil || loopback(host) || slices.Contains(e.cfg.Origins, host)
}

// maxForeign is how much of a text that anybody may have sent is logged, in bytes.
const maxForeign = 100

// foreign makes such a text fit for a log.
func foreign(text string) string { return strconv.QuoteToASCII(text[:min(len(text), maxForeign)]) }

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
