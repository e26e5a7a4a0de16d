package server

import (
	"context"

	"disd/internal/auth"
	"disd/internal/auth/policy"
	"disd/internal/cursor"
	"disd/internal/monitor"
	"disd/internal/partition"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/transfer"
)

// openStreams opens the streams. What other packages keep of a stream goes with it.
func (s *Server) openStreams(ids *auth.Directory) (err error) {
	s.streams, err = partition.Open(context.Background(), s.engine, s.db, partition.Options{
		Now:         s.opts.Now,
		Logger:      s.log,
		Quotas:      s.opts.Quotas.Streams,
		Quota:       s.quota,
		Account:     ids.Account,
		MayHaveLost: s.mayHaveLost(),
		OnDelete:    []func(catalog.Tx, string) error{cursor.ForgetStream, policy.Forget, transfer.ForgetStream, monitor.Forget},
		Traffic: func(streamID string, minutes int) (partition.Load, bool) {
			t, err := s.monitor.Traffic(streamID, minutes)
			return partition.Load(t), err == nil
		},
	})
	return err
}

// mayHaveLost reports whether the engine lost records that others may remember.
func (s *Server) mayHaveLost() bool {
	e, ok := s.engine.(interface{ MayHaveLost() bool })
	return ok && e.MayHaveLost()
}

// settleLoss sets back what lies beyond the ends of the logs, once everything else
// did so for what is its own when it was opened.
func (s *Server) settleLoss() error {
	if !s.mayHaveLost() {
		return nil
	}
	s.log.Warn("the server was not stopped in order and sync is not always: records may have been lost", "sync", s.conf.Sync)
	err := s.apps.SetBack(func(streamID string, partition int32) (oldest, next storage.Seq, ok bool) {
		st, err := s.streams.GetID(streamID)
		if err != nil {
			return 0, 0, false
		}
		log, err := st.Log(partition)
		if err != nil {
			return 0, 0, false
		}
		oldest, next = log.Bounds()
		return oldest, next, true
	})
	if e, ok := s.engine.(interface{ LossSettled() }); ok && err == nil {
		e.LossSettled()
	}
	return err
}
