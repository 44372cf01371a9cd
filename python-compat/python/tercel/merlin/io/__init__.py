"""`merlin.io`: datasets with a schema.

>>> import tercel, warnings
>>> from tercel.merlin.io import Dataset
>>> with warnings.catch_warnings():
...     warnings.simplefilter("ignore")  # warns that there is no schema, and which columns it assumes
...     dataset = Dataset(tercel.demo_purchases())
>>> dataset.schema.select_by_tag("item_id").column_names
['item_id']
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..._absent import absent
from ..._counts import text_of
from ..._tables import Table, arrow_table, is_path, is_text, path_of, read_all, read_options
from ...errors import ConfigError, FileError, SchemaError
from .. import differs, unused
from ..schema import ColumnSchema, Schema, Tags

_USERS = ("user_id", "userid", "user", "customer_id", "customer", "household_id", "visitor_id")
_ITEMS = ("item_id", "itemid", "item", "article_id", "product_id", "movie_id", "movieid", "sku", "movie_title")
_TIMES = ("timestamp", "time", "t_dat", "date", "datetime", "event_time")

_READING = ("sep", "columns", "quote", "escape", "null", "time_unit", "time_format")
_WHOLE = r"^(0|-?[1-9][0-9]{0,18})$"
_NUMBER = r"^-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"


class Dataset:
    """Rows and the schema of their columns.

    Files are read by the same reader as everywhere in Tercel. Parquet and Arrow files keep their types. Text files have
    no types:

    - **Ids are strings, exactly as written.** This applies to columns tagged `USER_ID`, `ITEM_ID` or `ID`, or
      recognized as such if there is no schema. `0000000022`, `123456789012345678901` and `1.0` are preserved, whatever
      the other rows contain. `ColumnSchema(…, dtype="int64")` converts ids to integers, and raises an error if a value
      would change.
    - **All other columns are numbers if all of their values are**: `int64` if all are integers, else `float64`. Values
      with leading zeros (`00123`) and integers that do not fit into `int64` are not numbers. A column tagged
      `CATEGORICAL` contains integers or strings, never `float64`.

    >>> import tempfile
    >>> from tercel.merlin.io import Dataset
    >>> from tercel.merlin.schema import ColumnSchema, Schema
    >>> schema = Schema([ColumnSchema("user_id", ["user_id"]), ColumnSchema("item_id", ["item_id"]), "price", "zip"])
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("user_id,item_id,price,zip\\n0000000022,1.0,2.50,00123\\n7,8,3,99999\\n")
    ...     file.flush()
    ...     Dataset(file.name, schema=schema).to_arrow().to_pylist()[0]
    {'user_id': '0000000022', 'item_id': '1.0', 'price': 2.5, 'zip': '00123'}
    """

    def __init__(
        self,
        path_or_source: Table | Iterable[str],
        engine: str | None = None,
        schema: Schema | None = None,
        **others: Any,
    ) -> None:
        """Opens files in any format that Tercel reads (paths, glob patterns, folders), or a table in memory.

        Args:
            path_or_source: A path, several paths, or a table in memory.
            engine: `parquet` or `csv`: which files to read from a folder that contains both. Otherwise the format is
                detected.
            schema: The tags of the columns. Without a schema, ids and times are recognized by common names, with a
                warning.
            others: Options for text files, as for `tercel.read_table` (`sep`, `columns` or, as in pandas, `names`,
                `quote`, `escape`, `null`). Merlin's other arguments have no effect.

        Raises:
            FileError: If no file matches a path or pattern.
            RowError: For the first row that cannot be read.
            ConfigError: If two columns could be the ids and there is no schema.
        """
        if engine is not None and text_of(engine, "engine") not in ("parquet", "csv"):
            raise ConfigError(f"engine: `{engine}` is not one of parquet, csv", field="engine")
        if schema is not None and not isinstance(schema, Schema):
            raise ConfigError(f"schema: a Schema is needed, not {type(schema).__name__}", field="schema")
        if "names" in others:
            others["columns"] = others.pop("names")
        options = read_options(**{name: others.pop(name) for name in _READING if others.get(name) is not None})
        unused("Dataset", others, ("npartitions", "part_size", "part_mem_fraction", "cpu", "client", *_READING))
        self.times = {name: options[name] for name in ("time_unit", "time_format") if name in options}
        several = path_or_source if isinstance(path_or_source, (list, tuple)) else [path_or_source]
        self._texts: set[str] = set()
        if several and all(is_path(one) for one in several):
            files = [file for path in several for file in _files(str(path_of(path, "dataset")))]
            self._table: pa.Table = read_all(files, options, engine)
            self._texts = set(self._table.column_names) if is_text(self._table.schema) else set()
        else:
            self._table = arrow_table(path_or_source, "dataset")
        self.schema = schema if schema is not None else self._guess()
        self._typed: dict[str, tuple[ColumnSchema, pa.ChunkedArray]] = {}
        for column in self.schema:
            if column.name in self._texts:
                self.column(column.name)  # what the schema asks for and the file has not is told at once

    def to_arrow(self) -> pa.Table:
        """Returns the rows as a pyarrow table with the columns of the schema.

        Raises:
            SchemaError: If a column of the schema is missing.
        """
        return pa.table({name: self.column(name) for name in self.schema.column_names})

    def column(self, name: str) -> pa.ChunkedArray:
        """Returns one column, with the type that the schema gives it.

        Raises:
            SchemaError: If there is no column of this name.
        """
        if name not in self._table.column_names:
            words = ", ".join(self._table.column_names) or "no columns"
            which = ", which the schema has" if name in self.schema else ""
            raise SchemaError(f"dataset: no column `{name}`{which}; there are {words}", path="dataset", column=name)
        if name not in self._texts or name not in self.schema:
            return self._table[name]
        column = self.schema[name]
        if name not in self._typed or self._typed[name][0] != column:
            # Times that are written in a form of their own are read by that.
            kept = "time_format" in self.times and Tags.TIME in column.tags
            self._typed[name] = column, self._table[name] if kept else _typed(self._table[name], column)
        return self._typed[name][1]

    def compute(self) -> Any:
        """Returns all rows as a pandas data frame."""
        return self.to_arrow().to_pandas()

    def head(self, rows: int = 5) -> Any:
        """Returns the first rows as a pandas data frame."""
        return self.to_arrow().slice(0, rows).to_pandas()

    def to_ddf(self) -> Dataset:
        """Returns the dataset itself. Tercel does not use Dask; call `compute` for a data frame."""
        return self

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return int(self.to_arrow().num_rows)

    def __len__(self) -> int:
        """How many rows there are."""
        return self.num_rows

    def _guess(self) -> Schema:
        names = list(self._table.column_names)
        known: dict[str, Tags] = {}
        for tag, usual in ((Tags.USER_ID, _USERS), (Tags.ITEM_ID, _ITEMS), (Tags.TIME, _TIMES)):
            found = [name for name in names if name.lower() in usual]
            # Names that say it win; what is left must be one.
            telling = "timestamp" if tag is Tags.TIME else "id"
            found = [name for name in found if name.lower().endswith(telling)] or found
            if len(found) > 1:
                words = " and ".join(f"`{name}`" for name in found)
                raise ConfigError(
                    f"schema: {words} may each be the {tag} column: give schema=Schema([ColumnSchema("
                    f'"{found[0]}", tags=["{tag}"]), …])',
                    field="schema",
                )
            if found:
                known[found[0]] = tag
        words = ", ".join(f"{name} is {tag}" for name, tag in known.items()) or "no column"
        differs(f"the dataset has no schema: {words}; the others get no tag. Give schema=Schema([...]) to say more.")
        return Schema(ColumnSchema(name, tags=[known[name]] if name in known else []) for name in names)


def _files(path: str) -> list[str]:
    """The files of a pattern in the order of their names; a file or a folder is itself."""
    if os.path.exists(path) or path == "-":
        return [path]
    found = sorted(glob.glob(path, recursive=True))
    if not found:
        raise FileError(f"{path}: No such file or directory", path=path)
    return found


def _typed(texts: pa.ChunkedArray, column: ColumnSchema) -> pa.ChunkedArray:
    """A column of a text file as what it is."""
    if {Tags.USER_ID, Tags.ITEM_ID, Tags.ID} & column.tags:
        return texts if column.dtype is None else _asked(texts, column)
    if texts.null_count == len(texts):
        return texts
    try:
        if _all(texts, _WHOLE):
            return texts.cast(pa.int64())
        if Tags.CATEGORICAL not in column.tags and _all(texts, _NUMBER) and not _all_wide(texts):
            return texts.cast(pa.float64())
    except pa.ArrowException:
        pass
    return texts


def _all(texts: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())


def _all_wide(texts: pa.ChunkedArray) -> bool:
    """Whether whole numbers alone, some wider than `int64`, would lose digits as `float64`."""
    return _all(texts, r"^-?[0-9]+$")


def _asked(texts: pa.ChunkedArray, column: ColumnSchema) -> pa.ChunkedArray:
    """Ids in the type that the schema gives them."""
    try:
        kind = pa.from_numpy_dtype(np.dtype(column.dtype))
    except (TypeError, pa.ArrowException):
        return texts
    if not pa.types.is_integer(kind):
        return texts
    wrong = pc.invert(pc.match_substring_regex(texts, _WHOLE))
    if pc.any(wrong).as_py():
        row = pc.index(pc.fill_null(wrong, False), True).as_py()
        raise SchemaError(
            f"dataset: row {row + 1}, column {column.name}: `{texts[row]}` is not written as {kind} writes it: leave "
            "dtype out of the ColumnSchema to have ids as texts",
            path="dataset",
            row=row + 1,
            column=column.name,
        )
    try:
        return texts.cast(kind)
    except pa.ArrowException as error:
        raise SchemaError(f"dataset: column {column.name}: {error}", path="dataset", column=column.name) from error


__all__ = ["Dataset"]
__getattr__ = absent("tercel.merlin.io", __all__)
