"""Images of your own as a Parquet file, in the form in which `datasets` keeps them: `python examples/parquet.py OUT.parquet PHOTO...`; needs pyarrow.

Then: npx ssl-r1 serve OUT.parquet
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

out, *photos = sys.argv[1:]
image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
# `group`: crops of one photo share a name, and never meet as strangers in a similarity puzzle. Here every photo is alone.
schema = pa.schema([("image", image), ("group", pa.string())])

with pq.ParquetWriter(out, schema, compression="zstd") as writer:
    for start in range(0, len(photos), 100):
        names = photos[start : start + 100]
        rows = [{"bytes": Path(name).read_bytes(), "path": Path(name).name} for name in names]
        writer.write_table(pa.table({"image": pa.array(rows, image), "group": names}, schema))
print(f"{len(photos)} images in {out}")
