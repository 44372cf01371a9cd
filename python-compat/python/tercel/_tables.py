"""Tables of every library as the native half takes them: by the Arrow C stream interface, without a copy."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
import pyarrow as pa

from . import _core
from ._counts import several, text_of
from ._ids import is_column, raw_ids
from ._warn import warn
from .errors import ConfigError, DataError, FileError, KindError, RowError, SchemaError, ShapeError, TercelError


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

Words: TypeAlias = "Sequence[str] | None"


def is_path(table: object) -> TypeGuard[PathLike]:
    """Whether this names a file."""
    return isinstance(table, (str, os.PathLike))


def path_of(path: object, field: str) -> Path:
    """A path, checked.

    Raises:
        KindError: When it is none.
    """
    if not is_path(path) or isinstance(os.fspath(path), bytes):
        raise KindError(f"{field}: {type(path).__name__} is no path: give a text or a pathlib.Path", path=field)
    return Path(path)


# ------------------------------------------------------------------------------------------------------------- reading


def read_options(
    *,
    sep: str | None = None,
    columns: Words = None,
    quote: str | None = None,
    escape: str | None = None,
    null: Words = None,
    time_unit: str | None = None,
    time_format: str | None = None,
) -> dict[str, Any]:
    """How text is read, by the names of the configuration; what is not said is not there.

    >>> from tercel._tables import read_options
    >>> read_options(sep="tab", null=["-"])
    {'sep': 'tab', 'null': ['-']}

    Raises:
        ConfigError: For a value of another kind; it names the setting.
    """
    one = {"sep": sep, "quote": quote, "escape": escape, "time_unit": time_unit, "time_format": time_format}
    lists = {"columns": columns, "null": null}
    made: dict[str, Any] = {}
    for field, text in one.items():
        if text is not None:
            made[field] = text_of(text, field)
    for field, words in lists.items():
        if words is not None:
            made[field] = texts_of(words, field)
    return made


def texts_of(values: object, field: str) -> list[str]:
    """A list of texts, checked: a text alone might be one or several.

    Raises:
        ConfigError: For anything else; it names the setting.
    """
    if isinstance(values, str):
        raise ConfigError(f"{field}: give a list of texts: {values.split(',')}", field=field)
    return [text_of(value, field) for value in several(values, field)]


class Reading:
    """Record batches of the one reader; errors keep their class and their place."""

    def __init__(self, given: Given, options: Mapping[str, Any], constants: Sequence[tuple[str, str]] = ()) -> None:
        """Opens a table; `constants` are columns that are the same in all rows, and text."""
        self.name = given if isinstance(given, str) else given[0]
        self._rows = _core.read_table(given, json.dumps(dict(options)))
        with self.errors():
            self._reader = pa.RecordBatchReader.from_stream(self._rows)
        own = self._reader.schema
        self._constants = [(name, value or None) for name, value in constants if name not in own.names]
        self.schema: pa.Schema = pa.schema([*own, *(pa.field(name, pa.string()) for name, _ in self._constants)])

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The batches, once."""
        while True:
            with self.errors():
                try:
                    batch = self._reader.read_next_batch()
                except StopIteration:
                    return
            added = [pa.repeat(pa.scalar(value, pa.string()), batch.num_rows) for _, value in self._constants]
            yield pa.RecordBatch.from_arrays([*batch.columns, *added], schema=self.schema)

    def read_all(self) -> pa.Table:
        """The rows."""
        return pa.Table.from_batches(list(self), self.schema)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Arrow's stream carries words alone: what the reader raised is asked for."""
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, TercelError):
                raise
            self._rows.check()
            raise DataError(f"{self.name}: {error}", path=self.name) from error


def read_table(
    table: Table,
    *,
    sep: str | None = None,
    columns: Words = None,
    quote: str | None = None,
    escape: str | None = None,
    null: Words = None,
    time_unit: str | None = None,
    time_format: str | None = None,
) -> pa.Table:
    """The rows of a file, a folder of files or a table in memory, as everything in this package reads them.

    Text has columns of texts, exactly as they are written (`0000000022`, `1.0`), and nulls where a word stands for a
    missing value. Arrow, Parquet and tables in memory keep their types.

    >>> import tempfile, tercel
    >>> with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
    ...     _ = file.write("user_id\\titem_id\\n0022\\t1.0\\n7\\tNA\\n")
    ...     file.flush()
    ...     tercel.read_table(file.name).to_pydict()
    {'user_id': ['0022', '7'], 'item_id': ['1.0', None]}

    Args:
        table: A path or rows.
        sep: What stands between two values: `,`, `tab`, `;`, `|`, `::` or other bytes. Found in the file without it.
        columns: The columns' names, for text without a header.
        quote: The character that quotes a value, or `none`.
        escape: The character that takes the next one as it is.
        null: The words that stand for a missing value, in the place of the usual ones.
        time_unit: What integer times count: `s`, `ms`, `us`, `ns`, `days`, `excel`.
        time_format: How times are written, as `%d/%m/%Y`.

    Raises:
        RowError: For the first row that cannot be read.
        DataError: For a table that cannot be used.
        FileError: For a file that cannot be read.
    """
    options = read_options(
        sep=sep, columns=columns, quote=quote, escape=escape, null=null, time_unit=time_unit, time_format=time_format
    )
    return read_all([table], options)


