package mrs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"disd/internal/storage"
)

// A content reads the records of a batch as they lie in its file: each followed by
// a newline (HDFS-7). It holds no copy of them.
type content struct {
	records []storage.Record
	offset  int // in the first of them, whose newline counts
}

func newContent(records []storage.Record) *content { return &content{records: records} }

// size returns how many bytes are left.
func (c *content) size() int64 {
	n := -int64(c.offset)
	for i := range c.records {
		n += int64(len(c.records[i].Data)) + 1
	}
	return n
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (n int, err error) {
	for n < len(p) && len(c.records) > 0 {
		data := c.records[0].Data
		if c.offset < len(data) {
			moved := copy(p[n:], data[c.offset:])
			n, c.offset = n+moved, c.offset+moved
			continue
		}
		p[n] = '\n'
		n, c.offset, c.records = n+1, 0, c.records[1:]
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// equals reports whether r has just these bytes.
func (c *content) equals(r io.Reader) (bool, error) {
	mine, theirs := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(c, mine)
		last := err != nil
		m, err := io.ReadFull(r, theirs)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, err
		}
		if !bytes.Equal(mine[:n], theirs[:m]) {
			return false, nil
		}
		if last {
			m, err := r.Read(theirs[:1])
			return m == 0, ignoreEOF(err)
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// sum returns the SHA-256 of the file in hexadecimal.
func (c *content) sum() string {
	h := sha256.New()
	_, _ = io.Copy(h, c) // neither can fail
	return hex.EncodeToString(h.Sum(nil))
}
