package dis

import (
	"testing"

	"disd/internal/api/apitest"
)

// TestDescribedTypes holds the wire types against the OpenAPI description.
func TestDescribedTypes(t *testing.T) {
	apitest.CheckTypes(t,
		tag{}, csvProperties{}, createStreamRequest{}, streamInfo{}, listStreamsReply{}, partitionResult{}, scalingResult{}, csvResult{},
		showStreamReply{}, updateCountRequest{}, updateCountReply{}, updateStreamRequest{}, updateOldReply{},
		policyRequest{}, ruleReply{}, listPoliciesReply{},
		createAppRequest{}, appReply{}, listAppsReply{}, stateReply{}, consumerStateReply{},
		commitCheckpointRequest{}, checkpointReply{}, cursorReply{}, fileReply{}, dataPoint{}, series{}, metricsReply{},
		createTagRequest{}, tagsReply{}, tagActionRequest{}, tagValues{}, listTagsReply{},
		condition{}, searchRequest{}, resourceReply{}, searchReply{}, countReply{},
		joinRequest{}, groupReply[string]{}, joinReply{}, memberRequest{}, syncReply{},
		taskRequest{}, taskReply{}, listTasksReply{}, taskPartition{}, showTaskReply{}, taskActionRequest{},
	)
}
