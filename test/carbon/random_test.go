package carbon

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"disd/internal/transfer/format"
)

func stamp(ms int) string { return time.UnixMilli(int64(ms)).UTC().Format("2006-01-02 15:04:05.000") }

func day(n int) string { return time.Unix(int64(n)*86400, 0).UTC().Format(time.DateOnly) }

// randomSchema returns a schema with up to six columns, nested up to three deep.
func randomSchema(r *rand.Rand) string {
	names := 0
	return randomRecord(r, &names, 3)
}

func randomRecord(r *rand.Rand, names *int, depth int) string {
	*names++
	name := fmt.Sprint("t", *names)
	var fields []string
	for i := range 1 + r.IntN(6) {
		fields = append(fields, fmt.Sprintf(`{"name":"F%d","type":%s}`, i, randomType(r, names, depth)))
	}
	return fmt.Sprintf(`{"type":"record","name":%q,"fields":[%s]}`, name, strings.Join(fields, ","))
}

func randomType(r *rand.Rand, names *int, depth int) string {
	*names++
	t := strings.ReplaceAll(plainTypes[r.IntN(len(plainTypes))], "%s", fmt.Sprint("n", *names))
	if depth > 0 {
		switch r.IntN(8) {
		case 0:
			t = randomRecord(r, names, depth-1)
		case 1:
			t = `{"type":"array","items":` + randomType(r, names, depth-1) + `}`
		case 2:
			t = `{"type":"map","values":` + randomType(r, names, depth-1) + `}`
		}
	}
	if r.IntN(2) == 0 {
		return `["null",` + t + `]`
	}
	return t
}

// random returns a value of a type as JSON.
func random(r *rand.Rand, t *format.Type) string {
	if t.Optional && r.IntN(4) == 0 {
		return "null"
	}
	switch t.Kind {
	case format.Record:
		var members []string
		for i, item := range t.Items {
			members = append(members, fmt.Sprintf("%q:%s", t.Names[i], random(r, item)))
		}
		return "{" + strings.Join(members, ",") + "}"
	case format.Array:
		items := make([]string, r.IntN(4))
		for i := range items {
			items[i] = random(r, t.Items[0])
		}
		return "[" + strings.Join(items, ",") + "]"
	case format.Map:
		members := make([]string, r.IntN(4))
		for i := range members {
			members[i] = fmt.Sprintf(`"k%d":%s`, i, random(r, t.Items[0]))
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	return randomScalar(r, t)
}

func randomScalar(r *rand.Rand, t *format.Type) string {
	wide := int64(r.Uint64()) >> r.IntN(63)
	switch t.Kind {
	case format.Boolean:
		return fmt.Sprint(wide%2 == 0)
	case format.Int:
		return fmt.Sprint(int32(wide))
	case format.Float:
		return fmt.Sprint(float32(wide) / 64)
	case format.Double:
		return fmt.Sprint(float64(wide) / 64)
	case format.String:
		b, _ := json.Marshal([]string{"", "a", "é€😀", strings.Repeat("x", r.IntN(300)), "\x00\n\"\\"}[r.IntN(5)])
		return string(b)
	case format.Enum:
		return []string{`"A"`, `"B"`}[r.IntN(2)]
	case format.Bytes:
		return []string{`""`, `"\u0000ÿ"`, `"abc"`}[r.IntN(3)]
	case format.Fixed:
		return `"a\u0000ÿ"`
	case format.Decimal:
		s := fmt.Sprintf("%0*d", t.Precision, r.Uint64N(1e18))
		s = s[len(s)-t.Precision:]
		if s = strings.TrimLeft(s[r.IntN(len(s)):], "0"); r.IntN(4) == 0 {
			s = strings.Repeat("9", t.Precision)
		}
		s = fmt.Sprintf("%0*s", t.Scale+1, s)
		s = s[:len(s)-t.Scale] + "." + s[len(s)-t.Scale:]
		return []string{"", "-"}[r.IntN(2)] + strings.TrimSuffix(s, ".")
	case format.Date: // from 1583 to 9999: the reader shows older ones by another calendar
		return fmt.Sprint(-141_000 + r.Int64N(3_070_000))
	case format.Time:
		return fmt.Sprint(r.Int64N(int64(24 * time.Hour / t.Unit)))
	case format.Timestamp:
		if t.Unit != time.Nanosecond {
			return fmt.Sprint((-12_000_000_000 + r.Int64N(250_000_000_000)) * int64(time.Second/t.Unit))
		}
	}
	return fmt.Sprint(wide)
}
