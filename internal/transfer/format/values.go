package format

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
)

// A reading turns a JSON value, which is not null, into the value of a column.
// Its error says what is wrong with the value, without repeating it. What
// cannot be kept exactly is refused; only the digits of binary floating point
// numbers are rounded.
type reading func(value) (parquet.Value, error)

func readBoolean(v value) (parquet.Value, error) {
	if v[0] != 't' && v[0] != 'f' {
		return parquet.Value{}, errors.New("is not true or false")
	}
	return parquet.BooleanValue(v[0] == 't'), nil
}

func readInt(v value) (parquet.Value, error) {
	n, err := integer(v, 32)
	return parquet.Int32Value(int32(n)), err
}

func readLong(v value) (parquet.Value, error) {
	n, err := integer(v, 64)
	return parquet.Int64Value(n), err
}

func integer(v value, bits int) (int64, error) {
	n, err := strconv.ParseInt(string(v), 10, bits)
	if err != nil {
		return 0, fmt.Errorf("is not an integer of %d bits", bits)
	}
	return n, nil
}

func readFloat(v value) (parquet.Value, error) {
	f, err := floating(v, 32)
	return parquet.FloatValue(float32(f)), err
}

func readDouble(v value) (parquet.Value, error) {
	f, err := floating(v, 64)
	return parquet.DoubleValue(f), err
}

func floating(v value, bits int) (float64, error) {
	if !v.isNumber() {
		return 0, errors.New("is not a number")
	}
	f, err := strconv.ParseFloat(string(v), bits)
	if err != nil {
		return 0, fmt.Errorf("is beyond a number of %d bits", bits)
	}
	return f, nil
}

func text(v value) ([]byte, error) {
	if !v.isString() {
		return nil, errors.New("is not a string")
	}
	return v.text()
}

func readString(v value) (parquet.Value, error) {
	s, err := text(v)
	return parquet.ByteArrayValue(s), err
}

// octets reads bytes as Avro writes them in JSON: each as the character of its
// number.
func octets(v value) ([]byte, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(s))
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		if r > 0xff {
			return nil, errors.New("has characters beyond U+00FF, which stand for no byte")
		}
		out, s = append(out, byte(r)), s[n:]
	}
	return out, nil
}

func readBytes(v value) (parquet.Value, error) {
	b, err := octets(v)
	return parquet.ByteArrayValue(b), err
}

func readFixed(size int) reading {
	return func(v value) (parquet.Value, error) {
		b, err := octets(v)
		if err == nil && len(b) != size {
			err = fmt.Errorf("is not %d bytes long", size)
		}
		return parquet.FixedLenByteArrayValue(b), err
	}
}

func readEnum(symbols []string) reading {
	return func(v value) (parquet.Value, error) {
		s, err := text(v)
		if err == nil && !slices.Contains(symbols, string(s)) {
			err = errors.New("is not a symbol of the enumeration")
		}
		return parquet.ByteArrayValue(s), err
	}
}

