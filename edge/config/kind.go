package config

import (
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

// scalar is a single value, its variables replaced.
type scalar struct {
	text string
	// tag is what YAML takes the text for, as in !!int; !!str where it is in quotes.
	tag string
	// vars are the variables that were replaced in it. What came from the environment
	// has no quotes of its own, so such a value has the type of its key.
	vars []string
	at   Position
}

// show is the value as a problem may repeat it.
func (s scalar) show() string {
	switch {
	case len(s.vars) > 0:
		return "the value of ${" + strings.Join(s.vars[:min(len(s.vars), 3)], "}, ${") + "}"
	case len(s.text) > 40:
		return strconv.Quote(strings.ToValidUTF8(s.text[:40], "")) + "…"
	default:
		return strconv.Quote(s.text)
	}
}

// typed reports whether the value may be read as something other than a text.
func (s scalar) typed() bool { return s.tag != "!!str" || len(s.vars) > 0 }

// item is what stands behind a key: one value, or a list of them.
type item struct {
	values []scalar
	list   bool
	at     Position
}

// fault is what is wrong with an item, at the value it is about.
type fault struct {
	at   Position
	text string
}

// kind is a type of values: how they are read and written, and what people are told.
type kind[V any] struct {
	// about completes "The value is …", with the limits.
	about string
	read  func(item) (V, *fault)
	// write is the inverse of read, but for what must not be printed.
	write func(V) string
	// private values are repeated in no problem.
	private bool
}

// single is a kind of single values. The read function returns what is wrong, to be put
// behind the value: "is not …".
func single[V any](about string, read func(scalar) (V, string), write func(V) string) kind[V] {
	k := kind[V]{about: about, write: write}
	k.read = func(it item) (V, *fault) {
		var zero V
		if it.list {
			return zero, &fault{it.at, "is a list, should be " + about}
		}
		v, problem := read(it.values[0])
		if problem != "" {
			return zero, &fault{it.at, it.values[0].show() + " " + problem}
		}
		return v, nil
	}
	return k
}

func truth() kind[bool] {
	return single("true or false", func(s scalar) (bool, string) {
		switch {
		case s.typed() && s.text == "true":
			return true, ""
		case s.typed() && s.text == "false":
			return false, ""
		}
		return false, "is not true or false" + unquote(s, s.text == "true" || s.text == "false")
	}, strconv.FormatBool)
}

// unquote is the advice to whom quotes made a text of the right value.
func unquote(s scalar, right bool) string {
	if right && !s.typed() {
		return ": take it out of its quotes"
	}
	return ""
}

var (
	decimal  = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,17})$`)
	fraction = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,9})?$`)
)

// number reads a whole number as people write one: no octal, no hexadecimal.
func number(s scalar, low, high int64) (int64, string) {
	if !s.typed() || !decimal.MatchString(s.text) {
		return 0, "is not a whole number" + unquote(s, decimal.MatchString(s.text))
	}
	n, err := strconv.ParseInt(s.text, 10, 64)
	if err != nil || n < low || n > high {
		return 0, fmt.Sprintf("is not from %d to %d", low, high)
	}
	return n, ""
}

// whole is a whole number of something.
func whole(low, high int64, unit string) kind[int] {
	about := fmt.Sprintf("a whole number from %d to %d", low, high)
	if unit != "" {
		about = fmt.Sprintf("a whole number of %s from %d to %d", unit, low, high)
	}
	return single(about, func(s scalar) (int, string) {
		n, problem := number(s, low, high)
		return int(n), problem
	}, strconv.Itoa)
}

// units is a whole number of a unit of time that the key's name tells.
func units(low, high int64, unit time.Duration, name string) kind[time.Duration] {
	return single(fmt.Sprintf("a whole number of %s from %d to %d", name, low, high),
		func(s scalar) (time.Duration, string) {
			n, problem := number(s, low, high)
			return time.Duration(n) * unit, problem
		}, func(d time.Duration) string { return strconv.FormatInt(int64(d/unit), 10) })
}

