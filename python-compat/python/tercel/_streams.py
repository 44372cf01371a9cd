"""Passes tables in memory to the native code through the Arrow C stream interface, without copying."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
import pyarrow as pa

from ._ids import is_column
from .errors import ConfigError, DataError, KindError, RowError, SchemaError, ShapeError


@runtime_checkable
class ArrowStream(Protocol):
    """Any object that exports its rows as an Arrow stream: those of pyarrow, Polars, DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The stream as a PyCapsule."""


PathLike: TypeAlias = "str | os.PathLike[str]"
Table: TypeAlias = "PathLike | ArrowStream | pa.RecordBatch | Sequence[pa.RecordBatch] | Mapping[str, Any] | Any"
"""A path, or rows: a pyarrow table, record batch, list of them or reader; a Polars or pandas data frame; NumPy arrays
by the names of their columns; …"""

Given: TypeAlias = "str | tuple[str, object]"
"""What the native half takes: a path, or a name and an object with `__arrow_c_stream__`."""

Words: TypeAlias = "Sequence[str] | None"


def is_path(table: object) -> TypeGuard[PathLike]:
    """Whether this is a path."""
    return isinstance(table, (str, os.PathLike))


def path_of(path: object, field: str) -> Path:
    """Returns the path, after checking that it is one.

    Raises:
        KindError: If it is not.
    """
    if not is_path(path) or isinstance(os.fspath(path), bytes):
        raise KindError(f"{field}: {type(path).__name__} is no path: give a text or a pathlib.Path", path=field)
    return Path(path)


def stream_of(table: Table, name: str = "table") -> object:
    """Returns an object with `__arrow_c_stream__` for a table in memory.

    The index of a pandas data frame is not a column; see `explained`.

    Raises:
        KindError: If it is not a table.
        SchemaError: If it has no columns, or two columns of the same name.
    """
    made = _stream_of(table, name)
    names = _names(made)
    if names is not None:
        if not names:
            raise DataError(f"{name}: has no columns{_hint(table)}", path=name)
        twice = [column for column, count in Counter(names).items() if count > 1]
        if twice:
            raise SchemaError(f"{name}: the column `{twice[0]}` appears twice", path=name, column=twice[0])
    return made


def _stream_of(table: Any, name: str) -> object:
    if isinstance(table, pa.RecordBatch):
        return pa.Table.from_batches([table])
    if isinstance(table, (list, tuple)) and table and all(isinstance(batch, pa.RecordBatch) for batch in table):
        with refused(name):
            return pa.Table.from_batches(list(table))
    if isinstance(table, np.ndarray) and table.dtype.names:
        table = {column: table[column] for column in table.dtype.names}
    if isinstance(table, Mapping):
        return _table_of(table, name)
    if is_pandas(table):
        # Not by its own stream: that takes a named index for a column, in some versions.
        twice = [column for column, count in Counter(map(str, table.columns)).items() if count > 1]
        if twice:
            raise SchemaError(f"{name}: the column `{twice[0]}` appears twice", path=name, column=twice[0])
        with refused(name):
            return pa.Table.from_pandas(table, preserve_index=False)
    kind = type(table).__name__
    if is_column(table):
        words = "give its columns by name, as {'user_id': …, 'item_id': …}"
        raise KindError(f"{name}: {kind} is no table but a list of values: {words}", path=name)
    if hasattr(table, "__arrow_c_stream__"):
        return table
    if hasattr(table, "__arrow_c_array__"):
        with refused(name):
            return pa.Table.from_batches([pa.record_batch(table)])
    collect = getattr(table, "collect", None)
    if callable(collect) and type(table).__module__.startswith("polars"):
        return _stream_of(collect(), name)
    if hasattr(table, "to_arrow"):
        return _stream_of(table.to_arrow(), name)
    known = "a path, a pyarrow, Polars or pandas table, arrays by name, or what has __arrow_c_stream__"
    raise KindError(f"{name}: {kind} is no table: give {known}", path=name)


def _table_of(columns: Mapping[str, Any], name: str) -> pa.Table:
    try:
        return pa.table({str(column): array_of(values, str(column), name) for column, values in columns.items()})
    except pa.ArrowException as error:
        words = ", ".join(map(str, columns))
        raise ShapeError(f"{name}: the columns {words} are no table: {error}", path=name) from error


def array_of(values: Any, column: str, name: str = "table") -> pa.Array | pa.ChunkedArray:
    """Converts a column to Arrow: a list, an array, a tensor, or a pandas or Polars column. Byte strings become
    strings; values of different kinds (`[1, "a"]`) are not a column.

    Raises:
        SchemaError: For values that are not a column.
    """
    if not is_column(values):
        raise SchemaError(
            f"{name}: column {column}: {type(values).__name__} is no list of values: no table",
            path=name,
            column=column,
        )
    tensor = getattr(values, "numpy", None)
    if callable(tensor):
        values = tensor()
    try:
        made = values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(_plain(values))
        if pa.types.is_binary(made.type) or pa.types.is_large_binary(made.type) or made.type == pa.binary_view():
            made = made.cast(pa.string())
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise SchemaError(f"{name}: column {column}: no table: {error}", path=name, column=column) from error
    return made


def _plain(values: Any) -> Any:
    """NumPy's fixed texts as Arrow takes them, iterators as lists."""
    if isinstance(values, np.ndarray):
        return values.tolist() if values.dtype.kind == "S" else values
    if hasattr(values, "__len__") or hasattr(values, "__arrow_c_stream__"):
        return values
    return list(values)


