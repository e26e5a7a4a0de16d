package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Errors of decompression.
var (
	// ErrEncoding is a Content-Encoding this server does not know (415).
	ErrEncoding = errors.New("unknown content encoding")
	// ErrTooLarge is a body that is, or is said to be, larger than the limit
	// when decompressed (413).
	ErrTooLarge = errors.New("decompressed body too large")
	// ErrCorrupt is a body that does not decompress, or not to the declared
	// size (DIS.4300).
	ErrCorrupt = errors.New("damaged compressed body")
)

// SizeHeader returns the name of the request header that declares the original
// size of a body in that encoding, "" if there is none (Z-2, Z-4).
func SizeHeader(encoding string) string {
	switch encoding = strings.ToLower(encoding); encoding {
	case "lz4", "zstd":
		return "x-dis-" + encoding + "-content-length"
	}
	return ""
}

// A Decompressor undoes the compression of request bodies (1.13). Any number
// of goroutines may use it.
type Decompressor struct {
	limit int
	zstd  *zstd.Decoder
	gzip  sync.Pool
}

// NewDecompressor returns one for bodies of at most limit bytes when
// decompressed. limit is at least 1.
func NewDecompressor(limit int) (*Decompressor, error) {
	// Without a reader the decoder has no goroutines and needs no Close. It
	// keeps one state per processor and lets other callers wait.
	z, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(uint64(limit)))
	if err != nil {
		return nil, err
	}
	return &Decompressor{limit: limit, zstd: z}, nil
}

// Decompress returns the original of body. encoding is the Content-Encoding,
// in any letter case; size is the value of the header that SizeHeader names, ""
// if it was not sent. The result lies in the memory of dst, whose content is
// replaced, as far as that is large enough. It is body itself when that is not
// compressed, or has no bytes at all. The errors are ErrEncoding, ErrTooLarge
// and ErrCorrupt, wrapped or not.
func (d *Decompressor) Decompress(dst []byte, encoding, size string, body []byte) ([]byte, error) {
	switch encoding = strings.ToLower(encoding); encoding {
	case "", "identity":
		return body, nil
	case "lz4", "snappy", "zstd", "gzip":
		if len(body) == 0 {
			return body, nil
		}
		return d.decode(dst[:0], encoding, size, body)
	}
	return nil, ErrEncoding
}

func (d *Decompressor) decode(dst []byte, encoding, size string, body []byte) ([]byte, error) {
	switch encoding {
	case "lz4":
		return d.unlz4(dst, size, body)
	case "snappy":
		return d.unsnappy(dst, body)
	case "zstd":
		return d.unzstd(dst, size, body)
	default:
		return d.gunzip(dst, body)
	}
}

// declared reads a size header.
func (d *Decompressor) declared(size string) (int, error) {
	n, ok := parseUint(size)
	switch {
	case !ok:
		return 0, corrupt("size header %q", size)
	case n > uint64(d.limit):
		return 0, ErrTooLarge
	}
	return int(n), nil
}

// unlz4 reads one raw block. No byte of a block can stand for more than 255.
func (d *Decompressor) unlz4(dst []byte, size string, body []byte) ([]byte, error) {
	want, err := d.declared(size)
	if err != nil {
		return nil, err
	}
	if want/255 > len(body) {
		return nil, corrupt("%d bytes cannot become %d", len(body), want)
	}
	dst = slices.Grow(dst, max(want, 1))[:want] // the library writes to a nil dst
	switch n, err := lz4.UncompressBlock(body, dst); {
	case err != nil:
		return nil, corrupt("%v", err)
	case n != want:
		return nil, corrupt("%d bytes instead of %d", n, want)
	}
	return dst, nil
}

// unsnappy reads one raw block, which begins with its size. An element of
// three bytes stands for 64 at most.
func (d *Decompressor) unsnappy(dst, body []byte) ([]byte, error) {
	want, err := snappy.DecodedLen(body)
	switch {
	case err != nil:
		return nil, corrupt("%v", err)
	case want > d.limit:
		return nil, ErrTooLarge
	case want/22 > len(body):
		return nil, corrupt("%d bytes cannot become %d", len(body), want)
	}
	if dst, err = snappy.Decode(slices.Grow(dst, want)[:want], body); err != nil {
		return nil, corrupt("%v", err)
	}
	return dst, nil
}

// unzstd reads one frame, or several as one. A frame that wants more memory
// than the limit, for its content or its window, is refused by its header.
func (d *Decompressor) unzstd(dst []byte, size string, body []byte) ([]byte, error) {
	want := -1
	if size != "" {
		var err error
		if want, err = d.declared(size); err != nil {
			return nil, err
		}
	}
	var head zstd.Header
	if head.Decode(body) == nil && max(head.FrameContentSize, head.WindowSize) > uint64(d.limit) {
		return nil, ErrTooLarge
	}
	dst, err := d.zstd.DecodeAll(body, dst)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return nil, ErrTooLarge
	case err != nil:
		return nil, corrupt("%v", err)
	case want >= 0 && len(dst) != want:
		return nil, corrupt("%d bytes instead of %d", len(dst), want)
	}
	return dst, nil
}

func (d *Decompressor) gunzip(dst, body []byte) ([]byte, error) {
	z, _ := d.gzip.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	defer d.gzip.Put(z)
	if err := z.Reset(bytes.NewReader(body)); err != nil {
		return nil, corrupt("%v", err)
	}
	buf := bytes.NewBuffer(dst)
	n, err := buf.ReadFrom(io.LimitReader(z, int64(d.limit)+1))
	switch {
	case n > int64(d.limit):
		return nil, ErrTooLarge
	case err != nil:
		return nil, corrupt("%v", err)
	}
	return buf.Bytes(), nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
}
