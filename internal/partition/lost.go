package partition

import (
	"strconv"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

// Records that were acknowledged without being synced may be lost when the power
// fails; their numbers are then given again. Who remembers such a number must not
// skip the record that gets it: at the start, before anything is appended, all that
// lies beyond the end of a log is set back.

// setBack notes where the logs end, and forgets the pieces of files whose records
// were lost.
func (s *Set) setBack() error {
	s.opened = s.opts.Now().UnixMilli()
	s.ends = make(map[storage.LogID]storage.Seq)
	for id, st := range s.byID {
		for part, l := range st.layout.Load().logs {
			if l.err == nil {
				_, next := l.log.Bounds()
				s.ends[storage.LogID{Stream: id, Partition: int32(part)}] = next
			}
		}
	}
	var lost []catalog.Key
	err := s.db.View(func(tx catalog.Tx) error {
		return pieces.Each(tx, nil, func(key catalog.Key, p place) error {
			if next, ok := s.End(key[0], p.Partition); ok && p.Seq >= next {
				lost = append(lost, key)
			}
			return nil
		})
	})
	if err != nil || len(lost) == 0 {
		return err
	}
	s.opts.Logger.Warn("pieces of files were lost with unsynced records", "pieces", strconv.Itoa(len(lost)))
	return s.db.Update(func(tx catalog.Tx) error {
		for _, key := range lost {
			if err := pieces.Delete(tx, key); err != nil {
				return err
			}
		}
		return nil
	})
}

// End returns the number that was next in a partition when the set was opened, if
// records from it on may have been lost; false if none were, or nobody knows.
func (s *Set) End(streamID string, partition int32) (next storage.Seq, ok bool) {
	next, ok = s.ends[storage.LogID{Stream: streamID, Partition: partition}]
	return next, ok
}

// Resume returns where a reader goes on that was told to go on at seq, at the time
// issued in ms: there, or at the first record it cannot have seen, if those before
// seq were lost since then.
func (st *Stream) Resume(id int32, seq storage.Seq, issued int64) storage.Seq {
	l := st.layout.Load()
	if l == nil || issued >= st.set.opened {
		return seq
	}
	next, ok := st.set.End(l.info.ID, id)
	if !ok || seq <= next {
		return seq
	}
	st.set.opts.Logger.Warn("a cursor is set back, the records before it were lost unsynced",
		"project", l.info.Project, "stream", l.info.Name, "partition", id, "from", int64(seq), "to", int64(next))
	return next
}
