package field

import (
	"errors"
	"testing"
)

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{Present("a", "x"), ""},
		{Present("a", ""), "invalid a: is required"},
		{OneOf("a", "y", "x", "y"), ""},
		{OneOf("a", "", "x", "y"), "invalid a: must be one of x, y"},
		{Within("a", 1, 1, 3), ""},
		{Within("a", 3, 1, 3), ""},
		{Within("a", 4, 1, 3), "invalid a: must be an integer from 1 to 3"},
		{Within("a", 0, 1, 3), "invalid a: must be an integer from 1 to 3"},
		{Name("a", "aZ0-_", 5), ""},
		{Name("a", "", 5), "invalid a: is required"},
		{Name("a", "aZ0-_x", 5), "invalid a: is longer than 5 characters"},
		{Name("a", "a.b", 5), "invalid a: has characters other than letters, digits, - and _"},
		{Name("a", "é", 5), "invalid a: has characters other than letters, digits, - and _"},
		{First(nil, Invalid("b", "x"), Invalid("a", "y")), "invalid b: x"},
		{First(nil, nil), ""},
	} {
		got := ""
		if tt.err != nil {
			got = tt.err.Error()
		}
		if got != tt.want || (tt.err != nil) != errors.Is(tt.err, ErrInvalid) {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
