package hbase

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"disd/internal/transfer/kind"
)

// A cluster is one of the configuration.
type cluster struct {
	Gateway
	name string
	last atomic.Uint32 // the address that answered last
}

func (c *cluster) limits() limits {
	if c.Framed {
		return limits{cell: c.Cell, frame: c.Frame}
	}
	return limits{cell: c.Cell}
}

// with connects to the address that answered last and does something there. When the
// connection fails or breaks, the next attempt begins with the next address
// (HBASE-2).
func (c *cluster) with(ctx context.Context, do func(*conn) error) error {
	at := c.last.Load()
	address := c.Thrift[at%uint32(len(c.Thrift))]
	conn, err := dial(ctx, address, c.Framed, c.Timeout)
	if err == nil {
		err = do(conn)
		_ = conn.Close() // every answer is there
	}
	var answer *serverError
	if err == nil || errors.As(err, &answer) || errors.Is(err, kind.ErrRefused) {
		return err
	}
	c.last.CompareAndSwap(at, at+1)
	return fmt.Errorf("cluster %s: %s: %w", c.name, address, err)
}

// clusters are those of the configuration, by name and id.
type clusters map[[2]string]*cluster

func (all clusters) find(s *settings) (*cluster, error) {
	c := all[[2]string{s.ClusterName, s.ClusterID}]
	if c == nil {
		return nil, &kind.DestinationError{Err: kind.ErrCloudTableCluster, Name: s.ClusterName + " with the id " + s.ClusterID}
	}
	return c, nil
}

// Check implements kind.Opener (HBASE-5).
func (all clusters) Check(ctx context.Context, t kind.Target) error {
	s := t.Settings.(*settings)
	c, err := all.find(s)
	if err != nil {
		return err
	}
	err = c.with(ctx, func(conn *conn) error { return s.ready(conn) })
	var missing *kind.DestinationError
	if err == nil || errors.As(err, &missing) {
		return err
	}
	return &kind.DestinationError{Err: kind.ErrCloudTableCluster, Name: err.Error()}
}

// ready returns a DestinationError for a table or family that is gone.
func (s *settings) ready(c *conn) error {
	there, err := c.tableExists(s.Table)
	switch {
	case err != nil:
		return err
	case !there:
		return missing(kind.ErrCloudTableTable, s.Table)
	}
	families, err := c.families(s.Table)
	if err != nil {
		return err
	}
	for _, column := range s.Schema.Columns {
		if !families[column.Family] {
			return missing(kind.ErrColumnFamily, column.Family)
		}
	}
	return nil
}

// missing is refused for good when a batch meets it (HBASE-20).
func missing(what error, name string) error {
	return fmt.Errorf("%w: %w", kind.ErrRefused, &kind.DestinationError{Err: what, Name: name})
}

// Open implements kind.Opener. Each attempt makes a connection of its own.
func (all clusters) Open(_ context.Context, t kind.Target) (kind.Sink, error) {
	s := t.Settings.(*settings)
	c, err := all.find(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kind.ErrRefused, err)
	}
	return &sink{cluster: c, settings: s}, nil
}

type sink struct {
	kind.Plain
	cluster  *cluster
	settings *settings
}

// Deliver implements kind.Sink (HBASE-17). Calls follow one another, so that after a
// lost answer the last of them speaks for all.
func (s *sink) Deliver(ctx context.Context, b kind.Batch) (kind.Receipt, error) {
	if len(b.Records) == 0 {
		return kind.Receipt{}, nil
	}
	err := s.cluster.with(ctx, func(c *conn) error {
		if err := s.settings.ready(c); err != nil {
			return err
		}
		if err := b.Commit(); err != nil {
			return err
		}
		for rows, err := range s.settings.calls(b.Records, b.Floor) {
			if err == nil {
				err = c.putMultiple(s.settings.Table, rows)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return kind.Receipt{}, refusal(err)
}

// Delivered implements kind.Sink: it looks at the rows of the last call. Without its
// records the answer is no (HBASE-18).
func (s *sink) Delivered(ctx context.Context, b kind.Batch) (shown bool, err error) {
	if len(b.Records) == 0 {
		return false, nil
	}
	var last []row
	for rows, err := range s.settings.calls(b.Records, b.Floor) {
		if err != nil {
			return false, err
		}
		last = rows
	}
	err = s.cluster.with(ctx, func(c *conn) error {
		shown, err = c.shows(s.settings.Table, last)
		return err
	})
	return shown, refusal(err)
}

// refusal wraps the errors that trying again does not cure (HBASE-20).
func refusal(err error) error {
	var answer *serverError
	if errors.As(err, &answer) && answer.denied {
		return fmt.Errorf("%w: %w", kind.ErrRefused, err)
	}
	return err
}
