package transfer

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"disd/test/harness"
)

// TestCreation: the bucket is asked for with the key of the task's agency.
func TestCreation(t *testing.T) {
	t.Attr("rules", "TC-R6 OBS-8")
	endpoint, _ := serve(t)
	s := harness.Launch(t, harness.Options{Args: []string{
		"--log-level", "debug", "--transfer-obs-endpoint", endpoint, "--transfer-obs-access-key", access, "--transfer-obs-secret-key", "secret-of-nobody",
		"--transfer-agencies", `[{"name": "friend", "access_key": "` + access + `", "secret_key": "` + secret + `"}]`,
	}})
	s.Ready(t)
	if err := s.Client().CreateStream(t.Context(), stream, 1); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ agency, bucket, code string }{
		{"friend", "no-such-bucket", "DIS.4306"},
		{"dis_admin_agency", bucket, "DIS.4310"},
		{"friend", bucket, ""},
	} {
		in := map[string]any{"destination_type": "OBS", "obs_destination_descriptor": map[string]any{
			"task_name": task, "agency_name": tt.agency, "obs_bucket_path": tt.bucket,
		}}
		err := s.Client().Call(t.Context(), http.MethodPost, "streams/"+stream+"/transfer-tasks", in, nil)
		var answer *harness.Error
		if errors.As(err, &answer); tt.code == "" && err != nil || tt.code != "" && (answer == nil || answer.Code != tt.code) {
			t.Errorf("%s, %s: %v, want %q", tt.agency, tt.bucket, err, tt.code)
		}
		if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "secret-of-nobody")) {
			t.Errorf("the answer holds a secret: %v", err)
		}
	}
	if logs := s.Logs(); strings.Contains(logs, secret) || strings.Contains(logs, "secret-of-nobody") {
		t.Error("the log holds a secret")
	}
	s.Stop(t)
}
