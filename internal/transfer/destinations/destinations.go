// Package destinations lists the kinds of destinations that transfer tasks may have.
package destinations

import (
	"errors"
	"fmt"
	"time"

	"disd/internal/transfer/dli"
	"disd/internal/transfer/dws"
	"disd/internal/transfer/hbase"
	"disd/internal/transfer/kind"
	"disd/internal/transfer/mrs"
	"disd/internal/transfer/obs"
	"disd/internal/transfer/opentsdb"
)

// Options say which destinations can be reached.
type Options struct {
	DWS struct {
		Clusters []dws.Cluster `yaml:"clusters"`
		Timeout  time.Duration `yaml:"timeout"`
	} `yaml:"dws"`
	KMSKeys []dws.Key `yaml:"kms_keys"`
	MRS     struct {
		Clusters []mrs.Cluster `yaml:"clusters"`
		Timeout  time.Duration `yaml:"timeout"`
	} `yaml:"mrs"`
	CloudTable struct {
		Clusters []Cluster `yaml:"clusters"`
	} `yaml:"cloudtable"`
}

// A Cluster is one of CloudTable, which has HBase, OpenTSDB or both.
type Cluster struct {
	Name     string           `yaml:"name"`
	ID       string           `yaml:"id"`
	HBase    *hbase.Gateway   `yaml:"hbase"`
	OpenTSDB *opentsdb.Server `yaml:"opentsdb"`
}

// All returns every kind. One without a cluster or database refuses all tasks. The
// error begins with the key of the configuration that is wrong. Nothing is connected.
func All(o Options) (kind.Set, error) {
	tables, err := dws.Kind(dws.Options{Clusters: o.DWS.Clusters, Keys: o.KMSKeys, Timeout: o.DWS.Timeout})
	if err != nil {
		return nil, fmt.Errorf("transfer.dws.clusters: %w", err)
	}
	files, err := mrs.Kind(mrs.Options{Clusters: o.MRS.Clusters, Timeout: o.MRS.Timeout})
	if err != nil {
		return nil, fmt.Errorf("transfer.mrs.%w", err)
	}
	rows, points, err := cloudTable(o.CloudTable.Clusters)
	if err != nil {
		return nil, fmt.Errorf("transfer.cloudtable.clusters: %w", err)
	}
	return kind.Set{obs.Kind(), tables, files, dli.Kind(), rows, points}, nil
}

// cloudTable returns the two kinds that share one list of clusters (HBASE-1, TSDB-1).
func cloudTable(list []Cluster) (rows, points kind.Kind, err error) {
	var tables []hbase.Cluster
	var series []opentsdb.Cluster
	there := make(map[[2]string]bool)
	for _, c := range list {
		key := [2]string{c.Name, c.ID}
		switch {
		case c.Name == "" || c.ID == "":
			return rows, points, errors.New("name and id are needed")
		case there[key]:
			return rows, points, fmt.Errorf("name %q and id %q are there twice", c.Name, c.ID)
		case c.HBase == nil && c.OpenTSDB == nil:
			return rows, points, fmt.Errorf("cluster %s: hbase or opentsdb is needed", c.Name)
		}
		there[key] = true
		if c.HBase != nil {
			tables = append(tables, hbase.Cluster{Name: c.Name, ID: c.ID, Gateway: *c.HBase})
		}
		if c.OpenTSDB != nil {
			series = append(series, opentsdb.Cluster{Name: c.Name, ID: c.ID, Server: *c.OpenTSDB})
		}
	}
	if rows, err = hbase.Kind(tables); err != nil {
		return rows, points, err
	}
	points, err = opentsdb.Kind(series)
	return rows, points, err
}
