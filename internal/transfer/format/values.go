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

	"disd/internal/transfer/jsontext"
)

// A Value is what a record holds in one place of its schema. Which members mean
// something depends on the type there.
type Value struct {
	Null bool

	// Int is an int, long, date, time or timestamp; a decimal of up to 18 digits, in units of
	// its last digit; 1 for true; the bits of a float (32) or double (64).
	Int int64

	// Bytes are a string, bytes, fixed or enum; of a decimal of more digits the two's
	// complement, the highest byte first, in as many bytes as its type says. They may share memory
	// with the record.
	Bytes []byte

	// Items are the fields of a record; the items of an array; the keys and values of a
	// map in turn.
	Items []Value
}

// A reading turns a JSON value, which is not null, into the plain value. Its
// error says what is wrong with the value, without repeating it. What
// cannot be kept exactly is refused; only the digits of binary floating point
// numbers are rounded.
type reading func(*Value, jsontext.Value) error

func readBoolean(to *Value, v jsontext.Value) error {
	if v[0] != 't' && v[0] != 'f' {
		return errors.New("is not true or false")
	}
	if v[0] == 't' {
		to.Int = 1
	}
	return nil
}

func readInteger(bits int) reading {
	return func(to *Value, v jsontext.Value) (err error) {
		to.Int, err = integer(v, bits)
		return err
	}
}

func integer(v jsontext.Value, bits int) (int64, error) {
	n, err := strconv.ParseInt(string(v), 10, bits)
	if err != nil {
		return 0, fmt.Errorf("is not an integer of %d bits", bits)
	}
	return n, nil
}

func readFloat(to *Value, v jsontext.Value) error {
	f, err := floating(v, 32)
	to.Int = int64(math.Float32bits(float32(f)))
	return err
}

func readDouble(to *Value, v jsontext.Value) error {
	f, err := floating(v, 64)
	to.Int = int64(math.Float64bits(f))
	return err
}

func floating(v jsontext.Value, bits int) (float64, error) {
	if !v.IsNumber() {
		return 0, errors.New("is not a number")
	}
	f, err := strconv.ParseFloat(string(v), bits)
	if err != nil {
		return 0, fmt.Errorf("is beyond a number of %d bits", bits)
	}
	return f, nil
}

func text(v jsontext.Value) ([]byte, error) {
	if !v.IsString() {
		return nil, errors.New("is not a string")
	}
	return v.Text()
}

func readString(to *Value, v jsontext.Value) (err error) {
	to.Bytes, err = text(v)
	return err
}

// octets reads bytes as Avro writes them in JSON: each as the character of its
// number.
func octets(v jsontext.Value) ([]byte, error) {
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

func readBytes(to *Value, v jsontext.Value) (err error) {
	to.Bytes, err = octets(v)
	return err
}

func readFixed(size int) reading {
	return func(to *Value, v jsontext.Value) (err error) {
		if to.Bytes, err = octets(v); err == nil && len(to.Bytes) != size {
			err = fmt.Errorf("is not %d bytes long", size)
		}
		return err
	}
}

func readEnum(symbols []string) reading {
	return func(to *Value, v jsontext.Value) (err error) {
		if to.Bytes, err = text(v); err == nil && !slices.Contains(symbols, string(to.Bytes)) {
			err = errors.New("is not a symbol of the enumeration")
		}
		return err
	}
}

// isDecimal is the form of a number, in JSON or in a string.
var isDecimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$`)

// unscaled reads a decimal number, given as a number or as its digits in a
// string, in units of its last digit.
func unscaled(v jsontext.Value, precision, scale int) (*big.Int, error) {
	s := string(v)
	if v.IsString() {
		b, err := v.Text()
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

// readDecimal reads decimals of up to 18 digits as an integer, longer ones as size bytes.
func readDecimal(precision, scale, size int) reading {
	return func(to *Value, v jsontext.Value) error {
		n, err := unscaled(v, precision, scale)
		switch {
		case err != nil:
			return err
		case precision <= 18:
			to.Int = n.Int64()
			return nil
		case n.Sign() < 0: // two's complement
			n.Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
		}
		to.Bytes = n.FillBytes(make([]byte, size))
		return nil
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

func (c clock) parse(v jsontext.Value) (time.Time, error) {
	s, err := v.Text()
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
func (c clock) read(v jsontext.Value, unit time.Duration) (int64, error) {
	if !v.IsString() {
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

func readDate(to *Value, v jsontext.Value) (err error) {
	if !v.IsString() {
		to.Int, err = integer(v, 32)
		return err
	}
	t, err := clock{layouts: []string{time.DateOnly}, form: "a date as 2006-01-02"}.parse(v)
	to.Int = t.Unix() / (24 * 60 * 60)
	return err
}

// readDaytime reads the time of a day.
func readDaytime(unit time.Duration) reading {
	return func(to *Value, v jsontext.Value) (err error) {
		to.Int, err = daytime.read(v, unit)
		if err == nil && (to.Int < 0 || to.Int >= int64(24*time.Hour/unit)) {
			err = errors.New("is not within a day")
		}
		return err
	}
}

func readTimestamp(c clock, unit time.Duration) reading {
	return func(to *Value, v jsontext.Value) (err error) {
		to.Int, err = c.read(v, unit)
		return err
	}
}
