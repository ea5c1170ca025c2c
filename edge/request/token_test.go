package request

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/wire"
)

// read takes everything there is, and gives each frame whole.
func (g *guest) read() (list []map[string]any) {
	g.t.Helper()
	for {
		all := bytes.Join(g.session.Fill(nil, 64<<10), nil)
		if len(all) == 0 {
			return list
		}
		for len(all) > 0 {
			head, size := 2, int(all[1])
			if size == 126 {
				head, size = 4, int(all[2])<<8|int(all[3])
			}
			var one map[string]any
			if err := json.Unmarshal(all[head:head+size], &one); err != nil {
				g.t.Fatal(err)
			}
			list, all = append(list, one), all[head+size:]
		}
	}
}

func TestAnotherTokenEndsWhatItDoesNotCoverOfAnAnonymousConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, Limits{})
		h.gate.issue("weak", "u1", time.Hour, "dhruva:read:adapter:a")
		g := h.open("")
		g.subscribe("global", `"now"`)
		g.drain()
		g.show("auth", "weak")
		h.log.act("a", 10)
		g.wants(0, "response auth", "error global FORBIDDEN")
	})
}

// TestARevocationWhileATokenIsLookedAtCounts: whenever it comes, and however the token was
// shown. Who is walked over is not on the list yet, or is known by another identity.
func TestARevocationWhileATokenIsLookedAtCounts(t *testing.T) {
	for name, show := range map[string]struct {
		show  func(h *hall) *guest
		first []string // When it is revoked while it is verified.
		later []string // When it is revoked right after that.
		code  conn.Code
		after conn.Code
	}{
		"in a handshake": {
			func(h *hall) *guest { return h.open("good") },
			[]string{"error AUTH_FAILED"}, []string{"error AUTH_FAILED"}, conn.CloseUnauthorized, conn.CloseRevoked,
		},
		"in a message": {
			func(h *hall) *guest { g := h.open(""); g.show("auth", "good"); return g },
			[]string{"error auth AUTH_FAILED"}, []string{"error auth AUTH_FAILED"}, conn.CloseUnauthorized, conn.CloseUnauthorized,
		},
		"to stay": {
			func(h *hall) *guest { g := h.open("old"); g.drain(); g.show("refresh_token", "good"); return g },
			[]string{"error refresh_token AUTH_FAILED"}, []string{"error refresh_token AUTH_FAILED"}, 0, 0,
		},
	} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", late: ", late), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHall(t, Limits{}, nil)
					h.gate.issue("good", "u1", time.Hour, "dhruva:read")
					h.gate.issue("old", "u1", time.Hour, "dhruva:read")
					revoke := func() {
						h.gate.mu.Lock()
						defer h.gate.mu.Unlock()
						h.gate.revoked["good"] = true
					}
					h.server.door.Verify = func(ctx context.Context, token string) (auth.Identity, error) {
						identity, err := h.gate.verify(ctx, token)
						if token == "good" && !late {
							revoke()
						}
						return identity, err
					}
					h.server.door.Revoked = func(identity auth.Identity) bool {
						revoked := h.gate.isRevoked(identity)
						if identity.TokenID == "good" && late {
							revoke()
						}
						return revoked
					}
					g, want, code := show.show(h), show.first, show.code
					if late {
						want, code = show.later, show.after
					}
					g.wants(code, want...)
				})
			})
		}
	}
}

// TestAnExpiredTokenEndsAConnectionThatHasNothingToSend: at the next tick.
func TestAnExpiredTokenEndsAConnectionThatHasNothingToSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		h.gate.issue("good", "u1", time.Minute, "dhruva:read")
		g := h.open("good")
		g.drain()
		<-time.After(time.Minute)
		g.session.Tick(time.Now())
		if code := g.conn.closed(); code != conn.CloseTokenExpired {
			t.Errorf("closed with %d", code)
		}
	})
}

// TestASubscriptionOnItsWayIsForNobodyAfterARevocation: it is not granted, nor kept.
func TestASubscriptionOnItsWayIsForNobodyAfterARevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		h.gate.issue("good", "u1", time.Hour, "dhruva:read")
		g := h.open("good")
		g.drain()
		h.log.act("a", 10)
		hold := make(chan struct{})
		h.log.mu.Lock()
		h.log.hold["adapter:a"] = hold
		h.log.mu.Unlock()
		g.subscribe("adapter:a", `{"last":1}`) // It looks for the last event.
		h.gate.mu.Lock()
		h.gate.revoked["good"] = true
		h.gate.mu.Unlock()
		h.server.Recheck()
		synctest.Wait()
		close(hold)
		g.wants(conn.CloseRevoked, "error AUTH_FAILED")
		if n := h.server.Stats.Subscriptions.Load(); n != 0 {
			t.Errorf("%d subscriptions", n)
		}
	})
}

