package file

import (
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"

	"disd/internal/storage/vfs"
)

// markName is the file beside the catalog that knows the newest of its meta pages.
// It is written after each commit, before anybody hears of it, and not synced but
// at start and end: it outlives the process, and tells damage of that page from a
// commit that never was.
const markName = "catalog.mark"

const (
	markMagic   = "dCMK"
	markVersion = 1
	markSize    = 96
	markSlot    = 4096 // there are two, written in turn
	markMeta    = 8    // where the meta is
)

func markPath(path string) string { return filepath.Join(filepath.Dir(path), markName) }

func encodeMark(m *meta) []byte {
	b := make([]byte, markSize)
	copy(b, markMagic)
	le.PutUint16(b[4:], markVersion)
	copy(b[markMeta:], m.raw[:])
	le.PutUint32(b[92:], crc32.Checksum(b[:92], castagnoli))
	return b
}

func decodeMark(b []byte) (m meta, ok bool) {
	if len(b) < markSize || string(b[:4]) != markMagic || le.Uint16(b[4:]) != markVersion || le.Uint32(b[92:]) != crc32.Checksum(b[:92], castagnoli) {
		return meta{}, false
	}
	raw := b[markMeta : markMeta+metaSize]
	return parseMeta(raw, le.Uint64(raw)%metaPageIDs)
}

// readMark returns the newest meta that the mark knows, false when there is no mark
// or none of its slots is good.
func readMark(fsys vfs.FS, path string) (newest meta, ok bool, err error) {
	raw, err := vfs.ReadFile(fsys, markPath(path))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return meta{}, false, err
	}
	for at := 0; at+markSize <= len(raw); at += markSlot {
		if m, good := decodeMark(raw[at:]); good && (!ok || m.tx > newest.tx) {
			newest, ok = m, true
		}
	}
	return newest, ok, nil
}

// A marker writes the mark.
type marker struct {
	catalog io.ReaderAt
	page    int64 // size of a page of the catalog
	file    vfs.File
}

// openMarker makes the mark if there is none. The slots that are there stay.
func openMarker(fsys vfs.FS, path string, catalog io.ReaderAt, page int64) (*marker, error) {
	name := markPath(path)
	f, err := fsys.OpenFile(name, vfs.Write)
	if errors.Is(err, fs.ErrNotExist) {
		if err := vfs.WriteFile(fsys, filepath.Dir(path), markName, make([]byte, 2*markSlot)); err != nil {
			return nil, err
		}
		f, err = fsys.OpenFile(name, vfs.Write)
	}
	if err != nil {
		return nil, err
	}
	return &marker{catalog, page, f}, nil
}

// note writes the meta of a transaction that was committed.
func (k *marker) note(tx uint64) error {
	id := tx % metaPageIDs
	m, ok, err := readMeta(k.catalog, int64(id)*k.page, id)
	if err != nil {
		return err
	}
	if !ok || m.tx != tx {
		return errors.New("the meta page is not the one that was written")
	}
	return k.file.WriteAt([][]byte{encodeMark(&m)}, int64(id)*markSlot)
}

func (k *marker) close() error { return errors.Join(k.file.Sync(), k.file.Close()) }
