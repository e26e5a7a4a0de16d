package server

import (
	"errors"
	"testing"

	"disd/internal/auth"
	"disd/internal/config"
	"disd/internal/storage"
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

// TestBucketsInMemory: with records in memory an OBS task has its bucket, in mode open
// and without more configuration, and what it delivers counts as records do.
func TestBucketsInMemory(t *testing.T) { // CTL-54
	c := config.Default()
	c.Engine = "memory"
	s := open(t, c)
	defer s.Close()
	must(t, s, "POST", "/v2/p/streams", `{"stream_name":"s","partition_count":1}`)
	must(t, s, "POST", "/v2/p/streams/s/transfer-tasks", `{"destination_type":"OBS","obs_destination_descriptor":
		{"task_name":"t","agency_name":"a","obs_bucket_path":"nobody-made-it","deliver_time_interval":30}}`)
	buckets, err := s.openBuckets()
	if err != nil {
		t.Fatal(err)
	}
	if err := buckets.Bucket(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if err := buckets.Put(t.Context(), "b", "k", make([]byte, c.Storage.Memory)); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("an object as large as storage.memory: %v", err)
	}
}
