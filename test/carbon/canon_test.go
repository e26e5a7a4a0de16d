package carbon

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"disd/internal/transfer/format"
)

// wanted returns a value as the reader should print it. blank says that empty bytes read as
// null, as they do but for the vector reader (section 3 of carbondata.md).
func wanted(t *format.Type, v *format.Value, blank bool) any {
	if v.Null {
		return nil
	}
	switch t.Kind {
	case format.Record:
		all, some := make(map[string]any), false
		for i, item := range t.Items {
			all[t.Names[i]] = wanted(item, &v.Items[i], true)
			some = some || all[t.Names[i]] != nil
		}
		if !some {
			return nil
		}
		return all
	case format.Array:
		all := make([]any, len(v.Items))
		for i := range v.Items {
			all[i] = wanted(t.Items[0], &v.Items[i], true)
		}
		if len(all) == 1 && all[0] == nil {
			return nil
		}
		return all
	case format.Map:
		all := make([]any, 0, len(v.Items)/2)
		for i := 0; i < len(v.Items); i += 2 {
			all = append(all, []any{string(v.Items[i].Bytes), wanted(t.Items[0], &v.Items[i+1], true)})
		}
		return all
	case format.Bytes, format.Fixed:
		if blank && len(v.Bytes) == 0 {
			return nil
		}
		return base64.StdEncoding.EncodeToString(v.Bytes)
	}
	return scalar(t, v)
}

func scalar(t *format.Type, v *format.Value) any {
	switch t.Kind {
	case format.Boolean:
		return v.Int != 0
	case format.Float:
		return json.Number(strconv.FormatFloat(float64(math.Float32frombits(uint32(v.Int))), 'g', -1, 32))
	case format.Double:
		return json.Number(strconv.FormatFloat(math.Float64frombits(uint64(v.Int)), 'g', -1, 64))
	case format.String, format.Enum:
		return string(v.Bytes)
	case format.Decimal:
		return digits(t, v)
	case format.Date:
		return time.Unix(v.Int*86400, 0).UTC().Format(time.DateOnly)
	case format.Timestamp:
		switch t.Unit {
		case time.Millisecond:
			return time.UnixMilli(v.Int).UTC().Format("2006-01-02 15:04:05.000")
		case time.Microsecond:
			return time.UnixMicro(v.Int).UTC().Format("2006-01-02 15:04:05.000")
		}
	}
	return json.Number(strconv.FormatInt(v.Int, 10))
}

func digits(t *format.Type, v *format.Value) string {
	b := v.Bytes
	if b == nil {
		b = binary.BigEndian.AppendUint64(nil, uint64(v.Int))
	}
	n := new(big.Int).SetBytes(b)
	if b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	sign := ""
	if n.Sign() < 0 {
		sign = "-"
		n.Neg(n)
	}
	s := fmt.Sprintf("%0*s", t.Scale+1, n.String())
	if t.Scale == 0 {
		return sign + s
	}
	return sign + s[:len(s)-t.Scale] + "." + s[len(s)-t.Scale:]
}

// canonical returns a value as text that is the same for the same value: numbers of Java and Go
// are written alike.
func canonical(t *format.Type, v any) string {
	if v == nil {
		return "null"
	}
	switch t.Kind {
	case format.Record:
		all, _ := v.(map[string]any)
		var out strings.Builder
		for i, item := range t.Items {
			fmt.Fprintf(&out, "%s:%s ", t.Names[i], canonical(item, all[t.Names[i]]))
		}
		return "{" + out.String() + "}"
	case format.Array:
		all, _ := v.([]any)
		var out strings.Builder
		for _, item := range all {
			out.WriteString(canonical(t.Items[0], item) + " ")
		}
		return "[" + out.String() + "]"
	case format.Map:
		all, _ := v.([]any)
		var out strings.Builder
		for _, item := range all {
			pair, _ := item.([]any)
			fmt.Fprintf(&out, "%q=%s ", pair[0], canonical(t.Items[0], pair[1]))
		}
		return "<" + out.String() + ">"
	case format.Float, format.Double:
		n, _ := v.(json.Number)
		bits := 64
		if t.Kind == format.Float {
			bits = 32
		}
		f, err := strconv.ParseFloat(string(n), bits)
		return fmt.Sprint(f, err)
	}
	return fmt.Sprintf("%#v", v)
}

// decode reads a line of the reader.
func decode(line string) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader([]byte(line)))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}
