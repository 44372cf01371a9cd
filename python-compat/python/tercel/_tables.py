"""Tables of every library as the native half takes them: by the Arrow C stream interface, without a copy."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
import pyarrow as pa

from .errors import ShapeError


@runtime_checkable
class ArrowStream(Protocol):
    """Anything that gives its rows as an Arrow stream: pyarrow, Polars, DuckDB and more."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The stream as a PyCapsule."""


PathLike: TypeAlias = "str | os.PathLike[str]"
Table: TypeAlias = "PathLike | ArrowStream | pa.RecordBatch | Sequence[pa.RecordBatch] | Mapping[str, Any] | Any"
"""A path, or rows: a pyarrow table, record batch, list of them or reader; a Polars or pandas data frame; NumPy arrays
by the names of their columns; …"""

Given: TypeAlias = "str | tuple[str, object]"
"""What the native half takes: a path, or a name and an object with `__arrow_c_stream__`."""


def is_path(table: object) -> TypeGuard[PathLike]:
    """Whether this names a file."""
    return isinstance(table, (str, os.PathLike))


def stream_of(table: Table) -> object:
    """The object with `__arrow_c_stream__` that stands for a table in memory.

    Raises:
        TypeError: When it is no table.
    """
    if isinstance(table, pa.RecordBatch):
        return pa.Table.from_batches([table])
    if isinstance(table, (list, tuple)) and table and all(isinstance(batch, pa.RecordBatch) for batch in table):
        return pa.Table.from_batches(list(table))
    if isinstance(table, Mapping):
        return _table_of(table)
    if type(table).__module__.startswith("pandas") and hasattr(table, "columns"):
        # Not by its own stream: that takes a named index for a column, in some versions.
        return pa.Table.from_pandas(table, preserve_index=False)
    if hasattr(table, "__arrow_c_stream__"):
        return table
    if hasattr(table, "__arrow_c_array__"):
        return pa.Table.from_batches([pa.record_batch(table)])
    collect = getattr(table, "collect", None)
    if callable(collect) and type(table).__module__.startswith("polars"):
        return stream_of(collect())
    if hasattr(table, "to_arrow"):
        return stream_of(table.to_arrow())
    kind = type(table).__name__
    known = "a path, a pyarrow, Polars or pandas table, arrays by name, or what has __arrow_c_stream__"
    raise TypeError(f"{kind} is no table: give {known}")


def _table_of(columns: Mapping[str, Any]) -> pa.Table:
    try:
        return pa.table(dict(columns))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ShapeError(f"the columns {', '.join(map(str, columns))} are no table: {error}") from error


def given(table: Table, name: str) -> Given:
    """A path, or a named stream."""
    if is_path(table):
        return os.fspath(table)
    return name, stream_of(table)


def given_all(tables: Table | Sequence[Table] | None, name: str) -> list[Given]:
    """One or several of them."""
    if tables is None:
        return []
    if not isinstance(tables, (list, tuple)) or all(isinstance(one, pa.RecordBatch) for one in tables):
        return [given(tables, name)]
    if len(tables) == 1:
        return [given(tables[0], name)]
    return [given(one, f"{name}[{i}]") for i, one in enumerate(tables)]


def arrow_table(table: Table) -> pa.Table:
    """A table in memory as pyarrow's, without a copy where that can be."""
    stream = stream_of(table)
    return stream if isinstance(stream, pa.Table) else pa.RecordBatchReader.from_stream(stream).read_all()


def raw_ids(ids: Iterable[object] | np.ndarray[Any, Any] | pa.Array) -> list[str]:
    """Ids as the native half reads them: their texts."""
    if isinstance(ids, (pa.Array, pa.ChunkedArray)):
        ids = ids.to_pylist()
    elif isinstance(ids, np.ndarray):
        ids = ids.tolist()
    return [one if isinstance(one, str) else str(one) for one in ids]
