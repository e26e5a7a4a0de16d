package kind

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"disd/internal/field"
)

const (
	latest      = "LATEST"
	trimHorizon = "TRIM_HORIZON"
)

// CommonFields are the rows with which every table begins (4.2), followed by more.
func CommonFields(more ...Field) []Field {
	return append([]Field{
		{Name: "task_name", Required: true, Valid: Only(64, "-_")},
		{Name: "agency_name", Required: true, Valid: AtMost(64)},
		{Name: "deliver_time_interval", Shape: Integer, Valid: Between(30, 900)},
		{Name: "consumer_strategy", Valid: OneOf(latest, trimHorizon)},
	}, more...)
}

// TimestampFormats are the six forms of a time in a record.
var TimestampFormats = []string{
	"yyyy/MM/dd HH:mm:ss", "MM/dd/yyyy HH:mm:ss", "dd/MM/yyyy HH:mm:ss",
	"yyyy-MM-dd HH:mm:ss", "MM-dd-yyyy HH:mm:ss", "dd-MM-yyyy HH:mm:ss",
}

// layouts translates the letters of time formats into Go's.
var layouts = strings.NewReplacer("yyyy", "2006", "MM", "01", "dd", "02", "HH", "15", "mm", "04", "ss", "05")

// Layout returns Go's layout of a time format.
func Layout(format string) string { return layouts.Replace(format) }

// FormatTime writes a time in a time format.
func FormatTime(format string, t time.Time) string { return t.Format(Layout(format)) }

// OneOf accepts what is listed.
func OneOf(allowed ...string) func(string) string {
	return func(s string) string {
		for _, a := range allowed {
			if s == a {
				return ""
			}
		}
		return "must be one of " + strings.Join(allowed, " ")
	}
}

// Between accepts an integer.
func Between(low, high int) func(string) string {
	return func(s string) string {
		if n, err := strconv.Atoi(s); err != nil || n < low || n > high {
			return "must be an integer from " + strconv.Itoa(low) + " to " + strconv.Itoa(high)
		}
		return ""
	}
}

// Validators of fields that several tables have.
var (
	IsRetry     = Between(0, 7200)
	IsValueType = OneOf("Bigint", "Double", "Boolean", "Timestamp", "String", "Decimal")
)

// AtMost accepts texts of up to max characters.
func AtMost(max int) func(string) string {
	return func(s string) string {
		if utf8.RuneCountInString(s) > max {
			return "is longer than " + strconv.Itoa(max) + " characters"
		}
		return ""
	}
}

// Only accepts letters, digits and the runes of extra, at most max.
func Only(max int, extra string) func(string) string {
	return func(s string) string {
		for _, r := range s {
			if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(extra, r)) {
				return "has characters other than letters, digits and " + strings.Join(strings.Split(extra, ""), " ")
			}
		}
		return AtMost(max)(s)
	}
}

// IsWord accepts names of 1 to 32 letters, digits and one more character.
func IsWord(extra rune) func(string) string { return Only(32, string(extra)) }

// IsPrefix accepts a directory in a bucket.
func IsPrefix(s string) string {
	if strings.HasPrefix(s, "/") {
		return "must not start with /"
	}
	return Only(50, "_/")(s)
}

// IsBucket accepts the name of a bucket, not a path (4.3-N4).
func IsBucket(s string) string {
	if strings.Contains(s, "/") {
		return "must be the name of a bucket, without /"
	}
	return ""
}

// FormatNeeded says that a time given as a String needs its format.
func FormatNeeded(at, kind, format string) func(map[string]any) error {
	return func(o map[string]any) error {
		if f, _ := o[format].(string); o[kind] == "String" && f == "" {
			return field.Invalid(at+"."+format, "is required")
		}
		return nil
	}
}
