package main

import (
	"errors"
	"testing"

	"disd/internal/transfer/filestore"
	"disd/internal/transfer/kind"
)

func TestAgencies(t *testing.T) { // 4.2 agency_name, DIS.4335
	for _, tt := range []struct {
		mode, agencies, project, name string
		known                         bool
	}{
		{"open", "", "p", "anything", true},
		{"required", "", "p", "anything", false},
		{"required", "", "p", "dis_admin_agency", true},
		{"required", `[{"name":"a"}]`, "p", "a", true},
		{"required", `[{"name":"a"}]`, "p", "A", false},
		{"required", `[{"name":"a","projects":["q"]},{"name":"a","projects":["r","p"]}]`, "p", "a", true},
		{"required", `[{"name":"a","projects":["q"]}]`, "p", "a", false},
	} {
		c, err := load(t, "--auth-mode", tt.mode, "--transfer-agencies", tt.agencies)
		if err != nil {
			t.Fatal(err)
		}
		own := filestore.Open(filestore.Options{})
		agency, err := openAgencies(c, own)
		if err != nil {
			t.Fatal(err)
		}
		store, err := agency(tt.project, tt.name)
		if tt.known && (err != nil || store != own) || !tt.known && !errors.Is(err, kind.ErrAgency) {
			t.Errorf("%+v: %v, %v", tt, store, err)
		}
	}
	for _, wrong := range []string{`[{}]`, `[{"name":"a","access_key":"x"}]`, `[{"name":"a","secret_key":"x"}]`} {
		c, err := load(t, "--transfer-agencies", wrong)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openAgencies(c, nil); err == nil {
			t.Errorf("%s is accepted", wrong)
		}
	}
}
