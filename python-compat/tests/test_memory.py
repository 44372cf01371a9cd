"""A table enters without a copy of its columns.

`TERCEL_MEMORY_ROWS=30000000 pytest tests/test_memory.py` is the whole of it: a table of 720 MB, in about half a minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROWS = int(os.environ.get("TERCEL_MEMORY_ROWS", "6000000"))
SCRIPT = Path(__file__).parent / "scripts" / "ingest_memory.py"

# What ingest needs beside the table, whatever its size: blocks of rows on their way to a file on disk, the buffer in
# which histories are sorted, shards that are mapped while they are summed up.
FIXED = 125_000_000
# What grows: the dictionaries of ids (here a user for every 60 rows). A copy of the columns would be 24 bytes a row.
BYTES_A_ROW = 2.5


def ingested(rows: int, folder: Path, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(rows), str(folder / "out"), *words],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read, and set back, through /proc")
def test_a_table_enters_without_a_copy(tmp_path: Path) -> None:
    said = ingested(ROWS, tmp_path)
    print(f"\n{ROWS:,} rows, a table of {said['table'] / 1e6:.0f} MB: the peak grew by {said['grown'] / 1e6:.0f} MB")
    assert said["table"] == 24 * ROWS
    assert said["grown"] < FIXED + BYTES_A_ROW * ROWS < said["table"]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read, and set back, through /proc")
def test_a_copy_would_show(tmp_path: Path) -> None:
    rows = 3_000_000
    assert ingested(rows, tmp_path, "copy")["grown"] > FIXED + BYTES_A_ROW * rows