// isDecimal is the form of a number, in JSON or in a string.
var isDecimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$`)

// unscaled reads a decimal number, given as a number or as its digits in a
// string, in units of its last digit.
func unscaled(v value, precision, scale int) (*big.Int, error) {
	s := string(v)
	if v.isString() {
		b, err := v.text()
		if err != nil {
			return nil, err
		}
		s = string(b)
	}
	if !isDecimal.MatchString(s) {
		return nil, errors.New("is not a decimal number")
	}
	s, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	shift, _ := strconv.Atoi(exponent)
	whole, fraction, _ := strings.Cut(s, ".")
	digits, negative := strings.CutPrefix(whole+fraction, "-")
	digits = strings.TrimLeft(digits, "0")
	if shift += scale - len(fraction); shift < 0 {
		cut := max(len(digits)+shift, 0)
		if strings.Trim(digits[cut:], "0") != "" {
			return nil, fmt.Errorf("has more than %d digits behind the point", scale)
		}
		digits = digits[:cut]
	} else if digits != "" {
		digits += strings.Repeat("0", shift)
	}
	if len(digits) > precision {
		return nil, fmt.Errorf("has more than %d digits", precision)
	}
	n := new(big.Int)
	n.SetString("0"+digits, 10)
	if negative {
		n.Neg(n)
	}
	return n, nil
}

// readDecimal reads decimals into the shortest integer that holds the precision.
func readDecimal(precision, scale, size int) reading {
	return func(v value) (parquet.Value, error) {
		n, err := unscaled(v, precision, scale)
		switch {
		case err != nil:
			return parquet.Value{}, err
		case size == 4:
			return parquet.Int32Value(int32(n.Int64())), nil
		case size == 8:
			return parquet.Int64Value(n.Int64()), nil
		}
		if n.Sign() < 0 { // two's complement
			n.Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
		}
		return parquet.FixedLenByteArrayValue(n.FillBytes(make([]byte, size))), nil
	}
}

// decimalSize returns the bytes that hold numbers of so many digits and a sign.
func decimalSize(precision int) int {
	switch {
	case precision <= 9:
		return 4
	case precision <= 18:
		return 8
	}
	most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	return most.BitLen()/8 + 1
}

// A clock reads times, given as the number that Avro documents or as text.
type clock struct {
	layouts []string // of text; a fraction of the second may follow
	epoch   time.Time
	form    string
}

var (
	daytime = clock{[]string{time.TimeOnly}, time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), "a time as 15:04:05.999"}
	instant = clock{[]string{time.RFC3339}, time.Unix(0, 0), "a time as 2006-01-02T15:04:05.999Z"}
	local   = clock{[]string{"2006-01-02T15:04:05", time.DateTime}, time.Unix(0, 0), "a time as 2006-01-02T15:04:05.999"}
)

// tooFine is a fraction of a second that package time would cut.
var tooFine = regexp.MustCompile(`[.,][0-9]{10}`)

func (c clock) parse(v value) (time.Time, error) {
	s, err := v.text()
	if err != nil {
		return time.Time{}, err
	}
	for _, layout := range c.layouts {
		if t, err := time.Parse(layout, string(s)); err == nil && !tooFine.Match(s) {
			return t, nil
		}
	}
	return time.Time{}, errors.New("is not " + c.form)
}

// read returns the units from the epoch to a time.
func (c clock) read(v value, unit time.Duration) (int64, error) {
	if !v.isString() {
		return integer(v, 64)
	}
	t, err := c.parse(v)
	if err != nil {
		return 0, err
	}
	seconds, nanos, each := t.Unix()-c.epoch.Unix(), int64(t.Nanosecond()), int64(time.Second/unit)
	switch {
	case nanos%int64(unit) != 0:
		return 0, fmt.Errorf("is finer than %s", unit)
	case seconds >= math.MaxInt64/each || seconds <= math.MinInt64/each:
		return 0, fmt.Errorf("is too far away to be counted in %s", unit)
	}
	return seconds*each + nanos/int64(unit), nil
}

func readDate(v value) (parquet.Value, error) {
	if !v.isString() {
		return readInt(v)
	}
	t, err := clock{layouts: []string{time.DateOnly}, form: "a date as 2006-01-02"}.parse(v)
	return parquet.Int32Value(int32(t.Unix() / (24 * 60 * 60))), err
}

// readDaytime reads the time of a day; in milliseconds, into 32 bits.
func readDaytime(unit time.Duration) reading {
	return func(v value) (parquet.Value, error) {
		n, err := daytime.read(v, unit)
		if err == nil && (n < 0 || n >= int64(24*time.Hour/unit)) {
			err = errors.New("is not within a day")
		}
		if unit == time.Millisecond {
			return parquet.Int32Value(int32(n)), err
		}
		return parquet.Int64Value(n), err
	}
}

func readTimestamp(c clock, unit time.Duration) reading {
	return func(v value) (parquet.Value, error) {
		n, err := c.read(v, unit)
		return parquet.Int64Value(n), err
	}
}
