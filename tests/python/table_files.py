"""Names the data files that the Delta logs of weft's tables refer to.

table_files.py TABLES_FOLDER

Prints {"files": [path relative to the folder, …]} as JSON.
"""

import json
import os
import sys
import urllib.parse

import deltalake

root = os.path.abspath(sys.argv[1])
files = []
for table in ("spans", "logs", "metrics", "dead_letters"):
    for uri in deltalake.DeltaTable(os.path.join(root, table)).file_uris():
        path = urllib.parse.unquote(uri.removeprefix("file://"))
        files.append(os.path.relpath(path, root))
print(json.dumps({"files": sorted(files)}))
