package dis

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"disd/internal/api/codec"
	"disd/internal/api/rest"
	"disd/internal/auth/policy"
	"disd/internal/cursor"
	"disd/internal/field"
	"disd/internal/monitor"
	"disd/internal/partition"
	"disd/internal/storage"
)

// Limits of a download (E20).
const (
	defaultFetch    = 1 << 20
	maxFetch        = 10 << 20
	maxFetchRecords = 10000
	// MaxPutRecords bounds the records of an upload, and maxPuts those of all uploads
	// at one time: small ones take a hundred times the memory of their text.
	MaxPutRecords = 200_000
	maxPuts       = 5 * MaxPutRecords
	// smallFetch is the size in bytes of downloads that need no room in the budget.
	smallFetch = 64 << 10
)

// recordCalls are the calls about records, E19 to E21 and E47.
type recordCalls struct {
	finder
	cursors *cursor.Sealer
	monitor *monitor.Monitor
	faults  recordFaults
	now     func() time.Time
	sleep   func(context.Context, time.Duration) error
	log     *slog.Logger

	limits    RecordLimit
	emptyWait time.Duration // how long an empty download is lease back (E20-R9)

	pools   *rest.Pools
	chunks  *rest.FreeList[*storage.Chunk]
	uploads *semaphore.Weighted // records being uploaded
	results *rest.Budget        // answers to large uploads
	answers *rest.Budget        // of downloads
}

// An uploader is the memory of one upload, used again and again.
type uploader struct {
	request  codec.PutRequest
	puts     []partition.Put
	outcomes []partition.Outcome
	results  []codec.PutResult
	infos    []byte // encoded extended_info of the records
}

var uploaders = sync.Pool{New: func() any { return new(uploader) }}

func (u *uploader) release() {
	u.request.Reset()
	clear(u.puts)
	clear(u.outcomes)
	clear(u.results)
	uploaders.Put(u)
}

// put answers E19.
func (s *recordCalls) put(c *rest.Call) (rep rest.Reply, err error) {
	n := int64(codec.AtMost(c.Body, c.Proto))
	if n > MaxPutRecords {
		return rest.Reply{}, rest.ErrTooLarge
	}
	lease, err := s.makeRoom(c, n)
	if err != nil {
		return rest.Reply{}, err
	}
	defer func() {
		s.uploads.Release(n)
		if rep.Lease == nil {
			lease.Release()
		}
	}()
	u := uploaders.Get().(*uploader)
	defer u.release()
	parse := codec.ParsePutJSON
	if c.Proto {
		parse = codec.ParsePutProto
	}
	if err := parse(c.Body, &u.request); err != nil {
		return rest.Reply{}, putError(err)
	}
	st, info, err := s.namedStream(c, policy.PutRecords, u.request.StreamName, u.request.StreamID)
	if err != nil && c.Watched() {
		err = field.First(c.Probe.Aim(uploadTarget(c, u, nil)), err)
	}
	if err != nil {
		return rest.Reply{}, err
	}
	if err := u.fill(s.maxRecord(info)); err != nil {
		return rest.Reply{}, err
	}
	if err := s.store(c, st, u); err != nil {
		return rest.Reply{}, notFound(c, info.Name, err)
	}
	if len(u.infos) > 0 {
		s.notePieces(c, st, u)
	}
	s.monitor.Put(info.ID, c.Start.Elapsed(), u.stored, u.throttled())
	rep = s.putReply(c, u)
	rep.Lease = lease
	return rep, nil
}

// makeRoom waits for what an upload of n records needs beside its body: the records
// as such, which are given back when they are stored, and an answer that its client
// may not take.
func (s *recordCalls) makeRoom(c *rest.Call, n int64) (lease *rest.Lease, err error) {
	if size := putReplySize(int(n)); size > smallFetch {
		lease = s.results.Enter(c.Request)
		err = lease.Reserve(c.Context(), int64(size))
	}
	if err == nil {
		err = s.uploads.Acquire(c.Context(), n)
	}
	if err != nil {
		lease.Release()
	}
	return lease, err
}

