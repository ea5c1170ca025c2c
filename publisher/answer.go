package publisher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// verdict is what an answer to one attempt means.
type verdict int

const (
	// stored: the stream has the event.
	stored verdict = iota
	// refused: this attempt stored nothing, and another one may.
	refused
	// unclear: nothing is known of this attempt, and another one may help.
	unclear
	// mismatch: the channel stands elsewhere than expected.
	mismatch
	// repeated: a batch holds an id that the stream has.
	repeated
	// fatal: this attempt stored nothing, and no other one will.
	fatal
)

// answer is what the server said to one attempt.
type answer struct {
	verdict   verdict
	seq       uint64
	duplicate bool
	// batch and count are set when a batch was committed.
	batch string
	count int
	// actual is the channel's position of a mismatch, -1 if it was not told.
	actual int64
	kind   error
	cause  error
}

// Codes of errors that an acknowledgement may carry.
const (
	codeUnavailable    = 10008
	codeNoResources    = 10023
	codeNotForAccount  = 10039
	codeTooLarge       = 10054
	codeWrongLast      = 10071
	codeNoJetStream    = 10076
	codeIDInProcess    = 10158
	codeLastNotReady   = 10163
	codeWrongLastSoon  = 10164
	codeTooMany        = 10167
	codeBatchTooLarge  = 10199
	codeBatchGap       = 10176
	codeBatchDuplicate = 10201
	codeBatchTooMany   = 10210
)

type pubAck struct {
	Error *struct {
		Code        int    `json:"code"`
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
	Stream    string `json:"stream"`
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
	Batch     string `json:"batch"`
	Count     int    `json:"count"`
}

var errForeignAnswer = errors.New("not an acknowledgement of the stream")

// readAnswer reads what came to an attempt's reply subject.
func readAnswer(m *nats.Msg, stream string) answer {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return answer{verdict: refused, cause: nats.ErrNoResponders}
	}
	if seq, duplicate, ok := quickAck(m.Data, stream); ok {
		return answer{verdict: stored, seq: seq, duplicate: duplicate}
	}
	var ack pubAck
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return answer{verdict: unclear, cause: fmt.Errorf("%w: %w", errForeignAnswer, err)}
	}
	if ack.Error == nil {
		if ack.Stream != stream || ack.Seq == 0 {
			return answer{verdict: unclear, cause: errForeignAnswer}
		}
		return answer{verdict: stored, seq: ack.Seq, duplicate: ack.Duplicate, batch: ack.Batch, count: ack.Count}
	}
	a := answer{
		verdict: fatal, kind: ErrUnavailable, actual: -1,
		cause: fmt.Errorf("%s (%d)", ack.Error.Description, ack.Error.ErrCode),
	}
	switch ack.Error.ErrCode {
	case codeWrongLast:
		a.verdict = mismatch
		_, number, _ := strings.Cut(ack.Error.Description, ": ")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			a.actual = n
		}
	case codeBatchDuplicate:
		a.verdict = repeated
	case codeTooLarge, codeBatchTooLarge:
		a.kind = ErrTooLarge
	case codeUnavailable, codeNoResources, codeNotForAccount, codeNoJetStream, codeIDInProcess,
		codeLastNotReady, codeWrongLastSoon, codeTooMany, codeBatchGap, codeBatchTooMany:
		a.verdict = refused
	default:
		if ack.Error.Code >= 500 {
			// Some of these come after the event went to the replicas.
			a.verdict = unclear
		}
	}
	return a
}

// quickAck reads an acknowledgement the way this server writes it:
//
//	{"stream":"IND_X","seq":22}
//	{"stream":"IND_X","seq":22,"duplicate": true}
//
// Whatever looks different is left to encoding/json.
func quickAck(data []byte, stream string) (seq uint64, duplicate, ok bool) {
	rest, found := bytes.CutPrefix(data, []byte(`{"stream":"`))
	if !found || len(rest) <= len(stream) || string(rest[:len(stream)]) != stream || rest[len(stream)] != '"' {
		return 0, false, false
	}
	rest, found = bytes.CutPrefix(rest[len(stream)+1:], []byte(`,"seq":`))
	if !found || len(rest) == 0 || rest[0] == '0' {
		// Position 0 is none, and no number of JSON begins so.
		return 0, false, false
	}
	i := 0
	for i < len(rest) && i < 18 && rest[i] >= '0' && rest[i] <= '9' {
		seq = seq*10 + uint64(rest[i]-'0')
		i++
	}
	switch string(rest[i:]) {
	case "}":
		return seq, false, seq > 0
	case `,"duplicate": true}`:
		return seq, true, seq > 0
	}
	return 0, false, false
}
