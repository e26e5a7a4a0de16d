package transfer

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/golang/snappy"

	"disd/internal/storage"
)

// decompress reads the data of a record in the stream's compression_format:
// gzip, zip (its first entry) or snappy (one raw block). What would be larger
// than a record can be is refused.
func decompress(format string, data []byte) ([]byte, error) {
	switch format {
	case "gzip":
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		return readBounded(r, len(data), uint64(binary.LittleEndian.Uint32(data[len(data)-4:])))
	case "zip":
		return unzip(data)
	case "snappy":
		if n, err := snappy.DecodedLen(data); err != nil || n > storage.MaxData {
			return nil, fmt.Errorf("snappy block of %d bytes: %w", n, snappy.ErrCorrupt)
		}
		return snappy.Decode(nil, data)
	}
	return nil, fmt.Errorf("unknown compression format %q", format)
}

func unzip(data []byte) ([]byte, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	if len(z.File) == 0 {
		return nil, fmt.Errorf("zip without an entry")
	}
	r, err := z.File[0].Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readBounded(r, len(data), z.File[0].UncompressedSize64)
}

// deflateRatio is how many bytes a byte of a deflate stream can become.
const deflateRatio = 1032

// readBounded reads what packed bytes expand to. size is what they say about that,
// believed if it can be true.
func readBounded(r io.Reader, packed int, size uint64) ([]byte, error) {
	if size > storage.MaxData || size > uint64(packed)*deflateRatio {
		size = 0
	}
	out := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := out.ReadFrom(io.LimitReader(r, storage.MaxData+1)); err != nil {
		return nil, err
	}
	if out.Len() > storage.MaxData {
		return nil, fmt.Errorf("expands to more than %d bytes", storage.MaxData)
	}
	return out.Bytes(), nil
}
