package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"disd/internal/config"
	"disd/internal/server"
	"disd/internal/transfer"
)

// verifyDump holds what transfer tasks wrote to a bucket against their manifests.
// It changes nothing, and a server may be at work.
func verifyDump(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var bucket, prefix string
	c, err := loadConfig("verify-dump", args, stderr, func(flags *pflag.FlagSet) {
		flags.StringVar(&bucket, "bucket", "", "bucket that tasks wrote to")
		flags.StringVar(&prefix, "prefix", "", "their file_prefix, or backup_file_prefix")
	})
	if err != nil {
		return err
	}
	if bucket == "" {
		return config.Misuse(errors.New("--bucket is missing"))
	}
	buckets, err := server.OpenBuckets(c)
	if err != nil {
		return err
	}
	kinds, err := server.Destinations(c)
	if err != nil {
		return err
	}
	dumps, err := transfer.VerifyDump(ctx, buckets, kinds, bucket, prefix)
	if err != nil {
		return err
	}
	if len(dumps) == 0 {
		return fmt.Errorf("bucket %s has no manifests below %q", bucket, prefix)
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STREAM\tTASK\tTASK ID\tPARTITION\tRECORDS\tBATCHES\tOBJECTS\tBYTES\tDISCARDED\tLOST")
	var damage []error
	for _, d := range dumps {
		damage = append(damage, d.Damage...)
		if d.TaskID != "" {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d-%d\t%d\t%d\t%d\t%d\t%d\n", d.Stream, d.Task, d.TaskID, d.Partition,
				d.Start, d.End-1, d.Batches, d.Objects, d.Bytes, d.Discarded, d.Lost)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return reportDamage(stdout, damage)
}