def read_all(tables: Sequence[Table], options: Mapping[str, Any], engine: str | None = None) -> pa.Table:
    """Several files, or folders of them, of the same columns, in whichever order each has them, as one table. Folders
    named `key=value` add a column. What is not read of a folder is named in a warning.

    Args:
        tables: Paths, or one table in memory.
        options: What `read_options` gives.
        engine: Of a folder, the files of this kind alone: `parquet` or `csv`.

    Raises:
        SchemaError: When a file lacks a column that another one has.
    """
    parts: list[Reading] = []
    for table in tables:
        if is_path(table):
            parts += _files(path_of(table, "table"), options, engine)
        else:
            parts.append(Reading(given(table, "table"), options))
    if not parts:
        raise DataError("table: no files are given", path="table")
    first = parts[0]
    for part in parts[1:]:
        for one, other in ((part, first), (first, part)):
            lacks = [name for name in other.schema.names if name not in one.schema.names]
            if lacks:
                raise SchemaError(
                    f"{one.name}: no column {', '.join(f'`{name}`' for name in lacks)}, which {other.name} has",
                    path=one.name,
                    column=lacks[0],
                )
    made = [part.read_all().select(first.schema.names) for part in parts]
    return made[0] if len(made) == 1 else together(made)


def _files(path: Path, options: Mapping[str, Any], engine: str | None) -> list[Reading]:
    """The files that a path stands for, opened."""
    if not path.is_dir():
        return [Reading(str(path), options)]
    files, passed = _core.data_files(path)
    if engine is not None:
        wanted = [one for one in files if one[0].name.removesuffix(".gz").removesuffix(".zst").endswith(f".{engine}")]
        if wanted:
            passed += [(file, f"it is no {engine}") for file, _ in files if file not in [one for one, _ in wanted]]
            files = wanted
    if passed:
        named = [f"{file.relative_to(path)} ({why})" for file, why in passed[:5]]
        more = [f"{len(passed) - 5} more"] if len(passed) > 5 else []
        warn(f"{path}: not read: {', '.join(named + more)}")
    return [Reading(str(file), options, constants) for file, constants in files]


