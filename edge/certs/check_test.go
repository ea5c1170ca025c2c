package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/edge/certs/certstest"
)

// noon is when the files of these tests are looked at.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// around are the dates of a certificate that is good at noon.
func around(o certstest.Options) certstest.Options {
	if o.NotBefore.IsZero() {
		o.NotBefore = noon.AddDate(0, -1, 0)
	}
	if o.NotAfter.IsZero() {
		o.NotAfter = noon.AddDate(0, 0, 60).Add(time.Hour)
	}
	return o
}

// problems are the codes of a report, each with its level.
func problems(r Report) []string {
	var all []string
	for _, f := range r.Findings {
		if f.Code != "" {
			all = append(all, string(f.Level)+" "+string(f.Code))
		}
	}
	return all
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	root := certstest.NewCA(t, around(certstest.Options{Name: "root"}))
	above := root.Intermediate(t, around(certstest.Options{Name: "above"}))
	below := above.Intermediate(t, around(certstest.Options{Name: "below"}))
	leaf := func(o certstest.Options) *certstest.Leaf { return below.Leaf(t, around(o)) }
	good := leaf(certstest.Options{Hosts: []string{"ws.example.com", "*.ws.example.com", "192.0.2.7"}})
	// with is good's certificate with other certificates behind it.
	with := func(chain ...*x509.Certificate) *certstest.Leaf {
		return &certstest.Leaf{Chain: append([]*x509.Certificate{good.Cert()}, chain...), Key: good.Key}
	}
	late := root.Intermediate(t, around(certstest.Options{Name: "late", NotAfter: noon.Add(-time.Hour)}))
	sha1 := root.Intermediate(t, around(certstest.Options{Name: "sha1", SHA1: true}))
	weak := root.Intermediate(t, around(certstest.Options{Name: "weak", Key: certstest.RSA1024}))
	stranger := certstest.NewCA(t, around(certstest.Options{Name: "stranger"}))
	given := CheckOptions{Roots: root.Pool()}

	for name, test := range map[string]struct {
		leaf    *certstest.Leaf
		options CheckOptions
		want    []string
	}{
		"good":                               {good, given, nil},
		"good, with its root":                {with(below.Cert, above.Cert, root.Cert), given, nil},
		"good, its host":                     {good, CheckOptions{Roots: root.Pool(), Host: "ws.example.com"}, nil},
		"good, its wildcard":                 {good, CheckOptions{Roots: root.Pool(), Host: "a.ws.example.com"}, nil},
		"good, its address":                  {good, CheckOptions{Roots: root.Pool(), Host: "192.0.2.7"}, nil},
		"another host":                       {good, CheckOptions{Roots: root.Pool(), Host: "example.com"}, []string{"error names"}},
		"two levels below the wildcard":      {good, CheckOptions{Roots: root.Pool(), Host: "a.b.ws.example.com"}, []string{"error names"}},
		"another address":                    {good, CheckOptions{Roots: root.Pool(), Host: "192.0.2.8"}, []string{"error names"}},
		"no host at all":                     {leaf(certstest.Options{Name: "ws.example.com", Hosts: []string{}}), given, []string{"error names"}},
		"29 days left":                       {leaf(certstest.Options{NotAfter: noon.AddDate(0, 0, 30).Add(-time.Second)}), given, []string{"warning expires_soon"}},
		"30 days left":                       {leaf(certstest.Options{NotAfter: noon.AddDate(0, 0, 30)}), given, nil},
		"expired":                            {leaf(certstest.Options{NotAfter: noon.Add(-time.Second)}), given, []string{"error expired"}},
		"not yet valid":                      {leaf(certstest.Options{NotBefore: noon.Add(time.Second)}), given, []string{"error not_yet_valid"}},
		"expired in between":                 {late.Leaf(t, around(certstest.Options{})), given, []string{"error expired"}},
		"a client's":                         {leaf(certstest.Options{Client: true, Hosts: []string{"localhost"}}), given, []string{"error usage"}},
		"1024 bits":                          {leaf(certstest.Options{Key: certstest.RSA1024}), given, []string{"error weak_key"}},
		"2048 bits":                          {leaf(certstest.Options{Key: certstest.RSA2048}), given, nil},
		"1024 bits in between":               {weak.Leaf(t, around(certstest.Options{})), given, []string{"error weak_key"}},
		"Ed25519":                            {leaf(certstest.Options{Key: certstest.Ed25519}), given, []string{"warning key_type"}},
		"SHA-1":                              {leaf(certstest.Options{SHA1: true}), given, []string{"error weak_signature"}},
		"SHA-1 by RSA":                       {weak.Leaf(t, around(certstest.Options{SHA1: true})), given, []string{"error weak_signature", "error weak_key"}},
		"SHA-1 in between":                   {sha1.Leaf(t, around(certstest.Options{})), given, []string{"error chain_unknown", "error weak_signature"}},
		"self-signed":                        {certstest.SelfSigned(t, around(certstest.Options{})), given, []string{"error self_signed"}},
		"self-signed, development":           {certstest.SelfSigned(t, around(certstest.Options{})), CheckOptions{Development: true}, []string{"warning self_signed"}},
		"self-signed with SHA-1":             {certstest.SelfSigned(t, around(certstest.Options{SHA1: true})), given, []string{"error self_signed", "error weak_signature"}},
		"without the chain":                  {with(), given, []string{"error chain_incomplete"}},
		"without the chain, this machine":    {with(), CheckOptions{}, []string{"error chain_incomplete"}},
		"half of the chain":                  {with(below.Cert), given, []string{"error chain_unknown"}},
		"the wrong half of the chain":        {with(above.Cert), given, []string{"error chain_incomplete", "warning chain_extra"}},
		"a root that is not known":           {good, CheckOptions{}, []string{"warning chain_unknown"}},
		"another root":                       {good, CheckOptions{Roots: stranger.Pool()}, []string{"error chain_unknown"}},
		"of a root without anything between": {root.Leaf(t, around(certstest.Options{})), given, nil},
		"exchanged":                          {with(above.Cert, below.Cert), given, []string{"error chain_order"}},
		"the root in the middle":             {with(below.Cert, root.Cert, above.Cert), given, []string{"error chain_order"}},
		"a stranger behind":                  {with(below.Cert, above.Cert, stranger.Cert), given, []string{"warning chain_extra"}},
		"a stranger in between":              {with(below.Cert, stranger.Cert, above.Cert), given, []string{"warning chain_extra"}},
		"one twice":                          {with(below.Cert, below.Cert, above.Cert), given, []string{"warning chain_extra"}},
	} {
		t.Run(name, func(t *testing.T) {
			cert, key := test.leaf.Write(t, t.TempDir())
			test.options.Now = noon
			report := Check(Files{Cert: cert, Key: key}, test.options)
			if got := problems(report); !slices.Equal(got, test.want) {
				t.Errorf("found %q, want %q\n%s", got, test.want, report)
			}
			if strings.Count(report.String(), "\n") != len(report.Findings)+1 {
				t.Errorf("not a line a finding:\n%s", report)
			}
			wantNoSecrets(t, report.String(), test.leaf.KeyPEM(t))
			// What clients refuse is served all the same: whoever has to renew it needs
			// the edge to run.
			if _, err := New(Config{Files: Files{Cert: cert, Key: key}}); err != nil {
				t.Errorf("New: %v", err)
			}
		})
	}
}

