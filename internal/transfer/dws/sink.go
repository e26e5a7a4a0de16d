package dws

import (
	"context"
	"fmt"
	"strconv"

	"disd/internal/storage"
	"disd/internal/transfer/kind"
)

// The progress table lies in the schema of the task's table. A row says which
// batch of a task and partition was committed last, in the transaction that
// loaded it.
const (
	progressTable   = "disd_transfer_progress"
	progressColumns = `(task_id text NOT NULL, partition_id integer NOT NULL, first_seq bigint NOT NULL, last_seq bigint NOT NULL,
		rejected bigint NOT NULL, PRIMARY KEY (task_id, partition_id))`
)

// The error table holds rejected rows (DWS-8).
const errorColumns = `(begintime timestamptz, filename text, rownum bigint, rawrecord text, detail text)`

type sink struct {
	kind.Plain
	opener *opener
}

// extension of the files in which batches wait for being loaded (D-10).
const extension = ".csv"

// Deliver implements kind.Sink. The batch lies in the bucket while it is being
// loaded (DWS-1).
func (s *sink) Deliver(ctx context.Context, b kind.Batch) (done kind.Receipt, err error) {
	c, err := s.opener.connect(ctx, b.Target)
	if err != nil {
		return done, err
	}
	defer c.close()
	bucket, key := b.Staged(extension)
	if err := b.Target.Store.Put(ctx, bucket, key, kind.Delimited(b.Records, "\n")); err != nil {
		return done, err
	}
	done.Rejected, err = c.deliver(ctx, &b, key)
	if left := b.Target.Store.Delete(ctx, bucket, key); err == nil {
		err = left
	}
	return done, err
}

// Clean implements kind.Sink.
func (*sink) Clean(ctx context.Context, b kind.Batch) error {
	bucket, key := b.Staged(extension)
	if err := b.Target.Store.Delete(ctx, bucket, key); err != nil {
		return err
	}
	return b.Target.Store.Abandon(ctx, bucket, key)
}

// deliver loads a batch unless it is there already. file is what it was staged
// as.
func (c *session) deliver(ctx context.Context, b *kind.Batch, file string) (rejected int64, err error) {
	layout, err := readLayout(ctx, c, b.Target)
	if err != nil {
		return 0, err
	}
	load, err := newLoad(c, b, layout, file)
	if err != nil {
		return 0, err
	}
	if err := c.create(ctx, layout.schema, progressTable, progressColumns); err != nil {
		return 0, err
	}
	if load.errorTable != "" {
		if err := c.create(ctx, layout.schema, load.errorTable, errorColumns); err != nil {
			return 0, err
		}
	}
	// A database may be set up to acknowledge what it can still lose.
	if err := c.run(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", "SET LOCAL synchronous_commit TO on"); err != nil {
		return 0, err
	}
	last, err := c.lock(ctx, layout.schema, b)
	switch {
	case err != nil:
		return 0, err
	case last.is(b):
		return last.rejected, nil
	case last.last >= b.First:
		return 0, fmt.Errorf("%w: the table has records up to %d of partition %d from this task, which does not know of them: was an older data directory put back? delete the task and make a new one",
			kind.ErrRefused, last.last, b.Partition)
	}
	rejected, err = load.run(ctx)
	if err != nil {
		return 0, err
	}
	_, err = c.query(ctx, `UPDATE `+quote(layout.schema, progressTable)+` SET first_seq = $3, last_seq = $4, rejected = $5
		WHERE task_id = $1 AND partition_id = $2`, b.Target.TaskID, b.Partition, int64(b.First), int64(b.Last), rejected)
	if err != nil {
		return 0, err
	}
	if err := b.Commit(); err != nil {
		return 0, err
	}
	return rejected, c.run(ctx, "COMMIT")
}

// A progress is a row of the progress table.
type progress struct {
	first, last storage.Seq
	rejected    int64
}

func (p progress) is(b *kind.Batch) bool { return p.first == b.First && p.last == b.Last }

// lock returns the progress of a batch's task and partition, and keeps others
// from making any until the transaction ends: also an attempt whose connection
// broke and which the database has not given up yet.
func (c *session) lock(ctx context.Context, schema string, b *kind.Batch) (progress, error) {
	table := quote(schema, progressTable)
	_, err := c.query(ctx, `INSERT INTO `+table+` SELECT $1::text, $2::integer, -1, -1, 0
		WHERE NOT EXISTS (SELECT 1 FROM `+table+` WHERE task_id = $1::text AND partition_id = $2::integer)`, b.Target.TaskID, b.Partition)
	if err != nil {
		return progress{}, err
	}
	rows, err := c.query(ctx, `SELECT first_seq, last_seq, rejected FROM `+table+`
		WHERE task_id = $1 AND partition_id = $2 FOR UPDATE`, b.Target.TaskID, b.Partition)
	if err != nil || len(rows) == 0 {
		return progress{-1, -1, 0}, err
	}
	var n [3]int64
	for i, text := range rows[0] {
		if n[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return progress{}, err
		}
	}
	return progress{storage.Seq(n[0]), storage.Seq(n[1]), n[2]}, nil
}

// Delivered implements kind.Sink.
func (s *sink) Delivered(ctx context.Context, b kind.Batch) (bool, error) {
	c, err := s.opener.connect(ctx, b.Target)
	if err != nil {
		return false, err
	}
	defer c.close()
	schema := of(b.Target).Schema
	if there, err := c.exists(ctx, schema, progressTable); err != nil || !there {
		return false, err
	}
	if err := c.run(ctx, "BEGIN"); err != nil { // ended by close
		return false, err
	}
	p, err := c.lock(ctx, schema, &b)
	return p.last >= b.Last, err
}
