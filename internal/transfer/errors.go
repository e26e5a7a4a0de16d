package transfer

import "errors"

// Errors of tasks.
var (
	ErrTaskNotFound = errors.New("transfer task does not exist")
	ErrTaskExists   = errors.New("transfer task exists")
	ErrTaskQuota    = errors.New("too many transfer tasks")
)
