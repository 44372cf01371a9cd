"""Purchases of many machines as one dataset: what the workers of Spark or Ray Data do, and what is done once at last.

Nothing here knows an engine. `clean_purchases` goes from an iterator of record batches to another, in any process that
has the wheel. Dropping duplicates and sorting concern all rows, so the engine does both; rows in the order of `KEY` are
the same whatever the partitions were, and so is the dataset that `build_dataset` makes of them, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tercel import Dataset, read_interactions

Key = tuple[int, str, str]

PURCHASES = pa.schema([("time", pa.int64()), ("user", pa.string()), ("item", pa.string())])
"""What `clean_purchases` yields: seconds since 1970 (UTC), and ids as texts."""

KEY = ("time", "user", "item")
"""The engine sorts by these. They are all the columns, so rows that tie are alike: there is only one order."""


@dataclass(frozen=True)
class Columns:
    """What the columns of the purchases are called."""

    user: str = "user"
    item: str = "item"
    time: str = "time"


def clean_purchases(batches: Iterator[pa.RecordBatch], columns: Columns) -> Iterator[pa.RecordBatch]:
    """Batches of purchases as `PURCHASES` has them, read as `tercel.Dataset.build` reads rows.

    Raises:
        tercel.RowError: For a row that cannot be read.
        tercel.DataError: For a column that is missing or of a type that it cannot have.
    """
    for batch in batches:
        rows = read_interactions(batch, user=columns.user, item=columns.item, time=columns.time)
        yield from rows.select(KEY).cast(PURCHASES).to_batches()


def ordered_files(folder: Path) -> list[Path]:
    """The Parquet files of a folder in the order of their rows, those without rows left out.

    Every engine names its files in another way, so the rows tell the order and not the names. Only the first and the
    last row of a file are read.

    Raises:
        ValueError: When files overlap (the engine has not sorted them), or none has a row.
    """
    ends = sorted((*found, path) for path in folder.glob("*.parquet") if (found := _ends(path)) is not None)
    if not ends:
        raise ValueError(f"{folder}: no Parquet file with a row")
    for (_, last, path), (first, _, other) in pairwise(ends):
        if first < last:
            raise ValueError(f"{other.name} starts before {path.name} ends: sort the rows by {', '.join(KEY)}")
    return [path for *_, path in ends]


def build_dataset(folder: Path, out: Path, **settings: Any) -> Dataset:
    """The dataset of the files that an engine has written: one ingest, with the settings of `tercel.Dataset.build`."""
    files = [str(path) for path in ordered_files(folder)]
    # The times are seconds, as `PURCHASES` has them, also where they are too small to be told from days.
    return Dataset.build(files, out, user="user", item="item", time="time", time_unit="s", progress=False, **settings)


def _ends(path: Path) -> tuple[Key, Key] | None:
    """The first and the last row of a file; nothing where it has none."""
    with pq.ParquetFile(path) as file:
        groups = [group for group in range(file.num_row_groups) if file.metadata.row_group(group).num_rows]
        if not groups:
            return None
        first = next(file.iter_batches(1, row_groups=groups[:1], columns=list(KEY)))
        last = file.read_row_group(groups[-1], columns=list(KEY))
        return _key(first, 0), _key(last, last.num_rows - 1)


def _key(rows: pa.RecordBatch | pa.Table, at: int) -> Key:
    time, user, item = (rows.column(name)[at].as_py() for name in KEY)
    return time, user, item
