package cursor

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"disd/internal/storage/catalog/file"
)

var now = time.UnixMilli(1795424828504)

func testSealer() *Sealer { return &Sealer{bytes.Repeat([]byte{7}, 32)} }

func sample() Cursor {
	return Cursor{
		StreamName: "s1", StreamID: "8QM3Nt9YTLOWtUVYJhO", Partition: "shardId-0000000002",
		Type: AtTimestamp, Seq: 4, Timestamp: 1795421228501, Issued: now.UnixMilli(),
	}
}

// TestForm is CU-1, CU-2, CU-3 and CU-5: what the Kafka adapter decodes.
func TestForm(t *testing.T) {
	long := sample()
	long.StreamName, long.Seq, long.Issued = strings.Repeat("n", 64), math.MaxInt64, math.MaxInt64
	long.Timestamp, long.Type = math.MaxInt64, AfterSequence
	text := testSealer().Seal(long)
	long.Type = AtTimestamp
	text2 := testSealer().Seal(long)
	for _, text := range []string{text, text2, testSealer().Seal(sample())} {
		if len(text) > 512 || strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("cursor of %d characters: %s", len(text), text)
		}
	}
	doc, err := base64.RawURLEncoding.DecodeString(testSealer().Seal(sample()))
	if err != nil {
		t.Fatal(err)
	}
	var top map[string]json.RawMessage
	var inner map[string]any
	if err := errors.Join(json.Unmarshal(doc, &top), json.Unmarshal(top["getIteratorParam"], &inner)); err != nil {
		t.Fatal(err)
	}
	if len(top) != 2 || string(top["generateTimestamp"]) != "1795424828504" {
		t.Errorf("top level: %s", doc)
	}
	want := map[string]any{
		"stream-name": "s1", "stream-id": "8QM3Nt9YTLOWtUVYJhO", "partition-id": "shardId-0000000002",
		"cursor-type": "AT_TIMESTAMP", "starting-sequence-number": "4", "timestamp": 1795421228501.0,
	}
	for name, v := range want {
		if inner[name] != v {
			t.Errorf("%s = %v, want %v", name, inner[name], v)
		}
	}
	if mac, _ := inner["mac"].(string); len(mac) != 22 {
		t.Errorf("mac = %q, want 16 bytes", mac)
	}
	c := sample()
	c.Type = AtSequence
	doc, _ = base64.RawURLEncoding.DecodeString(testSealer().Seal(c))
	if bytes.Contains(doc, []byte(`"timestamp"`)) {
		t.Errorf("a timestamp that nobody asked for: %s", doc)
	}
}

func TestLifetime(t *testing.T) {
	s, text := testSealer(), testSealer().Seal(sample())
	for _, test := range []struct {
		text string
		at   time.Time
		want error
	}{
		{text, now, nil},
		{text, now.Add(Lifetime), nil},
		{text, now.Add(Lifetime + time.Millisecond), ErrCursorExpired},
		{text, now.Add(-skew), nil},                                 // another server's clock
		{text, now.Add(-skew - time.Millisecond), ErrCursorExpired}, // of a time that has not come
		{text + "=", now, nil},
		{text + "==", now, nil},
		{"", now, ErrCursor},
		{"x", now, ErrCursor},
		{text[1:], now, ErrCursor},
		{text[:len(text)-1], now, ErrCursor},
		{text + "A", now, ErrCursor},
		{text + "\n", now, ErrCursor},
		{strings.Repeat("A", 513), now, ErrCursor},
		{(&Sealer{bytes.Repeat([]byte{8}, 32)}).Seal(sample()), now, ErrCursor},
	} {
		c, err := s.Open(test.text, test.at)
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("Open(%q, %v) = %v, want %v", test.text, test.at, err, test.want)
		}
		if err == nil && c != sample() {
			t.Errorf("Open(%q) = %+v", test.text, c)
		}
	}
}

// TestEveryChangeIsRefused is CU-4: no single character can be replaced.
func TestEveryChangeIsRefused(t *testing.T) {
	s, text := testSealer(), testSealer().Seal(sample())
	for i := range text {
		for _, c := range []byte("A-z0_9b") {
			if text[i] == c {
				continue
			}
			forged := text[:i] + string(c) + text[i+1:]
			if _, err := s.Open(forged, now); !errors.Is(err, ErrCursor) {
				t.Fatalf("character %d replaced by %c: %v", i, c, err)
			}
		}
	}
}

// TestRearranged: the same content in another document is not the same cursor.
func TestRearranged(t *testing.T) {
	doc, _ := base64.RawURLEncoding.DecodeString(testSealer().Seal(sample()))
	for _, forged := range []string{
		" " + string(doc),
		string(doc) + " ",
		strings.Replace(string(doc), `{"getI`, `{"x":1,"getI`, 1),
		strings.Replace(string(doc), `"generateTimestamp"`, `"GenerateTimestamp"`, 1),
	} {
		if _, err := testSealer().Open(base64.RawURLEncoding.EncodeToString([]byte(forged)), now); !errors.Is(err, ErrCursor) {
			t.Errorf("%s: %v", forged, err)
		}
	}
}

// TestKeyIsKept is CU-6.
func TestKeyIsKept(t *testing.T) {
	db, err := file.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	a, err := OpenSealer(db)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenSealer(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open(a.Seal(sample()), now); err != nil {
		t.Errorf("a cursor from before the restart: %v", err)
	}
	if len(a.key) != 32 {
		t.Errorf("key of %d bytes", len(a.key))
	}
}

// FuzzOpen: no text makes Open panic, and only what Seal made is accepted.
func FuzzOpen(f *testing.F) {
	s := testSealer()
	f.Add(s.Seal(sample()))
	f.Add("")
	f.Add("eyJnZXRJdGVyYXRvclBhcmFtIjp7fX0")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := s.Open(text, now)
		if err == nil && s.Seal(c) != strings.TrimRight(text, "=") {
			t.Errorf("accepted %q, which is not what Seal makes of it", text)
		}
	})
}
