package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bodhisattva/indranet/edge/certs"
	"github.com/bodhisattva/indranet/edge/config"
)

type verifyCertsCmd struct {
	Config      []string `short:"c" type:"existingfile" sep:"none" placeholder:"FILE" help:"Check the certificates of every listener of this configuration."`
	Cert        string   `placeholder:"FILE" help:"Check this certificate, with the chain behind it."`
	Key         string   `placeholder:"FILE" help:"Its private key."`
	CA          string   `name:"ca" type:"existingfile" placeholder:"FILE" help:"The authorities (PEM) that clients trust. Default: those of this machine."`
	ClientCA    string   `name:"client-ca" placeholder:"FILE" help:"The authorities of client certificates."`
	Host        string   `placeholder:"NAME" help:"The name that clients connect to."`
	Development bool     `help:"A self-signed certificate is good enough."`
}

// Help is shown by --help.
func (verifyCertsCmd) Help() string {
	return `Reads the files as an edge would and says everything that is right and wrong with them: whether the key fits, the chain is complete and in order, the name is covered, how many days are left, who can read the key. Exits 1 where a client would refuse the certificate or an edge would not start. No connection is made.

Examples:

    indranet verify-certs --cert fullchain.pem --key privkey.pem --host ws-dhruva.example.com
    indranet verify-certs -c deploy/config/production.yaml
    indranet verify-certs -c deploy/config/production.yaml --ca our-ca.pem`
}

// Validate wants one of the two forms.
func (c *verifyCertsCmd) Validate() error {
	switch {
	case (len(c.Config) > 0) == (c.Cert != ""):
		return errors.New("give either --config, or --cert and --key")
	case c.Cert != "" && c.Key == "":
		return errors.New("--cert goes with --key")
	case len(c.Config) > 0 && (c.Key != "" || c.ClientCA != ""):
		return errors.New("--key and --client-ca go with --cert")
	}
	return nil
}

// Run checks.
func (c *verifyCertsCmd) Run(std stdio) error {
	options := certs.CheckOptions{Host: c.Host, Development: c.Development}
	if c.CA != "" {
		var err error
		if options.Roots, err = readCA(c.CA); err != nil {
			return err
		}
	}
	bad := false
	check := func(name string, files certs.Files) {
		report := certs.Check(files, options)
		if name != "" {
			fmt.Fprintf(std.out, "%s\n", name)
		}
		fmt.Fprint(std.out, report)
		bad = bad || report.Level() == certs.Error
	}
	if c.Cert != "" {
		check("", certs.Files{Cert: c.Cert, Key: c.Key, ClientCA: c.ClientCA})
	} else if err := c.checkAll(check, &options); err != nil {
		return err
	}
	if bad {
		return errors.New("the certificates are not good")
	}
	return nil
}

// checkAll checks every listener of the configuration.
func (c *verifyCertsCmd) checkAll(check func(string, certs.Files), options *certs.CheckOptions) error {
	cfg, _, err := configFlags{c.Config}.load()
	if err != nil {
		return err
	}
	options.Development = options.Development || cfg.Environment == config.Development
	listeners := map[string]config.TLS{}
	names := []string{"shared listener"}
	listeners[names[0]] = cfg.TLS
	for _, s := range cfg.Services {
		names = append(names, string(s.Name))
		listeners[string(s.Name)] = s.TLS
	}
	// Listeners with the same files are checked together.
	var order []certs.Files
	users := map[certs.Files][]string{}
	for _, name := range names {
		t := listeners[name]
		if !t.Enabled || t.AutoCert {
			continue
		}
		files := tlsConfig(t).Files
		if users[files] == nil {
			order = append(order, files)
		}
		users[files] = append(users[files], name)
	}
	for _, files := range order {
		check(strings.Join(users[files], ", "), files)
	}
	if len(order) == 0 {
		return errors.New("no listener of the configuration has certificate files")
	}
	return nil
}
