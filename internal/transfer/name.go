package transfer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"disd/internal/storage/catalog"
	"disd/internal/transfer/kind"
)

// namePart is what a template consists of: a placeholder, or text between two.
var namePart = regexp.MustCompile(`\{[a-z_]+\}|[A-Za-z0-9_.=/-]+`)

var placeholders = []string{
	"{project_id}", "{stream_name}", "{stream_id}", "{task_name}", "{task_id}", "{partition_id}", "{first_seq}", "{last_seq}",
}

// CheckFileName says what is wrong with a template: it would give two batches the
// same name, or names that no store takes.
func CheckFileName(template string) error {
	has := func(name string) bool { return strings.Contains(template, name) }
	for _, part := range namePart.FindAllString(template, -1) {
		if part[0] == '{' && kind.OneOf(placeholders...)(part) != "" {
			return fmt.Errorf("unknown placeholder %s", part)
		}
	}
	switch {
	case namePart.ReplaceAllString(template, "") != "":
		return errors.New("only letters, digits, _ . = / - and placeholders in braces are allowed")
	case has("}{"):
		return errors.New("two placeholders need a character between them")
	case strings.HasPrefix(template, "/") || strings.HasSuffix(template, "/") || has("//") || has(".."):
		return errors.New("empty path elements and .. are not allowed")
	case !has("{partition_id}") || !has("{first_seq}"):
		return errors.New("{partition_id} and {first_seq} are needed")
	case !has("{task_id}") && (!has("{task_name}") || !has("{stream_name}") && !has("{stream_id}")):
		return errors.New("{task_id} is needed, or {task_name} and one of {stream_name} and {stream_id}")
	}
	return nil
}

// A nameOwner is a task, or one that was deleted and those that get its name: they
// number the same records.
type nameOwner struct {
	StreamID string `json:"stream_id"`
	Task     string `json:"task"`
}

// names are those that tasks give their files, by root, directory and kind.ForTask. Rows
// outlive their tasks, as the files do.
var names = catalog.NewTable[[]nameOwner]("task_names")

// below matches what follows a prefix in keys, and may therefore not tell it from
// a shorter one.
var below = regexp.MustCompile(`(^|/)([0-9]+|[a-z]+_error)(/[0-9]+|/[a-z]+_error)*/*$`)

// template returns the template of the names of a task's files. A task that would
// have the names of another one's files, as stream a-b and task c have those of
// stream a and task b-c, has its id in them.
func (t *Tasks) template(row *Task) string {
	if row.Distinct {
		return strings.Replace(t.opts.FileName, "{partition_id}", "{task_id}-{partition_id}", 1)
	}
	return t.opts.FileName
}

// nameKey is where the names of a task's files are noted: by the directory as it is
// in keys, however it was spelled.
func nameKey(root, dir, name string) catalog.Key {
	return catalog.Key{root, below.ReplaceAllString(kind.Key(dir), ""), name}
}

// respell moves notes to the directory that they mean. Tasks that there are take
// their names anew: two may have had the same ones in two spellings.
func respell(tx catalog.Tx, live map[nameOwner]bool) error {
	moved := make(map[string][]nameOwner) // by the old key
	keys := make(map[string]catalog.Key)
	err := names.Each(tx, nil, func(key catalog.Key, owners []nameOwner) error {
		if id := strings.Join(key, "\x00"); !slices.Equal(key, nameKey(key[0], key[1], key[2])) {
			moved[id], keys[id] = owners, slices.Clone(key)
		}
		return nil
	})
	for _, id := range slices.Sorted(maps.Keys(moved)) {
		key := keys[id]
		gone := slices.DeleteFunc(moved[id], func(o nameOwner) bool { return live[o] })
		to := nameKey(key[0], key[1], key[2])
		owners, _, err1 := names.Get(tx, to)
		err = errors.Join(err, err1, names.Delete(tx, key))
		if len(gone) > 0 && err == nil {
			err = names.Put(tx, to, append(owners, gone...))
		}
	}
	return err
}

// claim takes the names of a task's files. When they are another one's, it makes
// the task distinct, or has both share them.
func (t *Tasks) claim(tx catalog.Tx, row *Task, settings kind.Settings, s kind.Stream, share bool) error {
	root, dir := settings.Directory()
	mine := nameOwner{row.StreamID, row.Name}
	for root != "" {
		key := nameKey(root, dir, kind.ForTask(t.template(row), s, row.Name, row.ID))
		owners, taken, err := names.Get(tx, key)
		switch {
		case err != nil:
			return err
		case slices.Contains(owners, mine) || taken && row.Distinct:
			return nil
		case !taken || share:
			return names.Put(tx, key, append(owners, mine))
		}
		row.Distinct = true
	}
	return nil
}

// claimAll takes the names of all tasks, which are others than before when the
// template was changed. Tasks from before names were noted keep those they have.
func (t *Tasks) claimAll() error {
	all := t.live()
	slices.SortFunc(all, func(a, b *task) int {
		return cmp.Or(cmp.Compare(a.row.Created, b.row.Created), cmp.Compare(a.row.Order, b.row.Order))
	})
	live := make(map[nameOwner]bool)
	for _, k := range all {
		live[nameOwner{k.streamID, k.name}] = true
	}
	claim := func(tx catalog.Tx) error {
		noted, err := names.Any(tx, nil)
		if err != nil {
			return err
		}
		if err := respell(tx, live); err != nil {
			return err
		}
		for _, k := range all {
			stream, err := t.opts.Streams.Describe(k.streamID)
			if err != nil {
				continue // it is gone, and the task with it
			}
			row := k.row
			if err := t.claim(tx, &row, k.meant.settings, stream, !noted); err != nil {
				return err
			}
			if row.Distinct == k.row.Distinct {
				continue
			}
			if err := tasks.Put(tx, row.key(), row); err != nil {
				return err
			}
			k.row = row
		}
		return nil
	}
	// At most starts there is nothing to write, which a transaction that cannot
	// write finds out: a full disk then keeps nothing from starting.
	if t.opts.DB.View(claim) == nil {
		return nil
	}
	return t.opts.DB.Update(claim)
}