// putReplySize is about how long the answer to an upload is, more when there are
// messages of errors in it.
func putReplySize(records int) int { return 64 + 96*records }

// LargestResult is the memory in bytes for the answer to the largest upload.
const LargestResult = 64 + 96*MaxPutRecords

// LargestAnswer is the memory in bytes for the largest download.
func LargestAnswer(records RecordLimit) int64 {
	return fetchCost(storage.Limit{Bytes: records.Advanced + maxFetch, Records: maxFetchRecords})
}

// stored yields partition and size of every record that was stored.
func (u *uploader) stored(yield func(int32, int) bool) {
	for i := range u.outcomes {
		if o := &u.outcomes[i]; o.Err == nil && !yield(o.Partition, len(u.puts[i].Data)) {
			return
		}
	}
}

// throttled reports whether flow control refused a record (M-4).
func (u *uploader) throttled() bool {
	return slices.ContainsFunc(u.outcomes, func(o partition.Outcome) bool {
		return errors.Is(o.Err, partition.ErrThrottled) || errors.Is(o.Err, storage.ErrBusy)
	})
}

// putError maps the codec's errors to those of the table.
func putError(err error) error {
	var bad *codec.FieldError
	var id *codec.PartitionIDError
	switch {
	case errors.As(err, &bad):
		return field.Invalid(bad.Field, bad.Reason)
	case errors.As(err, &id):
		return rest.Detail(ErrPartitionID, id.Value)
	}
	return err
}

func (s *recordCalls) maxRecord(info *partition.Info) int {
	if info.Type == partition.Advanced {
		return s.limits.Advanced
	}
	return s.limits.Common
}

// fill makes puts of the parsed records.
func (u *uploader) fill(maxRecord int) error {
	n := len(u.request.Records)
	u.puts, u.outcomes = sized(u.puts, n), sized(u.outcomes, n)
	u.infos = u.infos[:0]
	for i := range u.request.Records {
		r := &u.request.Records[i]
		if len(r.Data) > maxRecord {
			return rest.Detail(ErrRecordSize, "records["+strconv.Itoa(i)+"].data")
		}
		u.puts[i] = partition.Put{Partition: -1, Hash: -1, Key: r.Key, Timestamp: r.Timestamp, Data: r.Data, Info: u.info(&r.Info)}
		if r.HasPartition {
			u.puts[i].Partition = r.Partition
		}
		if r.HasHashKey {
			u.puts[i].Hash = int64(r.HashKey)
		}
	}
	return nil
}

// info encodes what a piece of a file says about itself, nil for other records.
func (u *uploader) info(f *codec.Info) []byte {
	if f.IsZero() {
		return nil
	}
	start := len(u.infos)
	u.infos = codec.AppendInfo(u.infos, f)
	return u.infos[start:len(u.infos):len(u.infos)]
}

func (s *recordCalls) putReply(c *rest.Call, u *uploader) rest.Reply {
	u.results = sized(u.results, len(u.outcomes))
	for i, o := range u.outcomes {
		u.results[i] = codec.PutResult{Partition: o.Partition, Seq: o.Seq}
		if o.Err != nil {
			u.results[i].Code, u.results[i].Message = s.faults.of(o.Err)
			if spoiled := (*spoiledError)(nil); errors.As(o.Err, &spoiled) {
				u.results[i].Code, u.results[i].Message = spoiled.code, spoiled.message
			}
		}
	}
	memory := s.pools.Get(putReplySize(len(u.results)))
	if c.Proto {
		return rest.Reply{Status: http.StatusOK, Type: rest.ProtoType, Body: codec.AppendPutProto(memory.B, u.results), Memory: memory}
	}
	return rest.Reply{Status: http.StatusOK, Body: codec.AppendPutJSON(memory.B, u.results), Memory: memory}
}

func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}

