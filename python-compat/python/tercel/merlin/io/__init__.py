"""`merlin.io`: rows with a schema.

>>> import tercel, warnings
>>> from tercel.merlin.io import Dataset
>>> with warnings.catch_warnings():
...     warnings.simplefilter("ignore")  # that it has no schema, and what its columns are taken for
...     dataset = Dataset(tercel.demo_purchases())
>>> dataset.schema.select_by_tag("item_id").column_names
['item_id']
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ..._tables import Table, arrow_table, is_path
from .. import differs, unused
from ..schema import ColumnSchema, Schema, Tags

_USERS = ("user_id", "userid", "user", "customer_id", "customer", "household_id", "visitor_id")
_ITEMS = ("item_id", "itemid", "item", "article_id", "product_id", "movie_id", "movieid", "sku", "movie_title")
_TIMES = ("timestamp", "time", "t_dat", "date", "datetime", "event_time")


class Dataset:
    """Rows, and what their columns are.

    >>> import tercel
    >>> from tercel.merlin.io import Dataset
    >>> from tercel.merlin.schema import ColumnSchema, Schema
    >>> schema = Schema([ColumnSchema("user_id", ["user_id"]), ColumnSchema("item_id", ["item_id"])])
    >>> Dataset(tercel.demo_purchases(), schema=schema).to_arrow().column_names
    ['user_id', 'item_id']
    """

    def __init__(
        self,
        path_or_source: Table | Iterable[str],
        engine: str | None = None,
        schema: Schema | None = None,
        **others: Any,
    ) -> None:
        """Parquet or CSV files (paths, patterns, folders), or a table in memory.

        Args:
            path_or_source: The rows.
            engine: `parquet` or `csv`; told by the names without it.
            schema: The columns' tags. Without it ids and times are found by their usual names, with a warning.
            others: Merlin's other arguments, which have no effect.
        """
        unused("Dataset", others, ("npartitions", "part_size", "part_mem_fraction", "cpu", "client"))
        self._table: pa.Table | None = None
        self._files: list[str] = []
        several = path_or_source if isinstance(path_or_source, (list, tuple)) else [path_or_source]
        if several and all(is_path(one) for one in several):
            for path in map(os.fspath, several):
                inside = os.path.join(path, "*.parquet") if os.path.isdir(path) else path
                self._files += sorted(glob.glob(inside)) or [inside]
            self._engine = engine or ("csv" if self._files[0].endswith((".csv", ".csv.gz")) else "parquet")
        else:
            self._table = arrow_table(path_or_source)
        self.schema = schema if schema is not None else self._guess()

    def to_arrow(self) -> pa.Table:
        """The rows as a pyarrow table; only the columns of the schema."""
        if self._table is None:
            if self._engine == "csv":
                self._table = pa.concat_tables([pyarrow.csv.read_csv(file) for file in self._files])
            else:
                self._table = pa.concat_tables([pyarrow.parquet.read_table(file) for file in self._files])
        names = [name for name in self.schema.column_names if name in self._table.column_names]
        return self._table.select(names)

    def compute(self) -> Any:
        """The rows as a pandas data frame."""
        return self.to_arrow().to_pandas()

    def head(self, rows: int = 5) -> Any:
        """The first rows as a pandas data frame."""
        return self.to_arrow().slice(0, rows).to_pandas()

    def to_ddf(self) -> Dataset:
        """Itself: there is no Dask here, and `compute` gives a data frame."""
        return self

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return int(self.to_arrow().num_rows)

    def __len__(self) -> int:
        """How many rows there are."""
        return self.num_rows

    def _names(self) -> list[str]:
        if self._table is not None:
            return list(self._table.column_names)
        if self._engine == "parquet":
            return list(pyarrow.parquet.read_schema(self._files[0]).names)
        with open(self._files[0], encoding="utf-8") as file:
            return file.readline().strip().split(",")

    def _guess(self) -> Schema:
        names = self._names()
        known: dict[str, Tags] = {}
        for tag, usual in ((Tags.USER_ID, _USERS), (Tags.ITEM_ID, _ITEMS), (Tags.TIME, _TIMES)):
            found = [name for name in names if name.lower() in usual]
            if found:
                known[found[0]] = tag
        words = ", ".join(f"{name} is {tag}" for name, tag in known.items()) or "no column"
        differs(f"the dataset has no schema: {words}; the others get no tag. Give schema=Schema([...]) to say more.")
        return Schema(ColumnSchema(name, tags=[known[name]] if name in known else []) for name in names)


__all__ = ["Dataset"]
