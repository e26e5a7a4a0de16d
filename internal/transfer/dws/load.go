package dws

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"disd/internal/transfer/kind"
)

// A load brings the rows of one batch into a table.
type load struct {
	session    *session
	batch      *kind.Batch
	layout     *layout
	file       string // where the batch is staged
	cut        func(data []byte) ([][]byte, error)
	errorTable string
	compatible bool  // compatible_illegal_chars
	limit      int64 // reject_limit

	illegal  []rune // characters that the database's encoding does not have
	text     []byte // well-formed rows in the format of COPY, one behind the other
	ends     []int  // of each in text, after a leading 0
	records  []int  // of each, its index in the batch
	rejected []rejection
}

// A rejection is a record that did not become a row.
type rejection struct {
	record int // index in the batch
	reason string
}

func newLoad(c *session, b *kind.Batch, l *layout, file string) (*load, error) {
	options := &of(b.Target).Options
	limit := int64(math.MaxInt64)
	if text := options.RejectLimit; text != "unlimited" {
		limit, _ = strconv.ParseInt(text, 10, 64) // default 0
	}
	cut, err := cutter(b.Target, l)
	return &load{
		session: c, batch: b, layout: l, file: file, cut: cut, limit: limit,
		errorTable: options.ErrorTable, compatible: options.Compatible.on(),
	}, err
}

// run loads all rows, or as many as reject_limit allows, and returns the number
// of the others. The transaction is of no use after an error.
func (l *load) run(ctx context.Context) (rejected int64, err error) {
	if err := l.session.run(ctx, "SAVEPOINT start"); err != nil {
		return 0, err
	}
	for {
		if err := l.encode(); err != nil {
			return 0, err
		}
		err := l.copy(ctx, 0, len(l.records))
		if err == nil {
			break
		}
		r, ok := unknownCharacter(err)
		if !ok || !l.compatible || slices.Contains(l.illegal, r) {
			return 0, refusal(err)
		}
		l.illegal = append(l.illegal, r)
		if err := l.session.run(ctx, "ROLLBACK TO SAVEPOINT start"); err != nil {
			return 0, err
		}
	}
	return int64(len(l.rejected)), l.writeRejected(ctx)
}

// encode cuts the records into fields and writes them as rows.
func (l *load) encode() error {
	l.text, l.ends, l.records, l.rejected = l.text[:0], append(l.ends[:0], 0), l.records[:0], nil
	for i := range l.batch.Records {
		data := l.batch.Records[i].Data
		if l.compatible {
			data = bytes.ToValidUTF8(data, []byte("?"))
		}
		row, err := l.cut(data)
		if err != nil {
			if err := l.reject(i, err); err != nil {
				return err
			}
			continue
		}
		for k, field := range row {
			if k > 0 {
				l.text = append(l.text, '\t')
			}
			if l.compatible && field != nil {
				field = legal(field, l.illegal)
			}
			l.text = appendField(l.text, field)
		}
		l.text = append(l.text, '\n')
		l.ends, l.records = append(l.ends, len(l.text)), append(l.records, i)
	}
	return nil
}

// appendField escapes a field for COPY; nil is NULL.
func appendField(text, field []byte) []byte {
	if field == nil {
		return append(text, `\N`...)
	}
	for _, c := range field {
		switch c {
		case '\\':
			text = append(text, `\\`...)
		case '\t':
			text = append(text, `\t`...)
		case '\n':
			text = append(text, `\n`...)
		case '\r':
			text = append(text, `\r`...)
		default:
			text = append(text, c)
		}
	}
	return text
}

// legal replaces what no text in the database's encoding may hold (DWS-6).
func legal(data []byte, illegal []rune) []byte {
	return bytes.Map(func(r rune) rune {
		switch {
		case r == 0:
			return ' '
		case slices.Contains(illegal, r):
			return '?'
		}
		return r
	}, bytes.ToValidUTF8(data, []byte("?")))
}

// reject notes a format error, or returns it when there are too many (DWS-7).
func (l *load) reject(record int, reason error) error {
	if int64(len(l.rejected)) >= l.limit {
		return fmt.Errorf("record %d of partition %d: %w", l.batch.Records[record].Seq, l.batch.Partition, reason)
	}
	l.rejected = append(l.rejected, rejection{record, reason.Error()})
	return nil
}

// copy loads the rows from from to to. When the database does not take them, it
// looks for those to blame by halves, as COPY is all or nothing.
func (l *load) copy(ctx context.Context, from, to int) error {
	if from == to {
		return nil
	}
	if err := l.session.run(ctx, "SAVEPOINT rows"); err != nil {
		return err
	}
	err := l.session.copy(ctx, l.layout.table, l.layout.schema, l.layout.columns(), l.text[l.ends[from]:l.ends[to]])
	if err == nil {
		return l.session.run(ctx, "RELEASE SAVEPOINT rows")
	}
	if !isFormatError(err) {
		return err
	}
	if to-from == 1 {
		if err := l.reject(l.records[from], err); err != nil {
			return err
		}
		return l.session.run(ctx, "ROLLBACK TO SAVEPOINT rows")
	}
	if int64(len(l.rejected)) >= l.limit {
		return err
	}
	if err := l.session.run(ctx, "ROLLBACK TO SAVEPOINT rows"); err != nil {
		return err
	}
	middle := (from + to) / 2
	if err := l.copy(ctx, from, middle); err != nil {
		return err
	}
	return l.copy(ctx, middle, to)
}

