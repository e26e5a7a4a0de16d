package partition

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

// A FileState is how far a file has come that producers upload in pieces, as
// records that say which piece they are (E47-R2).
type FileState string

const (
	FileUnknown   FileState = "not found" // no piece was accepted
	FileReceiving FileState = "receiving" // a piece is missing, or the last one is not known
	FileComplete  FileState = "uploading" // all are there; nothing here uploads them any further
	FileCancelled FileState = "cancelled" // retention has removed a piece
)

// A Piece is one stored record that is a piece of a file.
type Piece struct {
	File   string // id the producer gave the file
	Name   string // of the file, perhaps ""
	Number int64  // the first piece is 0
	Last   bool

	Partition int32
	Seq       storage.Seq
}

// fileMemory is how long a file is remembered after its newest piece: the longest
// retention, and as long again to tell that it was cancelled.
const fileMemory = 2 * 168 * time.Hour

// A file is what pieces said about the whole.
type file struct {
	Name    string `json:"name,omitempty"`
	Last    int64  `json:"last"`    // number of the last piece, -1 while unknown
	Touched int64  `json:"touched"` // ms, when the newest piece came
}

// A place is where the record of a piece lies.
type place struct {
	Number    int64       `json:"number"`
	Partition int32       `json:"partition"`
	Seq       storage.Seq `json:"seq"`
}

var (
	files  = catalog.NewTable[file]("files")   // fileKey
	pieces = catalog.NewTable[place]("pieces") // pieceKey
)

// fileKey is that of a file, whose id may be any text of any length.
func fileKey(stream, id string) catalog.Key {
	sum := sha256.Sum256([]byte(id))
	return catalog.Key{stream, hex.EncodeToString(sum[:])}
}

// pieceKey is that of a piece of a file.
func pieceKey(file catalog.Key, number int64) catalog.Key {
	return append(slices.Clone(file), fmt.Sprintf("%016x", uint64(number)))
}

// AddPieces remembers pieces that were stored, durably. One that is there already
// is replaced. ErrStreamNotFound, or an error of the catalog.
func (s *Set) AddPieces(st *Stream, add []Piece) error {
	info, err := st.Info()
	if err != nil {
		return err
	}
	now := s.opts.Now().UnixMilli()
	return s.db.Update(func(tx catalog.Tx) error {
		if err := st.Exists(tx); err != nil {
			return err
		}
		for i := range add {
			if err := add[i].put(tx, info.ID, now); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *Piece) put(tx catalog.Tx, stream string, now int64) error {
	key := fileKey(stream, p.File)
	f, ok, err := files.Get(tx, key)
	if err != nil {
		return err
	}
	if !ok {
		f.Last = -1
	}
	if p.Name != "" {
		f.Name = p.Name
	}
	if p.Last {
		f.Last = p.Number
	}
	f.Touched = now
	return errors.Join(
		files.Put(tx, key, f),
		pieces.Put(tx, pieceKey(key, p.Number), place{p.Number, p.Partition, p.Seq}),
	)
}

// File returns the name of a file, "" when that is not known, and how far it has
// come. ErrStreamNotFound, or an error of the catalog or of a partition.
func (s *Set) File(st *Stream, id string) (name string, state FileState, err error) {
	info, err := st.Info()
	if err != nil {
		return "", "", err
	}
	state = FileUnknown
	err = s.db.View(func(tx catalog.Tx) error {
		key := fileKey(info.ID, id)
		f, ok, err := files.Get(tx, key)
		if err != nil || !ok {
			return err
		}
		name = f.Name
		state, err = st.fileState(tx, key, f.Last)
		return err
	})
	return name, state, err
}

func (st *Stream) fileState(tx catalog.Tx, key catalog.Key, last int64) (FileState, error) {
	next, gone := int64(0), false
	err := pieces.Each(tx, key, func(_ catalog.Key, p place) error {
		kept, err := st.keeps(p)
		if p.Number == next {
			next++
		}
		gone = gone || !kept
		return err
	})
	switch {
	case gone:
		return FileCancelled, err
	case last >= 0 && next > last:
		return FileComplete, err
	}
	return FileReceiving, err
}

// keeps reports whether the record of a piece can still be read.
func (st *Stream) keeps(p place) (bool, error) {
	log, err := st.Log(p.Partition)
	if err != nil {
		if errors.Is(err, ErrPartitionExpired) {
			err = nil
		}
		return false, err
	}
	oldest, _ := log.Bounds()
	return p.Seq >= oldest, nil
}

// FilesPace is how often files are looked for that can be forgotten.
const FilesPace = time.Hour

// StepFiles forgets the files that nobody added a piece to for long.
func (s *Set) StepFiles(ctx context.Context) (next time.Time) {
	s.report(ctx, "states of old files could not be removed", s.ForgetFiles())
	return time.Time{}
}

// ForgetFiles forgets the files that nobody added a piece to for long.
func (s *Set) ForgetFiles() error {
	before := s.opts.Now().Add(-fileMemory).UnixMilli()
	due := func(tx catalog.Tx) (keys []catalog.Key, err error) {
		err = files.Each(tx, nil, func(key catalog.Key, f file) error {
			if f.Touched < before {
				keys = append(keys, key)
			}
			return nil
		})
		return keys, err
	}
	var any bool
	err := s.db.View(func(tx catalog.Tx) error {
		keys, err := due(tx)
		any = len(keys) > 0
		return err
	})
	if err != nil || !any {
		return err
	}
	return s.db.Update(func(tx catalog.Tx) error {
		keys, err := due(tx)
		for _, key := range keys {
			_, pieceErr := pieces.Clear(tx, key)
			err = errors.Join(err, pieceErr, files.Delete(tx, key))
		}
		return err
	})
}

// forgetFilesOf forgets the files of a stream that is deleted.
func forgetFilesOf(tx catalog.Tx, stream string) error {
	_, err := files.Clear(tx, catalog.Key{stream})
	_, pieceErr := pieces.Clear(tx, catalog.Key{stream})
	return errors.Join(err, pieceErr)
}