func TestAuthoritiesOfClientsAreChecked(t *testing.T) {
	root := certstest.NewCA(t, around(certstest.Options{}))
	ca := func(o certstest.Options) *certstest.CA { return certstest.NewCA(t, around(o)) }
	gone := ca(certstest.Options{NotAfter: noon.Add(-time.Hour)})
	soon := ca(certstest.Options{NotAfter: noon.AddDate(0, 0, 10)})
	for name, test := range map[string]struct {
		cas  [][]byte
		want []string
	}{
		"good":                  {[][]byte{root.PEM()}, nil},
		"one expired":           {[][]byte{gone.PEM(), root.PEM()}, []string{"warning expired"}},
		"all expired":           {[][]byte{gone.PEM()}, []string{"error expired"}},
		"the last expires soon": {[][]byte{soon.PEM(), gone.PEM()}, []string{"warning expired", "warning expires_soon"}},
		"one expires soon":      {[][]byte{soon.PEM(), root.PEM()}, nil},
		"no authority":          {[][]byte{root.Leaf(t, around(certstest.Options{})).CertPEM()}, []string{"warning usage"}},
		"a weak one":            {[][]byte{ca(certstest.Options{Key: certstest.RSA1024}).PEM()}, []string{"error weak_key"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cert, key := root.Leaf(t, around(certstest.Options{})).Write(t, dir)
			files := Files{Cert: cert, Key: key, ClientCA: filepath.Join(dir, "clients.crt")}
			certstest.WriteFile(t, files.ClientCA, bytes.Join(test.cas, nil))
			report := Check(files, CheckOptions{Now: noon, Roots: root.Pool()})
			if got := problems(report); !slices.Equal(got, test.want) {
				t.Errorf("found %q, want %q\n%s", got, test.want, report)
			}
		})
	}
}

