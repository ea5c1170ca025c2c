package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/bodhisattva/indranet/edge/wire"
)

// errEnough ends a tail that has printed what was asked for.
var errEnough = errors.New("enough")

// printer writes events, one a line, and notes what could not be recovered.
type printer struct {
	out, err io.Writer
	// asJSON prints whole messages of the protocol.
	asJSON bool
	// limit is the number of events to print, 0 for no limit; n were printed.
	limit, n int
}

// Event prints one message of the protocol that carries an event. It returns
// errEnough after the last one that is wanted.
func (p *printer) Event(message []byte) error {
	var line bytes.Buffer
	if err := p.format(&line, message); err != nil {
		return err
	}
	line.WriteByte('\n')
	if _, err := p.out.Write(line.Bytes()); err != nil {
		return err
	}
	if p.n++; p.n == p.limit {
		return errEnough
	}
	return nil
}

func (p *printer) format(line *bytes.Buffer, message []byte) error {
	if p.asJSON {
		return json.Compact(line, message)
	}
	var event struct {
		Event     string          `json:"event"`
		Timestamp string          `json:"timestamp"`
		Seq       uint64          `json:"seq"`
		Data      json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(message, &event); err != nil {
		return err
	}
	seq := "-" // A transient event has no place in the log.
	if event.Seq > 0 {
		seq = strconv.FormatUint(event.Seq, 10)
	}
	fmt.Fprintf(line, "%s %6s %-24s ", event.Timestamp, seq, visible(event.Event))
	var data bytes.Buffer
	if err := json.Compact(&data, event.Data); err != nil {
		return err
	}
	line.WriteString(visible(data.String()))
	return nil
}

// Lost says that events are missing from what is printed.
func (p *printer) Lost(reason wire.Reason, seq uint64) {
	fmt.Fprintf(p.err, "indranet: not everything could be recovered (%s): %s; what follows begins after position %d\n",
		reason, reasons[reason], seq)
}

// reasons say what the protocol's reasons mean.
var reasons = map[wire.Reason]string{
	wire.EpochChanged:    "the log is another one than before",
	wire.PositionExpired: "the log no longer holds everything after the position",
	wire.PositionAhead:   "the log never got that far",
	wire.ScanLimit:       "a view does not read further back",
}

// visible spells out what a terminal would obey instead of show.
func visible(text string) string {
	if !strings.ContainsFunc(text, hidden) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if hidden(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// place says where in a text a byte is, as editors count.
func place(text []byte, offset int64) string {
	before := text[:min(max(offset, 0), int64(len(text)))]
	line := 1 + bytes.Count(before, []byte{'\n'})
	column := len(bytes.Runes(before[bytes.LastIndexByte(before, '\n')+1:]))
	return fmt.Sprintf("line %d, column %d", line, cmp.Or(column, 1))
}
