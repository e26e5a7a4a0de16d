package transfer_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"disd/internal/storage/vfs"
	"disd/internal/storage/vfs/errfs"
	"disd/internal/transfer"
	"disd/internal/transfer/filestore"
)

// dumps verifies what is on a disk.
func dumps(t *testing.T, disk vfs.FS) []transfer.Dump {
	t.Helper()
	found, err := transfer.VerifyDump(t.Context(), filestore.Open(filestore.Options{Dir: "obs", FS: disk}), kinds, "b", "p")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// damages joins the damage in all dumps.
func damages(all []transfer.Dump) string {
	var texts []string
	for _, d := range all {
		for _, err := range d.Damage {
			texts = append(texts, err.Error())
		}
	}
	return strings.Join(texts, "; ")
}

// manifested makes a rig whose task has delivered three batches of partition 0 from
// record 1 on, the second after a gap.
func manifested(t *testing.T) *rig {
	r := newRig(t, 2)
	r.opts.Manifest = true
	r.opts.MaxRecords = 2
	r.open(r.disk)
	r.put(0, "before")
	r.create(`,"file_prefix":"p"`)
	r.put(0, "a", "b")
	r.round()
	if err := r.tasks.Stop(streamID, []string{"t"}); err != nil {
		t.Fatal(err)
	}
	r.put(0, "lost", "c", "d", "e")
	r.trim(0, 4)
	if err := r.tasks.Start(streamID, []string{"t"}); err != nil {
		t.Fatal(err)
	}
	r.round()
	return r
}

func TestManifest(t *testing.T) {
	r := manifested(t)
	got := dumps(t, r.disk)
	want := transfer.Dump{Stream: "s", Task: "t", TaskID: r.status().ID, Start: 1, End: 7, Batches: 4, Objects: 3, Bytes: 10, Discarded: 1, Lost: 1}
	if len(got) != 1 || damages(got) != "" || fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", want) {
		t.Errorf("dumps\n%+v want\n%+v", got, want)
	}
	var m transfer.Manifest
	key := "p/_manifest/" + want.TaskID + "/0000000000-0000000000000000001.json"
	if err := json.Unmarshal([]byte(objects(t, r.disk)[key]), &m); err != nil {
		t.Fatal(err)
	}
	if m.Stream != "s" || m.Project != "p" || m.Last != 2 || m.Outcome != transfer.Delivered || len(m.Objects) != 1 || m.Objects[0].Key != "p/s-t-shardId-0000000000-1-2.txt" || m.Objects[0].Size != 4 {
		t.Errorf("manifest %+v", m)
	}
}

// TestDamage: whatever is done to what was delivered is found.
func TestDamage(t *testing.T) {
	manifest := func(first int) func(string) bool {
		return func(key string) bool { return strings.HasSuffix(key, fmt.Sprintf("-%019d.json", first)) }
	}
	object := func(name string) func(string) bool {
		return func(key string) bool { return strings.HasSuffix(key, name) }
	}
	for _, tt := range []struct {
		at     func(key string) bool
		change func(content string) string // "" removes it
		want   string
	}{
		{object("-1-2.txt"), func(string) string { return "" }, "is missing"},
		{object("-1-2.txt"), func(s string) string { return s + "x" }, "has 5 bytes, not 4"},
		{object("-1-2.txt"), func(s string) string { return "X" + s[1:] }, "other bytes"},
		{manifest(1), func(string) string { return "" }, "records 1 to 2 are missing"},
		{manifest(4), func(string) string { return "" }, "records 4 to 5 are missing"},
		{manifest(4), func(s string) string { return strings.Replace(s, `"last": 5`, `"last": 6`, 1) }, "records 6 to 6 are there twice"},
		{manifest(4), func(s string) string { return s[:20] }, "unexpected end"},
		{manifest(4), func(s string) string { return strings.Replace(s, `"version": 1`, `"version": 3`, 1) }, "version 3"},
		{manifest(4), func(s string) string { return strings.Replace(s, "delivered", "settled", 1) }, "no checksum"},
		{manifest(4), func(s string) string { return strings.Replace(s, "delivered", "improved", 1) }, "improved"},
		{manifest(4), func(s string) string { return strings.Replace(s, `"partition": 0`, `"partition": 1`, 1) }, "belongs elsewhere"},
		{manifest(4), func(s string) string { return strings.Replace(s, "-4-5.txt", "-1-2.txt", 1) }, "batches from 1 and from 4"},
		{object("-lost.json"), func(string) string { return "" }, "records 3 to 3 are missing"},
	} {
		r := manifested(t)
		all := objects(t, r.disk)
		keys := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(key string) bool { return !tt.at(key) })
		if len(keys) != 1 {
			t.Fatalf("%s: %d objects of %v", tt.want, len(keys), slices.Sorted(maps.Keys(all)))
		}
		name := "obs/b/" + keys[0]
		if err := r.disk.Remove(name); err != nil {
			t.Fatal(err)
		}
		if content := tt.change(all[keys[0]]); content != "" {
			dir, base := name[:strings.LastIndex(name, "/")], name[strings.LastIndex(name, "/")+1:]
			if err := vfs.WriteFile(r.disk, dir, base, []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		if got := damages(dumps(t, r.disk)); !strings.Contains(got, tt.want) {
			t.Errorf("damage %q, want %q", got, tt.want)
		}
	}
}

// TestManifestAfterCrash takes the machine away at every call of the file system.
func TestManifestAfterCrash(t *testing.T) {
	for n := 0; ; n++ {
		r := newRig(t, 1)
		r.create(`,"file_prefix":"p"`)
		r.opts.MaxRecords, r.opts.Manifest = 3, true
		fault := errfs.From(n)
		r.open(errfs.Wrap(r.disk, fault))
		for i := range 8 {
			r.put(0, fmt.Sprint(i))
			r.tasks.Pass()
		}
		r.round()
		after := r.disk.Crash(nil)
		r.opts.MaxRecords = 5
		r.advance(time.Hour)
		r.open(after)
		r.round()
		got := dumps(t, after)
		if len(got) != 1 || got[0].Start != 0 || got[0].End != 8 || damages(got) != "" {
			t.Fatalf("after call %d: %+v", n, got)
		}
		if !fault.Fired() {
			return
		}
	}
}
