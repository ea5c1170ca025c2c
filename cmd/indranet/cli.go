package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

const description = `Real-time events of the seven services, without losing one.

Exit codes: 0 it is done; 1 what was asked for failed, and the error says why;
2 the command line is wrong.`

// commands is the command line.
type commands struct {
	Dev     devCmd     `cmd:"" help:"Run everything on this machine: NATS, an edge, a page and demo events."`
	Edge    edgeCmd    `cmd:"" help:"Serve clients, as a configuration says."`
	Publish publishCmd `cmd:"" help:"Publish one event."`
	Tail    tailCmd    `cmd:"" help:"Print the events of a channel as they come."`
	History historyCmd `cmd:"" help:"Print past events of a channel."`
	Streams struct {
		Apply applyCmd `cmd:"" help:"Create the streams that are missing and correct those that differ."`
		Diff  diffCmd  `cmd:"" help:"Say what apply would do. Exits 1 where something is missing or differs."`
		Ls    lsCmd    `cmd:"" help:"List the streams."`
	} `cmd:"" help:"Look after the streams that store the events."`
	Token       tokenCmd       `cmd:"" help:"Make and explain tokens."`
	Revoke      revokeCmd      `cmd:"" help:"Take tokens back."`
	CheckConfig checkConfigCmd `cmd:"" help:"Say what is wrong with a configuration."`
	VerifyCerts verifyCertsCmd `cmd:"" help:"Say what is wrong with certificates."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
}

// run parses the arguments, runs the command and returns the exit code.
func run(ctx context.Context, args []string, std stdio) int {
	exited := -1
	parser := kong.Must(&commands{},
		kong.Name("indranet"),
		kong.Description(description),
		kong.Writers(std.out, std.err),
		// Only --help exits by itself.
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoAppDescFormat: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
		kong.Vars{"since": sinceHelp},
	)
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(std.err, "indranet: %v\nRun '%s --help' for how to.\n", err, selected(err))
		return exitUsage
	}
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(std.err, said(err))
		return exitFailed
	}
	return 0
}

// packages are the names with which packages begin their errors. They are for those who
// read code.
var packages = regexp.MustCompile(`(^|: )(?:(?:auth|certs|client|config|conn|directget|edge|feed|publisher|reader|request|schema|stream|wire): )+`)

// said is an error for who reads a terminal: each line says whose it is.
func said(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = "indranet: " + visible(packages.ReplaceAllString(line, "$1"))
	}
	return strings.Join(lines, "\n")
}

// selected is the command that the arguments had named when they went wrong.
func selected(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		return strings.TrimSpace("indranet " + commandWords(parse.Context))
	}
	return "indranet"
}

// commandWords are the names of the commands on the path, without arguments.
func commandWords(ctx *kong.Context) string {
	var words []string
	for _, step := range ctx.Path {
		if step.Command != nil {
			words = append(words, step.Command.Name)
		}
	}
	return strings.Join(words, " ")
}
