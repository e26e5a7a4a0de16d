package dis

import (
	"unicode/utf8"

	"disd/internal/api/rest"
	"disd/internal/auth/policy"
	"disd/internal/cursor"
	"disd/internal/cursor/group"
	"disd/internal/field"
	"disd/internal/partition"
	"disd/internal/storage"
)

const maxMetadata = 1000 // characters

// checkpointCalls are the calls about checkpoints, E16 to E18.
type checkpointCalls struct {
	finder
	apps   *cursor.Apps
	groups *group.Coordinator
}

type commitCheckpointRequest struct {
	AppName    rest.Text   `json:"app_name"`
	Type       rest.Text   `json:"checkpoint_type"`
	StreamName rest.Text   `json:"stream_name"`
	StreamID   rest.Text   `json:"stream_id"`
	Partition  rest.Text   `json:"partition_id"`
	Sequence   rest.Text   `json:"sequence_number"`
	Metadata   rest.Text   `json:"metadata"`
	ClientID   rest.Text   `json:"client_id"`
	Generation rest.Number `json:"generation_id"`
}

// commit answers E16.
func (s *checkpointCalls) commit(c *rest.Call) (rest.Reply, error) {
	var in commitCheckpointRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return rest.Reply{}, err
	}
	id, point, err := in.checkpoint()
	if err != nil {
		return rest.Reply{}, err
	}
	st, info, err := s.namedStream(c, policy.GetRecords, string(in.StreamName), string(in.StreamID))
	if err != nil {
		return rest.Reply{}, err
	}
	mark := cursor.Mark{Project: c.Project, App: string(in.AppName), StreamID: info.ID, Partition: id}
	if err := s.apps.Exists(mark.Project, mark.App); err != nil {
		return rest.Reply{}, err
	}
	log, err := st.Log(id)
	if err != nil {
		return rest.Reply{}, partitionError(c, info, id, err)
	}
	if err := s.checkMember(c, &in); err != nil {
		return rest.Reply{}, err
	}
	if err := s.apps.Commit(mark, point, st, log); err != nil {
		return rest.Reply{}, partitionError(c, info, id, err)
	}
	return rest.Created()
}

// checkMember asks the group whether a commit that names a member may be made
// (G-16, G-17).
func (s *checkpointCalls) checkMember(c *rest.Call, in *commitCheckpointRequest) error {
	if in.ClientID == "" {
		return nil
	}
	generation, err := in.Generation.Within("generation_id", minGeneration, 1<<62, minGeneration)
	if err != nil {
		return err
	}
	if err := s.groups.CheckCommit(c.Project, string(in.AppName), string(in.ClientID), generation); err != nil {
		return rest.Detail(err, string(in.ClientID))
	}
	return nil
}

// checkpoint checks the fields in the order of the table of E16.
func (in *commitCheckpointRequest) checkpoint() (id int32, point cursor.Checkpoint, err error) {
	id, idErr := parsePartition(string(in.Partition))
	seq, seqErr := storage.ParseSeq(string(in.Sequence))
	if seqErr != nil {
		seqErr = rest.Detail(cursor.ErrSequence, string(in.Sequence))
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

type checkpointReply struct {
	Sequence string `json:"sequence_number"`
	Metadata string `json:"metadata"`
}

// show answers E17.
func (s *checkpointCalls) show(c *rest.Call) (rest.Reply, error) {
	q := c.Query
	name, streamID := q.Get("stream_name"), q.Get("stream_id")
	id, idErr := parsePartition(q.Get("partition_id"))
	err := field.First(field.Present("stream_name", name+streamID), idErr, field.Present("app_name", q.Get("app_name")), checkType(q.Get("checkpoint_type")))
	if err != nil {
		return rest.Reply{}, err
	}
	_, info, err := s.namedStream(c, policy.GetRecords, name, streamID)
	if err != nil {
		return rest.Reply{}, err
	}
	if int(id) >= len(info.Parts) {
		return rest.Reply{}, rest.Detail(partition.ErrPartitionNotFound, partitionID(id))
	}
	point, found, err := s.apps.Checkpoint(cursor.Mark{Project: c.Project, App: q.Get("app_name"), StreamID: info.ID, Partition: id})
	if err != nil {
		return rest.Reply{}, err
	}
	if !found {
		return rest.OK(checkpointReply{noCheckpoint, ""})
	}
	return rest.OK(checkpointReply{point.Seq.String(), point.Metadata})
}

// delete answers E18.
func (s *checkpointCalls) delete(c *rest.Call) (rest.Reply, error) {
	q := c.Query
	name, streamID, app, part := q.Get("stream_name"), q.Get("stream_id"), q.Get("app_name"), q.Get("partition_id")
	c.About("stream", name)
	c.About("app", app)
	c.About("partition", part)
	id, idErr := int32(0), error(nil)
	if part != "" {
		id, idErr = parsePartition(part)
	}
	err := field.First(field.Present("stream_name", name+streamID), field.Present("app_name", app), checkType(q.Get("checkpoint_type")), idErr)
	if err != nil {
		return rest.Reply{}, err
	}
	_, info, err := s.namedStream(c, policy.GetRecords, name, streamID)
	if err != nil {
		return rest.Reply{}, err
	}
	if int(id) >= len(info.Parts) {
		return rest.Reply{}, rest.Detail(partition.ErrPartitionNotFound, partitionID(id))
	}
	if part == "" {
		err = s.apps.DeleteCheckpoints(c.Project, app, info.ID)
	} else {
		err = s.apps.DeleteCheckpoint(cursor.Mark{Project: c.Project, App: app, StreamID: info.ID, Partition: id})
	}
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.NoContent()
}
