package dis

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"disd/internal/api/codec"
	"disd/internal/api/rest"
	"disd/internal/auth/policy"
	"disd/internal/field"
	"disd/internal/partition"
)

// Limits of a stream's fields (api.md 1.8, 1.9, 6).
const (
	maxStreamName    = 64
	minRetention     = 24
	maxRetention     = 168
	maxTags          = 10
	maxTagKey        = 36
	maxTagValue      = 43
	enterpriseKey    = "_sys_enterprise_project_id"
	maxInt32         = 1<<31 - 1
	streamPage       = 10
	maxStreamPage    = 100
	partitionPage    = 100
	maxPartitionPage = 1000
)

// streamCalls are the calls about streams, E3 to E8, E41 and E42.
type streamCalls struct {
	finder
	errors *rest.Table
}

type tag struct {
	Key   rest.Text `json:"key"`
	Value rest.Text `json:"value"`
}

type csvProperties struct {
	Delimiter rest.Text `json:"delimiter"`
}

type createStreamRequest struct {
	StreamName     rest.Text      `json:"stream_name"`
	PartitionCount rest.Number    `json:"partition_count"`
	StreamType     rest.Text      `json:"stream_type"`
	DataType       rest.Text      `json:"data_type"`
	DataDuration   rest.Number    `json:"data_duration"`
	AutoScale      rest.Boolean   `json:"auto_scale_enabled"`
	AutoMin        rest.Number    `json:"auto_scale_min_partition_count"`
	AutoMax        rest.Number    `json:"auto_scale_max_partition_count"`
	DataSchema     rest.Text      `json:"data_schema"`
	CSV            *csvProperties `json:"csv_properties"`
	Compression    rest.Text      `json:"compression_format"`
	Tags           []tag          `json:"tags"`
	SysTags        []tag          `json:"sys_tags"`
}

// create answers E3.
func (s *streamCalls) create(c *rest.Call) (rest.Reply, error) {
	var in createStreamRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return rest.Reply{}, err
	}
	c.About("stream", string(in.StreamName))
	n, settings, err := in.settings()
	if err != nil {
		return rest.Reply{}, err
	}
	if _, err := s.streams.Create(c.Context(), c.Project, string(in.StreamName), n, settings); err != nil {
		return rest.Reply{}, err
	}
	return rest.Created()
}

// settings checks the fields in the order of the table of E3.
func (in *createStreamRequest) settings() (n int, set partition.Settings, err error) {
	set.Type = in.StreamType.Or(partition.Common)
	set.DataType = in.DataType.Or(partition.Blob)
	set.Schema = string(in.DataSchema)
	set.Compression = string(in.Compression)
	count, countErr := required(in.PartitionCount, "partition_count")
	retention, retentionErr := in.DataDuration.OrDefault().Within("data_duration", minRetention, maxRetention, minRetention)
	auto, autoErr := in.AutoScale.Value("auto_scale_enabled")
	low, lowErr := in.AutoMin.Within("auto_scale_min_partition_count", 0, maxInt32, 0)
	high, highErr := in.AutoMax.Within("auto_scale_max_partition_count", 0, maxInt32, 0)
	delimiter, delimiterErr := in.CSV.delimiter()
	tags, tagsErr := checkTags(in.Tags)
	sysTags, sysErr := checkSysTags(in.SysTags)
	set.Retention, set.AutoScale, set.AutoMin, set.AutoMax = int(retention), auto != nil && *auto, int(low), int(high)
	set.Delimiter, set.Tags, set.SysTags = delimiter, tags, sysTags
	return int(count), set, field.First(
		field.Name("stream_name", string(in.StreamName), maxStreamName),
		countErr,
		field.OneOf("stream_type", set.Type, partition.Common, partition.Advanced),
		checkDataType(set.DataType),
		retentionErr, autoErr, lowErr, highErr,
		set.Check(), delimiterErr,
		checkCompression(set.Compression),
		tagsErr, sysErr,
	)
}

// required checks a count that must be there and at least 1.
func required(n rest.Number, name string) (int64, error) {
	if !n.Set {
		return 0, field.Invalid(name, "is required")
	}
	return n.Within(name, 1, maxInt32, 0)
}

