package server

import (
	"context"

	"disd/internal/auth"
	"disd/internal/auth/policy"
	"disd/internal/cursor"
	"disd/internal/monitor"
	"disd/internal/partition"
	"disd/internal/storage/catalog"
	"disd/internal/transfer"
)

// openStreams opens the streams. What other packages keep of a stream goes with it.
func (s *Server) openStreams(ids *auth.Directory) (err error) {
	s.streams, err = partition.Open(context.Background(), s.engine, s.db, partition.Options{
		Now:      s.opts.Now,
		Logger:   s.log,
		Quotas:   s.opts.Quotas.Streams,
		Quota:    s.quota,
		Account:  ids.Account,
		OnDelete: []func(catalog.Tx, string) error{cursor.ForgetStream, policy.Forget, transfer.ForgetStream, monitor.Forget},
		Traffic: func(streamID string, minutes int) (partition.Load, bool) {
			t, err := s.monitor.Traffic(streamID, minutes)
			return partition.Load(t), err == nil
		},
	})
	return err
}
