package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// setText sets an option from a text, which is read alike wherever it is written.
func (c *Config) setText(o *option, value string) error {
	v := field(reflect.ValueOf(c).Elem(), o.key)
	switch o.def.(type) {
	case size:
		n, err := parseSize(value)
		if err != nil {
			return err
		}
		return setInt(v, n)
	case []string:
		v.Set(reflect.ValueOf(splitList(value)))
		return nil
	case list:
		return setList(v, o.key, value)
	}
	return setScalar(v, value)
}

func setScalar(v reflect.Value, value string) error {
	switch v.Interface().(type) {
	case time.Duration:
		d, err := time.ParseDuration(value)
		if err != nil {
			return fmt.Errorf("is %q, must be a duration such as 90s, 15m or 1h30m", value)
		}
		v.SetInt(int64(d))
		return nil
	case bool:
		if value != "true" && value != "false" {
			return fmt.Errorf("is %q, must be true or false", value)
		}
		v.SetBool(value == "true")
		return nil
	case int, int64:
		n, err := parseInt(value)
		if err != nil {
			return err
		}
		return setInt(v, n)
	}
	v.SetString(value)
	return nil
}

func setInt(v reflect.Value, n int64) error {
	if v.OverflowInt(n) {
		return fmt.Errorf("is %d, which is too large", n)
	}
	v.SetInt(n)
	return nil
}

// decimal is a number as everybody reads it: 010 is eight to some and ten to others.
var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

func parseInt(value string) (int64, error) {
	if !decimal.MatchString(value) {
		return 0, fmt.Errorf("is %q, must be a whole number", value)
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("is %s, which is too large", value)
	}
	return n, nil
}

// units of sizes, the largest first.
var units = []struct {
	name string
	size int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// parseSize reads a number of bytes: 67108864 or 64MiB.
func parseSize(value string) (int64, error) {
	number, unit := value, int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(value, u.name); ok {
			number, unit = strings.TrimSuffix(rest, " "), u.size
		}
	}
	if !decimal.MatchString(number) {
		return 0, fmt.Errorf("is %q, must be a number of bytes, or one of KiB, MiB, GiB or TiB such as 64MiB", value)
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n*unit/unit != n {
		return 0, fmt.Errorf("is %s, which is too large", value)
	}
	return n * unit, nil
}

// String writes a size with the largest unit that leaves a whole number.
func (s size) String() string {
	for _, u := range units {
		if s > 0 && int64(s)%u.size == 0 {
			return fmt.Sprint(int64(s)/u.size, u.name)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

func splitList(value string) []string {
	if value == "" {
		return nil
	}
	return strings.Split(value, ",")
}

// setList reads a list of structures from a JSON array, which is YAML too: so texts
// are taken as they are written here as well.
func setList(v reflect.Value, key, value string) error {
	if value == "" {
		v.SetZero()
		return nil
	}
	var doc yaml.Node
	if !strings.HasPrefix(strings.TrimSpace(value), "[") || !json.Valid([]byte(value)) {
		return errors.New("must be a JSON array")
	}
	if err := yaml.Unmarshal([]byte(value), &doc); err != nil {
		return errors.New("must be a JSON array of texts in UTF-8")
	}
	var r reader
	r.value(v, doc.Content[0], key)
	if len(r.errs) > 0 {
		return fmt.Errorf("is wrong: %w", errors.Join(r.errs...))
	}
	return nil
}

// suggestion names what a misspelt name may have been meant for, "" when nothing is
// near.
func suggestion(name string, names []string) string {
	best, at := "", 3
	for _, n := range names {
		if d := distance(name, n); n != "" && d < at {
			best, at = n, d
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + best + "?"
}

// distance is how many bytes must be put in, taken out or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			row[j+1] = min(above+1, row[j]+1)
			if a[i] == b[j] {
				row[j+1] = min(row[j+1], diagonal)
			} else {
				row[j+1] = min(row[j+1], diagonal+1)
			}
			diagonal = above
		}
	}
	return row[len(b)]
}
