package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2/model"

	"disd/test/harness"
)

// pyArrow reads Parquet files by an implementation of its own.
const pyArrow = "pyarrow==26.0.1"

// TestTransferPage runs the commands of docs/transfer.md about directories and
// wants what it says they print.
func TestTransferPage(t *testing.T) {
	code := blocks(t, "docs/transfer.md")
	args := strings.Fields(code["sh"][0])
	if len(args) < 2 || !slices.Equal(args[:2], []string{"disd", "serve"}) {
		t.Fatalf("the page begins with %v", args)
	}
	work := t.TempDir()
	s := harness.Start(t, harness.Options{Dir: filepath.Join(work, "disd-data"), Args: args[2:]})
	run := func(t *testing.T, want, program string, command ...string) {
		t.Helper()
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir, cmd.Stderr = work, os.Stderr
		cmd.Stdin = strings.NewReader(strings.ReplaceAll(program, "http://127.0.0.1:20004", s.URL))
		if out, err := cmd.Output(); err != nil || string(out) != want {
			t.Errorf("%v: it printed\n%s want\n%s", err, out, want)
		}
	}
	run(t, code["text"][0], code["bash"][0], "bash", "-eu", "-o", "pipefail")
	t.Run("python", func(t *testing.T) {
		run(t, code["text"][1], code["py"][0], python(t, pyArrow), "-")
	})
}

// Every type of a schema, with the values of testdata/types.jsonl, is read by
// another implementation as it stands in testdata/types.txt.
func TestParquetIsReadElsewhere(t *testing.T) {
	t.Attr("rules", "OBS-5")
	interpreter := python(t, pyArrow)
	content := func(name string) string {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	b := newBench(t, harness.Options{Args: []string{"--transfer-batch-records", "3"}})
	bucket := filepath.Join(b.server.Dir, "obs", "b")
	if err := os.Mkdir(bucket, 0o700); err != nil {
		t.Fatal(err)
	}
	kind, schema := model.GetCreateStreamReqDataTypeEnum().JSON, content("types.avsc")
	if err := b.createStream(model.CreateStreamReq{StreamName: "s", PartitionCount: 1, DataType: &kind, DataSchema: &schema}); err != nil {
		t.Fatal(err)
	}
	parquet := model.GetObsDestinationDescriptorRequestDestinationFileTypeEnum().PARQUET
	if _, err := b.CreateObsTransferTask(&model.CreateObsTransferTaskRequest{StreamName: "s", Body: &model.CreateTransferTaskReq{
		DestinationType: model.GetCreateTransferTaskReqDestinationTypeEnum().OBS,
		ObsDestinationDescriptor: &model.ObsDestinationDescriptorRequest{
			TaskName: "t", AgencyName: "dis_admin_agency", DeliverTimeInterval: 30, ObsBucketPath: "b", DestinationFileType: &parquet,
		},
	}}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(content("types.jsonl")) {
		b.put("s", entry(strings.TrimSpace(line)))
	}
	file := filepath.Join(bucket, "s-t-shardId-0000000000-0-2.parquet")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no file was delivered")
		}
	}
	out, err := exec.Command(interpreter, "testdata/read_parquet.py", file).CombinedOutput()
	if want := content("types.txt"); err != nil || string(out) != want {
		t.Errorf("%v: read\n%s want\n%s", err, out, want)
	}
}