func TestAKeyThatOthersMayReadIsReported(t *testing.T) {
	ca := certstest.NewCA(t, certstest.Options{})
	leaf := ca.Leaf(t, certstest.Options{})
	dir := t.TempDir()
	cert, key := leaf.Write(t, dir)
	both := filepath.Join(dir, "both.pem")
	certstest.WriteFile(t, both, append(leaf.CertPEM(), leaf.KeyPEM(t)...))
	link := filepath.Join(dir, "link.key")
	if err := os.Symlink(key, link); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		files Files
		chmod string
		mode  os.FileMode
		want  []string
	}{
		{Files{Cert: cert, Key: key}, key, 0o600, nil},
		{Files{Cert: cert, Key: key}, key, 0o640, nil},
		{Files{Cert: cert, Key: key}, key, 0o644, []string{"warning key_mode"}},
		{Files{Cert: cert, Key: key}, key, 0o602, []string{"warning key_mode"}},
		{Files{Cert: cert, Key: link}, key, 0o644, []string{"warning key_mode"}},
		{Files{Cert: cert, Key: link}, key, 0o600, nil},
		{Files{Cert: cert, Key: key}, cert, 0o644, nil},
		{Files{Cert: both, Key: both}, both, 0o644, []string{"warning key_mode"}},
		// The key beside the certificate is not used, but it is there.
		{Files{Cert: both, Key: key}, both, 0o644, []string{"warning key_mode"}},
	} {
		if err := os.Chmod(test.chmod, test.mode); err != nil {
			t.Fatal(err)
		}
		report := Check(test.files, CheckOptions{Roots: ca.Pool()})
		if got := problems(report); !slices.Equal(got, test.want) {
			t.Errorf("%s with mode %o: %q, want %q", filepath.Base(test.chmod), test.mode, got, test.want)
		}
	}
}

