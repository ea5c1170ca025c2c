//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// counters are an edge's metrics, by name with labels.
type counters map[string]float64

// operatorClient asks for what only operators may see; it keeps no connection.
var operatorClient = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// fetch reads a page of an operators' listener.
func fetch(ctx context.Context, address, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return nil, fmt.Errorf("attack: %w", err)
	}
	response, err := operatorClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("attack: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("attack: %s: HTTP %d", path, response.StatusCode)
	}
	return text, err
}

// scrape reads an edge's metrics.
func scrape(ctx context.Context, address string) (counters, error) {
	text, err := fetch(ctx, address, "/metrics")
	if err != nil {
		return nil, err
	}
	m := counters{}
	for line := range strings.Lines(string(text)) {
		i := strings.LastIndexByte(strings.TrimSpace(line), ' ')
		if i < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if m[line[:i]], err = strconv.ParseFloat(strings.TrimSpace(line[i:]), 64); err != nil {
			return nil, fmt.Errorf("attack: metrics: %w", err)
		}
	}
	if len(m) == 0 {
		return nil, errors.New("attack: the edge has no metrics")
	}
	return m, nil
}

// sum adds up a metric over all its labels.
func (m counters) sum(name string) (sum float64) {
	for key, value := range m {
		if key == name || strings.HasPrefix(key, name+"{") {
			sum += value
		}
	}
	return sum
}

// since are the counters of a metric that grew, by the values of some of its labels.
func (m counters) since(before counters, name string, labels ...string) map[string]float64 {
	grown := map[string]float64{}
	for key, value := range m {
		if rest, ok := strings.CutPrefix(key, name+"{"); ok && value > before[key] {
			var parts []string
			for _, label := range labels {
				_, text, _ := strings.Cut(rest, label+`="`)
				text, _, _ = strings.Cut(text, `"`)
				parts = append(parts, text)
			}
			grown[strings.Join(parts, " ")] += value - before[key]
		}
	}
	return grown
}