// span is a time.
func span(low, high time.Duration) kind[time.Duration] {
	return timeKind(fmt.Sprintf("a time in seconds or with a unit (20, 1.5s, 5m), from %s to %s", short(low), short(high)),
		func(d time.Duration) bool { return d >= low && d <= high })
}

// orNever is a time, or 0 for never.
func orNever(low, high time.Duration) kind[time.Duration] {
	return timeKind(fmt.Sprintf("a time in seconds or with a unit (20, 1.5s, 5m), from %s to %s, or 0", short(low), short(high)),
		func(d time.Duration) bool { return d == 0 || d >= low && d <= high })
}

func timeKind(about string, within func(time.Duration) bool) kind[time.Duration] {
	return single(about, func(s scalar) (time.Duration, string) {
		var d time.Duration
		if s.typed() && fraction.MatchString(s.text) {
			seconds, err := strconv.ParseFloat(s.text, 64)
			if err != nil || math.Abs(seconds) > math.MaxInt64/1e9 {
				return 0, "is not " + about
			}
			d = time.Duration(math.Round(seconds * 1e9))
		} else {
			var err error
			if d, err = time.ParseDuration(s.text); err != nil {
				return 0, "is not " + about + unquote(s, fraction.MatchString(s.text))
			}
		}
		switch {
		case d < 0:
			return 0, "is negative, should be " + about
		case !within(d):
			return 0, "is not " + about
		}
		return d, ""
	}, short)
}

// short is a duration without its zeros.
func short(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// sizeUnits are the units of sizes. One whose name ends with that of another comes first.
var sizeUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1}}

// size is a number of bytes.
func size(low, high int64) kind[int64] {
	return sizeKind(fmt.Sprintf("a size in bytes or with a unit (65536, 64KiB, 10 MB), from %s to %s", sizeText(low), sizeText(high)),
		func(n int64) bool { return n >= low && n <= high })
}

// orNone is a size, or 0 for none.
func orNone(low, high int64) kind[int64] {
	return sizeKind(fmt.Sprintf("a size in bytes or with a unit (65536, 64KiB, 10 MB), from %s to %s, or 0", sizeText(low), sizeText(high)),
		func(n int64) bool { return n == 0 || n >= low && n <= high })
}

