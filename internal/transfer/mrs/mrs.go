// Package mrs is the kind of destination that is a directory in the HDFS of an MRS
// cluster (4.5). This server has no such clusters yet, so every task is refused.
package mrs

import "disd/internal/transfer/kind"

var fields = kind.CommonFields(
	kind.Field{Name: "mrs_cluster_name", Required: true},
	kind.Field{Name: "mrs_cluster_id", Required: true},
	kind.Field{Name: "mrs_hdfs_path", Required: true},
	kind.Field{Name: "hdfs_prefix_folder", Valid: kind.AtMost(50)},
	kind.Field{Name: "obs_bucket_path", Required: true, Valid: kind.IsBucket},
	kind.Field{Name: "file_prefix", Valid: kind.IsPrefix},
	kind.Field{Name: "retry_duration", Valid: kind.IsRetry},
	kind.Field{Name: "destination_file_type", Valid: kind.OneOf("text")},
)

// Kind returns the kind of destination.
func Kind() kind.Kind {
	return kind.Kind{
		Type:   kind.MRS,
		Fields: fields, Decode: kind.Decoder[settings](fields),
		ErrorDir: "mrs_error", Ext: ".txt", GivesUp: true, Missing: kind.ErrMRSCluster,
	}
}

type settings struct {
	kind.Common
	kind.InBucket
	ClusterName string `json:"mrs_cluster_name"`
	ClusterID   string `json:"mrs_cluster_id"`
	Path        string `json:"mrs_hdfs_path"`
	Folder      string `json:"hdfs_prefix_folder"`
	FileType    string `json:"destination_file_type"` // text, as absent
}

// Place implements kind.Settings.
func (s *settings) Place() []string { return []string{s.ClusterName, s.ClusterID} }

// Suits implements kind.Settings: a stream of any data type will do.
func (*settings) Suits(kind.Stream) error { return nil }

// Form implements kind.Settings.
func (*settings) Form(*kind.Batch) (kind.Form, error) { return kind.Any{}, nil }
