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
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tercel import Dataset

Key = tuple[int, str, str]

PURCHASES = pa.schema([("time", pa.int64()), ("user", pa.string()), ("item", pa.string())])
"""What `clean_purchases` yields: seconds since 1970 (UTC), and ids as texts."""

KEY = ("time", "user", "item")
"""The engine sorts by these. They are all the columns, so rows that tie are alike: there is only one order."""

ZONES = None, "UTC"
"""How times in text are read: without a zone (which is UTC), or with one."""


@dataclass(frozen=True)
class Columns:
    """What the columns of the purchases are called."""

    user: str = "user"
    item: str = "item"
    time: str = "time"


def clean_purchases(batches: Iterator[pa.RecordBatch], columns: Columns) -> Iterator[pa.RecordBatch]:
    """Batches of purchases as `PURCHASES` has them; each stays a batch of its own.

    Raises:
        ValueError: For a column that is missing or of another kind, or a value that is missing or no time.
    """
    for batch in batches:
        arrays = [
            _seconds(_column(batch, columns.time), columns.time),
            _texts(_column(batch, columns.user), columns.user),
            _texts(_column(batch, columns.item), columns.item),
        ]
        yield pa.record_batch(arrays, schema=PURCHASES)


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
    return Dataset.build(files, out, user="user", item="item", time="time", progress=False, **settings)


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    if name not in batch.schema.names:
        raise ValueError(f"there is no column `{name}`; there are {', '.join(batch.schema.names)}")
    column = batch.column(name)
    if column.null_count:
        raise ValueError(f"column `{name}`: {column.null_count} of {len(column)} rows have no value")
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _texts(ids: pa.Array, name: str) -> pa.Array:
    """Ids as texts. Not fractions: whoever has ids as such has lost some already."""
    if not (_is_text(ids.type) or pa.types.is_integer(ids.type)):
        raise ValueError(f"column `{name}`: ids are texts or integers, not {ids.type}")
    return ids.cast(pa.string())


def _seconds(times: pa.Array, name: str) -> pa.Array:
    """Times as seconds since 1970: integers are that already, fractions of a second are cut off."""
    if _is_text(times.type):
        times = _read_times(times, name)
    if pa.types.is_date(times.type):
        times = times.cast(pa.timestamp("ms"))
    if pa.types.is_timestamp(times.type):
        # As a number first: an instant stays what it is in every zone, and no list of zones is needed.
        instants = times.cast(pa.int64()).cast(pa.timestamp(times.type.unit))
        times = pc.floor_temporal(instants, unit="second").cast(pa.timestamp("s"))
    elif not pa.types.is_integer(times.type):
        raise ValueError(f"column `{name}`: {times.type} is no kind of time")
    return times.cast(pa.int64())


def _read_times(times: pa.Array, name: str) -> pa.Array:
    failed = None
    for kind in (pa.int64(), *(pa.timestamp("us", zone) for zone in ZONES)):
        try:
            return times.cast(kind)
        except pa.ArrowInvalid as error:
            failed = error
    raise ValueError(f"column `{name}`: {failed}") from failed


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