// get answers E20.
func (s *recordCalls) get(c *rest.Call) (rep rest.Reply, err error) {
	at, err := s.cursors.Open(c.Query.Get("partition-cursor"), s.now())
	lim, limErr := fetchLimit(c.Query)
	if err := field.First(err, limErr); err != nil {
		return rest.Reply{}, err
	}
	id, err := parsePartition(at.Partition)
	if err == nil && c.Watched() {
		err = c.Probe.Aim(rest.Target{Project: c.Project, Stream: at.StreamName, StreamID: at.StreamID, Partitions: []int32{id}})
	}
	if err != nil {
		return rest.Reply{}, err
	}
	st, info, err := s.namedStream(c, policy.GetRecords, "", at.StreamID)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := info.Running(); err != nil {
		return rest.Reply{}, err
	}
	log, err := st.Log(id)
	if err != nil {
		return rest.Reply{}, partitionError(c, info, id, err)
	}
	if log, err = s.visible(c, log); err != nil {
		return rest.Reply{}, partitionError(c, info, id, err)
	}
	at.Seq = st.Resume(id, at.Seq, at.Issued)
	delayed, err := s.await(c.Context(), st, log, at.Seq)
	if errors.Is(err, partition.ErrThrottled) {
		s.monitor.Refused(info.ID)
	}
	if err != nil {
		return rest.Reply{}, partitionError(c, info, id, err)
	}
	lease := s.answers.Enter(c.Request)
	defer func() {
		if rep.Lease == nil {
			lease.Release()
		}
	}()
	chunk, ok := s.chunks.Get()
	if !ok {
		chunk = new(storage.Chunk)
	}
	defer func() {
		clear(chunk.Records) // which may lie in memory that is not the chunk's
		s.chunks.Put(chunk)
	}()
	if err := read(c.Context(), log, at.Seq, lim, s.maxRecord(info), lease, chunk); err != nil {
		return rest.Reply{}, partitionError(c, info, id, err)
	}
	st.Took(id, dataSize(chunk.Records))
	s.monitor.Get(info.ID, id, c.Start.Elapsed(), len(chunk.Records), dataSize(chunk.Records), delayed)
	if c.Watched() {
		c.Probe.Count(len(chunk.Records), 0)
	}
	at.Type, at.Issued = cursor.AtSequence, s.now().UnixMilli()
	at.Seq += storage.Seq(len(chunk.Records))
	rep = s.getReply(c, chunk.Records, s.cursors.Seal(at))
	lease.Shrink(int64(cap(rep.Body)))
	rep.Lease = lease
	return rep, nil
}

// fetchLimit reads max_fetch_bytes and limit.
func fetchLimit(q rest.Query) (storage.Limit, error) {
	names := []string{"max_fetch_bytes", "max-fetch-bytes"}
	bytes, bytesErr := q.Capped(names, defaultFetch, maxFetch)
	records, recordsErr := rest.ParseNumber(q.Get("limit")).OrDefault().Within("limit", 1, 1<<62, maxFetchRecords)
	return storage.Limit{
		Records:    int(min(records, maxFetchRecords)),
		Bytes:      bytes,
		AtLeastOne: q.Get(names...) == "",
	}, field.First(bytesErr, recordsErr)
}

// await is the wait that the partition's throughput asks for (E20-R8), which it
// reports; when there are no records it waits a little for some (E20-R9).
func (s *recordCalls) await(ctx context.Context, st *partition.Stream, log storage.Log, from storage.Seq) (delayed bool, err error) {
	pause, err := st.Pace(log.ID().Partition)
	if err != nil {
		return false, err
	}
	if err := s.sleep(ctx, pause); err != nil {
		return false, err
	}
	if _, next := log.Bounds(); from == next && s.emptyWait > 0 {
		waiting, cancel := context.WithTimeout(ctx, s.emptyWait)
		defer cancel()
		_ = log.Wait(waiting, from) // reading says whether there is something
	}
	return pause > 0, nil
}

