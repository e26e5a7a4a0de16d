package e2e

import (
	"errors"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	dis "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2/model"

	"disd/test/harness"
)

// TestSignature: a server with auth.mode required lets in the SDK with the right
// secret key and no other.
func TestSignature(t *testing.T) {
	s := harness.Launch(t, harness.Options{Args: []string{"--auth-mode", "required", "--auth-domains", account}})
	s.Ready(t)
	create := func(stream, ak, sk, project string) error {
		auth, err := basic.NewCredentialsBuilder().WithAk(ak).WithSk(sk).WithProjectId(project).SafeBuild()
		if err != nil {
			t.Fatal(err)
		}
		http, err := dis.DisClientBuilder().WithEndpoint(s.URL).WithCredential(auth).SafeBuild()
		if err != nil {
			t.Fatal(err)
		}
		return discard(dis.NewDisClient(http).CreateStream(&model.CreateStreamRequest{Body: &model.CreateStreamReq{StreamName: stream, PartitionCount: 1}}))
	}
	if err := create("s", "ACCESSKEY", "secretkey", harness.Project); err != nil {
		t.Errorf("the right key: %v", err)
	}
	for _, row := range []struct {
		rule, ak, sk, project string
		status                int
		code                  string
	}{
		{"C-25 secret", "ACCESSKEY", "another", harness.Project, 401, "APIGW.0301"},
		{"C-25 key", "ANOTHER", "secretkey", harness.Project, 401, "APIGW.0301"},
		{"C-26", "ACCESSKEY", "secretkey", "0123456789abcdef0123456789abcdef", 400, "DIS.4117"},
	} {
		err := create("t", row.ak, row.sk, row.project)
		var e *sdkerr.ServiceResponseError
		if !errors.As(err, &e) || e.StatusCode != row.status || e.ErrorCode != row.code {
			t.Errorf("%s: %v, want %d %s", row.rule, err, row.status, row.code)
		}
	}
	s.Stop(t)
}
