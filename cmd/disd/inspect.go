package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"disd/internal/config"
	"disd/internal/partition"
	"disd/internal/server"
	"disd/internal/storage"
	"disd/internal/storage/catalog/file"
	"disd/internal/storage/segment"
	"disd/internal/storage/vfs"
)

// inspect shows what a data directory holds and checks every byte of it, while no
// server uses it. It changes nothing.
func inspect(args []string, stdout, stderr io.Writer) error {
	c, err := loadConfig("inspect", args, stderr)
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.DataDir); err != nil {
		return err
	}
	report, err := segment.Inspect(vfs.OS, c.LogsDir())
	if err != nil {
		return err
	}
	names, logs, damage := streamNames(c.CatalogFile())
	if err := compare(c); err != nil {
		damage = append(damage, err)
	}
	damage = append(damage, missingLogs(logs, report)...)
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LOG\tSTREAM\tOLDEST\tNEXT\tSEGMENTS\tBYTES\tIN COMMIT LOG\tLAST RECORD")
	for _, l := range report.Logs {
		size := int64(0)
		for _, s := range l.Segments {
			size += s.Bytes
		}
		fmt.Fprintf(w, "%v\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", l.ID, names[l.ID.Stream], l.Oldest, l.Next,
			len(l.Segments), size, l.TailRecords, when(l.LastTime))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, f := range report.Commit {
		fmt.Fprintf(stdout, "commit log %s: %d bytes, %d commits\n", f.File, f.Bytes, f.Groups)
	}
	for _, name := range report.Stray {
		fmt.Fprintf(stdout, "left by a crash, not needed: %s\n", name)
	}
	for _, name := range report.Unknown {
		fmt.Fprintf(stdout, "unknown, left alone: %s\n", name)
	}
	for _, d := range report.Damage {
		damage = append(damage, d)
	}
	return reportDamage(stdout, damage)
}

// compare returns what is wrong between the logs and the catalog. What is wrong with
// one of them alone is reported elsewhere.
func compare(c *config.Config) error {
	logs, err := segment.Read(segment.Options{Dir: c.LogsDir()})
	if err != nil {
		return nil
	}
	defer func() { _ = logs.Close() }() // only read
	meta, err := file.Read(file.Options{Path: c.CatalogFile(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil
	}
	defer func() { _ = meta.Close() }() // only read
	return server.Compare(c, logs, meta)
}

// reportDamage prints what is damaged, and returns an error if anything is.
func reportDamage(stdout io.Writer, damage []error) error {
	for _, d := range damage {
		fmt.Fprintf(stdout, "DAMAGED %v\n", d)
	}
	if len(damage) > 0 {
		return fmt.Errorf("%d damaged places", len(damage))
	}
	fmt.Fprintln(stdout, "no damage")
	return nil
}

func when(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}

// streamNames reads the names of streams from the catalog, by their ids, which logs
// they have, and what is damaged there.
func streamNames(path string) (names map[string]string, logs []storage.LogID, damage []error) {
	db, err := file.OpenToRead(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, []error{err}
	}
	damage = db.Check()
	names, logs, err = partition.Names(db)
	if len(damage) == 0 && err != nil {
		damage = []error{err}
	}
	if err := db.Close(); err != nil {
		damage = append(damage, err)
	}
	return names, logs, damage
}

// missingLogs returns an error for each log that a stream has and the report has not.
func missingLogs(logs []storage.LogID, report *segment.Report) (damage []error) {
	there := make(map[storage.LogID]bool)
	for i := range report.Logs {
		there[report.Logs[i].ID] = true
	}
	for _, id := range logs {
		if !there[id] {
			damage = append(damage, &storage.CorruptError{File: id.String(), Reason: "log is missing"})
		}
	}
	return damage
}
