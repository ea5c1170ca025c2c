package conn

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

// ErrHandshake says that a request is not an opening handshake of RFC 6455. The
// request was answered.
var ErrHandshake = errors.New("conn: not a WebSocket handshake")

// upgradeTimeout bounds the writing of the response to a handshake.
const upgradeTimeout = 10 * time.Second

// Upgrade checks the opening handshake in r, answers it, and takes the connection
// over from net/http. Header is added to the response; nil is fine. It returns the
// connection, without deadlines, and what the client sent behind its request. The
// caller hands both to Engine.Serve, or closes the connection, and returns from its
// http handler.
//
// A bad request is answered with 400, 405 or 426, always with
// Sec-WebSocket-Version, and its connection is closed; the error then matches
// ErrHandshake. Whether the client
// may connect (origin, token, capacity) is for the caller to decide before. No
// subprotocol and no extension is ever agreed to.
func Upgrade(w http.ResponseWriter, r *http.Request, header http.Header) (net.Conn, []byte, error) {
	if status, problem := checkHandshake(r); status != 0 {
		// Whoever sent bytes behind its request meant frames, and a proxy that took the
		// upgrade for granted passes on whatever comes: nothing of it may be read as the
		// next request.
		h := w.Header()
		h["Connection"] = []string{"close"}
		h.Set("Sec-WebSocket-Version", "13")
		switch status {
		case http.StatusUpgradeRequired:
			h.Set("Upgrade", "websocket")
			h.Add("Connection", "Upgrade")
		case http.StatusMethodNotAllowed:
			h.Set("Allow", http.MethodGet)
		}
		http.Error(w, problem, status)
		return nil, nil, fmt.Errorf("%w: %s", ErrHandshake, problem)
	}
	// The rules are checked; what is left of the request is what the answer is made
	// of, in the spelling that the upgrader compares with.
	checked := &http.Request{
		Method: r.Method, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor, Host: r.Host,
		Header: http.Header{
			"Upgrade":               {"websocket"},
			"Connection":            {"Upgrade"},
			"Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key":     r.Header["Sec-Websocket-Key"],
		},
	}
	upgrader := ws.HTTPUpgrader{Timeout: upgradeTimeout, Header: header}
	nc, rw, _, err := upgrader.Upgrade(checked, w)
	if err != nil {
		if nc != nil {
			_ = nc.Close() // the first error says it all
		}
		return nil, nil, fmt.Errorf("conn: upgrade: %w", err)
	}
	var buffered []byte
	if n := rw.Reader.Buffered(); n > 0 {
		buffered = make([]byte, n)
		if _, err := rw.Reader.Read(buffered); err != nil {
			_ = nc.Close() // the first error says it all
			return nil, nil, fmt.Errorf("conn: upgrade: %w", err)
		}
	}
	return nc, buffered, nil
}

// IsHandshake reports whether r is an opening handshake that Upgrade takes.
func IsHandshake(r *http.Request) bool {
	status, _ := checkHandshake(r)
	return status == 0
}

// checkHandshake applies the rules of RFC 6455, section 4.2.1. The status is 0 if
// the request is an opening handshake.
func checkHandshake(r *http.Request) (status int, problem string) {
	switch {
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, "the method of a WebSocket handshake is GET"
	case !r.ProtoAtLeast(1, 1):
		return http.StatusUpgradeRequired, "a WebSocket handshake needs HTTP/1.1"
	case !hasToken(r.Header["Connection"], "upgrade"):
		return http.StatusUpgradeRequired, `no "Connection: Upgrade": this is a WebSocket endpoint`
	case !hasToken(r.Header["Upgrade"], "websocket"):
		return http.StatusUpgradeRequired, `no "Upgrade: websocket": this is a WebSocket endpoint`
	case r.Host == "":
		return http.StatusBadRequest, "no Host"
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return http.StatusBadRequest, "a WebSocket handshake has no body"
	}
	version, key := r.Header["Sec-Websocket-Version"], r.Header["Sec-Websocket-Key"]
	switch {
	case len(version) == 0:
		return http.StatusBadRequest, "no Sec-WebSocket-Version"
	case !slices.Equal(version, []string{"13"}):
		return http.StatusUpgradeRequired, "the WebSocket version is 13"
	case len(key) != 1:
		return http.StatusBadRequest, "not one Sec-WebSocket-Key"
	}
	if nonce, err := base64.StdEncoding.DecodeString(key[0]); err != nil || len(nonce) != 16 || len(key[0]) != 24 {
		return http.StatusBadRequest, "Sec-WebSocket-Key is not 16 bytes in base64"
	}
	return 0, ""
}

// hasToken reports whether a comma-separated header holds a token, in any case.
func hasToken(values []string, token string) bool {
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}
