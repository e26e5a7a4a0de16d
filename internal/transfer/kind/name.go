package kind

import (
	"fmt"
	"strconv"
	"strings"

	"disd/internal/storage"
)

// DefaultFileName is the template of file names that D-10 fixes.
const DefaultFileName = "{stream_name}-{task_name}-{partition_id}-{first_seq}-{last_seq}"

// Name returns the file name of a part of the batch, without the directories of
// the task (D-10).
func (b *Batch) Name(first, last storage.Seq, ext string) string {
	template, t := b.Template, &b.Target
	if template == "" {
		template = DefaultFileName
	}
	return strings.NewReplacer(
		"{partition_id}", fmt.Sprintf("shardId-%010d", b.Partition),
		"{first_seq}", strconv.FormatInt(int64(first), 10), "{last_seq}", strconv.FormatInt(int64(last), 10),
	).Replace(ForTask(template, t.Stream, t.TaskName, t.TaskID)) + ext
}

// ForTask leaves of a template only what differs between the batches of a task.
func ForTask(template string, s Stream, name, id string) string {
	return strings.NewReplacer(
		"{project_id}", s.Project, "{stream_name}", s.Name, "{stream_id}", s.ID, "{task_name}", name, "{task_id}", id,
	).Replace(template)
}

// Key makes the key of an object of path elements; empty ones leave none (D-8).
func Key(elements ...string) string {
	parts := strings.FieldsFunc(strings.Join(elements, "/"), func(r rune) bool { return r == '/' })
	return strings.Join(parts, "/")
}

// Staged returns bucket and key of the file in which a batch waits for being
// loaded (DWS-1, D-10).
func (b *Batch) Staged(ext string) (bucket, key string) {
	bucket, prefix := b.Target.Settings.Backup()
	return bucket, Key(prefix, b.Name(b.First, b.Last, ext))
}
