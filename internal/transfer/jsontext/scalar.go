package jsontext

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Errors of conversions. Their text follows the name of an attribute.
var (
	ErrType  = errors.New("is of the wrong type")
	ErrRange = errors.New("is out of range")
)

// Int64 returns a number without point and exponent, of 64 bits.
func (v Value) Int64() (int64, error) {
	if !v.IsNumber() || strings.ContainsAny(string(v), ".eE") {
		return 0, ErrType
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		return 0, ErrRange
	}
	return n, nil
}

// Float64 returns a number that a float of 64 bits can hold; digits beyond its
// precision are rounded.
func (v Value) Float64() (float64, error) {
	if !v.IsNumber() {
		return 0, ErrType
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, ErrRange
	}
	return f, nil
}

// Number returns a number as it is written, or the one that a string consists of.
func (v Value) Number() (Value, error) {
	if v.IsString() {
		text, err := v.Text()
		if err != nil || len(text) == 0 {
			return nil, ErrType
		}
		inner, err := Parse(text)
		if err != nil || len(inner) != len(text) {
			return nil, ErrType
		}
		v = inner
	}
	if !v.IsNumber() {
		return nil, ErrType
	}
	return v, nil
}

// FormatFloat returns the shortest text that reads back as f: plain from 1e-6 on and
// below 1e21, else with an exponent without leading zeros (HBASE-7).
func FormatFloat(f float64) string {
	if abs := math.Abs(f); abs == 0 || abs >= 1e-6 && abs < 1e21 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	text := strconv.FormatFloat(f, 'e', -1, 64)
	mantissa, exponent, _ := strings.Cut(text, "e")
	return mantissa + "e" + exponent[:1] + strings.TrimLeft(exponent[1:], "0")
}

// A Type is how the text of an attribute is made, as destinations name it (4.7).
type Type string

// The types of attributes.
const (
	Bigint    Type = "Bigint"
	Double    Type = "Double"
	Boolean   Type = "Boolean"
	Timestamp Type = "Timestamp"
	String    Type = "String"
	Decimal   Type = "Decimal"
)

// As returns the text of a value of a type (CT-3, HBASE-7). It may share memory with
// v. ErrType, ErrRange or ErrSurrogate when there is none.
func (v Value) As(t Type) ([]byte, error) {
	switch t {
	case Bigint, Timestamp:
		n, err := v.Int64()
		if err == nil && n < 0 && t == Timestamp {
			err = ErrRange
		}
		return strconv.AppendInt(nil, n, 10), err
	case Double:
		f, err := v.Float64()
		return []byte(FormatFloat(f)), err
	case Boolean:
		if !v.IsBool() {
			return nil, ErrType
		}
		return v, nil
	case Decimal:
		return v.Number()
	case String:
		if !v.IsString() {
			return nil, ErrType
		}
		return v.Text()
	}
	return nil, ErrType
}
