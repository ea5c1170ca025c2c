package publishertest_test

import (
	"errors"
	"testing"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/publishertest"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/dhruva"
	"github.com/bodhisattva/indranet/schema/excalidraw"
)

func activated(id string) dhruva.AdapterActivated {
	return dhruva.AdapterActivated{AdapterID: id, Repo: "r", Version: "1"}
}

func TestRecorderAnswersLikeAPublisher(t *testing.T) {
	var r publishertest.Recorder
	ctx := t.Context()
	one, err := r.Publish(ctx, activated("a"), publisher.WithID("x"))
	if err != nil || one.Seq != 1 || one.Channel != "adapter:a" || one.Subject != "ev.dhruva.adapter.a" || one.Epoch != publishertest.Epoch {
		t.Fatalf("%+v, %v", one, err)
	}
	if again, err := r.Publish(ctx, activated("a"), publisher.WithID("x")); err != nil || !again.Duplicate || again.Seq != 1 {
		t.Errorf("the same id: %+v, %v", again, err)
	}
	if _, err := r.Publish(ctx, activated("")); !errors.Is(err, publisher.ErrInvalid) {
		t.Errorf("an invalid event: %v", err)
	}
	var conflict *publisher.ConflictError
	if _, err := r.Publish(ctx, activated("a"), publisher.WithExpectedSeq(0)); !errors.As(err, &conflict) || conflict.Actual != 1 {
		t.Errorf("a conflict: %v", err)
	}
	if two, err := r.Publish(ctx, activated("a"), publisher.WithExpectedSeq(1)); err != nil || two.Seq != 2 {
		t.Errorf("the expected position: %+v, %v", two, err)
	}
	if moved, err := r.Publish(ctx, excalidraw.CursorMoved{RoomID: "r", UserID: "u"}); err != nil || moved.Seq != 0 {
		t.Errorf("a transient event: %+v, %v", moved, err)
	}
	ack, err := r.PublishAsync(ctx, activated("b"))
	if err != nil {
		t.Fatal(err)
	}
	if receipt, err := ack.Wait(ctx); err != nil || receipt.Seq != 3 {
		t.Errorf("async: %+v, %v", receipt, err)
	}
	if _, err := r.PublishAsync(ctx, activated("")); !errors.Is(err, publisher.ErrInvalid) {
		t.Errorf("async, invalid: %v", err)
	}
	if list := publishertest.Of[dhruva.AdapterActivated](&r); len(list) != 3 || list[2].AdapterID != "b" {
		t.Errorf("recorded %+v", list)
	}
	if n := len(r.Events()); n != 4 {
		t.Errorf("%d events", n)
	}
}

func TestRecorderFailsOnDemandAndRecordsNothing(t *testing.T) {
	var r publishertest.Recorder
	r.Fail(publisher.ErrUnavailable, nil)
	if _, err := r.Publish(t.Context(), activated("a")); !errors.Is(err, publisher.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	for range 2 {
		if _, err := r.Publish(t.Context(), activated("a")); err != nil {
			t.Error(err)
		}
	}
	if n := len(r.Events()); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestRecorderTakesBatchesWholeOrNotAtAll(t *testing.T) {
	var r publishertest.Recorder
	receipts, err := r.PublishBatch(t.Context(), []schema.Event{activated("a"), activated("b")})
	if err != nil || len(receipts) != 2 || receipts[1].Seq != 2 {
		t.Fatalf("%+v, %v", receipts, err)
	}
	for _, batch := range [][]schema.Event{
		{activated("c"), activated("")},
		{activated("c"), excalidraw.DiagramSaved{DiagramID: "d", StorageKey: "k"}},
		{excalidraw.CursorMoved{RoomID: "r", UserID: "u"}},
	} {
		if _, err := r.PublishBatch(t.Context(), batch); !errors.Is(err, publisher.ErrInvalid) {
			t.Errorf("%+v: %v", batch, err)
		}
	}
	if n := len(r.Events()); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestRecordedBatchesHaveIDsLikeThoseOfAPublisher(t *testing.T) {
	var r publishertest.Recorder
	batch := []schema.Event{activated("a"), activated("b")}
	id := publisher.WithID("outbox-7")
	first, err := r.PublishBatch(t.Context(), batch, id, publisher.WithExpectedSeq(0))
	if err != nil || first[0].ID != "outbox-7/1" || first[1].ID != "outbox-7/2" {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := r.PublishBatch(t.Context(), batch, id, publisher.WithExpectedSeq(0))
	if err != nil || again[1].Seq != first[1].Seq || !again[0].Duplicate {
		t.Errorf("again %+v, %v", again, err)
	}
	if _, err := r.PublishBatch(t.Context(), append(batch, activated("c")), id); !errors.Is(err, publisher.ErrIDTaken) {
		t.Errorf("a longer batch: %v", err)
	}
	if _, err := r.PublishBatch(t.Context(), batch, publisher.WithExpectedSeq(0)); !errors.Is(err, publisher.ErrConflict) {
		t.Errorf("a conflict: %v", err)
	}
	if _, err := r.Publish(t.Context(), activated("c"), publisher.WithID("outbox-7/1")); !errors.Is(err, publisher.ErrIDTaken) {
		t.Errorf("a taken id: %v", err)
	}
	if n := len(r.Events()); n != 2 {
		t.Errorf("%d events", n)
	}
}
