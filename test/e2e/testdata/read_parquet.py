"""Prints the types of the columns of a Parquet file, then its rows."""
import datetime
import decimal
import json
import sys

import pyarrow
import pyarrow.parquet

table = pyarrow.parquet.read_table(sys.argv[1], partitioning=None)
for field in table.schema:
    print(field.name, field.type, "" if field.nullable else "required")
for name in ("ns", "local_ns"):  # Python has no nanoseconds
    i = table.schema.get_field_index(name)
    table = table.set_column(i, name, table[name].cast(pyarrow.int64()))


def text(v):
    if isinstance(v, bytes):
        return v.hex()
    if isinstance(v, decimal.Decimal):
        return format(v, "f")
    if isinstance(v, (datetime.datetime, datetime.date, datetime.time)):
        return v.isoformat()
    raise TypeError(type(v))


for row in table.to_pylist():
    for name, value in row.items():
        print(name, json.dumps(value, default=text))
