package opentsdb

import (
	"context"
	"errors"
	"fmt"

	"disd/internal/transfer/kind"
)

// clusters are those of the configuration, by name and id.
type clusters map[[2]string]*client

func (all clusters) find(s *settings) (*client, error) {
	c := all[[2]string{s.ClusterName, s.ClusterID}]
	if c == nil {
		return nil, &kind.DestinationError{Err: kind.ErrCloudTableCluster, Name: s.ClusterName + " with the id " + s.ClusterID}
	}
	return c, nil
}

// Check implements kind.Opener (TSDB-2, TSDB-5).
func (all clusters) Check(ctx context.Context, t kind.Target) error {
	s := t.Settings.(*settings)
	c, err := all.find(s)
	if err != nil {
		return err
	}
	if err := c.check(ctx); err != nil {
		return &kind.DestinationError{Err: kind.ErrCloudTableCluster, Name: err.Error()}
	}
	return s.tags(c.maxTags)
}

// Open implements kind.Opener.
func (all clusters) Open(_ context.Context, t kind.Target) (kind.Sink, error) {
	s := t.Settings.(*settings)
	c, err := all.find(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kind.ErrRefused, err)
	}
	return &sink{client: c, settings: s}, nil
}

// A sink sends a batch again after a lost answer, which leaves the same points. So
// it notes no commit and need not be asked what was delivered (TSDB-16).
type sink struct {
	kind.Plain
	client   *client
	settings *settings
}

// Deliver implements kind.Sink.
func (s *sink) Deliver(ctx context.Context, b kind.Batch) (kind.Receipt, error) {
	all, err := s.points(&b)
	if err == nil {
		err = s.client.put(ctx, all)
	}
	if errors.Is(err, errAccess) {
		err = fmt.Errorf("%w: %w", kind.ErrRefused, err)
	}
	return kind.Receipt{}, err
}

// points makes the points of a batch. Of those with the same metric, tags and time
// only that of the last record is there, so that the order in which they are stored
// does not matter (TSDB-12).
func (s *sink) points(b *kind.Batch) ([]point, error) {
	var all []point
	there := make(map[string]int)
	rules := s.settings.rules(b)
	for i := range b.Records {
		made, err := points(s.settings.Schema, b.Records[i].Data, rules)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", b.Records[i].Seq, err)
		}
		for _, p := range made {
			at, again := there[p.series]
			if again {
				all[at] = p
				continue
			}
			there[p.series] = len(all)
			all = append(all, p)
		}
	}
	return all, nil
}
