package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

func compress(tb testing.TB, encoding string, body []byte) []byte {
	tb.Helper()
	switch encoding {
	case "lz4":
		dst := make([]byte, lz4.CompressBlockBound(len(body)))
		n, err := lz4.CompressBlock(body, dst, nil)
		if err != nil {
			tb.Fatal(err)
		}
		return dst[:n]
	case "snappy":
		return snappy.Encode(nil, body)
	case "zstd":
		w, err := zstd.NewWriter(nil, zstd.WithZeroFrames(true))
		if err != nil {
			tb.Fatal(err)
		}
		defer w.Close()
		return w.EncodeAll(body, nil)
	case "gzip":
		var buf bytes.Buffer
		w := gzip.NewWriter(&buf)
		if _, err := w.Write(body); err != nil {
			tb.Fatal(err)
		}
		if err := w.Close(); err != nil {
			tb.Fatal(err)
		}
		return buf.Bytes()
	}
	return body
}

const testLimit = 1 << 20

func decompressor(tb testing.TB) *Decompressor {
	tb.Helper()
	d, err := NewDecompressor(testLimit)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

var encodings = []string{"", "identity", "lz4", "snappy", "zstd", "gzip"}

func TestDecompressRoundTrip(t *testing.T) {
	d := decompressor(t)
	for _, encoding := range encodings {
		var dst []byte
		for _, n := range []int{1, 100, testLimit, 10} {
			body := bytes.Repeat([]byte("abcdefgh"), n/8+1)[:n]
			size := ""
			if SizeHeader(encoding) != "" {
				size = strconv.Itoa(n)
			}
			got, err := d.Decompress(dst, strings.ToUpper(encoding), size, compress(t, encoding, body))
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%q of %d bytes: %d bytes, %v", encoding, n, len(got), err)
			}
			dst = got // the next one replaces it
		}
	}
}

// zstdFrame says it has size bytes, and has the byte x as often as n says.
func zstdFrame(size uint64, n int) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0} // single segment, 8 bytes of size
	b = binary.LittleEndian.AppendUint64(b, size)
	const block = 128 << 10
	for n > block {
		b = append(b, byte(block<<3&0xff|1<<1), byte(block<<3>>8&0xff), byte(block<<3>>16), 'x')
		n -= block
	}
	return append(b, byte(n<<3|1<<1|1), byte(n<<3>>8), byte(n<<3>>16), 'x')
}

func TestDecompressFaults(t *testing.T) {
	text := bytes.Repeat([]byte("text "), 100) // 500 bytes
	bomb := make([]byte, testLimit+1)
	lz, sn, zs, gz := compress(t, "lz4", text), compress(t, "snappy", text), compress(t, "zstd", text), compress(t, "gzip", text)
	cut := func(b []byte) []byte { return b[:len(b)-1] }
	more := func(b []byte) []byte { return append(bytes.Clone(b), 'x') }
	unsized := zstdFrame(0, testLimit+1)
	unsized = append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50}, unsized[13:]...) // no size, a window of 1 MiB
	for _, c := range []struct {
		name, encoding, size string
		body                 []byte
		want                 error
	}{
		{"unknown", "br", "", text, ErrEncoding},
		{"unknown without a body", "br", "", nil, ErrEncoding},
		{"two", "gzip, gzip", "", gz, ErrEncoding},

		{"lz4", "lz4", "500", lz, nil},
		{"lz4 without a body", "lz4", "", nil, nil},
		{"lz4 without size", "lz4", "", lz, ErrCorrupt},
		{"lz4 with a bad size", "lz4", "-500", lz, ErrCorrupt},
		{"lz4 with less", "lz4", "499", lz, ErrCorrupt},
		{"lz4 with more", "lz4", "501", lz, ErrCorrupt},
		{"lz4 with none", "lz4", "0", lz, ErrCorrupt},
		{"lz4 over the limit", "lz4", "1048577", lz, ErrTooLarge},
		{"lz4 far over the limit", "lz4", "9223372036854775807", lz, ErrTooLarge},
		{"lz4 size beyond numbers", "lz4", "99999999999999999999", lz, ErrCorrupt},
		{"lz4 size beyond what is possible", "lz4", "1048576", lz, ErrCorrupt},
		{"lz4 cut", "lz4", "500", cut(lz), ErrCorrupt},
		{"lz4 frame", "lz4", "500", append([]byte{4, 0x22, 0x4d, 0x18}, lz...), ErrCorrupt},
		{"lz4 rubbish", "lz4", "500", text, ErrCorrupt},

		{"snappy", "snappy", "", sn, nil},
		{"snappy ignores a size", "snappy", "7", sn, nil},
		{"snappy cut", "snappy", "", cut(sn), ErrCorrupt},
		{"snappy and more", "snappy", "", more(sn), ErrCorrupt},
		{"snappy with less", "snappy", "", append([]byte{0xf3, 3}, sn[2:]...), ErrCorrupt},
		{"snappy over the limit", "snappy", "", compress(t, "snappy", bomb), ErrTooLarge},
		{"snappy that only says so", "snappy", "", []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, ErrTooLarge},
		{"snappy size beyond numbers", "snappy", "", []byte{0xff, 0xff, 0xff, 0xff, 0x1f}, ErrCorrupt},
		{"snappy size beyond what is possible", "snappy", "", []byte{0x80, 0x80, 0x40, 0}, ErrCorrupt},
		{"snappy frames", "snappy", "", []byte("\xff\x06\x00\x00sNaPpY"), ErrCorrupt},

		{"zstd", "zstd", "500", zs, nil},
		{"zstd without size", "zstd", "", zs, nil},
		{"zstd with less", "zstd", "499", zs, ErrCorrupt},
		{"zstd with a bad size", "zstd", "x", zs, ErrCorrupt},
		{"zstd cut", "zstd", "", cut(zs), ErrCorrupt},
		{"zstd and more", "zstd", "", more(zs), ErrCorrupt},
		{"zstd rubbish", "zstd", "", text, ErrCorrupt},
		{"zstd declared over the limit", "zstd", "1048577", zs, ErrTooLarge},
		{"zstd over the limit", "zstd", "", compress(t, "zstd", bomb), ErrTooLarge},
		{"zstd that only says so", "zstd", "", zstdFrame(1<<62, 1), ErrTooLarge},
		{"zstd larger than it says", "zstd", "", zstdFrame(1000, 2000), ErrCorrupt},
		{"zstd bomb without size", "zstd", "", unsized, ErrTooLarge},
		{"zstd with a large window", "zstd", "", []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 9, 0, 0, 'x'}, ErrTooLarge},
		{"zstd with a dictionary", "zstd", "", []byte{0x28, 0xb5, 0x2f, 0xfd, 0x21, 7, 1, 9, 0, 0, 'x'}, ErrCorrupt},

		{"gzip", "gzip", "", gz, nil},
		{"gzip cut", "gzip", "", cut(gz), ErrCorrupt},
		{"gzip and more", "gzip", "", more(gz), ErrCorrupt},
		{"gzip rubbish", "gzip", "", text, ErrCorrupt},
		{"gzip over the limit", "gzip", "", compress(t, "gzip", bomb), ErrTooLarge},
	} {
		d := decompressor(t)
		_, err := d.Decompress(nil, c.encoding, c.size, c.body)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		// It still works.
		if got, err := d.Decompress(nil, "zstd", "", zs); err != nil || !bytes.Equal(got, text) {
			t.Errorf("after %s: %v", c.name, err)
		}
		if got, err := d.Decompress(nil, "gzip", "", gz); err != nil || !bytes.Equal(got, text) {
			t.Errorf("after %s: %v", c.name, err)
		}
	}
}