// read reads as much as there is room for. Where there is little, because others do
// not take their answers, that is a small download at once, or one record of another
// size when there is room for it.
func read(ctx context.Context, log storage.Log, from storage.Seq, lim storage.Limit, maxRecord int, lease *rest.Lease, chunk *storage.Chunk) error {
	most := lim
	if lim.AtLeastOne {
		most.Bytes = max(lim.Bytes, maxRecord)
	}
	if lease.TryReserve(fetchCost(most)) {
		return log.Read(ctx, from, lim, chunk)
	}
	small := storage.Limit{Records: min(lim.Records, smallFetch/128), Bytes: min(lim.Bytes, smallFetch)}
	if err := log.Read(ctx, from, small, chunk); err != nil || len(chunk.Records) > 0 {
		return err
	}
	if _, next := log.Bounds(); from == next {
		return nil
	}
	most.Records, most.Bytes, lim.Records = 1, min(most.Bytes, maxRecord), 1
	*chunk = storage.Chunk{} // nobody waits holding memory
	if err := lease.Reserve(ctx, fetchCost(most)); err != nil {
		return err
	}
	return log.Read(ctx, from, lim, chunk)
}

// fetchCost is the memory in bytes for a download: the records, and the answer of
// them.
func fetchCost(lim storage.Limit) int64 { return int64(lim.Bytes)*7/3 + int64(lim.Records)*256 }

func dataSize(records []storage.Record) (n int) {
	for i := range records {
		n += len(records[i].Data)
	}
	return n
}

func (s *recordCalls) getReply(c *rest.Call, records []storage.Record, next string) rest.Reply {
	memory := s.pools.Get(len(next) + 192*len(records) + dataSize(records)*4/3)
	if c.Proto {
		return rest.Reply{Status: http.StatusOK, Type: rest.ProtoType, Body: codec.AppendGetProto(memory.B, records, next), Memory: memory}
	}
	return rest.Reply{Status: http.StatusOK, Body: codec.AppendGetJSON(memory.B, records, next), Memory: memory}
}

// cursorError adds what was asked for to an error about it.
func cursorError(r cursor.Request, err error) error {
	switch {
	case errors.Is(err, cursor.ErrType):
		return rest.Detail(err, r.Type)
	case errors.Is(err, cursor.ErrSequence):
		return rest.Detail(err, r.Sequence)
	}
	return err
}

type cursorReply struct {
	Cursor string `json:"partition_cursor"`
}

// showCursor answers E21.
func (s *recordCalls) showCursor(c *rest.Call) (rest.Reply, error) {
	q := c.Query
	name, streamID := q.Get("stream-name"), q.Get("stream-id")
	id, idErr := parsePartition(q.Get("partition-id"))
	if err := field.First(field.Present("stream-name", name+streamID), idErr); err != nil {
		return rest.Reply{}, err
	}
	want := cursor.Request{Type: q.Get("cursor-type"), Sequence: q.Get("starting-sequence-number"), Timestamp: q.Get("timestamp")}
	if err := want.Check(); err != nil {
		return rest.Reply{}, cursorError(want, err)
	}
	st, info, err := s.namedStream(c, policy.GetRecords, name, streamID)
	if err != nil {
		return rest.Reply{}, err
	}
	log, err := st.Log(id)
	if err := field.First(info.Running(), err); err != nil {
		return rest.Reply{}, partitionError(c, info, id, err)
	}
	if log, err = s.visible(c, log); err != nil {
		return rest.Reply{}, partitionError(c, info, id, err)
	}
	at, err := want.Resolve(c.Context(), log, s.now(), time.Duration(info.Retention)*time.Hour)
	if err != nil {
		return rest.Reply{}, partitionError(c, info, id, err)
	}
	at.StreamName, at.StreamID, at.Partition, at.Issued = info.Name, info.ID, partitionID(id), s.now().UnixMilli()
	return rest.OK(cursorReply{s.cursors.Seal(at)})
}
