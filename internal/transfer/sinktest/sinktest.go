// Package sinktest is what every sink of transfer tasks must pass: however often
// and however interrupted a batch is delivered, the destination has its records
// once.
package sinktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/transfer/kind"
)

// A Destination is one that a sink can be opened for. It is empty.
type Destination struct {
	Target kind.Target // with its Kind, which has an Opener

	// Record makes the data of a record; nil for "partition,number".
	Record func(partition int32, number int) string

	// Rows returns the data of all records at the destination, in any order of
	// partitions.
	Rows func() []string

	// Forgetful is a destination that cannot tell without the records whether it
	// has a batch.
	Forgetful bool

	// Vanish takes away what the target names, so that it refuses.
	Vanish func()
}

// Target returns the target of a task of a kind, with a descriptor in JSON, which
// is parsed as that of a request. The caller adds the store, and more if needed.
func Target(t testing.TB, k kind.Kind, descriptor string) kind.Target {
	t.Helper()
	kinds := kind.Set{k}
	d, err := kinds.Parse(k.Type, json.RawMessage(descriptor))
	if err != nil {
		t.Fatal(err)
	}
	secret := kinds.Hide(d)
	_, settings, err := kinds.Decode(d)
	if err != nil {
		t.Fatal(err)
	}
	return kind.Target{TaskID: "1", TaskName: settings.Task().TaskName, Stream: kind.Stream{Name: "s"}, Settings: settings, Kind: &k, Secret: secret}
}