func checkDataType(t string) error {
	return field.OneOf("data_type", t, partition.Blob, partition.JSON, partition.CSV)
}

func checkCompression(format string) error {
	if format == "" {
		return nil
	}
	return field.OneOf("compression_format", format, "snappy", "gzip", "zip")
}

func (p *csvProperties) delimiter() (string, error) {
	if p == nil || p.Delimiter == "" {
		return "", nil
	}
	if utf8.RuneCountInString(string(p.Delimiter)) != 1 {
		return "", field.Invalid("csv_properties.delimiter", "must be one character")
	}
	return string(p.Delimiter), nil
}

// checkTags applies T-1 and T-2.
func checkTags(in []tag) ([]partition.Tag, error) {
	if len(in) > maxTags {
		return nil, ErrTagQuota
	}
	tags := make([]partition.Tag, 0, len(in))
	for _, t := range in {
		if err := field.First(checkTagKey(string(t.Key)), checkTagValue(string(t.Value))); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(tags, func(other partition.Tag) bool { return other.Key == string(t.Key) }) {
			return nil, field.Invalid("tags.key", "occurs twice: "+string(t.Key))
		}
		tags = append(tags, partition.Tag{Key: string(t.Key), Value: string(t.Value)})
	}
	return tags, nil
}

func checkTagKey(key string) error {
	if strings.HasPrefix(key, "_sys_") { // the prefix is reserved (T-7)
		return field.Invalid("tags.key", "must not begin with _sys_")
	}
	if n := utf8.RuneCountInString(key); n < 1 || n > maxTagKey {
		return field.Invalid("tags.key", "must have 1 to 36 characters")
	}
	for _, r := range key {
		if !isTagRune(r) {
			return field.Invalid("tags.key", "has characters other than letters, digits, -, _ and Chinese ones")
		}
	}
	return nil
}

func checkTagValue(value string) error {
	if utf8.RuneCountInString(value) > maxTagValue {
		return field.Invalid("tags.value", "is longer than 43 characters")
	}
	for _, r := range value {
		if !isTagRune(r) && r != '.' {
			return field.Invalid("tags.value", "has characters other than letters, digits, ., -, _ and Chinese ones")
		}
	}
	return nil
}

func isTagRune(r rune) bool {
	return r < utf8.RuneSelf && field.IsNameByte(byte(r)) || r >= 0x4e00 && r <= 0x9fff
}

var uuid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// checkSysTags accepts the one system tag there is, the enterprise project.
func checkSysTags(in []tag) ([]partition.Tag, error) {
	if len(in) == 0 {
		return nil, nil
	}
	if len(in) > 1 || in[0].Key != enterpriseKey {
		return nil, field.Invalid("sys_tags", "may have one element, of key "+enterpriseKey)
	}
	value := in[0].Value.Or("0")
	if value != "0" && !uuid.MatchString(value) {
		return nil, field.Invalid("sys_tags.value", "must be the id of an enterprise project")
	}
	return []partition.Tag{{Key: enterpriseKey, Value: value}}, nil
}

// delete answers E5.
func (s *streamCalls) delete(c *rest.Call) (rest.Reply, error) {
	st, err := s.ownStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := s.streams.Delete(c.Context(), st); err != nil {
		return rest.Reply{}, notFound(c, c.Param("stream"), err)
	}
	return rest.NoContent()
}

type streamInfo struct {
	ID             string          `json:"stream_id"`
	Name           string          `json:"stream_name"`
	CreateTime     int64           `json:"create_time"`
	Retention      int             `json:"retention_period"`
	Status         string          `json:"status"`
	Type           string          `json:"stream_type"`
	DataType       string          `json:"data_type"`
	PartitionCount int             `json:"partition_count"`
	AutoScale      bool            `json:"auto_scale_enabled"`
	AutoMin        int             `json:"auto_scale_min_partition_count"`
	AutoMax        int             `json:"auto_scale_max_partition_count"`
	Tags           []partition.Tag `json:"tags"`
	SysTags        []partition.Tag `json:"sys_tags"`
}

type listStreamsReply struct {
	Total   int          `json:"total_number"`
	Names   []string     `json:"stream_names"`
	Streams []streamInfo `json:"stream_info_list"`
	More    bool         `json:"has_more_streams"`
}