func TestTheReportIsReadable(t *testing.T) {
	root := certstest.NewCA(t, around(certstest.Options{Name: "Example root"}))
	below := root.Intermediate(t, around(certstest.Options{Name: "Example authority"}))
	leaf := below.Leaf(t, around(certstest.Options{Name: "ws.example.com", Hosts: []string{"ws.example.com", "192.0.2.7"}}))
	dir := t.TempDir()
	cert, key := leaf.Write(t, dir)
	files := Files{Cert: cert, Key: key, ClientCA: root.Write(t, dir)}
	for _, test := range []struct {
		name    string
		options CheckOptions
		mode    os.FileMode
		want    string
	}{
		{"good", CheckOptions{Host: "ws.example.com", Roots: root.Pool()}, 0o600, `
ok       tls.crt: 2 certificates, the first is "ws.example.com", ECDSA P-256
ok       tls.crt: is for "ws.example.com"
ok       tls.crt: the chain is complete and in order
ok       tls.crt: "ws.example.com" is valid for 60 days, until 2027-01-22 13:00 UTC
ok       tls.crt: "Example authority" is valid for 60 days, until 2027-01-22 13:00 UTC
ok       tls.key: the private key belongs to the certificate, ECDSA P-256
ok       tls.key: mode 0600
ok       ca.crt: 1 certificate of authorities whose clients may connect
ok       ca.crt: "Example root" is valid for 60 days, until 2027-01-22 13:00 UTC
verdict: good
`},
		{"usable", CheckOptions{Now: noon.AddDate(0, 0, 59)}, 0o644, `
ok       tls.crt: 2 certificates, the first is "ws.example.com", ECDSA P-256
ok       tls.crt: is for "ws.example.com", "192.0.2.7"
warning  tls.crt: the chain ends at "CN=Example root", and it is no authority that this machine trusts: only clients that trust it can connect [chain_unknown]
warning  tls.crt: "ws.example.com" expires in 1 day, 2027-01-22 13:00 UTC [expires_soon]
warning  tls.crt: "Example authority" expires in 1 day, 2027-01-22 13:00 UTC [expires_soon]
ok       tls.key: the private key belongs to the certificate, ECDSA P-256
warning  tls.key: mode 0644: everybody on this machine has access to the private key; chmod o= takes it away [key_mode]
ok       ca.crt: 1 certificate of authorities whose clients may connect
warning  ca.crt: "Example root" expires in 1 day, 2027-01-22 13:00 UTC [expires_soon]
verdict: usable: 5 warnings
`},
		{"not good", CheckOptions{Host: "example.com", Now: noon.AddDate(1, 0, 0), Roots: root.Pool()}, 0o604, `
ok       tls.crt: 2 certificates, the first is "ws.example.com", ECDSA P-256
error    tls.crt: is not for "example.com" but for "ws.example.com", "192.0.2.7" [names]
ok       tls.crt: the chain is complete and in order
error    tls.crt: "ws.example.com" has expired: it was valid until 2027-01-22 13:00 UTC [expired]
error    tls.crt: "Example authority" has expired: it was valid until 2027-01-22 13:00 UTC [expired]
ok       tls.key: the private key belongs to the certificate, ECDSA P-256
warning  tls.key: mode 0604: everybody on this machine has access to the private key; chmod o= takes it away [key_mode]
ok       ca.crt: 1 certificate of authorities whose clients may connect
error    ca.crt: "Example root" has expired: it was valid until 2027-01-22 13:00 UTC [expired]
verdict: not good: 4 errors, 1 warning
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := os.Chmod(key, test.mode); err != nil {
				t.Fatal(err)
			}
			if test.options.Now.IsZero() {
				test.options.Now = noon
			}
			report := Check(files, test.options)
			if got := "\n" + strings.ReplaceAll(report.String(), dir+"/", ""); got != test.want {
				t.Errorf("got%s\nwant%s", got, test.want)
			}
			var b bytes.Buffer
			if n, err := report.WriteTo(&b); err != nil || n != int64(b.Len()) || b.String() != report.String() {
				t.Errorf("WriteTo: %d, %v", n, err)
			}
		})
	}
}

func TestTheReportIsHarmlessOnATerminal(t *testing.T) {
	name := "\x1b[2J\x1b]0;owned\x07\nverdict: good\n" + strings.Repeat("x", 60)
	leaf := certstest.SelfSigned(t, certstest.Options{Name: name})
	cert, key := leaf.Write(t, t.TempDir())
	text := Check(Files{Cert: cert, Key: key}, CheckOptions{Host: "\x1b[31m"}).String()
	if strings.ContainsAny(text, "\x1b\x07") || strings.Contains(text, "\nverdict: good") {
		t.Errorf("the report passes on what the certificate says: %q", text)
	}
}

func TestTheReportIsAlsoForPrograms(t *testing.T) {
	report := Check(Files{Cert: "/nowhere/cert.pem", Key: "/nowhere/key.pem"}, CheckOptions{})
	got, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"findings":[` +
		`{"level":"error","code":"unreadable","file":"/nowhere/cert.pem","text":"can't be read: no such file or directory"},` +
		`{"level":"error","code":"unreadable","file":"/nowhere/key.pem","text":"can't be read: no such file or directory"}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
