// Package format reads the records of transfer tasks by their data schema, once
// for all types of files: what a record holds becomes plain values, which the
// packages below encode. docs/transfer.md says what is in the files.
package format

// A Form is the form of files of one type. It does not change and may be used by
// many goroutines.
type Form interface {
	// Table returns a table without rows.
	Table() Table
}

// A Table collects the rows of what becomes one file, or two that belong together.
type Table interface {
	// Append adds a record, whose data must not change until Files returns. Its
	// error says why the record does not fit the schema; the table is as it was.
	Append(data []byte) error

	// Size is an estimate, in bytes, of the memory that the rows take so far, right within a
	// factor of two; without the data of records, where it is not copied. Files takes the size of
	// the files in addition.
	Size() int64

	// Files returns the table as files, in the order in which they must be stored:
	// a file names none that follows it. Their bytes depend on the form, the records and the
	// name alone. name is what the files will be called, without directory and extension.
	Files(name string) ([]File, error)
}

// A File is one object.
type File struct {
	Ext     string // with its dot
	Content []byte
}