// list answers E4, and E42 when it names a stream by id.
func (s *streamCalls) list(c *rest.Call) (rest.Reply, error) {
	if id := c.Query.Get("stream_id"); id != "" {
		return s.describe(c, "", id)
	}
	limit, err := c.Query.Limit("limit", streamPage, maxStreamPage)
	if err != nil {
		return rest.Reply{}, err
	}
	all := s.streams.List(c.Project)
	out := listStreamsReply{Total: len(all), Names: []string{}, Streams: []streamInfo{}}
	page, more := pageAfter(all, c.Query.Get("start_stream_name"), limit, func(i *partition.Info) string { return i.Name })
	for _, info := range page {
		out.Names = append(out.Names, info.Name)
		out.Streams = append(out.Streams, listed(info))
	}
	out.More = more
	return rest.OK(out)
}

// pageAfter returns up to limit items whose name sorts after start, and whether
// more follow. The items are sorted by name.
func pageAfter[T any](items []T, start string, limit int, name func(T) string) (page []T, more bool) {
	if start != "" {
		i, found := slices.BinarySearchFunc(items, start, func(item T, start string) int { return strings.Compare(name(item), start) })
		if found {
			i++
		}
		items = items[i:]
	}
	if len(items) > limit {
		return items[:limit], true
	}
	return items, false
}

func listed(i *partition.Info) streamInfo {
	return streamInfo{
		ID: i.ID, Name: i.Name, CreateTime: i.Created, Retention: i.Retention, Status: status(i),
		Type: i.Type, DataType: i.DataType, PartitionCount: i.Count(partition.Active),
		AutoScale: i.AutoScale, AutoMin: i.AutoMin, AutoMax: i.AutoMax,
		Tags: orEmpty(i.Tags), SysTags: orEmpty(i.SysTags),
	}
}

func status(i *partition.Info) string {
	if i.Frozen {
		return "FROZEN"
	}
	return "RUNNING"
}

// orEmpty makes a missing list an empty one on the wire.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

type partitionResult struct {
	Status        partition.State `json:"status"`
	ID            string          `json:"partition_id"`
	HashRange     string          `json:"hash_range"`
	SequenceRange string          `json:"sequence_number_range,omitempty"`
	Parents       string          `json:"parent_partitions,omitempty"`
}

type scalingResult struct {
	Time   int64  `json:"create_timestamp"`
	From   int    `json:"src_partition_count"`
	To     int    `json:"target_partition_count"`
	Detail string `json:"result_detail"`
	Auto   bool   `json:"auto_scale"`
}

type csvResult struct {
	Delimiter string `json:"delimiter"`
}

type showStreamReply struct {
	ID          string            `json:"stream_id"`
	Name        string            `json:"stream_name"`
	CreateTime  int64             `json:"create_time"`
	Modified    int64             `json:"last_modified_time"`
	Retention   int               `json:"retention_period"`
	Status      string            `json:"status"`
	Type        string            `json:"stream_type"`
	DataType    string            `json:"data_type"`
	Schema      string            `json:"data_schema,omitempty"`
	Compression string            `json:"compression_format,omitempty"`
	CSV         *csvResult        `json:"csv_properties,omitempty"`
	Writable    int               `json:"writable_partition_count"`
	Readable    int               `json:"readable_partition_count"`
	Scalings    []scalingResult   `json:"update_partition_counts"`
	Tags        []partition.Tag   `json:"tags"`
	SysTags     []partition.Tag   `json:"sys_tags"`
	AutoScale   bool              `json:"auto_scale_enabled"`
	AutoMin     int               `json:"auto_scale_min_partition_count"`
	AutoMax     int               `json:"auto_scale_max_partition_count"`
	Partitions  []partitionResult `json:"partitions"`
	More        bool              `json:"has_more_partitions"`
}

// show answers E6. The path may carry an id instead of a name (E6-R10).
func (s *streamCalls) show(c *rest.Call) (rest.Reply, error) {
	id := c.Query.Get("stream_id")
	if id == "" {
		id = c.Param("stream")
	}
	return s.describe(c, c.Param("stream"), id)
}

