package conn

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEveryCodeHasItsOwnLabel(t *testing.T) {
	seen := map[string]Code{"other": 0}
	for _, code := range Codes() {
		label := code.String()
		if other, taken := seen[label]; taken {
			t.Errorf("%d and %d are both %q", code, other, label)
		}
		seen[label] = code
	}
	if got := Code(4999).String(); got != "other" {
		t.Errorf("unknown code is %q", got)
	}
}

func TestOnlySendableCodesAreSent(t *testing.T) {
	for code, want := range map[Code]bool{
		0: false, 999: false, 1000: true, 1003: true, 1004: false, 1005: false, 1006: false,
		1007: true, 1014: true, 1015: false, 1016: false, 2999: false, 3000: true, 4029: true,
		4999: true, 5000: false, 65535: false,
	} {
		if got := code.Sendable(); got != want {
			t.Errorf("%d: %t", code, got)
		}
	}
	for _, code := range Codes() {
		if want := code != CloseNoStatus && code != CloseAbnormal; code.Sendable() != want {
			t.Errorf("%d: %t", code, !want)
		}
	}
}

func TestCloseTextFitsAndIsUTF8(t *testing.T) {
	for _, text := range []string{
		"", "bye", strings.Repeat("a", 123), strings.Repeat("a", 124), strings.Repeat("a", 122) + "é",
		strings.Repeat("\U0001F600", 40), "bad \xff byte", strings.Repeat("\xff", 200),
	} {
		got := cutText(text)
		if len(got) > 123 || !utf8.ValidString(got) {
			t.Errorf("%q became %q", text, got)
		}
		if len(text) <= 123 && utf8.ValidString(text) && got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestReasonQuotesForeignText(t *testing.T) {
	why := Reason{Code: 1001, Text: "a\nb", ByPeer: true, Err: errors.New("lost")}
	if got, want := fmt.Sprint(why), `going_away (1001) by peer: "a\nb": lost`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
