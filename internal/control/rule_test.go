package control

import (
	"fmt"
	"testing"
)

func TestChosen(t *testing.T) {
	t.Run("CTL-17", func(t *testing.T) {
		for _, tt := range []struct {
			body string
			last int64
			want string
		}{
			{`{"observe":true,"seed":42,"probability":0.3}`, 40, "[2 3 5 7 11 16 17 19 22 25 26 37 38 40]"},
			{`{"observe":true,"seed":7,"probability":0.5}`, 20, "[1 2 5 6 7 8 9 10 11 18]"},
			{`{"observe":true,"after":2,"every":3}`, 10, "[3 6 9]"},
		} {
			n, err := parseJSON([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			rules, err := decodeRules(n)
			if err != nil {
				t.Fatal(err)
			}
			var fired []int64
			for m := int64(1); m <= tt.last; m++ {
				if rules[0].chosen(m) {
					fired = append(fired, m)
				}
			}
			if got := fmt.Sprint(fired); got != tt.want {
				t.Errorf("%s fires at %s, want %s", tt.body, got, tt.want)
			}
		}
	})
}
