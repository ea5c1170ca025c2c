package auth

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// MinSecret is the least length of a secret in bytes: the size of HS256's hash, as
// RFC 7518 demands.
const MinSecret = 32

// minDistinct is how many different bytes a secret has at least. 32 random hexadecimal
// digits have fewer once in twenty million times.
const minDistinct = 8

// knownSecrets are examples and defaults of documentation and products that are long
// enough to pass for secrets, as plain makes them. Whoever guesses tries these first.
var knownSecrets = []string{
	"your256bitsecret", "your384bitsecret", "your512bitsecret", // jwt.io until 2025.
	"astringsecretatleast256bitslong", // jwt.io.
	"avalidstringsecretthatisatleast384bitslong",
	"avalidstringsecretthatisatleast512bitslongwhichisverylong",
	"supersecretjwttokenwithatleast32characterslong",                                      // Supabase.
	"reallyreallyreallyreallyverysafe",                                                    // PostgREST.
	"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",                    // FastAPI.
	"404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970",                    // Spring tutorials.
	"secretkey012345678901234567890123456789012345678901234567890123456789",               // Nacos.
	"vghpc0lztxlddxn0b21tzwnyzxrlzxkwmtizndu2nzg",                                         // Nacos, in base64.
	"aym1sysppbydfgzld3umj1qzkobwvmkoqqestjqlrt1qs0gzh75aktmn3yj0ips4hcguutwjazzr1z9caow", // RFC 7515.
	"qwertyuiopasdfghjklzxcvbnmqwerty", "qwertyuiopasdfghjklzxcvbnm123456", "qwertyuiopasdfghjklzxcvbnm",
}

// placeholders are phrases that stand where a secret should be put. The shortest has
// eight letters, which a random secret of 64 characters holds once in 10^10 times.
var placeholders = []string{
	"changeme", "changethis", "replaceme", "replacethis", "yoursecret", "yoursupersecret", "supersecret",
	"jwtsecret", "secretkey", "mysecret", "placeholder", "insertsecret", "donotuse", "notsecret", "insecure",
	"thisisasecret",
}

// CheckSecret says what is wrong with a secret for HMAC: every problem at once, and how
// to make a better one, on one line that goes behind the secret's name. A secret has at
// least MinSecret bytes, or what the longest hash of the algorithms needs; it is no known
// default, no placeholder, nothing that a shell or a template should have replaced
// ("$(…)", "${…}"), and no pattern of few or repeated bytes. That finds what was
// forgotten, not what is guessable. The error never repeats any of it.
func CheckSecret(secret string, algorithmNames ...string) error {
	need, remedy := MinSecret, "make one with: openssl rand -base64 32"
	for _, name := range algorithmNames {
		if n := algorithms[name].minSecret; n > need {
			// In base64 openssl would break the line.
			need, remedy = n, fmt.Sprintf("make one with: openssl rand -hex %d", n)
		}
	}
	if secret == "" {
		return errors.New("is empty; " + remedy)
	}
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if len(secret) < need {
		add("has %d bytes, at least %d are needed", len(secret), need)
	}
	if unexpanded(secret) {
		add("is an expression that nothing has replaced by its value")
	}
	switch text := plain(secret); {
	case known(text):
		add("is a known default")
	case holds(text, placeholders):
		add("is a placeholder")
	}
	switch n := distinct(secret); {
	case n < minDistinct:
		add("has %d different bytes, at least %d are needed", n, minDistinct)
	case repeats(secret):
		add("repeats itself")
	case counts(secret):
		add("counts up or down")
	}
	if len(problems) == 0 {
		return nil
	}
	return errors.New(strings.Join(append(problems, remedy), "; "))
}

// plain is a secret in lower case without anything but letters and digits, in which
// spellings of a known one are the same.
func plain(secret string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		}
		return -1
	}, secret)
}

// known reports whether a text is a known secret, with no more than a few characters
// around it. More than one in a row is found by repeats.
func known(text string) bool {
	for _, secret := range knownSecrets {
		if strings.Contains(text, secret) && len(text) < len(secret)+16 {
			return true
		}
	}
	return false
}

func holds(text string, phrases []string) bool {
	for _, phrase := range phrases {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	return false
}

// unexpanded reports whether a secret is what a shell or a template was to replace.
func unexpanded(secret string) bool {
	for _, mark := range [][2]string{{"$(", ")"}, {"${", "}"}, {"{{", "}}"}, {"<%", "%>"}} {
		if _, rest, found := strings.Cut(secret, mark[0]); found && strings.Contains(rest, mark[1]) {
			return true
		}
	}
	// $NAME, %NAME%, `command` and <your secret> count only as the whole.
	inner := strings.Trim(secret, "\"' \t\r\n")
	if len(inner) < 3 {
		return false
	}
	first, last, middle := inner[0], inner[len(inner)-1], inner[1:len(inner)-1]
	switch first {
	case '$':
		return identifier(inner[1:])
	case '%':
		return last == '%' && identifier(middle)
	case '`':
		return last == '`'
	case '<':
		return last == '>'
	}
	return false
}

func identifier(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'A' || c > 'Z') && c != '_' && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

func distinct(secret string) int {
	var seen [256]bool
	n := 0
	for i := range len(secret) {
		if !seen[secret[i]] {
			seen[secret[i]] = true
			n++
		}
	}
	return n
}

// repeats reports whether a secret is a shorter text twice or more, cut anywhere after
// the second.
func repeats(secret string) bool {
	for period := 1; period <= len(secret)/2; period++ {
		if secret[period:] == secret[:len(secret)-period] {
			return true
		}
	}
	return false
}

// counts reports whether more than half of the bytes follow the one before by one, as
// in "abcdef", or precede it. Of random bytes one in thirty does at most.
func counts(secret string) bool {
	up, down := 0, 0
	for i := 1; i < len(secret); i++ {
		switch secret[i] - secret[i-1] {
		case 1:
			up++
		case 255:
			down++
		}
	}
	return max(up, down) > len(secret)/2
}

// redactor removes secrets and tokens from texts.
type redactor [][]byte

// clean replaces every secret in a text by "…", then cuts the text.
func (r redactor) clean(text string, limit int) string {
	out := []byte(text)
	for _, secret := range r {
		if len(secret) > 0 {
			out = bytes.ReplaceAll(out, secret, []byte("…"))
		}
	}
	if len(out) <= limit {
		return string(out)
	}
	return strings.ToValidUTF8(string(out[:limit]), "") + "…"
}
