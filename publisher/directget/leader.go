package directget

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// LeaderRequest names one message. Give either LastBySubj, or NextBySubj with an
// optional Seq or StartTime to start at, or Seq alone.
type LeaderRequest struct {
	// Seq is the exact sequence, or with NextBySubj the first one to consider.
	Seq uint64
	// StartTime, with NextBySubj, considers what was stored at or after it.
	StartTime time.Time
	// LastBySubj asks for the last message of a subject.
	LastBySubj string
	// NextBySubj asks for the first message of a subject at or behind Seq.
	NextBySubj string
}

// Info is a stream's state and the part of its configuration that readers need.
type Info struct {
	// FirstSeq is the oldest kept sequence, LastSeq the newest ever stored. An empty
	// stream has FirstSeq = LastSeq+1, or both 0 when nothing was ever stored.
	FirstSeq, LastSeq uint64
	// FirstTime and LastTime are when those were stored.
	FirstTime, LastTime time.Time
	// Messages and Bytes are what the stream holds now.
	Messages, Bytes uint64
	// Created is when the stream was created.
	Created time.Time
	// Metadata is the stream's, nil if it has none.
	Metadata map[string]string
	// Replicas is the configured number of copies.
	Replicas int
	// DedupWindow is how long the stream remembers message ids.
	DedupWindow time.Duration
	// AtomicBatches says that the stream takes atomic batches.
	AtomicBatches bool
	// Leader is the name of the server that leads the stream, "" outside a cluster
	// and while there is none.
	Leader string
}

type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string {
	return fmt.Sprintf("%s (%d)", e.Description, e.ErrCode)
}

// Codes of the API.
const (
	codeStreamNotFound  = 10059
	codeMessageNotFound = 10037
)

// Leader asks the stream's leader for one message. It sees everything that was
// acknowledged. The error matches ErrNotFound when there is no such message or no
// such stream, and ErrStalled when nobody answered within ctx and the client's stall
// time, as happens during an election.
func (c *Client) Leader(ctx context.Context, stream string, req LeaderRequest) (*Message, error) {
	var answer struct {
		Error   *apiError `json:"error"`
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	w := wireRequest{Seq: req.Seq, LastBySubj: req.LastBySubj, NextBySubj: req.NextBySubj}
	if !req.StartTime.IsZero() {
		w.StartTime = &req.StartTime
	}
	if err := c.api(ctx, "$JS.API.STREAM.MSG.GET."+stream, w, &answer); err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, answer.Error.wrap()
	}
	if answer.Message == nil {
		return nil, fmt.Errorf("%w: an answer without a message", ErrLoad)
	}
	m := &Message{
		Subject: answer.Message.Subject, Seq: answer.Message.Seq,
		Time: answer.Message.Time, Data: answer.Message.Data,
	}
	if len(answer.Message.Header) > 0 {
		h, err := nats.DecodeHeadersMsg(answer.Message.Header)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrLoad, err)
		}
		m.Header = h
	}
	return m, nil
}

// clusterInfo is who keeps a stream.
type clusterInfo struct {
	Leader   string `json:"leader"`
	Replicas []struct {
		Name string `json:"name"`
	} `json:"replicas"`
}

// led reports whether the answer came from a leader. While a stream has none, any of
// its nodes answers, with whatever it holds: the answer then names no leader, or, where
// one was elected meanwhile, names it among the replicas, where a leader never lists
// itself.
func (c *clusterInfo) led() bool {
	for _, r := range c.Replicas {
		if r.Name == c.Leader {
			return false
		}
	}
	return c.Leader != ""
}

// Info asks the stream's leader for its state. Errors are those of Leader; a stream
// that has no leader right now is ErrStalled.
func (c *Client) Info(ctx context.Context, stream string) (Info, error) {
	var answer struct {
		Error   *apiError `json:"error"`
		Created time.Time `json:"created"`
		Config  struct {
			Metadata   map[string]string `json:"metadata"`
			Replicas   int               `json:"num_replicas"`
			Duplicates time.Duration     `json:"duplicate_window"`
			Atomic     bool              `json:"allow_atomic"`
		} `json:"config"`
		State struct {
			Messages  uint64    `json:"messages"`
			Bytes     uint64    `json:"bytes"`
			FirstSeq  uint64    `json:"first_seq"`
			LastSeq   uint64    `json:"last_seq"`
			FirstTime time.Time `json:"first_ts"`
			LastTime  time.Time `json:"last_ts"`
		} `json:"state"`
		Cluster clusterInfo `json:"cluster"`
	}
	if err := c.api(ctx, "$JS.API.STREAM.INFO."+stream, struct{}{}, &answer); err != nil {
		return Info{}, err
	}
	if answer.Error != nil {
		return Info{}, answer.Error.wrap()
	}
	if answer.Config.Replicas > 1 && !answer.Cluster.led() {
		return Info{}, fmt.Errorf("%w: %s has no leader", ErrStalled, stream)
	}
	return Info{
		FirstSeq: answer.State.FirstSeq, LastSeq: answer.State.LastSeq,
		FirstTime: answer.State.FirstTime, LastTime: answer.State.LastTime,
		Messages: answer.State.Messages, Bytes: answer.State.Bytes,
		Created: answer.Created, Metadata: answer.Config.Metadata,
		Replicas: answer.Config.Replicas, DedupWindow: answer.Config.Duplicates, AtomicBatches: answer.Config.Atomic,
		Leader: answer.Cluster.Leader,
	}, nil
}

// wrap returns the API's error under the sentinel that fits.
func (e *apiError) wrap() error {
	switch {
	case e.ErrCode == codeStreamNotFound || e.ErrCode == codeMessageNotFound:
		return fmt.Errorf("%w: %w", ErrNotFound, e)
	case e.Code == 503:
		return fmt.Errorf("%w: %w", ErrStalled, e)
	case e.Code == 400:
		return fmt.Errorf("%w: %w", ErrBadRequest, e)
	}
	return fmt.Errorf("%w: %w", ErrLoad, e)
}

// api makes one request of JetStream's API and decodes the answer.
func (c *Client) api(ctx context.Context, subject string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("directget: encode the request: %w", err)
	}
	attempt, cancel := context.WithTimeout(ctx, c.stall)
	defer cancel()
	m, err := c.nc.RequestWithContext(attempt, subject, body)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return ErrNoResponders
	case err != nil && attempt.Err() != nil:
		if ctx.Err() == nil {
			return ErrStalled
		}
		return fmt.Errorf("directget: %w", context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("directget: %w", err)
	}
	if err := json.Unmarshal(m.Data, answer); err != nil {
		return fmt.Errorf("%w: %w", ErrLoad, err)
	}
	return nil
}
