"""Ingests a table that lies in memory, in a process of its own, and says by how much the peak of its memory grew.

`ingest_memory.py ROWS FOLDER [copy]`: with `copy` the columns are copied on the way, to see that it would show.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import tercel


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def main(rows: int, out: Path, copy: bool) -> None:
    """Prints one line of JSON."""
    rng = np.random.default_rng(0)
    columns = {
        "user_id": rng.integers(1, rows // 60, rows, dtype=np.int64),
        "item_id": rng.integers(1, 50_000, rows, dtype=np.int64),
        "timestamp": 1_600_000_000 + rng.integers(0, 60_000_000, rows, dtype=np.int64),
    }
    table = pa.table(columns)
    # A small run first: what code and threads need is there before it is measured.
    tercel.Dataset.build(table.slice(0, 10_000), split="last-per-user:1", progress=False)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = peak()
    given = pa.table({name: column.copy() for name, column in columns.items()}) if copy else table
    made = tercel.Dataset.build(given, out, split="last-per-user:1", progress=False)
    grown = peak() - before
    assert made.rows("train") + made.rows("valid") + made.rows("test") == rows
    print(json.dumps({"rows": rows, "table": table.nbytes, "grown": grown, "seconds": made.summary["seconds"]}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] == ["copy"])
