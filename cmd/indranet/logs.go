package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// check opens every file: an edge that cannot write its log does not start.
func (l *logs) check() error {
	var problems []error
	for name, file := range l.files {
		if _, err := file.Write(nil); err != nil {
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
