package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/DeRuina/timberjack"

	"github.com/bodhisattva/indranet/edge/config"
)

// logs are the places that an edge logs to, each opened once.
type logs struct {
	standard io.Writer
	files    map[string]*timberjack.Logger
}

func newLogs(standard io.Writer) *logs {
	return &logs{standard: standard, files: map[string]*timberjack.Logger{}}
}

// open returns the logger of a configuration.
func (l *logs) open(cfg config.Logging) *slog.Logger {
	out := l.standard
	if cfg.File != "" {
		file := l.files[cfg.File]
		if file == nil {
			file = &timberjack.Logger{
				Filename: cfg.File, MaxSize: int((cfg.Rotation + 1<<20 - 1) >> 20), MaxAge: int(cfg.Retention / (24 * time.Hour)),
				Compression: "gzip", FileMode: 0o640,
			}
			l.files[cfg.File] = file
		}
		out = fileOrStandard{file, l.standard}
	}
	options := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.Format == "text" {
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(slog.NewJSONHandler(out, options))
}

// names are those of the files, sorted.
func (l *logs) names() []string { return slices.Sorted(maps.Keys(l.files)) }

// missing says which files have no directory. The logger would make one, with any name
// that was mistyped.
func (l *logs) missing() error {
	var problems []error
	for _, name := range l.names() {
		if _, err := os.Stat(filepath.Dir(name)); errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, fmt.Errorf("logging.file %s: the directory %s does not exist; make it, and let the edge write to it", name, filepath.Dir(name)))
		}
	}
	return errors.Join(problems...)
}

// check opens every file: an edge that cannot write its log does not start.
func (l *logs) check() error {
	if err := l.missing(); err != nil {
		return err
	}
	var problems []error
	for _, name := range l.names() {
		if _, err := l.files[name].Write(nil); err != nil {
			problems = append(problems, fmt.Errorf("logging.file %s cannot be written to: %w", name, err))
		}
	}
	return errors.Join(problems...)
}

// fileOrStandard writes to a file, and to the standard error what the file does not
// take: no line is lost when a disk is full.
type fileOrStandard struct {
	file     io.Writer
	standard io.Writer
}

// Write writes one line.
func (f fileOrStandard) Write(line []byte) (int, error) {
	if n, err := f.file.Write(line); err == nil {
		return n, nil
	}
	return f.standard.Write(line)
}

// Close closes the files.
func (l *logs) Close() error {
	var problems []error
	for _, file := range l.files {
		problems = append(problems, file.Close())
	}
	return errors.Join(problems...)
}
