package auth

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

func TestWeakSecretsAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "is empty",
		"secret":                                 "has 6 bytes",
		secret[:31]:                              "has 31 bytes",
		"your-256-bit-secret":                    "known default",
		"a-string-secret-at-least-256-bits-long": "known default",
		"A_String_Secret_At_Least_256_Bits_Long": "known default",
		"a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long":                "known default",
		"your-super-secret-jwt-token-with-at-least-32-characters-long":                           "known default",
		"super-secret-jwt-token-with-at-least-32-characters-long":                                "known default",
		`"your-super-secret-jwt-token-with-at-least-32-characters-long"`:                         "known default",
		"reallyreallyreallyreallyverysafe123":                                                    "known default",
		"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7":                       "known default",
		"404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970":                       "known default",
		"SecretKey012345678901234567890123456789012345678901234567890123456789":                  "known default",
		"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow": "known default",
		"change-me-to-something-long-and-random-please":                                          "placeholder",
		"CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET":                                                   "placeholder",
		"MAHAVISHNU_JWT_SECRET_MAHAVISHNU_SERVICE":                                               "placeholder",
		"DO NOT USE THIS VALUE. INSTEAD, CREATE A COMPLEX SECRET AND KEEP IT SAFE":               "placeholder",
		"$(openssl rand -base64 32)":                                                             "nothing has replaced",
		`"$(openssl rand -base64 32)"`:                                                           "nothing has replaced",
		"$(openssl rand -base64 32 | tr -d '=+/')":                                               "nothing has replaced",
		"${MAHAVISHNU_JWT_SECRET:-something}":                                                    "nothing has replaced",
		"prefix-which-is-long-${DHRUVA_JWT_SECRET}":                                              "nothing has replaced",
		"$DHRUVA_JWT_SECRET_OF_THE_PRODUCTION":                                                   "nothing has replaced",
		"%DHRUVA_JWT_SECRET_OF_THE_PRODUCTION%":                                                  "nothing has replaced",
		"`openssl rand -base64 32 | head -c 44`":                                                 "nothing has replaced",
		"<put the output of openssl rand here>":                                                  "nothing has replaced",
		"{{ .Values.jwt.dhruva.production }}":                                                    "nothing has replaced",
		strings.Repeat("a", 64):                                                                  "1 different bytes",
		strings.Repeat("\x00", 32):                                                               "1 different bytes",
		strings.Repeat("ab12", 16):                                                               "4 different bytes",
		strings.Repeat("x", 60) + "bcdefg":                                                       "7 different bytes",
		strings.Repeat("0123456789", 4):                                                          "repeats itself",
		strings.Repeat(secret[:20], 2):                                                           "repeats itself",
		strings.Repeat(secret[:14], 3)[:32]:                                                      "repeats itself",
		"abcdefghijklmnopqrstuvwxyz012345":                                                       "counts up or down",
		"zyxwvutsrqponmlkjihgfedcba987654":                                                       "counts up or down",
	} {
		err := CheckSecret(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err == nil {
			continue
		}
		problems, _, _ := strings.Cut(err.Error(), "; make one with")
		if len(text) > 7 && strings.Contains(problems, text[1:7]) {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
	for _, test := range []struct {
		text       string
		algorithms []string
		want       string
	}{
		{"", nil, "is empty; make one with: openssl rand -base64 32"},
		{"$(rand)", nil, "has 7 bytes, at least 32 are needed; is an expression that nothing has replaced by its value; " +
			"has 7 different bytes, at least 8 are needed; make one with: openssl rand -base64 32"},
		{secret, []string{"HS256", "HS512", "HS384", "ES256"}, "has 44 bytes, at least 64 are needed; make one with: openssl rand -hex 64"},
	} {
		if err := CheckSecret(test.text, test.algorithms...); err == nil || err.Error() != test.want {
			t.Errorf("%q with %v: %v\nwant %s", test.text, test.algorithms, err, test.want)
		}
	}
}

func TestRandomSecretsAreAccepted(t *testing.T) {
	for _, text := range []string{secret, previous, stranger, "correct horse battery staple and a walrus", "p$9(Kd!x2@Lm^7&Qz*0_Rt%5Yb#8Wn+3"} {
		if err := CheckSecret(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for range 2000 {
		bytes := make([]byte, 32)
		_, _ = rand.Read(bytes)
		for _, text := range []string{base64.StdEncoding.EncodeToString(bytes), hex.EncodeToString(bytes), hex.EncodeToString(bytes[:16]), rand.Text() + rand.Text()} {
			if err := CheckSecret(text); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
	}
}
