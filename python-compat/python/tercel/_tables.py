"""Tables from files and from every library that exports Arrow, all read by the same reader."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from . import _core
from ._counts import several, text_of
from ._ids import is_column, raw_ids
from ._streams import (
    ArrowStream,
    Given,
    PathLike,
    Table,
    Words,
    array_of,
    explained,
    given,
    given_all,
    is_path,
    path_of,
    refused,
    stream_of,
)
from ._warn import warn
from .config import settings_of
from .errors import ConfigError, DataError, FileError, SchemaError, TercelError

_WRITTEN = b"tercel.written"
"""The key of a schema's metadata by which the reader says that a table is written as text."""


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
    """The options for reading text, under their configuration names. Options that were not given are left out.

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
    """A list of strings, checked. A single string is refused, because it could mean one item or several.

    Raises:
        ConfigError: For anything else; it names the setting.
    """
    if isinstance(values, str):
        raise ConfigError(f"{field}: give a list of texts: {values.split(',')}", field=field)
    return [text_of(value, field) for value in several(values, field)]


class Reading:
    """The record batches of one read. Errors keep their class and their location."""

    def __init__(self, given: Given, options: Mapping[str, Any], constants: Sequence[tuple[str, str]] = ()) -> None:
        """Opens a table; `constants` are columns that are the same in all rows, and text."""
        self.name = given if isinstance(given, str) else given[0]
        words = json.dumps(dict(options))
        with settings_of(words):
            self._rows = _core.read_table(given, words)
        with self.errors():
            self._reader = pa.RecordBatchReader.from_stream(self._rows)
        own = self._reader.schema
        self.is_text = is_text(own)
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
        """All rows as one table."""
        return pa.Table.from_batches(list(self), self.schema)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raises the reader's own exception: an Arrow stream passes on only the message."""
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
    """Reads a file, a folder of files or a table in memory, exactly as the rest of this package does.

    Columns of text files are strings, exactly as written (`0000000022`, `1.0`), with nulls for missing values. Arrow,
    Parquet and tables in memory keep their types.

    >>> import tempfile, tercel
    >>> with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
    ...     _ = file.write("user_id\\titem_id\\n0022\\t1.0\\n7\\tNA\\n")
    ...     file.flush()
    ...     tercel.read_table(file.name).to_pydict()
    {'user_id': ['0022', '7'], 'item_id': ['1.0', None]}

    Args:
        table: A path, or a table in memory.
        sep: The separator: `,`, `tab`, `;`, `|`, `::` or other bytes. Detected from the file by default.
        columns: The columns' names, for text files without a header.
        quote: The character that quotes a value, or `none`.
        escape: The escape character.
        null: The words that mean a missing value, instead of the usual ones.
        time_unit: The unit of integer times: `s`, `ms`, `us`, `ns`, `days`, `excel`.
        time_format: The format of times, such as `%d/%m/%Y`.

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
    """Reads several files, or folders of files, into one table. They must have the same columns, in any order. Folders
    named `key=value` add a column. A warning lists the files of a folder that were not read.

    Args:
        tables: The paths, or one table in memory.
        options: The result of `read_options`.
        engine: Reads only the files of this format from a folder: `parquet` or `csv`.

    Raises:
        SchemaError: If a file lacks a column that another file has.
    """
    parts: list[Reading] = []
    for table in tables:
        if is_path(table):
            parts += _files(path_of(table, "table"), options, engine)
        else:
            parts.append(Reading(given(table, "table"), options))
    if not parts:
        raise DataError("table: no files given", path="table")
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
    made = together([part.read_all().select(first.schema.names) for part in parts])
    return made.replace_schema_metadata({_WRITTEN: b"text"} if all(part.is_text for part in parts) else None)


def is_text(schema: pa.Schema) -> bool:
    """Whether a table was read from a text file, whose columns have no types."""
    return (schema.metadata or {}).get(_WRITTEN) == b"text"


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
    """Concatenates tables with the same columns. Where types differ, numbers are widened; anything else becomes
    strings.

    >>> from tercel._tables import together
    >>> together([pa.table({"item_id": [22]}), pa.table({"item_id": ["0022"]})])["item_id"].to_pylist()
    ['22', '0022']
    """
    if len(tables) == 1:
        return tables[0]
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
                raise SchemaError(f"column {name}: {kinds} cannot be combined: {error}", column=name) from error
    return pa.concat_tables(tables, promote_options="permissive")


def arrow_table(table: Table, name: str = "table") -> pa.Table:
    """Converts a table to pyarrow, without a copy if possible. A path is read from disk."""
    if is_path(table):
        return read_table(table)
    stream = stream_of(table, name)
    if isinstance(stream, pa.Table):
        return stream
    with refused(name):
        return pa.RecordBatchReader.from_stream(stream).read_all()


def users_source(users: object, name: str = "users") -> str | list[str] | tuple[str, object] | None:
    """The requested users, in the form that the native code takes: None (all users), raw ids, a path, or a named
    stream.

    >>> from tercel._tables import users_source
    >>> users_source([b"u1", 7])
    ['u1', '7']
    >>> users_source({"user_id": ["u1"]})[0]
    'users'

    Raises:
        KindError: For anything that is neither a table nor a list of ids.
        RowError: For a value that cannot be an id.
        FileError: For a string that is not an existing path. A single id must also be passed as a list.
        DataError: For an empty list.
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
        raise DataError(f"{name}: no users; pass raw ids, or None for all users", path=name)
    return ids


__all__ = [
    "ArrowStream",
    "Given",
    "PathLike",
    "Reading",
    "Table",
    "Words",
    "array_of",
    "arrow_table",
    "explained",
    "given",
    "given_all",
    "is_path",
    "is_text",
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
