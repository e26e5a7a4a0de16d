package dis

import (
	"errors"

	"disd/internal/api/codec"
	"disd/internal/api/rest"
	"disd/internal/auth/policy"
	"disd/internal/field"
	"disd/internal/partition"
	"disd/internal/storage"
)

// A finder finds the streams that calls name.
type finder struct {
	streams  *partition.Set
	policies *policy.Policies
}

// stream returns the stream a call names: the one of that name in the caller's
// project, else the one with that id, as far as its policies allow the action
// . Of one that may be damaged nobody is told that it does not exist.
func (s *finder) stream(c *rest.Call, action policy.Action, name, id string) (*partition.Stream, error) {
	missing := partition.ErrStreamNotFound
	if name != "" {
		st, err := s.streams.Get(c.Project, name)
		if err == nil {
			return st, nil
		}
		missing = err
	}
	if id != "" {
		st, err := s.streams.GetID(id)
		if err == nil {
			return st, s.authorize(c, action, st)
		}
		if name == "" || errors.Is(missing, partition.ErrStreamNotFound) {
			missing = err
		}
	}
	if name == "" {
		name = id
	}
	return nil, notFound(c, name, missing)
}

// authorize checks what the caller may do with a stream that may be another's.
func (s *finder) authorize(c *rest.Call, action policy.Action, st *partition.Stream) error {
	info, err := st.Info()
	if err != nil || info.Project == c.Project {
		return err
	}
	if err := s.policies.Authorize(c.Principal, info.Project, info.ID, action); err != nil {
		return rest.Detail(err, info.ID, string(action))
	}
	return nil
}

// namedStream returns a stream named by name or id, with its description.
func (s *finder) namedStream(c *rest.Call, action policy.Action, name, id string) (*partition.Stream, *partition.Info, error) {
	st, err := s.stream(c, action, name, id)
	if err != nil {
		return nil, nil, err
	}
	info, err := st.Info()
	return st, info, notFound(c, name, err)
}

// ownStream returns the stream of the path, which must be in the caller's
// project.
func (s *finder) ownStream(c *rest.Call) (*partition.Stream, error) {
	return s.stream(c, "", c.Param("stream"), "")
}

// notFound adds the details to the error of a stream that was deleted meanwhile.
func notFound(c *rest.Call, name string, err error) error {
	if errors.Is(err, partition.ErrStreamNotFound) {
		return rest.Detail(err, name, c.Project)
	}
	return err
}

// partitionError adds the details to an error about a partition.
func partitionError(c *rest.Call, info *partition.Info, id int32, err error) error {
	if errors.Is(err, partition.ErrPartitionNotFound) || errors.Is(err, partition.ErrPartitionExpired) {
		return rest.Detail(err, partitionID(id))
	}
	if errors.Is(err, storage.ErrNotFound) { // the stream was deleted meanwhile
		err = partition.ErrStreamNotFound
	}
	return notFound(c, info.Name, err)
}

// parsePartition reads a partition id in either spelling (C-40, C-41).
func parsePartition(s string) (int32, error) {
	id, ok := codec.ParsePartitionID(s)
	if !ok {
		return 0, rest.Detail(ErrPartitionID, s)
	}
	return id, nil
}

func partitionID(id int32) string { return string(codec.AppendPartitionID(nil, id)) }

// checkType accepts the one kind of checkpoint there is; absent means it.
func checkType(value string) error {
	if value == "" {
		return nil
	}
	return field.OneOf("checkpoint_type", value, lastRead)
}

const lastRead = "LAST_READ"
