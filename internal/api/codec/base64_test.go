package codec

import (
	"bytes"
	"encoding/base64"
	"testing"
)

// TestBase64 compares the vectors with the standard library: every length
// around their width, decoded in place, with every kind of wrong byte at every
// position. A wrong byte must also not hide what kind of text it is in.
func TestBase64(t *testing.T) {
	for n := range 150 {
		text := appendBase64([]byte("before"), payload(n, n))[len("before"):]
		if want := base64.StdEncoding.EncodeToString(payload(n, n)); string(text) != want {
			t.Fatalf("%d bytes are encoded as %s, want %s", n, text, want)
		}
		checkBase64(t, text)
		for i := range text {
			for _, c := range []byte("A=-_* \n\r\x00\x1f\x7f\x80\xbf\xff") {
				wrong := bytes.Clone(text)
				wrong[i] = c
				checkBase64(t, wrong)
			}
		}
	}
}

func checkBase64(t *testing.T, text []byte) {
	t.Helper()
	want, err := base64.StdEncoding.DecodeString(string(text))
	if bytes.ContainsAny(text, "\r\n") {
		err = errBase64
	}
	data, got := decodeBase64(bytes.Clone(text), false)
	switch {
	case err == nil:
		if got != nil || !bytes.Equal(data, want) {
			t.Errorf("%q: %q, %v", text, data, got)
		}
	case isContent(text):
		if got != errBase64 {
			t.Errorf("%q: %v, want %v", text, got, errBase64)
		}
	case got != errContent:
		t.Errorf("%q: %v, want %v", text, got, errContent)
	}
	if _, plain := decodeBase64(bytes.Clone(text), true); (plain == nil) != (err == nil) {
		t.Errorf("%q: %v when plain", text, plain)
	}
}
