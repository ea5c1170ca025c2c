//go:build linux

package foe

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/bodhisattva/indranet/bench/attack/peer"
	"github.com/bodhisattva/indranet/bench/attack/stage"
)

// wsPath is where the service takes WebSockets.
const wsPath = "/ws/" + string(stage.Service)

func (a *attack) handshake(headers ...string) string {
	return peer.Handshake(a.army.cfg.Edge, wsPath, headers...)
}

// await reads until the edge ends the connection.
func (c *line) await(ctx context.Context, limit time.Duration) string {
	_ = c.SetReadDeadline(time.Now().Add(limit)) // A closed connection needs none.
	var b [512]byte
	for {
		n, err := c.Read(b[:])
		if err != nil {
			return c.attack.ended(ctx, err, c.heard)
		}
		c.heard = c.heard || n > 0
	}
}

// rest waits, and is false when ctx ends first.
func rest(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func slowloris(ctx context.Context, a *attack, n int) string {
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	ended := make(chan string, 1)
	go func() { ended <- c.await(ctx, 3*patience) }()
	text := a.handshake("X-Padding: " + strings.Repeat("x", 200))
	for i := range len(text) {
		if c.Send([]byte{text[i]}) != nil {
			break // The reader knows why.
		}
		select {
		case end := <-ended:
			return end
		case <-time.After(time.Second):
		}
	}
	return <-ended
}

func halfOpen(ctx context.Context, a *attack, n int) string {
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	return c.await(ctx, 3*patience)
}

// idleHTTP holds a place of who is not in yet by plain HTTP.
func idleHTTP(ctx context.Context, a *attack, n int) string {
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	request := fmt.Appendf(nil, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", a.army.cfg.Edge)
	for {
		if status, _, end := c.status(ctx, request); status == 0 {
			return end
		}
		if !rest(ctx, 5*time.Second) {
			return endHeld
		}
	}
}

func garbage(ctx context.Context, a *attack, n int) string {
	texts := [][]byte{
		a.noise(1 + a.dice(4096)),
		append([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), a.noise(500)...), // TLS
		[]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		[]byte("SSH-2.0-OpenSSH_9.2\r\n"),
		[]byte("PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
		[]byte("\r\n\r\n\r\nQUIT\r\n"),
		[]byte("GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
		bytes.Repeat([]byte{0}, 2000),
	}
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	_, _, end = c.status(ctx, texts[a.dice(len(texts))])
	return end
}

func hugeHeaders(ctx context.Context, a *attack, n int) string {
	text := a.handshake("X-One: " + strings.Repeat("x", 64<<10))
	if n%2 == 0 {
		text = a.handshake(strings.Split(strings.Repeat("X-Many: y\n", 6400), "\n")[:6400]...)
	}
	return a.ask(ctx, n, text)
}

// ask makes one request on a connection of its own, that is no handshake which could
// be accepted.
func (a *attack) ask(ctx context.Context, n int, text string) string {
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	_, body, end := c.status(ctx, []byte(text))
	a.secrets(body)
	return end
}

// secrets looks for what only operators may see.
func (a *attack) secrets(body []byte) {
	for _, word := range []string{`_total{`, `{service="`, "goroutine profile", "/debug/pprof/", "Types of profiles", "root:x:0"} {
		if bytes.Contains(body, []byte(word)) {
			a.breach("a page of the operators'")
		}
	}
}

func badHandshake(ctx context.Context, a *attack, n int) string {
	right := a.handshake()
	variants := []string{
		strings.Replace(right, "GET", "POST", 1),
		strings.Replace(right, "HTTP/1.1", "HTTP/1.0", 1),
		strings.Replace(right, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 1),
		strings.Replace(right, "dGhlIHNhbXBsZSBub25jZQ==", "short", 1),
		strings.Replace(right, "Upgrade: websocket", "Upgrade: h2c", 1),
		strings.Replace(right, "Host: ", "Host: a\r\nHost: ", 1),
		a.handshake("Content-Length: 48") + "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
		a.handshake("Transfer-Encoding: chunked") + "0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
		a.handshake("X-Bad\x00Header: 1"),
		a.handshake(" folded: yes"),
	}
	return a.ask(ctx, n, variants[a.dice(len(variants))])
}

// forge makes a token of a weak one that its secret did not sign.
func (a *attack) forge() (what, token string) {
	parts := strings.Split(a.weak(a.dice(1000)), ".")
	encode := base64.RawURLEncoding.EncodeToString
	claims := encode([]byte(fmt.Sprintf(`{"user_id":"root","permissions":["admin"],"jti":"j","iat":%d,"exp":%d}`, time.Now().Unix(), time.Now().Add(time.Hour).Unix())))
	signature := encode(a.noise(32))
	switch a.dice(9) {
	case 0:
		return "alg none", encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + claims + "."
	case 1:
		return "other claims", parts[0] + "." + claims + "." + parts[2]
	case 2:
		return "a public key's algorithm", encode([]byte(`{"alg":"RS256","typ":"JWT","kid":"../../dev/null"}`)) + "." + claims + "." + signature
	case 3:
		return "a key of its own", encode([]byte(`{"alg":"HS256","jku":"http://127.0.0.1/keys","jwk":{"kty":"oct","k":"AAAA"}}`)) + "." + claims + "." + signature
	case 4:
		return "no signature", parts[0] + "." + parts[1] + "."
	case 5:
		return "keys twice", parts[0] + "." + encode([]byte(`{"user_id":"a","user_id":"root","permissions":["admin"],"exp":99999999999}`)) + "." + signature
	case 6:
		return "too long", parts[0] + "." + encode(a.noise(8<<10)) + "." + signature
	case 7:
		return "noise", encode(a.noise(60))
	}
	return "a guess", parts[0] + "." + claims + "." + signature
}

func badToken(ctx context.Context, a *attack, n int) string {
	what, token := a.forge()
	if names := a.army.cfg.Bad; len(names) > 0 && a.dice(3) == 0 {
		for what, token = range names {
			break
		}
	}
	return a.show(ctx, n, what, token, a.dice(2) == 0)
}

// guess changes the address that a proxy would tell with every try.
func guess(ctx context.Context, a *attack, n int) string {
	parts := strings.Split(a.weak(0), ".")
	token := parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(a.noise(32))
	b := a.noise(4)
	spoof := fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], b[2], b[3])
	return a.show(ctx, n, "a guess", token, a.dice(2) == 0, "X-Forwarded-For: "+spoof, "X-Real-IP: "+spoof)
}

// show shows a token that must not be accepted.
func (a *attack) show(ctx context.Context, n int, what, token string, inFrame bool, headers ...string) string {
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	if !inFrame {
		headers = append(headers, bearer(token))
	}
	end, ok := c.enter(ctx, headers...)
	if !ok {
		return end
	}
	if inFrame {
		_ = c.Send(peer.Message(`{"type":"request","event":"auth","id":"1","data":{"token":"` + token + `"}}`)) // Reading tells.
	}
	return c.listen(ctx, func(r reply) {
		if r.Type != "error" {
			a.breach("let in with " + what)
		}
	})
}

func firstMessage(ctx context.Context, a *attack, n int) string {
	messages := []string{
		`{"type":"request","event":"subscribe","id":"1","data":{"channel":"` + a.army.cfg.Public[0] + `","since":"start"}}`,
		`{"type":"request","event":"history","id":"1","data":{"channel":"` + a.army.cfg.Forbidden[0] + `"}}`,
		`{"type":"request","event":"get_status","id":"1"}`,
		`{"type":"request","event":"refresh_token","id":"1","data":{"token":"` + a.weak(n) + `"}}`,
		`{"type":"ping"}`,
		`not even JSON`,
		`{"type":"request","event":"auth","id":"1","data":{"token":"` + strings.Repeat("x", 20<<10) + `"}}`,
		"",
	}
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	end, ok := c.enter(ctx)
	if !ok {
		return end
	}
	if m := messages[a.dice(len(messages))]; m != "" {
		_ = c.Send(peer.Message(m)) // Reading tells.
	}
	return c.listen(ctx, func(r reply) {
		if r.Type != "error" {
			a.breach("an answer before the token")
		}
	})
}

func foreign(ctx context.Context, a *attack, n int) string {
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	end, ok := c.enter(ctx, bearer(a.army.cfg.Foreign))
	if !ok {
		return end
	}
	name := a.army.cfg.Public[0]
	if n%2 == 0 {
		name = a.army.cfg.Forbidden[a.dice(len(a.army.cfg.Forbidden))]
	}
	ask := `{"type":"request","event":"subscribe","id":"1","data":{"channel":"` + name + `","since":"start"}}`
	_ = c.Send(peer.Message(ask)) // Reading tells.
	how := ""
	end = c.listen(ctx, func(r reply) {
		switch r.Type {
		case "error":
			how = r.ErrorCode
		case "response":
			a.breach("a subscription of another service")
		default:
			return
		}
		c.Cut()
	})
	if how == "" {
		return end
	}
	return how
}

func churn(ctx context.Context, a *attack, n int) string {
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	switch n % 5 {
	case 0:
		return "left at once"
	case 1:
		_ = c.Send([]byte(a.handshake()[:60])) // It leaves whatever comes.
		return "left in the handshake"
	case 2:
		_ = c.Send([]byte(a.handshake(bearer(a.weak(n))))) // It leaves whatever comes.
		return "left before the answer"
	}
	if end, ok := c.enter(ctx, bearer(a.weak(n))); !ok {
		return end
	}
	if n%5 == 3 {
		return "left behind the handshake"
	}
	c.covers = true
	_ = c.Send(peer.Frame(nil, 0x80|peer.Close, []byte{0x03, 0xE8})) // Reading tells.
	return c.listen(ctx, nil)
}

func origin(ctx context.Context, a *attack, n int) string {
	host := a.army.cfg.Edge
	variants := [][]string{
		{"Origin: https://evil.example"},
		{"Origin: null"},
		{"Origin: http://" + host + ".evil.example"},
		{"Origin: http://evil.example/" + host},
		{"Origin: http://" + host, "Origin: https://evil.example"},
		{"Origin: http://" + host + "@evil.example"},
		{"Origin: "},
		{"Origin: file://"},
	}
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	headers := append(variants[a.dice(len(variants))], bearer(a.weak(n)))
	end, ok := c.enter(ctx, headers...)
	if ok {
		a.breach("let in from " + headers[0])
	}
	return end
}

func paths(ctx context.Context, a *attack, n int) string {
	list := []string{
		"/metrics", "//metrics", "/%6Detrics", "/ws/../metrics", wsPath + "/../../metrics", "/admin", "/admin/", "/debug/pprof/", "/debug/pprof/heap",
		"/debug/pprof/profile?seconds=30", "/debug/pprof/goroutine?debug=2", "/debug/vars", "/.git/config", "/.env", "/static/../../../../etc/passwd",
		"/..%2f..%2f..%2f..%2fetc/passwd", "/ws/nosuch", "/ws/", "/ws/..%2fmetrics", "http://127.0.0.1/metrics", "/index.html/../metrics",
	}
	method := []string{"GET", "GET", "GET", "POST", "PUT", "OPTIONS", "TRACE"}[a.dice(7)]
	path := list[a.dice(len(list))]
	return a.ask(ctx, n, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", method, path, a.army.cfg.Edge))
}

func operators(ctx context.Context, a *attack, n int) string {
	to := []string{a.army.cfg.Metrics, a.army.cfg.Admin}[n%2]
	path := []string{"/metrics", "/healthz", "/debug/pprof/", "/debug/pprof/profile?seconds=30", "/debug/pprof/trace?seconds=30"}[a.dice(5)]
	dialing, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	p, err := peer.Dial(dialing, a.from(n), to, 0)
	if err != nil {
		return a.ended(ctx, err, false)
	}
	c := a.adopt(ctx, p)
	defer c.close()
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n\r\n", path)
	status, body, end := c.status(ctx, []byte(request))
	a.secrets(body)
	if status == http.StatusOK {
		a.breach("a page of the operators'")
	}
	return end
}

// hoard holds a connection of one user.
func hoard(ctx context.Context, a *attack, n int) string {
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	end, ok := c.enter(ctx, bearer(a.weak(n)))
	if !ok {
		return end
	}
	c.covers, c.pongs = true, true
	_ = c.SetDeadline(time.Time{}) // Reading tells where it is closed.
	return c.listen(ctx, nil)
}