func TestWhoMayReadNothingLearnsNoPositions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{}, nil)
		for permission, told := range map[string]bool{
			"dhruva:read": true, "dhruva:read:adapter:a": true, "adapter:read": true, "dhruva:admin": true, "registry:read": true,
			"mahavishnu:read": false, "dhruva:write": false, "workflow:read": false,
		} {
			h.gate.issue(permission, "u1", time.Hour, permission)
			g := h.open(permission)
			g.drain()
			g.ask(`{"type":"request","event":"get_status"}`)
			data := g.read()[0]["data"].(map[string]any)
			for _, key := range []string{"connections", "first_seq", "last_seq", "epoch"} {
				if _, is := data[key]; is != told {
					t.Errorf("%s: %v", permission, data)
				}
			}
			if data["service"] != "dhruva" || data["nats"] != "connected" {
				t.Errorf("%s: %v", permission, data)
			}
			g.end()
		}
	})
}

// TestARefusalSaysWhatItNeeds: the channels, or that only admins may.
func TestARefusalSaysWhatItNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		restricted, err := auth.ParseRestricted([]string{"registry"})
		if err != nil {
			t.Fatal(err)
		}
		h := newHall(t, Limits{}, func(d *Door) { d.Restricted = restricted })
		h.gate.issue("none", "u1", time.Hour, "adapter:write")
		g := h.open("none")
		g.drain()
		for channel, want := range map[string]string{
			"adapter:a": "adapter:a is not allowed to you: it needs read on adapter:a",
			"adapter:*": "adapter:* is not allowed to you: it needs read on adapter:*",
			"lifecycle": "lifecycle is not allowed to you: it needs read on adapter:*, distribution:*, lifecycle",
			"registry":  "registry is for admins only",
			"global":    "global is for admins only",
		} {
			g.subscribe(channel, `"now"`)
			if text := g.read()[0]["error_message"]; text != want {
				t.Errorf("%s: %s", channel, text)
			}
		}
	})
}

// TestRefusalsAreCountedByTheirCode: also those of single channels in an answer about many.
func TestRefusalsAreCountedByTheirCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Limits{MaxSubscriptions: 3, MessagesPerSecond: 4}, nil)
		h.gate.issue("one", "u1", time.Hour, "adapter:read")
		g := h.open("one")
		g.ask(`{"type":"request","event":"subscribe","data":{"channels":[{"channel":"adapter:a"},{"channel":"registry"},{"channel":"x"},{"channel":"adapter:b"}]}}`)
		g.ask(`{"type":"request","event":"dance"}`)
		for range 6 {
			g.subscribe("registry", `"now"`)
		}
		for code, want := range map[wire.Code]uint64{
			wire.TooManySubscriptions: 1, wire.InvalidChannel: 1, wire.UnknownRequest: 1, wire.Forbidden: 1 + 4, wire.RateLimitExceeded: 2, wire.AuthFailed: 0,
		} {
			if n := h.server.Stats.Refused.Count(code); n != want {
				t.Errorf("%s: %d, want %d", code, n, want)
			}
		}
	})
}

func TestEveryCodeIsCounted(t *testing.T) {
	source, err := os.ReadFile("../wire/errors.go")
	if err != nil {
		t.Fatal(err)
	}
	var r Refusals
	found := regexp.MustCompile(`Code += "([A-Z_]+)"`).FindAllSubmatch(source, -1)
	for _, match := range found {
		code := wire.Code(match[1])
		if r.add(code); r.Count(code) != 1 {
			t.Errorf("%s is not", code)
		}
	}
	if len(found) < 19 || len(found) != len(r.Codes()) {
		t.Errorf("%d codes, %d are counted", len(found), len(r.Codes()))
	}
}

// TestAHistoryThatIsCutForWantOfRoomIsCounted: the client is told by more.
func TestAHistoryThatIsCutForWantOfRoomIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, Limits{})
		g := h.open("")
		for want := range uint64(2) {
			g.ask(`{"type":"request","event":"history","data":{"channel":"adapter:a"}}`)
			g.drain()
			if n := h.server.Stats.Shortened.Load(); n != want {
				t.Errorf("%d, want %d", n, want)
			}
			h.server.budget.Tighten(true)
		}
	})
}

// TestWhatAPeerSaidIsLoggedOnceQuoted: and so that no terminal obeys it.
func TestWhatAPeerSaidIsLoggedOnceQuoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, Limits{})
		for said, want := range map[string]string{"": `"reason":""`, "going home": `"reason":"going home"`, "a\u202e\x1b\"b": `"reason":"a\\u202e\\x1b\\\"b"`} {
			var log bytes.Buffer
			h.server.logger = slog.New(slog.NewJSONHandler(&log, nil))
			g := h.open("")
			g.over = true
			g.session.Closed(conn.Reason{Code: conn.CloseNormal, Text: said, ByPeer: true})
			if !strings.Contains(log.String(), want) {
				t.Errorf("%q: %s", said, log.String())
			}
		}
	})
}
