package transfer

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// tables are the field tables of the five descriptors (4.3 to 4.7), in their
// order, in which checks are made. All begin with the common fields (4.2).
var tables = map[Type][]field{
	OBS: append(common(),
		field{name: "file_prefix", valid: isPrefix},
		field{name: "partition_format", valid: oneOf(append([]string{"N/A"}, partitionFormats...)...)},
		field{name: "obs_bucket_path", required: true, valid: isBucket},
		field{name: "destination_file_type", valid: oneOf(textFile, parquetFile, carbonFile)},
		field{name: "processing_schema", kind: object, whole: formatNeeded("processing_schema", "timestamp_type", "timestamp_format"), fields: []field{
			{name: "timestamp_name", required: true},
			{name: "timestamp_type", required: true, valid: oneOf("String", "Timestamp")},
			{name: "timestamp_format", valid: oneOf(timestampFormats...)},
		}},
		field{name: "record_delimiter", valid: oneOf(",", ";", "|", "\n", `\n`)},
	),
	DWS: append(common(),
		field{name: "dws_cluster_name", required: true},
		field{name: "dws_cluster_id", required: true},
		field{name: "dws_database_name", required: true},
		field{name: "dws_schema", required: true},
		field{name: "dws_table_name", required: true},
		field{name: "dws_delimiter", required: true, valid: oneOf(",", ";", "|")},
		field{name: "user_name", required: true},
		field{name: secretMember, required: true},
		field{name: "kms_user_key_name", required: true},
		field{name: "kms_user_key_id", required: true},
		field{name: "obs_bucket_path", required: true, valid: isBucket},
		field{name: "file_prefix", valid: isPrefix},
		field{name: "retry_duration", valid: isRetry},
		field{name: "dws_table_columns"},
		field{name: "options", kind: object, fields: []field{
			{name: "fill_missing_fields", kind: toggle, valid: isToggle},
			{name: "ignore_extra_data", kind: toggle, valid: isToggle},
			{name: "compatible_illegal_chars", kind: toggle, valid: isToggle},
			{name: "reject_limit", valid: isLimit},
			{name: "error_table_name"},
		}},
	),
	MRS: append(common(),
		field{name: "mrs_cluster_name", required: true},
		field{name: "mrs_cluster_id", required: true},
		field{name: "mrs_hdfs_path", required: true},
		field{name: "hdfs_prefix_folder", valid: atMost(50)},
		field{name: "obs_bucket_path", required: true, valid: isBucket},
		field{name: "file_prefix", valid: isPrefix},
		field{name: "retry_duration", valid: isRetry},
		field{name: "destination_file_type", valid: oneOf(textFile)},
	),
	DLI: append(common(),
		field{name: "dli_database_name", required: true},
		field{name: "dli_table_name", required: true},
		field{name: "obs_bucket_path", required: true, valid: isBucket},
		field{name: "file_prefix", valid: isPrefix},
		field{name: "retry_duration", valid: isRetry},
	),
	CloudTable: append(common(),
		field{name: "cloudtable_cluster_name", required: true},
		field{name: "cloudtable_cluster_id", required: true},
		field{name: "cloudtable_table_name"},
		field{name: "cloudtable_schema", kind: object, fault: ErrCloudTableSchema, fields: []field{
			{name: "row_key", kind: list, required: true, most: 64, fields: []field{
				{name: "value", required: true},
				{name: "type", required: true, valid: isValueType},
			}},
			{name: "columns", kind: list, required: true, most: 4096, fields: []field{
				{name: "column_family_name", required: true},
				{name: "column_name", required: true, valid: isWord('_')},
				{name: "value", required: true},
				{name: "type", required: true, valid: isValueType},
			}},
		}},
		field{name: "opentsdb_schema", kind: list, fault: ErrOpenTSDBSchema, fields: []field{
			{name: "metric", kind: list, required: true, fields: []field{
				{name: "type", required: true, valid: oneOf("Constant", "String")},
				{name: "value", required: true, valid: isWord('.')},
			}},
			{name: "timestamp", kind: object, required: true, whole: formatNeeded("timestamp", "type", "format"), fields: []field{
				{name: "type", required: true, valid: oneOf("Timestamp", "String")},
				{name: "value", required: true, valid: isWord('_')},
				{name: "format", valid: oneOf(timestampFormats...)},
			}},
			{name: "value", kind: object, required: true, fields: []field{
				{name: "type", required: true, valid: isValueType},
				{name: "value", required: true, valid: isWord('_')},
			}},
			{name: "tags", kind: list, required: true, fields: []field{
				{name: "name", required: true, valid: isWord('_')},
				{name: "type", required: true, valid: isValueType},
				{name: "value", required: true, valid: isWord('_')},
			}},
		}},
		field{name: "cloudtable_row_key_delimiter", valid: oneOf(",", ".", "|", ";", `\`, "-", "_", "~")},
		field{name: "obs_backup_bucket_path", valid: isBucket},
		field{name: "backup_file_prefix", valid: isPrefix},
		field{name: "retry_duration", valid: isRetry},
	),
}

func common() []field {
	return []field{
		{name: "task_name", required: true, valid: isTaskName},
		{name: "agency_name", required: true, valid: atMost(64)},
		{name: "deliver_time_interval", kind: integer, valid: between(30, 900)},
		{name: "consumer_strategy", valid: oneOf(latest, trimHorizon)},
	}
}

// Values of destination_file_type; absent means textFile.
const (
	textFile    = "text"
	parquetFile = "parquet"
	carbonFile  = "carbon"
)

// partitionFormats are the time directories, by growing precision.
var partitionFormats = []string{"yyyy", "yyyy/MM", "yyyy/MM/dd", "yyyy/MM/dd/HH", "yyyy/MM/dd/HH/mm"}

// timestampFormats are the six forms of a time in a record.
var timestampFormats = []string{
	"yyyy/MM/dd HH:mm:ss", "MM/dd/yyyy HH:mm:ss", "dd/MM/yyyy HH:mm:ss",
	"yyyy-MM-dd HH:mm:ss", "MM-dd-yyyy HH:mm:ss", "dd-MM-yyyy HH:mm:ss",
}

func oneOf(allowed ...string) func(string) string {
	return func(s string) string {
		for _, a := range allowed {
			if s == a {
				return ""
			}
		}
		return "must be one of " + strings.Join(allowed, " ")
	}
}

func between(low, high int) func(string) string {
	return func(s string) string {
		if n, err := strconv.Atoi(s); err != nil || n < low || n > high {
			return "must be an integer from " + strconv.Itoa(low) + " to " + strconv.Itoa(high)
		}
		return ""
	}
}

var (
	isRetry     = between(0, 7200)
	isValueType = oneOf("Bigint", "Double", "Boolean", "Timestamp", "String", "Decimal")
)

func atMost(max int) func(string) string {
	return func(s string) string {
		if utf8.RuneCountInString(s) > max {
			return "is longer than " + strconv.Itoa(max) + " characters"
		}
		return ""
	}
}

// only accepts letters, digits and the runes of extra, at most max.
func only(max int, extra string) func(string) string {
	return func(s string) string {
		for _, r := range s {
			if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(extra, r)) {
				return "has characters other than letters, digits and " + strings.Join(strings.Split(extra, ""), " ")
			}
		}
		return atMost(max)(s)
	}
}

var isTaskName = only(64, "-_")

// isWord accepts names of 1 to 32 characters.
func isWord(extra rune) func(string) string { return only(32, string(extra)) }

func isPrefix(s string) string {
	if strings.HasPrefix(s, "/") {
		return "must not start with /"
	}
	return only(50, "_/")(s)
}

// isBucket accepts the name of a bucket, not a path (4.3-N4).
func isBucket(s string) string {
	if strings.Contains(s, "/") {
		return "must be the name of a bucket, without /"
	}
	return ""
}

// isToggle accepts the three spellings of each value (4.4-N1).
func isToggle(s string) string {
	return oneOf("true", "on", "true/on", "false", "off", "false/off")(strings.ToLower(s))
}

// isLimit accepts a number of rows or "unlimited".
func isLimit(s string) string {
	if s == "unlimited" {
		return ""
	}
	return between(0, math.MaxInt)(s)
}

// formatNeeded says that a time given as a String needs its format.
func formatNeeded(at, kind, format string) func(map[string]any) error {
	return func(o map[string]any) error {
		if f, _ := o[format].(string); o[kind] == "String" && f == "" {
			return invalid(at+"."+format, "is required")
		}
		return nil
	}
}
