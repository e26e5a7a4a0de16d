package file

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"hash/fnv"

	"disd/internal/storage"
)

var le = binary.LittleEndian

// A sum says what a table holds: every transaction that changes rows changes it
// with them. It is kept in bucket _sums, under the name of the table.
type sum struct {
	count uint64 // rows
	keys  uint64 // of all keys, without their values
	rows  uint64 // of all keys with the checksums of their values
}

const sumSize = 28

func (s *sum) add(key, raw []byte) {
	k, r := digest(key, raw)
	s.count, s.keys, s.rows = s.count+1, s.keys+k, s.rows+r
}

func (s *sum) remove(key, raw []byte) {
	k, r := digest(key, raw)
	s.count, s.keys, s.rows = s.count-1, s.keys-k, s.rows-r
}

// digest returns what a row adds to the sums of its table. The checksum that a
// value carries stands for it, so a value that was damaged since is found by
// that checksum alone, and costs one row.
func digest(key, raw []byte) (k, r uint64) {
	h := fnv.New64a()
	h.Write(key)
	k = h.Sum64()
	h.Write(raw[min(1, len(raw)):min(valueHeaderSize, len(raw))])
	return k, h.Sum64()
}

func (s sum) encode(table string) []byte {
	b := make([]byte, 0, sumSize)
	b = le.AppendUint64(b, s.count)
	b = le.AppendUint64(b, s.keys)
	b = le.AppendUint64(b, s.rows)
	return le.AppendUint32(b, valueSum([]byte(table), b))
}

func decodeSum(table string, b []byte) (s sum, ok bool) {
	if len(b) != sumSize || le.Uint32(b[24:]) != valueSum([]byte(table), b[:24]) {
		return sum{}, false
	}
	return sum{le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:])}, true
}

// A bond is the row "logs" of bucket _format: what the logs were when the catalog
// was changed last, so that a start notices when one of both is of another time.
type bond struct {
	identity uint64 // of the directory of logs, 0 for none
	group    uint64 // that was durable
}

const bondSize = 20

func (b bond) encode() []byte {
	raw := le.AppendUint64(make([]byte, 0, bondSize), b.identity)
	raw = le.AppendUint64(raw, b.group)
	return le.AppendUint32(raw, crc32.Checksum(raw, castagnoli))
}

func decodeBond(raw []byte) (b bond, ok bool) {
	if len(raw) != bondSize || le.Uint32(raw[16:]) != crc32.Checksum(raw[:16], castagnoli) {
		return bond{}, false
	}
	return bond{le.Uint64(raw), le.Uint64(raw[8:])}, true
}

// contents is what reading a whole file found in it.
type contents struct {
	version string // "" for none
	bond    bond
	tables  map[string]sum // as they are
	rows    []error        // values that are damaged, each a CorruptError
}

// judge compares the tables with the sums that are stored beside them.
func (s *scanner) judge() (*contents, error) {
	c := &contents{version: string(s.format[string(versionKey)]), tables: s.tables, rows: s.rows}
	switch c.version {
	case formatV1:
		if s.sums != nil {
			return nil, s.corrupt("the format is version 1, but there are sums")
		}
		if s.leaked > 0 { // nothing else shows that rows are missing
			return nil, s.corrupt("%d pages are neither used nor free", s.leaked)
		}
		return c, nil
	case formatVersion:
	case "":
		return nil, fmt.Errorf("%s: %w: none", s.path, ErrVersion)
	default:
		return nil, fmt.Errorf("%s: %w: %q", s.path, ErrVersion, c.version)
	}
	var ok bool
	if c.bond, ok = decodeBond(s.format[string(logsKey)]); !ok {
		return nil, s.corrupt("what it says about the logs is damaged")
	}
	for table, raw := range s.sums {
		want, ok := decodeSum(table, raw)
		if !ok {
			return nil, s.corrupt("the sums of table %s are damaged", table)
		}
		if err := s.compare(table, want, s.tables[table]); err != nil {
			return nil, err
		}
	}
	for table, is := range s.tables {
		if s.sums[table] == nil && is.count > 0 {
			return nil, s.corrupt("table %s has %d rows and no sums", table, is.count)
		}
	}
	return c, nil
}

func (s *scanner) compare(table string, want, is sum) error {
	switch {
	case is.count != want.count:
		return s.corrupt("table %s has %d rows, it had %d", table, is.count, want.count)
	case is.keys != want.keys:
		return s.corrupt("table %s has other keys than it had", table)
	case is.rows != want.rows && len(s.rows) == 0:
		return s.corrupt("table %s has other values than it had", table)
	}
	return nil
}

func (s *scanner) corrupt(format string, args ...any) error {
	return &storage.CorruptError{File: s.path, Reason: fmt.Sprintf(format, args...)}
}
