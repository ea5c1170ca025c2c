package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker: go build -ldflags '-X main.version=v1.2.3'.
var version string

// buildVersion is version, or what the toolchain noted.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	var revision, dirty string
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			revision = setting.Value[:min(12, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			dirty = "-dirty"
		}
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return cmp.Or(revision, "devel") + dirty
}

type versionCmd struct{}

// Help is shown by --help.
func (versionCmd) Help() string {
	return `Example:

    indranet version`
}

// Run prints the version.
func (versionCmd) Run(std stdio) error {
	fmt.Fprintf(std.out, "indranet %s %s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
