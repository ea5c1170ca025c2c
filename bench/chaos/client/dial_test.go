//go:build unix

package client

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// TestHalfAFrameIsNoFrame: a connection that is cut anywhere in a frame gives an error,
// never the half that came.
func TestHalfAFrameIsNoFrame(t *testing.T) {
	const whole = 2048
	for _, sent := range []int{0, 1, 511, 512, 513, 848, 1280, whole - 1} {
		t.Run(fmt.Sprint(sent), func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				nc, _, _, err := ws.UpgradeHTTP(r, w)
				if err != nil {
					t.Error(err)
					return
				}
				defer nc.Close()
				if err := ws.WriteHeader(nc, ws.Header{Fin: true, OpCode: ws.OpText, Length: whole}); err != nil {
					t.Error(err)
				}
				if _, err := nc.Write([]byte(strings.Repeat("x", sent))); err != nil {
					t.Error(err)
				}
			}))
			defer server.Close()
			conn, err := dial(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.CloseNow() }()
			frames := make(chan []byte, 1)
			if err := read(t.Context(), conn, frames); err == nil || len(frames) > 0 {
				t.Errorf("%d frames, %v", len(frames), err)
			}
		})
	}
}
