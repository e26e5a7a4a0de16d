package dis

import (
	"errors"

	"disd/internal/api/rest"
	"disd/internal/partition"
	"disd/internal/storage"
)

// storageFailure is the code clients know to retry a record on.
const storageFailure = "DIS.5250"

// A recordFault is what an upload says of a record that was not stored. The message
// contains the code too, because one client looks only there.
type recordFault struct {
	err           error
	code, message string
}

// recordFaults are the errors of single records in an accepted upload (E19-R4); the
// last is a failure of storage, which is everything else.
type recordFaults []recordFault

func newRecordFaults(t *rest.Table) (list recordFaults) {
	for _, err := range []error{
		partition.ErrPartitionNotFound, partition.ErrPartitionExpired, partition.ErrThrottled, storage.ErrBusy,
	} {
		f := t.Of(err)
		list = append(list, recordFault{err, f.Code, f.Text(nil) + " " + f.Code})
	}
	return append(list, recordFault{nil, storageFailure, t.Else.Message + " " + storageFailure})
}

// of returns code and message of a record that was not stored.
func (list recordFaults) of(err error) (code, message string) {
	last := len(list) - 1
	for i := range list[:last] {
		if f := &list[i]; errors.Is(err, f.err) {
			return f.code, f.message
		}
	}
	return list[last].code, list[last].message
}
