"""`tf.data`: rows by columns, and functions over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from .._tables import arrow_table
from ._plan import Column

AUTOTUNE = -1
_ONE = "value"


class Dataset:
    """Rows. `map` takes functions that pick, rename and embed columns: they are called once, with columns.

    >>> from tercel.tf.data import Dataset
    >>> ratings = Dataset.from_tensor_slices({"user_id": ["a", "b"], "movie_title": ["x", "y"]})
    >>> list(ratings.map(lambda row: row["user_id"]))
    ['a', 'b']
    """

    def __init__(self, table: pa.Table, structure: Any, batch_size: int | None = None) -> None:
        """A table, and what a row looks like: a column, a dictionary or a tuple of columns."""
        self.table, self.structure, self.batch_size = table, structure, batch_size

    @staticmethod
    def from_tensor_slices(tensors: Any) -> Dataset:
        """From a dictionary of arrays, one array, or a table."""
        if isinstance(tensors, dict):
            table = pa.table({name: pa.array(np.asarray(values)) for name, values in tensors.items()})
        elif isinstance(tensors, (list, tuple, np.ndarray, pa.Array, pa.ChunkedArray)):
            values = tensors if isinstance(tensors, (pa.Array, pa.ChunkedArray)) else pa.array(np.asarray(tensors))
            return Dataset(pa.table({_ONE: values}), Column(_ONE))
        else:
            table = arrow_table(tensors)
        return Dataset(table, {name: Column(name) for name in table.column_names})

    def map(self, function: Callable[..., Any], *_: Any, **__: Any) -> Dataset:
        """The rows that the function makes of columns."""
        given = self.structure
        made = function(*given) if isinstance(given, tuple) else function(given)
        return Dataset(self.table, made, self.batch_size)

    def batch(self, batch_size: int, *_: Any, **__: Any) -> Dataset:
        """In batches; training takes their size."""
        return Dataset(self.table, self.structure, batch_size)

    def shuffle(self, buffer_size: int, seed: int | None = None, **_: Any) -> Dataset:
        """Shuffled by the seed (all rows, whatever the buffer)."""
        order = np.random.default_rng(0 if seed is None else seed).permutation(self.table.num_rows)
        return Dataset(self.table.take(pa.array(order)), self.structure, self.batch_size)

    def take(self, count: int) -> Dataset:
        """The first rows."""
        return Dataset(self.table.slice(0, count), self.structure, self.batch_size)

    def skip(self, count: int) -> Dataset:
        """The rows behind the first."""
        return Dataset(self.table.slice(count), self.structure, self.batch_size)

    def unbatch(self) -> Dataset:
        """Its rows again."""
        return Dataset(self.table, self.structure)

    def cache(self, *_: Any) -> Dataset:
        """Itself: it is in memory."""
        return self

    def prefetch(self, *_: Any) -> Dataset:
        """Itself: training reads ahead anyway."""
        return self

    def columns(self) -> list[Column]:
        """The plain columns of a row."""
        found = self.structure
        several = found.values() if isinstance(found, dict) else found
        every: Iterable[Any] = several if isinstance(found, (dict, tuple)) else [found]
        return [column for column in every if isinstance(column, Column)]

    def renamed(self) -> tuple[pa.Table, dict[str, Column]]:
        """The columns of a row under the row's own names."""
        found = self.structure if isinstance(self.structure, dict) else {_ONE: self.structure}
        table = pa.table({name: self.table.column(column.name) for name, column in found.items()})
        return table, {name: Column(name) for name in found}

    def __len__(self) -> int:
        """How many rows, or batches, there are."""
        rows: int = self.table.num_rows
        return rows if self.batch_size is None else -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """The rows, for looking at a few."""
        values = {column.name: self.table.column(column.name).to_pylist() for column in self.columns()}
        for row in range(self.table.num_rows):
            found = self.structure
            if isinstance(found, dict):
                yield {name: values[column.name][row] for name, column in found.items()}
            elif isinstance(found, tuple):
                yield tuple(values[column.name][row] for column in self.columns())
            else:
                yield values[found.name][row]

    as_numpy_iterator = __iter__
