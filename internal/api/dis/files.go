package dis

import (
	"errors"

	"disd/internal/api/rest"
	"disd/internal/auth/policy"
	"disd/internal/field"
	"disd/internal/partition"
)

// notePieces remembers which of the stored records are pieces of files. The
// records are safe whatever becomes of it.
func (s *recordCalls) notePieces(c *rest.Call, st *partition.Stream, u *uploader) {
	var pieces []partition.Piece
	for i, o := range u.outcomes {
		f := &u.request.Records[i].Info
		if o.Err != nil || len(f.DeliverDataID) == 0 {
			continue
		}
		pieces = append(pieces, partition.Piece{
			File: string(f.DeliverDataID), Name: string(f.FileName), Number: f.Seq, Last: f.End,
			Partition: o.Partition, Seq: o.Seq,
		})
	}
	if len(pieces) == 0 {
		return
	}
	if err := s.streams.AddPieces(st, pieces); err != nil && !errors.Is(err, partition.ErrStreamNotFound) {
		s.log.Error("state of an uploaded file is behind its records", "request_id", c.ID, "error", err)
	}
}

type fileReply struct {
	StreamName string              `json:"stream_name"`
	FileName   string              `json:"file_name"`
	ID         string              `json:"deliver_data_id"`
	State      partition.FileState `json:"state"`
}

// showFile answers E47.
func (s *recordCalls) showFile(c *rest.Call) (rest.Reply, error) {
	name, id := c.Query.Get("stream-name"), c.Param("file")
	if err := field.Present("stream-name", name); err != nil {
		return rest.Reply{}, err
	}
	st, err := s.stream(c, policy.GetStreamInfo, name, "")
	if err != nil {
		return rest.Reply{}, err
	}
	file, state, err := s.streams.File(st, id)
	if err != nil {
		return rest.Reply{}, notFound(c, name, err)
	}
	if want := c.Query.Get("file-name"); want != "" && want != file { // the id is another file's, or nobody's
		file, state = want, partition.FileUnknown
	}
	return rest.OK(fileReply{name, file, id, state})
}