func (s *streamCalls) describe(c *rest.Call, name, id string) (rest.Reply, error) {
	limit, limitErr := c.Query.Limit("limit_partitions", partitionPage, maxPartitionPage)
	first, startErr := startPartition(c.Query.Get("start_partitionId", "start_partition_id"))
	if err := field.First(startErr, limitErr); err != nil {
		return rest.Reply{}, err
	}
	st, err := s.stream(c, policy.GetStreamInfo, name, id)
	if err != nil {
		return rest.Reply{}, err
	}
	info, err := st.Info()
	if err != nil {
		return rest.Reply{}, notFound(c, name, err)
	}
	out := s.described(info)
	end := min(first+limit, len(info.Parts))
	for i := first; i < end; i++ {
		out.Partitions = append(out.Partitions, describePartition(st, info, int32(i)))
	}
	out.More = end < len(info.Parts)
	return rest.OK(out)
}

// startPartition returns the index after an exclusive start.
func startPartition(start string) (int, error) {
	if start == "" {
		return 0, nil
	}
	id, err := parsePartition(start)
	return int(id) + 1, err
}

func (s *streamCalls) described(i *partition.Info) showStreamReply {
	out := showStreamReply{
		ID: i.ID, Name: i.Name, CreateTime: i.Created, Modified: i.Modified, Retention: i.Retention,
		Status: status(i), Type: i.Type, DataType: i.DataType, Schema: i.Schema, Compression: i.Compression,
		Writable: i.Count(partition.Active), Readable: i.Count(partition.Active, partition.Deleted),
		Scalings: []scalingResult{}, Tags: orEmpty(i.Tags), SysTags: orEmpty(i.SysTags),
		AutoScale: i.AutoScale, AutoMin: i.AutoMin, AutoMax: i.AutoMax, Partitions: []partitionResult{},
	}
	if i.Delimiter != "" {
		out.CSV = &csvResult{i.Delimiter}
	}
	for _, sc := range i.Scalings {
		out.Scalings = append(out.Scalings, scalingResult{sc.Time, sc.From, sc.To, s.scalingDetail(sc), sc.Auto})
	}
	return out
}

func (s *streamCalls) scalingDetail(sc partition.Scaling) string {
	if !sc.Exceeded {
		return "0"
	}
	f := s.errors.Of(partition.ErrQuota)
	return f.Code + " " + f.Text(nil)
}

func describePartition(st *partition.Stream, info *partition.Info, id int32) partitionResult {
	p := info.Parts[id]
	low, high, _ := info.HashRange(id)
	out := partitionResult{Status: p.State, ID: partitionID(id), HashRange: bracket(low, high)}
	if log, err := st.Log(id); err == nil {
		oldest, next := log.Bounds()
		out.SequenceRange = bracket(int64(oldest), int64(next))
	}
	var parents []string
	for _, parent := range p.Parents {
		parents = append(parents, partitionID(parent))
	}
	out.Parents = strings.Join(parents, ",")
	return out
}

// bracket writes a range as clients parse it.
func bracket(low, high int64) string {
	return "[" + strconv.FormatInt(low, 10) + " : " + strconv.FormatInt(high, 10) + "]"
}

type updateCountRequest struct {
	StreamName rest.Text   `json:"stream_name"`
	Target     rest.Number `json:"target_partition_count"`
}

type updateCountReply struct {
	StreamName string `json:"stream_name"`
	Current    int    `json:"current_partition_count"`
	Target     int    `json:"target_partition_count"`
}

// updateCount answers E7.
func (s *streamCalls) updateCount(c *rest.Call) (rest.Reply, error) {
	var in updateCountRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return rest.Reply{}, err
	}
	target, err := in.target()
	if err := field.First(samePath(c, in.StreamName, true), err); err != nil {
		return rest.Reply{}, err
	}
	st, err := s.ownStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	before, err := s.streams.Scale(c.Context(), st, target, false)
	if err != nil {
		return rest.Reply{}, notFound(c, c.Param("stream"), err)
	}
	return rest.OK(updateCountReply{c.Param("stream"), before, target})
}

func (in *updateCountRequest) target() (int, error) {
	if !in.Target.Set {
		return 0, rest.Detail(field.ErrInvalid, "Invalid target_partition_count null.") // E7-R8, word by word
	}
	n, err := in.Target.Within("target_partition_count", 1, maxInt32, 0)
	return int(n), err
}

