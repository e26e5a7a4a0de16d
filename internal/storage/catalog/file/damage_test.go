package file

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/storage/vfs"
)

// An image is a catalog with its mark, as bytes.
type image struct{ catalog, mark []byte }

func imageOf(t *testing.T, path string) image {
	t.Helper()
	c, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := os.ReadFile(markPath(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return image{c, m}
}

func (i image) write(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "catalog.db")
	if err := os.WriteFile(path, i.catalog, 0o600); err != nil {
		t.Fatal(err)
	}
	if i.mark != nil {
		if err := os.WriteFile(markPath(path), i.mark, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// find is what Read does to a file.
func (i image) find() (*Found, error) {
	mark, marked := meta{}, false
	for at := 0; at+markSize <= len(i.mark); at += markSlot {
		if m, ok := decodeMark(i.mark[at:]); ok && (!marked || m.tx > mark.tx) {
			mark, marked = m, true
		}
	}
	file := bytes.NewReader(i.catalog)
	good, err := readMetas(file)
	if err != nil {
		return nil, err
	}
	f := &Found{opt: Options{Path: "catalog.db", Logger: slog.New(slog.DiscardHandler)}}
	if err := f.choose(good, mark, marked); err != nil {
		return nil, err
	}
	f.contents, err = scan(file, int64(len(i.catalog)), "catalog.db", f.meta)
	return f, err
}

// sample returns a catalog in which there is some of everything: tables of their
// own pages, with a branch above them, and tables that lie in the root.
func sample(t *testing.T) (path string, rows []string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "catalog.db")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx catalog.Tx) error {
		var errs []error
		for i := range 90 {
			errs = append(errs, things.Put(tx, catalog.Key{catalog.Digits(i, 30)}, thing{"a name of some length, to fill pages", i}))
		}
		return errors.Join(append(errs, catalog.NewTable[int]("others").Put(tx, catalog.Key{"x"}, 7))...)
	}); err != nil {
		t.Fatal(err)
	}
	put(t, db, thing{"changed", 7}, catalog.Digits(7, 30))
	if err := db.Update(func(tx catalog.Tx) error { return things.Delete(tx, catalog.Key{catalog.Digits(3, 30)}) }); err != nil {
		t.Fatal(err)
	}
	rows = keys(t, db)
	if damage := db.Check(); damage != nil {
		t.Fatalf("nothing is damaged: %v", damage)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path, rows
}

// TestEveryBit flips a bit of every byte in the first quarter of each page that is not
// zero, which is where its structure lies, and of some of the others. Whatever Read does not refuse or name has the same content as before,
// and can be used.
func TestEveryBit(t *testing.T) {
	path, rows := sample(t)
	good := imageOf(t, path)
	noticed, used := 0, 0
	for at, b := range good.catalog {
		if structure := b != 0 && at%4096 < 1024; !structure && at%7 != 0 {
			continue
		}
		good.catalog[at] = b ^ 1<<(at%8)
		f, err := good.find()
		bad := good
		if at%8 == 0 || at%4004 == 0 {
			bad.catalog = bytes.Clone(good.catalog)
		}
		good.catalog[at] = b
		if err != nil {
			if damage := (*storage.CorruptError)(nil); !errors.As(err, &damage) && !errors.Is(err, ErrVersion) {
				t.Errorf("byte %d: %v", at, err)
			}
			noticed++
			continue
		}
		if len(f.contents.rows) > 0 {
			noticed++
			continue
		}
		if f.restore {
			noticed++
		}
		if f.restore && at%8 == 0 || at%4004 == 0 {
			use(t, bad, rows)
			used++
		}
	}
	if noticed < 2000 || used < 10 {
		t.Errorf("%d flips were noticed, %d of the others tried", noticed, used)
	}
}

// use opens a catalog that is not reported as damaged.
func use(t *testing.T, i image, rows []string) {
	t.Helper()
	db, err := Open(i.write(t))
	if err != nil {
		t.Error(err)
		return
	}
	defer db.Close()
	if got := keys(t, db); !slices.Equal(got, rows) {
		t.Errorf("%d rows, want %d", len(got), len(rows))
	}
	put(t, db, thing{"new", 1}, "new")
	if damage := db.Check(); damage != nil {
		t.Errorf("after a change: %v", damage)
	}
}

// TestEveryBitOfTheMark: it is less than what it tells about.
func TestEveryBitOfTheMark(t *testing.T) {
	path, rows := sample(t)
	good := imageOf(t, path)
	for at := range good.mark {
		if at%markSlot >= markSize {
			continue
		}
		bad := image{good.catalog, bytes.Clone(good.mark)}
		bad.mark[at] ^= 1 << (at % 8)
		f, err := bad.find()
		if err != nil || f.restore {
			t.Errorf("byte %d: %v, %v", at, f, err)
		}
	}
	use(t, image{good.catalog, nil}, rows)
	use(t, image{good.catalog, good.mark[:100]}, rows)
}

// flip returns the image with a bit of the newer meta page changed.
func (i image) flip(t *testing.T) image {
	t.Helper()
	metas, err := readMetas(bytes.NewReader(i.catalog))
	if err != nil || len(metas) != 2 {
		t.Fatal(metas, err)
	}
	c := bytes.Clone(i.catalog)
	c[int64(metas[0].tx%2)*metas[0].page+64] ^= 0x80
	return image{c, i.mark}
}

// TestNewerMetaPage: damage of the page that was written last does not undo what it
// is about. What the mark knows is written again; without it nothing is opened.
func TestNewerMetaPage(t *testing.T) {
	path, rows := sample(t)
	bad := imageOf(t, path).flip(t)
	var damage *storage.CorruptError
	if _, err := OpenToRead(bad.write(t)); !errors.As(err, &damage) {
		t.Errorf("OpenToRead: %v", err)
	}
	use(t, bad, rows)
	if _, err := Open(image{bad.catalog, nil}.write(t)); !errors.As(err, &damage) {
		t.Errorf("without a mark: %v", err)
	}
	both := bad.flip0()
	if _, err := Open(both.write(t)); !errors.As(err, &damage) {
		t.Errorf("both: %v", err)
	}
}

func (i image) flip0() image {
	c := bytes.Clone(i.catalog)
	for _, at := range []int{64, 4096 + 64} {
		c[at] ^= 0x10
	}
	return image{c, i.mark}
}

// TestOlderFile: a catalog that was put back without its mark is noticed, and so is
// one that is missing beside it.
func TestOlderFile(t *testing.T) {
	path, _ := sample(t)
	older := imageOf(t, path)
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		put(t, db, thing{N: i}, "later")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var damage *storage.CorruptError
	newer := imageOf(t, path)
	if _, err := Open(image{older.catalog, newer.mark}.write(t)); !errors.As(err, &damage) {
		t.Errorf("an older file: %v", err)
	}
	gone := image{newer.catalog, newer.mark}.write(t)
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(gone); !errors.As(err, &damage) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := os.Stat(gone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused start made a file: %v", err)
	}
	other, _ := sample(t)
	if _, err := Open(image{imageOf(t, other).catalog, older.mark}.write(t)); err != nil && !errors.As(err, &damage) {
		t.Errorf("another catalog: %v", err)
	}
}

// TestCycle: pages that lead back to themselves are named, and not followed.
func TestCycle(t *testing.T) {
	path, _ := sample(t)
	good := imageOf(t, path)
	branches := 0
	for id := int64(2); id*4096 < int64(len(good.catalog)); id++ {
		page := good.catalog[id*4096:]
		if le.Uint16(page[8:]) != branchFlag || le.Uint16(page[10:]) == 0 {
			continue
		}
		bad := image{bytes.Clone(good.catalog), good.mark}
		le.PutUint64(bad.catalog[id*4096+pageHeader+8:], uint64(id))
		if _, err := bad.find(); err != nil {
			branches++
		}
	}
	if branches == 0 {
		t.Error("no cycle was noticed")
	}
}

// TestDamagedRowStaysOne: a value that is damaged is named, costs its row only, and
// can be written over.
func TestDamagedRowStaysOne(t *testing.T) {
	path, rows := sample(t)
	bad := imageOf(t, path)
	bad.catalog[bytes.LastIndex(bad.catalog, []byte(`"N":50}`))] ^= 1
	f, err := bad.find()
	if err != nil || len(f.contents.rows) != 1 {
		t.Fatalf("%v, %v", f, err)
	}
	db, err := Open(bad.write(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if damage := db.Check(); len(damage) != 1 {
		t.Errorf("Check: %v", damage)
	}
	put(t, db, thing{"again", 50}, catalog.Digits(50, 30))
	if damage := db.Check(); damage != nil {
		t.Errorf("after it was written over: %v", damage)
	}
	if got := keys(t, db); !slices.Equal(got, rows) {
		t.Errorf("%d rows, want %d", len(got), len(rows))
	}
}

// version1 makes a catalog as disd did before there were sums.
func version1(t *testing.T, n int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "catalog.db")
	b, err := bolt.Open(path, 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType})
	if err != nil {
		t.Fatal(err)
	}
	err = b.Update(func(tx *bolt.Tx) error {
		f, err := tx.CreateBucket([]byte("_format"))
		if err != nil {
			return err
		}
		return f.Put([]byte("version"), []byte("1"))
	})
	for i := 0; i < n && err == nil; i++ {
		err = b.Update(func(tx *bolt.Tx) error {
			table, err := tx.CreateBucketIfNotExists([]byte("things"))
			key := []byte(catalog.Digits(i, 30) + "\x00")
			return errors.Join(err, table.Put(key, encodeValue(key, fmt.Appendf(nil, `{"N":%d}`, i))))
		})
	}
	if err := errors.Join(err, b.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUpgrade: a catalog of version 1 is read whole, and is one of this version
// after its first start.
func TestUpgrade(t *testing.T) {
	path := version1(t, 100)
	before := imageOf(t, path)
	found, err := Read(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := found.Close(); err != nil || !bytes.Equal(before.catalog, imageOf(t, path).catalog) {
		t.Errorf("Read changed the file: %v", err)
	}
	for range 2 {
		db, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := keys(t, db); len(got) != 100 {
			t.Errorf("%d rows", len(got))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f, err := imageOf(t, path).find()
	if err != nil || f.contents.version != formatVersion || f.contents.tables["things"].count != 100 {
		t.Errorf("upgraded: %+v, %v", f, err)
	}
}

// fixedLogs are logs of one identity.
type fixedLogs struct{ identity, group uint64 }

func (l *fixedLogs) Identity() uint64 { return l.identity }
func (l *fixedLogs) Durable() uint64  { return l.group }

// TestBond: the catalog says which logs it describes and how far they had come with
// its last change, and its own number grows.
func TestBond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	logs := &fixedLogs{identity: 77, group: 1}
	var number uint64
	for i := range 3 {
		f, err := Read(Options{Path: path, FS: vfs.OS})
		if err != nil {
			t.Fatal(err)
		}
		if f.Exists() != (i > 0) || i > 0 && (f.Identity() != 77 || f.Group() != logs.group) || f.Number() < number {
			t.Errorf("start %d: exists %v, identity %d, group %d, number %d after %d", i, f.Exists(), f.Identity(), f.Group(), f.Number(), number)
		}
		db, err := f.Open(logs)
		if err != nil {
			t.Fatal(err)
		}
		logs.group += 10
		put(t, db, thing{N: i}, "a")
		if number = f.Number(); number == 0 {
			t.Error("the commit has no number")
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
