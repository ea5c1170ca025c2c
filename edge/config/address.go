package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// address is host:port to listen on, or empty.
func address() kind[string] {
	return text(`an address host:port, or "" for none`, func(s string) string {
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			return `is not an address such as "127.0.0.1:9090"`
		}
		if !decimal.MatchString(port) {
			return "has no number behind the colon"
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return "has a port that is not from 0 to 65535"
		}
		if host == "" {
			return `names no host, write 0.0.0.0 or [::] for all addresses`
		}
		return hostProblem(host)
	})
}

// host is an address or a name to listen on.
func host() kind[string] {
	return single("an IP address or a hostname", func(s scalar) (string, string) {
		problem := plain(s, maxText)
		switch {
		case problem != "":
		case s.text == "":
			problem = "is empty, write 0.0.0.0 or :: for all addresses"
		default:
			problem = hostProblem(s.text)
		}
		return s.text, problem
	}, strconv.Quote)
}

var hostname = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.?$`)

func hostProblem(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	if len(host) > 253 || !hostname.MatchString(strings.ToLower(host)) || numeric(host) {
		return "is not an IP address or a hostname"
	}
	return ""
}

// numeric reports whether a name could only be a mistyped address.
func numeric(host string) bool { return strings.Trim(host, "0123456789.") == "" }

// networks is a list as limit.ParseNetworks reads it.
func networks() kind[[]string] {
	return texts(`networks ("10.0.0.0/8"), addresses ("::1") or the words "loopback" and "unix" (for Unix sockets)`, func(s string) (string, string) {
		if s == "loopback" || s == "unix" {
			return s, ""
		}
		if _, err := netip.ParseAddr(s); err == nil && !strings.Contains(s, "%") {
			return s, ""
		}
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return "", `is not a network, an address, "loopback" or "unix"`
		}
		if prefix.Addr().Is4In6() && prefix.Bits() < 96 {
			return "", "is of IPv4 in IPv6, with less than 96 bits"
		}
		if prefix != prefix.Masked() {
			return "", fmt.Sprintf("has bits set behind the mask, the network is %s", prefix.Masked())
		}
		return s, ""
	})
}

// everyone reports whether a list of networks holds all addresses there are, or so many
// that nobody has them: a few of such networks are all addresses, too.
func everyone(list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		prefix, err := netip.ParsePrefix(s)
		return err == nil && prefix.Bits() < 7 // That of fc00::/7.
	})
}

// origins is a list of hostnames in lower case.
func origins() kind[[]string] {
	return texts("hostnames of pages", func(s string) (string, string) {
		lower := strings.ToLower(s)
		switch {
		case strings.Contains(s, "://"):
			return "", "is a URL, write the hostname alone"
		case strings.Contains(s, "*"):
			return "", "has a *, but hostnames are compared as a whole"
		}
		if _, err := netip.ParseAddr(s); err == nil {
			return lower, ""
		}
		if len(s) > 253 || !hostname.MatchString(lower) {
			return "", "is not a hostname (no port, no path)"
		}
		return lower, ""
	})
}

// natsURL is where NATS is. What it holds is repeated in no problem, it may be a password.
func natsURL() kind[URL] {
	const about = `one or more addresses such as "nats://host:4222", separated by commas`
	k := hidden(single(about, func(s scalar) (URL, string) {
		u := NewURL(s.text)
		if problem := plain(s, maxText); problem != "" {
			return u, problem
		}
		for _, server := range u.servers() {
			if server == nil || server.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, server.Scheme) {
				return u, "is not " + about + " (schemes: nats, tls, ws, wss)"
			}
		}
		return u, ""
	}, func(u URL) string { return strconv.Quote(u.String()) }))
	k.private = true
	return k
}

// hidden is a kind of single values whose problems do not repeat them, since a part could
// be a password.
func hidden[V any](k kind[V]) kind[V] {
	read := k.read
	k.read = func(it item) (V, *fault) {
		v, wrong := read(it)
		if wrong != nil && !it.list {
			wrong.text = strings.TrimPrefix(wrong.text, it.values[0].show()+" ")
		}
		return v, wrong
	}
	return k
}

// jwksURL is where the keys of an identity provider are.
func jwksURL() kind[string] {
	return hidden(text(`an https URL, http only to this machine, or "" for none`, func(s string) string {
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Hostname() == "" || u.Opaque != "":
			return "is not a URL"
		case u.User != nil:
			return "holds a user or a password, keys of an identity provider are public"
		case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
			return ""
		default:
			return "is neither https nor http to this machine"
		}
	}))
}

// The algorithms, with a secret and with a JWKS.
var (
	symmetric  = []string{"HS256", "HS384", "HS512"}
	asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	// Where none are named.
	usualSymmetric  = []string{"HS256"}
	usualAsymmetric = []string{"RS256", "ES256", "EdDSA"}
)

// algorithms is one algorithm or a list of them.
func algorithms() kind[[]string] {
	known := slices.Concat(symmetric, asymmetric)
	about := "one or a list of " + strings.Join(known, ", ")
	list := texts("algorithms", func(s string) (string, string) {
		if !slices.Contains(known, s) {
			return "", "is not " + about
		}
		return s, ""
	})
	read := list.read
	list.about = about
	list.read = func(it item) ([]string, *fault) {
		it.list = true
		return read(it)
	}
	return list
}
