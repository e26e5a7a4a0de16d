// Package cursor remembers positions: the cursors that clients carry, and the
// apps and checkpoints that the server keeps for them. Reference: sections 5.2
// to 5.4; api.md 9.6 and 9.7.
package cursor

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

// Errors of cursors.
var (
	// ErrCursor is returned when this server did not issue the cursor in this form.
	ErrCursor = errors.New("invalid cursor")
	// ErrCursorExpired is returned when a cursor is older than Lifetime.
	ErrCursorExpired = errors.New("expired cursor")
)

// Lifetime is how long a cursor can be used, from its issue (L-21).
const Lifetime = 5 * time.Minute

// skew is how much later than now a cursor may have been issued: the clocks of two
// servers differ a little, and a clock may be set back. One of a time that has not
// come would be good for longer than Lifetime.
const skew = time.Minute

// maxLength is the longest cursor in characters (E21-R6).
const maxLength = 512

// A Type is a kind of position a client can ask for.
type Type string

const (
	AtSequence    Type = "AT_SEQUENCE_NUMBER"
	AfterSequence Type = "AFTER_SEQUENCE_NUMBER"
	TrimHorizon   Type = "TRIM_HORIZON"
	Latest        Type = "LATEST"
	AtTimestamp   Type = "AT_TIMESTAMP"
)

// A Cursor is a position in a partition.
type Cursor struct {
	StreamName string
	StreamID   string
	Partition  string // long form, as clients see it
	Type       Type   // that was asked for
	Seq        storage.Seq
	Timestamp  int64 // that was asked for, ms; only with AtTimestamp
	Issued     int64 // ms
}

// wire is the form of a cursor that clients decode (CU-1, CU-2): these members,
// in this order, and no other.
type wire struct {
	Param    param `json:"getIteratorParam"`
	Generate int64 `json:"generateTimestamp"`
}

type param struct {
	StreamName string `json:"stream-name"`
	StreamID   string `json:"stream-id"`
	Partition  string `json:"partition-id"`
	Type       Type   `json:"cursor-type"`
	Seq        string `json:"starting-sequence-number"`
	Timestamp  *int64 `json:"timestamp,omitempty"`
	MAC        string `json:"mac,omitempty"`
}

// A Sealer issues cursors and reads them back. Two Sealers of one key read each
// other's.
type Sealer struct{ key []byte }

var keys = catalog.NewTable[[]byte]("keys")

// cursorKey is the row of keys whose value authenticates cursors.
var cursorKey = catalog.Key{"cursor"}

// OpenSealer returns the sealer of a data directory, whose key is made at first
// use and kept in the catalog (CU-6).
func OpenSealer(db catalog.Store) (*Sealer, error) {
	var key []byte
	var ok bool
	read := func(tx catalog.Tx) (err error) {
		key, ok, err = keys.Get(tx, cursorKey)
		return err
	}
	if err := db.View(read); err != nil || ok { // a full disk keeps no server from starting
		return &Sealer{key}, err
	}
	err := db.Update(func(tx catalog.Tx) error {
		if err := read(tx); err != nil || ok {
			return err
		}
		key = make([]byte, 32)
		rand.Read(key)
		return keys.Put(tx, cursorKey, key)
	})
	return &Sealer{key}, err
}

// Seal returns c as clients carry it: base64url, without padding (CU-3).
func (s *Sealer) Seal(c Cursor) string {
	w := wire{
		Param: param{
			StreamName: c.StreamName, StreamID: c.StreamID, Partition: c.Partition,
			Type: c.Type, Seq: c.Seq.String(),
		},
		Generate: c.Issued,
	}
	if c.Type == AtTimestamp {
		w.Param.Timestamp = &c.Timestamp
	}
	return base64.RawURLEncoding.EncodeToString(s.sign(w))
}

// sign returns the document with its code, which covers everything else in it.
func (s *Sealer) sign(w wire) []byte {
	w.Param.MAC = ""
	mac := hmac.New(sha256.New, s.key)
	mac.Write(document(w))
	w.Param.MAC = base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
	return document(w)
}

func document(w wire) []byte {
	doc, err := json.Marshal(w)
	if err != nil {
		panic(err) // strings and integers can always be marshalled
	}
	return doc
}

// Open reads a cursor. ErrCursor when it is not exactly what Seal returned, up
// to padding; ErrCursorExpired when it was issued more than Lifetime before now, or
// more than a minute after it.
func (s *Sealer) Open(text string, now time.Time) (Cursor, error) {
	if len(text) > maxLength {
		return Cursor{}, fmt.Errorf("%w: longer than %d characters", ErrCursor, maxLength)
	}
	doc, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(text, "="))
	if err != nil || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return Cursor{}, ErrCursor
	}
	var w wire
	if err := json.Unmarshal(doc, &w); err != nil {
		return Cursor{}, ErrCursor
	}
	if !hmac.Equal(s.sign(w), doc) {
		return Cursor{}, ErrCursor
	}
	return w.cursor(now)
}

func (w *wire) cursor(now time.Time) (Cursor, error) {
	seq, err := storage.ParseSeq(w.Param.Seq)
	if err != nil {
		return Cursor{}, ErrCursor
	}
	c := Cursor{
		StreamName: w.Param.StreamName, StreamID: w.Param.StreamID, Partition: w.Param.Partition,
		Type: w.Param.Type, Seq: seq, Issued: w.Generate,
	}
	if w.Param.Timestamp != nil {
		c.Timestamp = *w.Param.Timestamp
	}
	if age := now.Sub(time.UnixMilli(w.Generate)); age > Lifetime || age < -skew {
		return c, ErrCursorExpired
	}
	return c, nil
}
