"""Compares what engines find in a Parquet file by filters with what is in it.

check.py FILE: for each column that can be filtered, values that are there, between
others and beyond them are looked for by PyArrow, Polars and DuckDB, which skip by the
bounds in the metadata. The truth is a filter in Python over all rows, read without any.
"""
import datetime
import decimal
import sys

import duckdb
import polars
import pyarrow.compute as compute
import pyarrow.dataset as dataset
import pyarrow.parquet as parquet

file = sys.argv[1]
rows = parquet.ParquetFile(file).read()
wrong = checked = 0


def probes(values):
    """Some values that are there, the least and the greatest among them."""
    ordered = sorted(values)
    return {ordered[0], ordered[-1], ordered[len(ordered) // 2], ordered[len(ordered) // 3]}


def engines(name, value):
    """Yields for each engine how many rows are equal, less and greater."""
    field = dataset.field(name)
    whole = dataset.dataset(file)
    yield "pyarrow", [whole.count_rows(filter=f) for f in (field == value, field < value, field > value)]
    lazy, column = polars.scan_parquet(file), polars.col(name)
    literal = polars.lit(value, dtype=lazy.collect_schema()[name])
    yield "polars", [lazy.filter(f).select(polars.len()).collect().item() for f in (column == literal, column < literal, column > literal)]
    yield "duckdb", [
        duckdb.execute(f'SELECT count(*) FROM read_parquet(?) WHERE "{name}" {op} ?', [file, value]).fetchone()[0] for op in ("=", "<", ">")
    ]


for name in rows.column_names:
    values = [v for v in rows.column(name).to_pylist() if v is not None]
    for value in probes(values):
        truth = [sum(v == value for v in values), sum(v < value for v in values), sum(v > value for v in values)]
        for engine, found in engines(name, value):
            checked += 1
            if found != truth:
                wrong += 1
                print(f"{engine}: {name} and {value!r}: {found} rows are equal, less, greater; right is {truth}")
print(f"{checked} filters, {wrong} wrong")
sys.exit(wrong > 0 or checked == 0)