// samePath holds the name in a body against the one in the path.
func samePath(c *rest.Call, name rest.Text, needed bool) error {
	switch {
	case name == "" && needed:
		return field.Invalid("stream_name", "is required")
	case name != "" && string(name) != c.Param("stream"):
		return field.Invalid("stream_name", "differs from the path")
	}
	return nil
}

type updateStreamRequest struct {
	UpdateType   rest.Text    `json:"update_type"` // E41 only
	StreamName   rest.Text    `json:"stream_name"`
	DataDuration rest.Number  `json:"data_duration"`
	DataType     rest.Text    `json:"data_type"`
	DataSchema   *rest.Text   `json:"data_schema"`
	AutoScale    rest.Boolean `json:"auto_scale_enabled"`
	AutoMin      rest.Number  `json:"auto_scale_min_partition_count"`
	AutoMax      rest.Number  `json:"auto_scale_max_partition_count"`
}

// update answers E8.
func (s *streamCalls) update(c *rest.Call) (rest.Reply, error) {
	var in updateStreamRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return rest.Reply{}, err
	}
	if err := samePath(c, in.StreamName, true); err != nil {
		return rest.Reply{}, err
	}
	if _, err := s.applyUpdate(c, &in); err != nil {
		return rest.Reply{}, err
	}
	return rest.NoContent()
}

type updateOldReply struct {
	StreamName string `json:"stream_name"`
	DataType   string `json:"target_data_type"`
}

// updateOld answers E41.
func (s *streamCalls) updateOld(c *rest.Call) (rest.Reply, error) {
	var in updateStreamRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return rest.Reply{}, err
	}
	if err := field.First(in.keepOnly(), samePath(c, in.StreamName, false)); err != nil {
		return rest.Reply{}, err
	}
	info, err := s.applyUpdate(c, &in)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(updateOldReply{info.Name, info.DataType})
}

// keepOnly drops the members that do not belong to the update type (E41-R3).
func (in *updateStreamRequest) keepOnly() error {
	switch in.UpdateType {
	case "":
	case "DATA_TYPE":
		in.AutoScale, in.AutoMin, in.AutoMax = rest.Boolean{}, rest.Number{}, rest.Number{}
	case "AUTO_SCALE":
		in.DataType, in.DataSchema = "", nil
	default:
		return field.OneOf("update_type", string(in.UpdateType), "DATA_TYPE", "AUTO_SCALE")
	}
	return nil
}

func (s *streamCalls) applyUpdate(c *rest.Call, in *updateStreamRequest) (*partition.Info, error) {
	change, err := in.change()
	if err != nil {
		return nil, err
	}
	st, err := s.ownStream(c)
	if err != nil {
		return nil, err
	}
	info, err := s.streams.Update(st, change)
	return info, notFound(c, c.Param("stream"), err)
}

// change checks the fields in the order of the table of E8.
func (in *updateStreamRequest) change() (ch partition.Change, err error) {
	if in.DataDuration = in.DataDuration.OrDefault(); in.empty() {
		return ch, codec.ErrEmpty
	}
	var typeErr, autoErr error
	if in.DataType != "" {
		ch.DataType, typeErr = (*string)(&in.DataType), checkDataType(string(in.DataType))
	}
	ch.Schema = (*string)(in.DataSchema)
	ch.AutoScale, autoErr = in.AutoScale.Value("auto_scale_enabled")
	return ch, field.First(
		setInt(&ch.Retention, in.DataDuration, "data_duration", minRetention, maxRetention),
		typeErr, autoErr,
		setInt(&ch.AutoMin, in.AutoMin, "auto_scale_min_partition_count", 1, maxInt32),
		setInt(&ch.AutoMax, in.AutoMax, "auto_scale_max_partition_count", 1, maxInt32),
	)
}

func (in *updateStreamRequest) empty() bool {
	return !in.DataDuration.Set && in.DataType == "" && in.DataSchema == nil &&
		!in.AutoScale.Set && !in.AutoMin.Set && !in.AutoMax.Set
}

// setInt sets a field of a change to a number that was given.
func setInt(field **int, n rest.Number, name string, low, high int64) error {
	if !n.Set {
		return nil
	}
	v, err := n.Within(name, low, high, 0)
	i := int(v)
	*field = &i
	return err
}
