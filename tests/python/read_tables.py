"""Reads weft's tables with DuckDB, Polars and deltalake.

read_tables.py TABLES_URL [KEY=VALUE …]   (storage options, for object stores)

Prints {table: {"deltalake": rows, "polars": rows, "duckdb": rows, "samples": …}} as JSON. DuckDB
reads the files that the Delta log names, as it would any Parquet.
"""

import json
import sys

import deltalake
import duckdb
import polars

url = sys.argv[1].rstrip("/")
options = dict(argument.split("=", 1) for argument in sys.argv[2:])
found = {}
for table in ("spans", "logs", "metrics"):
    path = f"{url}/{table}"
    delta = deltalake.DeltaTable(path, storage_options=options or None)
    arrow = delta.to_pyarrow_table()
    frame = polars.scan_delta(path, storage_options=options or None).collect()
    counts = {"deltalake": arrow.num_rows, "polars": frame.height}
    # DuckDB's own Delta and S3 extensions are downloads; over Arrow and local Parquet it needs none.
    if options:
        counts["duckdb"] = duckdb.sql("select count(*) from arrow").fetchall()[0][0]
    else:
        files = delta.file_uris()
        counts["duckdb"] = duckdb.read_parquet(files).aggregate("count(*)").fetchall()[0][0] if files else 0
    if table == "metrics":
        counts["samples"] = sum(len(row) for row in arrow.column("timestamps").to_pylist())
    if table == "spans":
        ids = set(zip(arrow.column("trace_id").to_pylist(), arrow.column("span_id").to_pylist()))
        counts["distinct"] = len(ids)
    found[table] = counts
print(json.dumps(found))