@contextmanager
def refused(name: str) -> Iterator[None]:
    """The error for a table that its library cannot export."""
    try:
        yield
    except (pa.ArrowException, ValueError, TypeError) as error:
        words = "; ".join(str(part) for part in error.args)
        raise DataError(f"{name}: no table: {words}", path=name) from error


def _names(table: Any) -> list[str] | None:
    """The columns' names, as far as a table tells them without being read."""
    for place in (getattr(table, "schema", None), table):
        names = getattr(place, "names", None) if place is not table else getattr(place, "columns", None)
        if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
            return list(names)
    return None


def is_pandas(table: object) -> bool:
    """Whether this is a pandas data frame."""
    return type(table).__module__.split(".")[0] == "pandas" and hasattr(table, "columns") and hasattr(table, "index")


def _hint(table: Any) -> str:
    """What to do about ids in the index of a data frame, if there may be any."""
    if not is_pandas(table):
        return ""
    names = [str(name) for name in table.index.names if name is not None]
    if not names and type(table.index).__name__ == "RangeIndex":
        return ""
    which = f" ({', '.join(f'`{name}`' for name in names)})" if names else ""
    return f"; the ids may be in the index{which} of the data frame, which is no column: give frame.reset_index()"


@contextmanager
def explained(**tables: Any) -> Iterator[None]:
    """Extends the error for a missing column with the hint that the ids may be in the index of the data frame.

    >>> import pandas as pd
    >>> from tercel._streams import explained
    >>> users = pd.DataFrame({"age": [33]}, index=pd.Index(["ann"], name="user_id"))
    >>> with explained(users=users):
    ...     raise SchemaError("users: no column user_id", path="users", column="user_id")
    Traceback (most recent call last):
    tercel.errors.SchemaError: users: no column user_id; the ids may be in the index (`user_id`) of the data frame, \
which is no column: give frame.reset_index()

    Args:
        tables: By the names that errors have as `path`; a list has `name[0]`, `name[1]`, …
    """
    try:
        yield
    except (DataError, ConfigError) as error:
        if isinstance(error, RowError) or (not isinstance(error, SchemaError) and "column" not in str(error)):
            raise
        hints: dict[str, str] = {}
        for name, table in tables.items():
            listed = table if isinstance(table, (list, tuple)) else [table]
            for at, one in enumerate(listed):
                hints[f"{name}[{at}]" if len(listed) > 1 else name] = _hint(one)
        words = hints.get(error.path or "", "") or next(filter(None, hints.values()), "")
        if not words or words in str(error):
            raise
        place = {"path": error.path, "row": error.row, "column": error.column, "field": error.field}
        raise type(error)(f"{error}{words}", **place) from error  # type: ignore[arg-type]


def given(table: Table, name: str) -> Given:
    """A table for the native code: a path, or a named stream."""
    if is_path(table):
        return str(path_of(table, name))
    return name, stream_of(table, name)


def given_all(tables: Table | Sequence[Table] | None, name: str) -> list[Given]:
    """One or more tables for the native code."""
    if tables is None:
        return []
    if not isinstance(tables, (list, tuple)) or (tables and all(isinstance(one, pa.RecordBatch) for one in tables)):
        return [given(tables, name)]
    if len(tables) == 1:
        return [given(tables[0], name)]
    return [given(one, f"{name}[{i}]") for i, one in enumerate(tables)]