def together(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of the same columns below each other. Where types differ numbers widen, or else become texts.

    >>> from tercel._tables import together
    >>> together([pa.table({"item_id": [22]}), pa.table({"item_id": ["0022"]})])["item_id"].to_pylist()
    ['22', '0022']
    """
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException:
        pass
    for name in tables[0].column_names:
        try:
            pa.unify_schemas([pa.schema([table.schema.field(name)]) for table in tables], promote_options="permissive")
        except pa.ArrowException:
            kinds = ", ".join(dict.fromkeys(str(table.schema.field(name).type) for table in tables))
            try:
                tables = [
                    table.set_column(table.schema.get_field_index(name), name, table[name].cast(pa.string()))
                    for table in tables
                ]
            except pa.ArrowException as error:
                raise SchemaError(f"column {name}: {kinds} do not go together: {error}", column=name) from error
    return pa.concat_tables(tables, promote_options="permissive")


# ----------------------------------------------------------------------------------------------------------- in memory


def stream_of(table: Table, name: str = "table") -> object:
    """The object with `__arrow_c_stream__` that stands for a table in memory.

    The index of a pandas data frame is no column; see `explained`.

    Raises:
        KindError: When it is no table.
        SchemaError: When it has no columns, or a column twice.
    """
    made = _stream_of(table, name)
    names = _names(made)
    if names is not None:
        if not names:
            raise DataError(f"{name}: has no columns{_hint(table)}", path=name)
        twice = [column for column, count in Counter(names).items() if count > 1]
        if twice:
            raise SchemaError(f"{name}: the column `{twice[0]}` is there twice", path=name, column=twice[0])
    return made


def _stream_of(table: Any, name: str) -> object:
    if isinstance(table, pa.RecordBatch):
        return pa.Table.from_batches([table])
    if isinstance(table, (list, tuple)) and table and all(isinstance(batch, pa.RecordBatch) for batch in table):
        with _refused(name):
            return pa.Table.from_batches(list(table))
    if isinstance(table, np.ndarray) and table.dtype.names:
        table = {column: table[column] for column in table.dtype.names}
    if isinstance(table, Mapping):
        return _table_of(table, name)
    if is_pandas(table):
        # Not by its own stream: that takes a named index for a column, in some versions.
        twice = [column for column, count in Counter(map(str, table.columns)).items() if count > 1]
        if twice:
            raise SchemaError(f"{name}: the column `{twice[0]}` is there twice", path=name, column=twice[0])
        with _refused(name):
            return pa.Table.from_pandas(table, preserve_index=False)
    kind = type(table).__name__
    if is_column(table):
        words = "give its columns by name, as {'user_id': …, 'item_id': …}"
        raise KindError(f"{name}: {kind} is no table but a list of values: {words}", path=name)
    if hasattr(table, "__arrow_c_stream__"):
        return table
    if hasattr(table, "__arrow_c_array__"):
        with _refused(name):
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
    """A column of anything that is one: lists, arrays, tensors, columns of pandas and Polars. Texts as bytes are
    texts; values of several kinds (`[1, "a"]`) are no column.

    Raises:
        SchemaError: For values that are no column.
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
def _refused(name: str) -> Iterator[None]:
    """What a library says of a table that is none."""
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
    """Whether this is a data frame of pandas."""
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
    """Adds to an error of a table that lacks a column that its ids may be in the index of the data frame.

    >>> import pandas as pd
    >>> from tercel._tables import explained
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
    """A path, or a named stream."""
    if is_path(table):
        return str(path_of(table, name))
    return name, stream_of(table, name)


def given_all(tables: Table | Sequence[Table] | None, name: str) -> list[Given]:
    """One or several of them."""
    if tables is None:
        return []
    if not isinstance(tables, (list, tuple)) or (tables and all(isinstance(one, pa.RecordBatch) for one in tables)):
        return [given(tables, name)]
    if len(tables) == 1:
        return [given(tables[0], name)]
    return [given(one, f"{name}[{i}]") for i, one in enumerate(tables)]


def arrow_table(table: Table, name: str = "table") -> pa.Table:
    """A table as pyarrow's, without a copy where that can be; a path by the one reader."""
    if is_path(table):
        return read_table(table)
    stream = stream_of(table, name)
    if isinstance(stream, pa.Table):
        return stream
    with _refused(name):
        return pa.RecordBatchReader.from_stream(stream).read_all()


def users_source(users: object, name: str = "users") -> str | list[str] | tuple[str, object] | None:
    """Who is asked for, as the native half takes it: nobody named (all), raw ids, a path, or a named stream.

    >>> from tercel._tables import users_source
    >>> users_source([b"u1", 7])
    ['u1', '7']
    >>> users_source({"user_id": ["u1"]})[0]
    'users'

    Raises:
        KindError: For what is neither a table nor a list of ids.
        RowError: For an id that is none.
        FileError: For a text that is no path: one id needs a list too.
        DataError: For a list without ids.
    """
    if users is None:
        return None
    if is_path(users):
        path = path_of(users, name)
        if str(path) != "-" and not path.exists():
            words = f"; one user is a list too: [{os.fspath(users)!r}]" if isinstance(users, str) else ""
            raise FileError(f"{path}: No such file or directory{words}", path=str(path))
        return str(path)
    batches = isinstance(users, (list, tuple)) and users and all(isinstance(one, pa.RecordBatch) for one in users)
    if batches or (not is_column(users) and not isinstance(users, (bytes, bytearray, memoryview, int, float))):
        return name, stream_of(users, name)
    ids = raw_ids(users, name)
    if not ids:
        raise DataError(f"{name}: no users; give raw ids, or None for everybody", path=name)
    return ids


__all__ = [
    "ArrowStream",
    "Given",
    "PathLike",
    "Reading",
    "Table",
    "arrow_table",
    "explained",
    "given",
    "given_all",
    "is_path",
    "path_of",
    "raw_ids",
    "read_all",
    "read_options",
    "read_table",
    "stream_of",
    "text_of",
    "texts_of",
    "together",
    "users_source",
]