// Run tests a kind of sink. fresh makes a destination for one test; the data of
// records must be kept as it is.
func Run(t *testing.T, fresh func(t *testing.T) Destination) {
	for name, test := range map[string]func(*testing.T, Destination){
		"delivers": delivers, "same batch twice": twice, "cancelled": cancelled,
		"lost reply and restart": restart, "refused": refused, "partitions at once": together, "large": large,
	} {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

// batch makes the batch of n records of a partition, from first on.
func (d Destination) batch(partition int32, first, n int) kind.Batch {
	b := kind.Batch{
		Target: d.Target, Partition: partition, First: storage.Seq(first), Last: storage.Seq(first + n - 1),
		Generated: time.Date(2017, 11, 10, 14, 49, 0, 0, time.UTC),
	}
	for i := range n {
		b.Records = append(b.Records, storage.Record{Seq: b.First + storage.Seq(i), Data: []byte(d.record(partition, first+i))})
	}
	return b
}

func (d Destination) record(partition int32, number int) string {
	if d.Record != nil {
		return d.Record(partition, number)
	}
	return fmt.Sprintf("%d,%d", partition, number)
}

// Prepare does to a batch what the engine does before it delivers one: it asks the
// sink for columns and gives the records to the form.
func Prepare(ctx context.Context, s kind.Sink, b *kind.Batch) (err error) {
	if b.Columns, err = s.Columns(ctx); err != nil {
		return err
	}
	if b.Form, err = b.Target.Settings.Form(b); err != nil {
		return err
	}
	for _, r := range b.Records {
		if err := b.Form.Add(r); err != nil {
			return fmt.Errorf("record %d: %w", r.Seq, err)
		}
	}
	return nil
}

// Deliver prepares a batch and delivers it.
func Deliver(ctx context.Context, s kind.Sink, b kind.Batch) (kind.Receipt, error) {
	if err := Prepare(ctx, s, &b); err != nil {
		return kind.Receipt{}, err
	}
	return s.Deliver(ctx, b)
}

func (d Destination) open(t *testing.T) kind.Sink {
	t.Helper()
	s, err := d.Target.Kind.Opener.Open(t.Context(), d.Target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func deliver(t *testing.T, s kind.Sink, b kind.Batch) {
	t.Helper()
	if _, err := Deliver(t.Context(), s, b); err != nil {
		t.Fatal(err)
	}
}

// check holds the destination against batches that were delivered, each once.
func (d Destination) check(t *testing.T, batches ...kind.Batch) {
	t.Helper()
	var want []string
	for _, b := range batches {
		for _, r := range b.Records {
			want = append(want, string(r.Data))
		}
	}
	got := d.Rows()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the destination has %d rows: %.300s\nwant %d: %.300s", len(got), strings.Join(got, " "), len(want), strings.Join(want, " "))
	}
}

func delivers(t *testing.T, d Destination) {
	if err := d.Target.Kind.Opener.Check(t.Context(), d.Target); err != nil {
		t.Fatal(err)
	}
	s, a, b := d.open(t), d.batch(0, 0, 3), d.batch(0, 3, 1)
	deliver(t, s, a)
	d.check(t, a)
	deliver(t, s, b)
	d.check(t, a, b)
	if !d.Forgetful {
		settled(t, s, a, true)
	}
	settled(t, s, d.batch(0, 4, 2), false)
}

// settled asks a sink whether it has a batch, of which the records are gone.
func settled(t *testing.T, s kind.Sink, b kind.Batch, want bool) {
	t.Helper()
	b.Records = nil
	if got, err := s.Delivered(t.Context(), b); err != nil || got != want {
		t.Errorf("delivered: %v, %v, want %v", got, err, want)
	}
}

func twice(t *testing.T, d Destination) {
	s, a := d.open(t), d.batch(0, 0, 3)
	deliver(t, s, a)
	deliver(t, s, a)
	d.check(t, a)
}

// cancelled ends the context before, and as soon as possible after, the start;
// whatever came of it, the batch is there once after the next attempt.
func cancelled(t *testing.T, d Destination) {
	s, a := d.open(t), d.batch(0, 0, 1000)
	for _, wait := range []time.Duration{0, 10 * time.Microsecond, time.Millisecond} {
		ctx, stop := context.WithTimeout(t.Context(), wait)
		if _, err := Deliver(ctx, s, a); err == nil {
			d.check(t, a)
		}
		stop()
	}
	deliver(t, s, a)
	d.check(t, a)
}

// restart delivers again through a new sink, between other batches.
func restart(t *testing.T, d Destination) {
	a, b, c := d.batch(0, 0, 3), d.batch(0, 3, 2), d.batch(0, 5, 1)
	s := d.open(t)
	deliver(t, s, a)
	deliver(t, s, b)
	s = d.open(t)
	deliver(t, s, b)
	deliver(t, s, c)
	d.check(t, a, b, c)
}

func refused(t *testing.T, d Destination) {
	s := d.open(t)
	d.Vanish()
	if _, err := Deliver(t.Context(), s, d.batch(0, 0, 1)); !errors.Is(err, kind.ErrRefused) {
		t.Errorf("got %v, want ErrRefused", err)
	}
}

func together(t *testing.T, d Destination) {
	s := d.open(t)
	var all []kind.Batch
	var going sync.WaitGroup
	for p := range int32(4) {
		for i := range 3 {
			all = append(all, d.batch(p, i*5, 5))
		}
		mine := all[len(all)-3:]
		going.Go(func() {
			for _, b := range mine {
				if _, err := Deliver(t.Context(), s, b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	going.Wait()
	d.check(t, all...)
}

// large is a batch of several megabytes. Where records have a form of their own, they
// are padded by what is none of it.
func large(t *testing.T, d Destination) {
	b, padding := d.batch(0, 0, 20), "x"
	if d.Record != nil {
		padding = " "
	}
	want := b
	want.Records = slices.Clone(b.Records)
	for i := range b.Records {
		b.Records[i].Data = append(b.Records[i].Data, strings.Repeat(padding, 1<<20)...)
		if d.Record == nil {
			want.Records[i] = b.Records[i]
		}
	}
	s := d.open(t)
	deliver(t, s, b)
	deliver(t, s, b)
	d.check(t, want)
}
