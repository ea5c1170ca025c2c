package limit

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func mustParse(t testing.TB, list ...string) Networks {
	t.Helper()
	n, err := ParseNetworks(list)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNetworksContainWhatTheyName(t *testing.T) {
	n := mustParse(t, "10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::ffff:198.51.100.0/120", "loopback", "unix")
	for _, in := range []string{
		"10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "::ffff:10.1.2.3%eth0", "192.0.2.7",
		"2001:db8::1", "2001:db8::1%eth0", "198.51.100.9", "127.8.9.10", "::1",
	} {
		if !n.Contains(netip.MustParseAddr(in)) {
			t.Errorf("%s is not in it", in)
		}
	}
	for _, out := range []string{"11.0.0.0", "192.0.2.8", "2001:db9::1", "198.51.101.0", "::2", "::", "0.0.0.0"} {
		if n.Contains(netip.MustParseAddr(out)) {
			t.Errorf("%s is in it", out)
		}
	}
	if !n.Contains(netip.Addr{}) {
		t.Error("a peer on a Unix socket is not in it")
	}
	if (Networks{}).Contains(netip.Addr{}) || !(Networks{}).Empty() || n.Empty() {
		t.Error("nobody named is not nobody")
	}
}

func TestParseNetworksNamesEveryBadEntry(t *testing.T) {
	bad := []string{
		"", " 10.0.0.1", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "fe80::1%eth0", "::ffff:10.0.0.0/95",
		"Loopback", "localhost", "10.0.0", "example.org", "::1/128/2",
	}
	_, err := ParseNetworks(append(bad, "10.0.0.0/8"))
	if err == nil {
		t.Fatal("no error")
	}
	for _, entry := range bad {
		if !strings.Contains(err.Error(), fmt.Sprintf("%q", entry)) {
			t.Errorf("%q is not named in: %v", entry, err)
		}
	}
	if strings.Contains(err.Error(), `"10.0.0.0/8"`) {
		t.Errorf("a good entry is named in: %v", err)
	}
}

func TestClientIsTheRightmostWhoIsNoProxy(t *testing.T) {
	trusted := mustParse(t, "10.0.0.0/8", "fd00::/8", "unix")
	for _, c := range []struct {
		name   string
		peer   string // empty: a Unix socket
		xff    []string
		realIP string
		want   string
	}{
		{"no proxy, no headers", "192.0.2.1", nil, "", "192.0.2.1"},
		{"a stranger's headers", "192.0.2.1", []string{"198.51.100.1"}, "198.51.100.2", "192.0.2.1"},
		{"one hop", "10.0.0.1", []string{"192.0.2.1"}, "", "192.0.2.1"},
		{"a Unix socket", "", []string{"192.0.2.1"}, "", "192.0.2.1"},
		{"a Unix socket that says nothing", "", nil, "", ""},
		{"spoofed before the real one", "10.0.0.1", []string{"198.51.100.1, 192.0.2.1"}, "", "192.0.2.1"},
		{"spoofed on a line of its own", "10.0.0.1", []string{"198.51.100.1", "192.0.2.1"}, "", "192.0.2.1"},
		{"spoofed as a proxy", "10.0.0.1", []string{"10.0.0.9, 192.0.2.1"}, "", "192.0.2.1"},
		{"through two proxies", "10.0.0.1", []string{"198.51.100.1, 192.0.2.1, 10.0.0.2"}, "", "192.0.2.1"},
		{"through two proxies, on lines", "10.0.0.1", []string{"198.51.100.1, 192.0.2.1", "10.0.0.2"}, "", "192.0.2.1"},
		{"nobody but proxies", "10.0.0.1", []string{"10.0.0.3, 10.0.0.2"}, "", "10.0.0.3"},
		{"rubbish first", "10.0.0.1", []string{"unknown, 10.0.0.2"}, "", "10.0.0.2"},
		{"rubbish last", "10.0.0.1", []string{"192.0.2.1, unknown"}, "", "10.0.0.1"},
		{"an empty entry", "10.0.0.1", []string{"192.0.2.1,"}, "", "10.0.0.1"},
		{"an empty line", "10.0.0.1", []string{"192.0.2.1", ""}, "", "10.0.0.1"},
		{"an empty header hides X-Real-IP", "10.0.0.1", []string{""}, "192.0.2.1", "10.0.0.1"},
		{"X-Real-IP alone", "10.0.0.1", nil, "192.0.2.1", "192.0.2.1"},
		{"X-Real-IP beside", "10.0.0.1", []string{"192.0.2.1"}, "192.0.2.2", "192.0.2.1"},
		{"X-Real-IP is rubbish", "10.0.0.1", nil, "192.0.2.1, 192.0.2.2", "10.0.0.1"},
		{"a port", "10.0.0.1", []string{"192.0.2.1:5678"}, "", "192.0.2.1"},
		{"a port too high", "10.0.0.1", []string{"192.0.2.1:65536"}, "", "10.0.0.1"},
		{"a port that is none", "10.0.0.1", []string{"192.0.2.1:"}, "", "10.0.0.1"},
		{"brackets", "10.0.0.1", []string{"[2001:db8::1]"}, "", "2001:db8::1"},
		{"brackets and a port", "10.0.0.1", []string{"[2001:db8::1]:5"}, "", "2001:db8::1"},
		{"brackets around IPv4", "10.0.0.1", []string{"[192.0.2.1]"}, "", "10.0.0.1"},
		{"half a bracket", "10.0.0.1", []string{"[2001:db8::1"}, "", "10.0.0.1"},
		{"a zone", "10.0.0.1", []string{"fe80::1%eth0"}, "", "fe80::1"},
		{"a zone and a port", "10.0.0.1", []string{"[fe80::1%eth0]:5"}, "", "fe80::1"},
		{"IPv4 in IPv6", "::ffff:10.0.0.1", []string{"::ffff:192.0.2.1, ::ffff:10.0.0.2"}, "", "192.0.2.1"},
		{"a peer with a zone", "fd00::1%eth0", []string{"192.0.2.1"}, "", "192.0.2.1"},
		{"tabs and spaces", "10.0.0.1", []string{"\t192.0.2.1 ,  10.0.0.2\t"}, "", "192.0.2.1"},
		{"quotes", "10.0.0.1", []string{`"192.0.2.1"`}, "", "10.0.0.1"},
		{"leading zeros", "10.0.0.1", []string{"192.0.02.1"}, "", "10.0.0.1"},
		{"32 hops", "10.0.0.1", []string{"192.0.2.1" + strings.Repeat(",10.0.0.2", 31)}, "", "192.0.2.1"},
		{"33 hops", "10.0.0.1", []string{"192.0.2.1" + strings.Repeat(",10.0.0.2", 32)}, "", "10.0.0.2"},
		{"33 hops on lines", "10.0.0.1", append([]string{"192.0.2.1"}, slices.Repeat([]string{"10.0.0.2"}, 32)...), "", "10.0.0.2"},
		{"8 KiB of spaces", "10.0.0.1", []string{"192.0.2.1" + strings.Repeat(" ", 8<<10) + ", 10.0.0.2"}, "", "10.0.0.2"},
		{"8 KiB on lines", "10.0.0.1", []string{"192.0.2.1", strings.Repeat(" ", 8<<10-8) + "10.0.0.2"}, "", "10.0.0.2"},
		{"the end of 8 KiB", "10.0.0.1", []string{"192.0.2.1", strings.Repeat(" ", 8<<10-8-9) + "10.0.0.2"}, "", "192.0.2.1"},
	} {
		var peer netip.Addr
		if c.peer != "" {
			peer = netip.MustParseAddr(c.peer)
		}
		var want netip.Addr
		if c.want != "" {
			want = netip.MustParseAddr(c.want)
		}
		if got := trusted.Client(peer, c.xff, c.realIP); got != want {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
	}
}

// FuzzNobodyChoosesHisAddress: the client sends whatever lines it likes; the first proxy
// adds the address that it sees, and each further one the address of the one before.
func FuzzNobodyChoosesHisAddress(f *testing.F) {
	f.Add("10.0.0.1, 10.0.0.2", []byte{198, 51, 100, 1}, uint8(1), uint8(0))
	f.Add("198.51.100.1\n127.0.0.1\n,", []byte{192, 0, 2, 1}, uint8(3), uint8(5))
	f.Add("[::1]:5,\t,unknown", []byte("\x20\x01\x0d\xb8aaaabbbbcccc"), uint8(9), uint8(0xff))
	f.Add(strings.Repeat(" ,", 40), []byte{1, 2, 3, 4}, uint8(30), uint8(2))
	trusted := mustParse(f, "10.0.0.0/8", "loopback")
	f.Fuzz(func(t *testing.T, spoofed string, address []byte, hops, how uint8) {
		client, ok := netip.AddrFromSlice(address)
		if !ok || trusted.Contains(client) {
			return
		}
		var lines []string
		if spoofed != "" {
			lines = strings.Split(spoofed, "\n")
		}
		add := func(hop string) {
			if how&1 == 0 || len(lines) == 0 { // some proxies add a line, most to the last one
				lines = append(lines, hop)
			} else {
				lines[len(lines)-1] += ", " + hop
			}
		}
		switch {
		case how&2 == 0:
			add(client.String())
		case how&4 == 0:
			add(netip.AddrPortFrom(client, uint16(hops)<<8|uint16(how)).String())
		default:
			add("::ffff:" + client.String())
			if !client.Is4() {
				lines[len(lines)-1] = client.String()
			}
		}
		hops %= maxForwarded - 1
		for hop := range hops {
			add(netip.AddrFrom4([4]byte{10, 0, 0, hop}).String())
		}
		got := trusted.Client(netip.MustParseAddr("10.0.0.99"), lines, spoofed)
		if want := client.Unmap(); got != want {
			t.Errorf("%q: %v, want %v", lines, got, want)
		}
		// Without a trusted proxy in between, nothing is believed at all.
		if got := trusted.Client(client, lines, spoofed); got != client.Unmap() {
			t.Errorf("%q: a stranger is believed to be %v", lines, got)
		}
	})
}

// FuzzClientIsTheNaiveWalk compares with the walk written down without regard to cost.
func FuzzClientIsTheNaiveWalk(f *testing.F) {
	f.Add("192.0.2.1, 10.0.0.2\n10.0.0.3:80", "192.0.2.9")
	f.Add("", "192.0.2.9")
	f.Add("[::1],[::1]:5, fe80::1%x ,,", "")
	f.Add("192.0.2.1"+strings.Repeat(",10.0.0.2", 40), "")
	trusted := mustParse(f, "10.0.0.0/8", "loopback")
	peer := netip.MustParseAddr("10.0.0.99")
	naive := func(lines []string) netip.Addr {
		var hops []string
		var ends []int // how far from the end each begins, with the commas behind it
		n := 0
		for _, line := range slices.Backward(lines) {
			parts := strings.Split(line, ",")
			for i, part := range slices.Backward(parts) {
				n += len(part)
				hops, ends = append(hops, part), append(ends, n)
				if i > 0 {
					n++
				}
			}
		}
		client := peer
		for i, hop := range hops {
			if i >= 32 || ends[i] > 8192 {
				break
			}
			hop = strings.Trim(hop, " \t")
			host := hop
			if h, port, err := net.SplitHostPort(hop); err == nil {
				if _, err := netip.ParseAddrPort("192.0.2.1:" + port); err != nil {
					break
				}
				if strings.Contains(h, ":") != strings.HasPrefix(hop, "[") {
					break
				}
				host = h
			} else if strings.HasPrefix(hop, "[") && strings.HasSuffix(hop, "]") {
				host = hop[1 : len(hop)-1]
				if !strings.Contains(host, ":") {
					break
				}
			}
			a, err := netip.ParseAddr(host)
			if err != nil {
				break
			}
			client = a.WithZone("").Unmap()
			if !trusted.Contains(client) {
				break
			}
		}
		return client
	}
	f.Fuzz(func(t *testing.T, header, realIP string) {
		if header == "" {
			return
		}
		lines := strings.Split(header, "\n")
		got := trusted.Client(peer, lines, realIP)
		if want := naive(lines); got != want {
			t.Errorf("%q: %v, naively %v", lines, got, want)
		}
	})
}

func TestKeyIsTheAddressOrTheSubscribersNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1":            "192.0.2.1/32",
		"::ffff:192.0.2.1":     "192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"fe80::1%eth0":         "fe80::/64",
		"::1":                  "::/64",
	} {
		if got := Key(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("Key(%s) = %v, want %v", in, got, want)
		}
	}
	if Key(netip.Addr{}) != (netip.Prefix{}) {
		t.Error("no address has a key")
	}
}

func TestAddrOfFindsTheAddress(t *testing.T) {
	for want, in := range map[string]net.Addr{
		"192.0.2.1":  &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 1},
		"fe80::1":    &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"},
		"198.51.0.1": &net.UDPAddr{IP: net.ParseIP("198.51.0.1"), Port: 5},
		"invalid IP": &net.UnixAddr{Name: "@", Net: "unix"},
	} {
		if got := AddrOf(in); got.String() != want {
			t.Errorf("AddrOf(%v) = %v, want %v", in, got, want)
		}
	}
	if AddrOf(nil).IsValid() || AddrOf((*net.TCPAddr)(nil)).IsValid() {
		t.Error("nothing has an address")
	}
}
