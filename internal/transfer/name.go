package transfer

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"disd/internal/storage"
)

// DefaultFileName is the template of file names that D-10 fixes.
const DefaultFileName = "{stream_name}-{task_name}-{partition_id}-{first_seq}-{last_seq}"

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
		if part[0] == '{' && oneOf(placeholders...)(part) != "" {
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

// Name returns the file name of a part of the batch, without the directories of
// the task (D-10).
func (b *Batch) Name(first, last storage.Seq, ext string) string {
	template, t := b.fileName, &b.Target
	if template == "" {
		template = DefaultFileName
	}
	return strings.NewReplacer(
		"{project_id}", t.Stream.Project, "{stream_name}", t.Stream.Name, "{stream_id}", t.Stream.ID,
		"{task_name}", t.TaskName, "{task_id}", t.TaskID, "{partition_id}", fmt.Sprintf("shardId-%010d", b.Partition),
		"{first_seq}", strconv.FormatInt(int64(first), 10), "{last_seq}", strconv.FormatInt(int64(last), 10),
	).Replace(template) + ext
}
