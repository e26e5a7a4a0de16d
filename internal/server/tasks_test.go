package server

import (
	"errors"
	"testing"

	"disd/internal/auth"
	"disd/internal/config"
	"disd/internal/transfer/filestore"
	"disd/internal/transfer/kind"
)

func TestAgencies(t *testing.T) { // 4.2 agency_name, DIS.4335
	for _, tt := range []struct {
		mode          auth.Mode
		agencies      []config.Agency
		project, name string
		known         bool
	}{
		{auth.ModeOpen, nil, "p", "anything", true},
		{auth.ModeRequired, nil, "p", "anything", false},
		{auth.ModeRequired, nil, "p", "dis_admin_agency", true},
		{auth.ModeRequired, []config.Agency{{Name: "a"}}, "p", "a", true},
		{auth.ModeRequired, []config.Agency{{Name: "a"}}, "p", "A", false},
		{auth.ModeRequired, []config.Agency{{Name: "a", Projects: []string{"q"}}, {Name: "a", Projects: []string{"r", "p"}}}, "p", "a", true},
		{auth.ModeRequired, []config.Agency{{Name: "a", Projects: []string{"q"}}}, "p", "a", false},
	} {
		c := config.Default()
		c.Auth.Mode, c.Transfer.Agencies = tt.mode, tt.agencies
		own := filestore.Open(filestore.Options{})
		agency, err := (&Server{conf: c}).openAgencies(own)
		if err != nil {
			t.Fatal(err)
		}
		store, err := agency(tt.project, tt.name)
		if tt.known && (err != nil || store != own) || !tt.known && !errors.Is(err, kind.ErrAgency) {
			t.Errorf("%+v: %v, %v", tt, store, err)
		}
	}
}
