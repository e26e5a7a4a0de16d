package api

import (
	"errors"
	"unicode/utf8"

	"disd/internal/auth/policy"
	"disd/internal/cursor"
	"disd/internal/field"
	"disd/internal/partition"
	"disd/internal/storage"
)

const maxMetadata = 1000 // characters

type commitCheckpointRequest struct {
	AppName    text   `json:"app_name"`
	Type       text   `json:"checkpoint_type"`
	StreamName text   `json:"stream_name"`
	StreamID   text   `json:"stream_id"`
	Partition  text   `json:"partition_id"`
	Sequence   text   `json:"sequence_number"`
	Metadata   text   `json:"metadata"`
	ClientID   text   `json:"client_id"`
	Generation number `json:"generation_id"`
}

// commitCheckpoint answers E16.
func (s *Server) commitCheckpoint(c *call) (reply, error) {
	var in commitCheckpointRequest
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	id, point, err := in.checkpoint()
	if err != nil {
		return reply{}, err
	}
	st, info, err := s.namedStream(c, policy.GetRecords, string(in.StreamName), string(in.StreamID))
	if err != nil {
		return reply{}, err
	}
	mark := cursor.Mark{Project: c.project, App: string(in.AppName), StreamID: info.ID, Partition: id}
	if err := s.apps.Exists(mark.Project, mark.App); err != nil {
		return reply{}, err
	}
	log, err := st.Log(id)
	if err != nil {
		return reply{}, partitionError(c, info, id, err)
	}
	if err := s.checkMember(c, &in); err != nil {
		return reply{}, err
	}
	if err := s.apps.Commit(mark, point, st, log); err != nil {
		return reply{}, partitionError(c, info, id, err)
	}
	return created()
}

// checkMember asks the group whether a commit that names a member may be made
// (G-16, G-17).
func (s *Server) checkMember(c *call, in *commitCheckpointRequest) error {
	if in.ClientID == "" {
		return nil
	}
	generation, err := in.Generation.within("generation_id", minGeneration, 1<<62, minGeneration)
	if err != nil {
		return err
	}
	if err := s.opts.Groups.CheckCommit(c.project, string(in.AppName), string(in.ClientID), generation); err != nil {
		return detail(err, string(in.ClientID))
	}
	return nil
}

// checkpoint checks the fields in the order of the table of E16.
func (in *commitCheckpointRequest) checkpoint() (id int32, point cursor.Checkpoint, err error) {
	id, idErr := parsePartition(string(in.Partition))
	seq, seqErr := storage.ParseSeq(string(in.Sequence))
	if seqErr != nil {
		seqErr = detail(cursor.ErrSequence, string(in.Sequence))
	}
	return id, cursor.Checkpoint{Seq: seq, Metadata: string(in.Metadata)}, field.First(
		field.Present("app_name", string(in.AppName)),
		checkType(string(in.Type)),
		field.Present("stream_name", string(in.StreamName+in.StreamID)),
		idErr, seqErr, checkMetadata(string(in.Metadata)),
	)
}

func checkMetadata(m string) error {
	if utf8.RuneCountInString(m) > maxMetadata {
		return field.Invalid("metadata", "is longer than 1000 characters")
	}
	return nil
}

// namedStream returns a stream named by name or id, with its description.
func (s *Server) namedStream(c *call, action policy.Action, name, id string) (*partition.Stream, *partition.Info, error) {
	st, err := s.stream(c, action, name, id)
	if err != nil {
		return nil, nil, err
	}
	info, err := st.Info()
	return st, info, notFound(c, name, err)
}

// partitionError adds the details to an error about a partition.
func partitionError(c *call, info *partition.Info, id int32, err error) error {
	if errors.Is(err, partition.ErrPartitionNotFound) || errors.Is(err, partition.ErrPartitionExpired) {
		return detail(err, partitionID(id))
	}
	if errors.Is(err, storage.ErrNotFound) { // the stream was deleted meanwhile
		err = partition.ErrStreamNotFound
	}
	return notFound(c, info.Name, err)
}

type checkpointReply struct {
	Sequence string `json:"sequence_number"`
	Metadata string `json:"metadata"`
}

// showCheckpoint answers E17.
func (s *Server) showCheckpoint(c *call) (reply, error) {
	q := c.query
	name, streamID := q.Get("stream_name"), q.Get("stream_id")
	id, idErr := parsePartition(q.Get("partition_id"))
	err := field.First(field.Present("stream_name", name+streamID), idErr, field.Present("app_name", q.Get("app_name")), checkType(q.Get("checkpoint_type")))
	if err != nil {
		return reply{}, err
	}
	_, info, err := s.namedStream(c, policy.GetRecords, name, streamID)
	if err != nil {
		return reply{}, err
	}
	if int(id) >= len(info.Parts) {
		return reply{}, detail(partition.ErrPartitionNotFound, partitionID(id))
	}
	point, found, err := s.apps.Checkpoint(cursor.Mark{Project: c.project, App: q.Get("app_name"), StreamID: info.ID, Partition: id})
	if err != nil {
		return reply{}, err
	}
	if !found {
		return ok(checkpointReply{noCheckpoint, ""})
	}
	return ok(checkpointReply{point.Seq.String(), point.Metadata})
}

// deleteCheckpoint answers E18.
func (s *Server) deleteCheckpoint(c *call) (reply, error) {
	q := c.query
	name, streamID, app, part := q.Get("stream_name"), q.Get("stream_id"), q.Get("app_name"), q.Get("partition_id")
	id, idErr := int32(0), error(nil)
	if part != "" {
		id, idErr = parsePartition(part)
	}
	err := field.First(field.Present("stream_name", name+streamID), field.Present("app_name", app), checkType(q.Get("checkpoint_type")), idErr)
	if err != nil {
		return reply{}, err
	}
	_, info, err := s.namedStream(c, policy.GetRecords, name, streamID)
	if err != nil {
		return reply{}, err
	}
	if int(id) >= len(info.Parts) {
		return reply{}, detail(partition.ErrPartitionNotFound, partitionID(id))
	}
	if part == "" {
		err = s.apps.DeleteCheckpoints(c.project, app, info.ID)
	} else {
		err = s.apps.DeleteCheckpoint(cursor.Mark{Project: c.project, App: app, StreamID: info.ID, Partition: id})
	}
	if err != nil {
		return reply{}, err
	}
	return noContent()
}