// TestDecompressDoesNotBelieveSizes sends a few bytes that claim to be a lot.
func TestDecompressDoesNotBelieveSizes(t *testing.T) {
	d := decompressor(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		for encoding, body := range map[string][]byte{"lz4": {0x10, 'x'}, "snappy": {0x80, 0x80, 0x40, 0}} {
			if _, err := d.Decompress(nil, encoding, "1048576", body); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: %v", encoding, err)
			}
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

// TestDecompressByHand has blocks written from the descriptions of the formats,
// not by the libraries that read them.
func TestDecompressByHand(t *testing.T) {
	d := decompressor(t)
	for _, c := range []struct{ encoding, size, body, want string }{
		{"lz4", "50", "1f61010019" + "506161616161", strings.Repeat("a", 50)},
		{"snappy", "", "32" + "0061" + "c20100", strings.Repeat("a", 50)},
	} {
		body, err := hex.DecodeString(c.body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.Decompress(nil, c.encoding, c.size, body); err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v", c.encoding, got, err)
		}
	}
}

func TestDecompressIsShared(t *testing.T) {
	d := decompressor(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			text := bytes.Repeat([]byte{byte('a' + i)}, 1000*i+1)
			for _, encoding := range encodings {
				got, err := d.Decompress(nil, encoding, strconv.Itoa(len(text)), compress(t, encoding, text))
				if err != nil || !bytes.Equal(got, text) {
					t.Errorf("%s: %v", encoding, err)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzDecompress looks for panics and for results over the limit.
func FuzzDecompress(f *testing.F) {
	text := bytes.Repeat([]byte("text "), 20)
	for i, encoding := range encodings {
		f.Add(i, "100", compress(f, encoding, text))
	}
	f.Add(4, "", zstdFrame(1<<62, 1))
	d := decompressor(f)
	f.Fuzz(func(t *testing.T, i int, size string, body []byte) {
		encoding := encodings[uint(i)%uint(len(encodings))]
		got, err := d.Decompress(nil, encoding, size, body)
		if err == nil && len(got) > max(testLimit, len(body)) {
			t.Errorf("%s: %d bytes", encoding, len(got))
		}
	})
}

func BenchmarkDecompress(b *testing.B) {
	text := putBody(100, 1024)
	for _, encoding := range encodings[2:] {
		b.Run(encoding, func(b *testing.B) {
			d, body, size := decompressor(b), compress(b, encoding, text), strconv.Itoa(len(text))
			var dst []byte
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if dst, err = d.Decompress(dst, encoding, size, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
