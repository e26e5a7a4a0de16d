// Package e2e runs published clients, unmodified, against the built server.
package e2e

import (
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	dis "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2/model"

	"disd/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// A bench is a server and the Go SDK of the v3 generation.
type bench struct {
	*testing.T
	*dis.DisClient
	server *harness.Server
}

// onEachEngine runs a test with an empty server of each kind.
func onEachEngine(t *testing.T, test func(*bench)) {
	t.Helper()
	for _, engine := range []string{"local", "memory"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			test(newBench(t, harness.Options{Args: []string{"--engine", engine, "--empty-wait", "0s"}}))
		})
	}
}

func newBench(t *testing.T, o harness.Options) *bench {
	t.Helper()
	s := harness.Start(t, o)
	auth, err := basic.NewCredentialsBuilder().WithAk("ACCESSKEY").WithSk("secretkey").WithProjectId(harness.Project).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	client, err := dis.DisClientBuilder().WithEndpoint(s.URL).WithCredential(auth).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t, dis.NewDisClient(client), s}
}

// must ends the test when a call of the SDK failed. It also wants the status that
// the reference documents, which the SDK itself does not check.
func (b *bench) must(status, got int, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	if got != status {
		b.Fatalf("status %d, want %d", got, status)
	}
}

// A refusal is a call that must fail, by rule of the contract.
type refusal struct {
	rule    string
	call    func() error
	code    string
	message string // its beginning
}

// refuses makes calls that must fail with status 400.
func (b *bench) refuses(rows []refusal) {
	b.Helper()
	for _, r := range rows {
		err := r.call()
		var e *sdkerr.ServiceResponseError
		if !errors.As(err, &e) {
			b.Errorf("%s: %v, want %s", r.rule, err, r.code)
			continue
		}
		if e.StatusCode != http.StatusBadRequest || e.ErrorCode != r.code || !strings.HasPrefix(e.ErrorMessage, r.message) {
			b.Errorf("%s: %d %s %q, want 400 %s %q", r.rule, e.StatusCode, e.ErrorCode, e.ErrorMessage, r.code, r.message)
		}
		if len(e.RequestId) != 32 {
			b.Errorf("%s: request id %q", r.rule, e.RequestId)
		}
	}
}

// discard turns a call of the SDK into its error.
func discard[T any](_ T, err error) error { return err }

func (b *bench) createStream(r model.CreateStreamReq) error {
	return discard(b.CreateStream(&model.CreateStreamRequest{Body: &r}))
}

// stream creates a stream with nothing but a name and partitions.
func (b *bench) stream(name string, partitions int32) {
	b.Helper()
	if err := b.createStream(model.CreateStreamReq{StreamName: name, PartitionCount: partitions}); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) app(name string) {
	b.Helper()
	if err := discard(b.CreateApp(&model.CreateAppRequest{Body: &model.CreateAppReq{AppName: name}})); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) show(stream string) *model.ShowStreamResponse {
	b.Helper()
	r, err := b.ShowStream(&model.ShowStreamRequest{StreamName: stream})
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// entry is a record without anything that leads it to a partition.
func entry(data string) model.PutRecordsRequestEntry {
	return model.PutRecordsRequestEntry{Data: base64.StdEncoding.EncodeToString([]byte(data))}
}

func toPartition(data, partition string) model.PutRecordsRequestEntry {
	e := entry(data)
	e.PartitionId = &partition
	return e
}

func withKey(data, key string) model.PutRecordsRequestEntry {
	e := entry(data)
	e.PartitionKey = &key
	return e
}

func (b *bench) send(stream string, entries ...model.PutRecordsRequestEntry) (*model.SendRecordsResponse, error) {
	return b.SendRecords(&model.SendRecordsRequest{Body: &model.PutRecordsRequest{StreamName: stream, Records: entries}})
}

// put uploads records that must all be stored, and has the check at the end of
// the test look for them. It returns the places they were given.
func (b *bench) put(stream string, entries ...model.PutRecordsRequestEntry) []harness.Ack {
	b.Helper()
	r, err := b.send(stream, entries...)
	if err != nil {
		b.Fatal(err)
	}
	if *r.FailedRecordCount != 0 || len(*r.Records) != len(entries) {
		b.Fatalf("put: %v", r)
	}
	acks := make([]harness.Ack, len(entries))
	for i, e := range *r.Records {
		sent := harness.Record{}
		sent.Data, _ = base64.StdEncoding.DecodeString(entries[i].Data)
		if entries[i].PartitionKey != nil && entries[i].PartitionId == nil {
			sent.Key = *entries[i].PartitionKey
		}
		partition, err := strconv.Atoi(strings.TrimPrefix(*e.PartitionId, "shardId-"))
		if err != nil {
			b.Fatal(err)
		}
		seq, err := strconv.ParseInt(*e.SequenceNumber, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		acks[i] = harness.Ack{Partition: partition, Seq: seq}
		b.server.Client().Holds(b, stream, acks[i], sent)
	}
	return acks
}

// A position is how a cursor is asked for.
type position struct {
	partition string
	kind      model.ShowCursorRequestCursorType
	seq       string
	time      int64
}

var kinds = model.GetShowCursorRequestCursorTypeEnum()

func (b *bench) cursor(stream string, p position) (string, error) {
	req := &model.ShowCursorRequest{StreamName: stream, PartitionId: p.partition}
	if p.kind.Value() != "" {
		req.CursorType = &p.kind
	}
	if p.seq != "" {
		req.StartingSequenceNumber = &p.seq
	}
	if p.kind == kinds.AT_TIMESTAMP {
		req.Timestamp = &p.time
	}
	r, err := b.ShowCursor(req)
	if err != nil {
		return "", err
	}
	return *r.PartitionCursor, nil
}

func (b *bench) mustCursor(stream string, p position) string {
	b.Helper()
	c, err := b.cursor(stream, p)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// read returns the payloads at a cursor and the next one.
func (b *bench) read(cursor string) (data []string, next string) {
	b.Helper()
	r, err := b.ConsumeRecords(&model.ConsumeRecordsRequest{PartitionCursor: cursor})
	if err != nil {
		b.Fatal(err)
	}
	for _, rec := range *r.Records {
		raw, err := base64.StdEncoding.DecodeString(*rec.Data)
		if err != nil {
			b.Fatal(err)
		}
		data = append(data, string(raw))
	}
	return data, *r.NextPartitionCursor
}