// copy loads rows in the text format of COPY.
func (c *session) copy(ctx context.Context, table, schema string, columns []string, rows []byte) error {
	var names []string
	for _, name := range columns {
		names = append(names, quote(name))
	}
	_, err := c.conn.CopyFrom(ctx, bytes.NewReader(rows), "COPY "+quote(schema, table)+" ("+strings.Join(names, ", ")+") FROM STDIN")
	return err
}

// isFormatError reports whether a row's data is wrong (class 22), other than by
// its characters (DWS-6).
func isFormatError(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && strings.HasPrefix(e.Code, "22") && e.Code != notInRepertoire && e.Code != untranslatable
}

const (
	notInRepertoire = "22021"
	untranslatable  = "22P05"
)

var inHex = regexp.MustCompile(`0x([0-9a-f]{2})`)

// unknownCharacter returns the character that the database says it cannot
// convert to its encoding.
func unknownCharacter(err error) (rune, bool) {
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != untranslatable {
		return 0, false
	}
	var character []byte
	for _, m := range inHex.FindAllStringSubmatch(e.Message, -1) {
		b, _ := hex.DecodeString(m[1]) // matched
		character = append(character, b...)
	}
	r, size := utf8.DecodeRune(character)
	return r, size > 0 && size == len(character)
}

// writeRejected writes rejected records to the error table (DWS-8).
func (l *load) writeRejected(ctx context.Context) error {
	if l.errorTable == "" || len(l.rejected) == 0 {
		return nil
	}
	var rows []byte
	for _, r := range l.rejected {
		for i, field := range []string{
			l.batch.Generated.Format(time.RFC3339Nano), l.file, strconv.Itoa(r.record + 1),
			string(legal(l.batch.Records[r.record].Data, l.illegal)), r.reason,
		} {
			if i > 0 {
				rows = append(rows, '\t')
			}
			rows = appendField(rows, []byte(field))
		}
		rows = append(rows, '\n')
	}
	columns := []string{"begintime", "filename", "rownum", "rawrecord", "detail"}
	return refusal(l.session.copy(ctx, l.errorTable, l.layout.schema, columns, rows))
}

// cutter returns what makes the fields of a row of a record, one for each column
// that is loaded, nil for NULL. Its errors are format errors.
func cutter(t kind.Target, l *layout) (func(data []byte) ([][]byte, error), error) {
	attributes, err := t.Stream.Attributes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kind.ErrRefused, err)
	}
	options := &of(t).Options
	f := fitter{columns: len(l.columns()), fill: options.Fill.on(), ignore: options.Ignore.on()}
	if t.Stream.DataType == kind.JSON {
		if len(l.named) > 0 {
			attributes = l.named
		}
		return func(data []byte) ([][]byte, error) {
			row, err := kind.Values(data, attributes)
			if err != nil {
				return nil, err
			}
			return f.fit(row)
		}, nil
	}
	var picked []int // fields of the record that are loaded; nil for all
	if len(l.named) > 0 && len(attributes) > 0 {
		f.columns = len(attributes)
		for _, name := range l.named {
			at := slices.Index(attributes, name)
			if at < 0 {
				return nil, refused("dws_table_columns", "the data schema has no "+name)
			}
			picked = append(picked, at)
		}
	}
	delimiter := []byte(of(t).Delimiter)
	return func(data []byte) ([][]byte, error) {
		row, err := f.fit(split(data, delimiter))
		if err != nil || picked == nil {
			return row, err
		}
		chosen := make([][]byte, len(picked))
		for i, at := range picked {
			chosen[i] = row[at]
		}
		return chosen, nil
	}, nil
}

// split cuts a record at the delimiter, without quoting; an empty field is NULL
// (DWS-2).
func split(data, delimiter []byte) [][]byte {
	if line, ended := bytes.CutSuffix(data, []byte("\n")); ended {
		data = bytes.TrimSuffix(line, []byte("\r"))
	}
	row := bytes.Split(data, delimiter)
	for i := range row {
		if len(row[i]) == 0 {
			row[i] = nil
		}
	}
	return row
}

// A fitter fits rows to a number of columns.
type fitter struct {
	columns      int
	fill, ignore bool
}

func (f fitter) fit(row [][]byte) ([][]byte, error) {
	switch n := len(row); {
	case n == f.columns:
		return row, nil
	case n == f.columns-1 && f.fill: // DWS-4
		return append(row, nil), nil
	case n > f.columns && f.ignore: // DWS-5
		return row[:f.columns], nil
	}
	return nil, fmt.Errorf("it has %d fields instead of %d", len(row), f.columns)
}