func sizeKind(about string, within func(int64) bool) kind[int64] {
	return single(about, func(s scalar) (int64, string) {
		digits, unit := s.text, int64(1)
		for _, u := range sizeUnits {
			if d, ok := strings.CutSuffix(s.text, u.name); ok {
				digits, unit = strings.TrimRight(d, " "), u.bytes
				break
			}
		}
		bare := digits == s.text
		if !decimal.MatchString(digits) || bare && !s.typed() {
			return 0, "is not " + about + unquote(s, bare && decimal.MatchString(digits))
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/unit || !within(n*unit) {
			return 0, "is not " + about
		}
		return n * unit, ""
	}, sizeText)
}

// sizeText is a size with the unit that makes it shortest.
func sizeText(n int64) string {
	best := strconv.FormatInt(n, 10)
	for _, u := range sizeUnits {
		if n == 0 || n%u.bytes != 0 || u.bytes == 1 {
			continue
		}
		if s := strconv.FormatInt(n/u.bytes, 10) + u.name; len(s) < len(best) || len(s) == len(best) && !strings.HasSuffix(best, "B") {
			best = s
		}
	}
	return best
}

// choice is one of several words, whatever their case.
func choice[V ~string](words ...V) kind[V] {
	names := make([]string, len(words))
	for i, word := range words {
		names[i] = string(word)
	}
	about := "one of " + strings.Join(names, ", ")
	return single(about, func(s scalar) (V, string) {
		for _, word := range words {
			if strings.EqualFold(string(word), s.text) {
				return word, ""
			}
		}
		return "", "is not " + about
	}, func(v V) string { return string(v) })
}

// level is a level of logging, by the names that the services' other programs use too.
func level() kind[slog.Level] {
	names := []struct {
		name  string
		level slog.Level
	}{
		{"DEBUG", slog.LevelDebug}, {"INFO", slog.LevelInfo}, {"WARNING", slog.LevelWarn},
		{"ERROR", slog.LevelError}, {"WARN", slog.LevelWarn}, {"CRITICAL", slog.LevelError},
	}
	const about = "one of DEBUG, INFO, WARNING, ERROR, CRITICAL (as ERROR)"
	return single(about, func(s scalar) (slog.Level, string) {
		for _, n := range names {
			if strings.EqualFold(n.name, s.text) {
				return n.level, ""
			}
		}
		return 0, "is not " + about
	}, func(l slog.Level) string {
		for _, n := range names {
			if n.level == l {
				return n.name
			}
		}
		return l.String()
	})
}

// plain says what is wrong with a text of any kind.
func plain(s scalar, limit int) string {
	switch {
	case len(s.vars) == 0 && s.tag != "!!str" && s.tag != "!!timestamp":
		return "is not a text: put it in quotes if it is meant"
	case len(s.text) > limit:
		return fmt.Sprintf("is longer than %d bytes", limit)
	case strings.ContainsFunc(s.text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "holds a line break or another control character"
	}
	return ""
}

// text is any text that fits in one line, checked further by check, which may be nil and
// is not asked about the empty text.
func text(about string, check func(string) string) kind[string] {
	return single(about, func(s scalar) (string, string) {
		problem := plain(s, maxText)
		if problem == "" && s.text != "" && check != nil {
			problem = check(s.text)
		}
		return s.text, problem
	}, strconv.Quote)
}

// Bounds of texts, in bytes, and of lists. No path, URL or address is longer.
const (
	maxText = 4096
	maxList = 1000
)

// texts is a list of texts. What check returns is what the list holds.
func texts(about string, check func(string) (string, string)) kind[[]string] {
	about = "a list of " + about
	return kind[[]string]{
		about: about,
		read: func(it item) ([]string, *fault) {
			if !it.list {
				return nil, &fault{it.at, "is not a list, should be " + about}
			}
			if len(it.values) > maxList {
				return nil, &fault{it.at, fmt.Sprintf("has more than %d entries", maxList)}
			}
			list := make([]string, 0, len(it.values))
			for _, s := range it.values {
				problem := plain(s, maxText)
				value := s.text
				if problem == "" && value == "" {
					problem = "is empty"
				}
				if problem == "" {
					value, problem = check(value)
				}
				if problem == "" && slices.Contains(list, value) {
					problem = "is in the list twice"
				}
				if problem != "" {
					return nil, &fault{s.at, s.show() + " " + problem}
				}
				list = append(list, value)
			}
			return list, nil
		},
		write: flow,
	}
}

// flow is a list on one line.
func flow(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// secret is a text that no problem repeats.
func secret() kind[Secret] {
	const about = "a text from the environment, written as ${NAME}"
	return kind[Secret]{about: about, private: true, write: func(s Secret) string { return strconv.Quote(s.String()) },
		read: func(it item) (Secret, *fault) {
			if it.list {
				return Secret{}, &fault{it.at, "is a list, should be " + about}
			}
			s := it.values[0]
			if len(s.vars) == 0 && s.tag != "!!str" {
				return Secret{}, &fault{it.at, "is not a text: put it in quotes if it is meant"}
			}
			if len(s.text) > maxText {
				return Secret{}, &fault{it.at, fmt.Sprintf("is longer than %d bytes", maxText)}
			}
			return NewSecret(s.text), nil
		}}
}

// permission and channel check the form of what auth and the catalogue know more of.
func permission(s string) (string, string) {
	if len(s) > 300 {
		return "", "is longer than 300 bytes"
	}
	return s, ""
}

func channel(s string) (string, string) {
	if _, err := schema.ParseChannel(s); err != nil {
		return "", `is not a channel such as "registry", "workflow:42" or "workflow:*"`
	}
	return s, ""
}
