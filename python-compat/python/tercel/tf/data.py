"""`tf.data`: datasets in memory, and functions over their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from .._absent import absent
from .._counts import count as whole
from .._ids import is_column
from .._tables import array_of, arrow_table, is_path
from ..errors import ConfigError, KindError, SchemaError, ShapeError, TercelError
from ..merlin import differs
from ._plan import Column

AUTOTUNE = -1
"""What `prefetch` is given in scripts; it has no effect."""

_ONE = "value"
_AT_ONCE = 4_096


class Dataset:
    """A dataset in memory. Functions passed to `map` may select, rename and embed columns. They are called once, with
    columns instead of values.

    >>> from tercel.tf.data import Dataset
    >>> ratings = Dataset.from_tensor_slices({"user_id": ["a", "b"], "movie_title": ["x", "y"]})
    >>> list(ratings.map(lambda row: row["user_id"]))
    ['a', 'b']
    """

    def __init__(self, table: pa.Table, structure: Any, batch_size: int | None = None) -> None:
        """Takes a table and the structure of its rows: a column, a dictionary of columns or a tuple of columns."""
        self.table, self.structure, self.batch_size = table, structure, batch_size

    @staticmethod
    def from_tensor_slices(tensors: Any) -> Dataset:
        """Makes a dataset from a dictionary of arrays, a single array or a table. Byte strings are read as text; mixed
        values such as `[1, "a"]` are not a column.

        Raises:
            KindError: For a path. Use `tercel.read_table` to read files; it keeps ids exactly as written.
            DataError: For anything that is not a table.
        """
        if is_path(tensors) or isinstance(tensors, bytes):
            raise KindError("from_tensor_slices: pass rows; tercel.read_table(path) reads a file", path="tensors")
        if isinstance(tensors, tuple) and tensors and all(is_column(one) for one in tensors):
            raise KindError("from_tensor_slices: pass columns by name, as {'user_id': …}, not a tuple", path="tensors")
        if is_column(tensors):
            return Dataset(pa.table({_ONE: array_of(tensors, _ONE, "tensors")}), Column(_ONE))
        table = arrow_table(tensors, "tensors")
        return Dataset(table, {name: Column(name) for name in table.column_names})

    def map(self, function: Callable[..., Any], *_: Any, **__: Any) -> Dataset:
        """Applies the function to the columns of a row."""
        given = self.structure
        try:
            made = function(*given) if isinstance(given, tuple) else function(given)
        except TercelError:
            raise
        except KeyError as error:
            words = ", ".join(given) if isinstance(given, dict) else "none by name"
            raise SchemaError(f"map: no column {error}; a row has {words}", path="map", column=str(error)) from error
        except (TypeError, ValueError, AttributeError) as error:
            words = (
                "map: the function is called once, with columns in the place of values; it can pick, rename and embed"
            )
            raise ConfigError(f"{words} them: {error}", field="map_func") from error
        return Dataset(self.table, made, self.batch_size)

    def batch(self, batch_size: int, drop_remainder: bool = False, *_: Any, **__: Any) -> Dataset:
        """Groups rows into batches. Iteration, `len`, `take` and `skip` then work on batches. Training uses this batch
        size and reads every row.
        """
        size = whole("batch_size", batch_size)
        if size == 0 or self.batch_size is not None:
            words = "0 rows are no batch" if size == 0 else "the dataset is in batches already: unbatch() it first"
            raise ConfigError(f"batch: {words}", field="batch_size")
        if drop_remainder and self.table.num_rows % size:
            return Dataset(self.table.slice(0, self.table.num_rows // size * size), self.structure, size)
        return Dataset(self.table, self.structure, size)

    def shuffle(self, buffer_size: int, seed: int | None = None, **_: Any) -> Dataset:
        """Shuffles all rows with the seed, whatever the buffer size."""
        if self.batch_size is not None:
            differs("shuffle: rows are shuffled across batches; TensorFlow keeps each batch together")
        order = np.random.default_rng(0 if seed is None else whole("seed", seed)).permutation(self.table.num_rows)
        return Dataset(self.table.take(pa.array(order)), self.structure, self.batch_size)

    def take(self, count: int) -> Dataset:
        """Keeps the first `count` rows or batches; all of them for -1."""
        rows = self.table.num_rows if _all(count) else whole("count", count) * (self.batch_size or 1)
        return Dataset(self.table.slice(0, rows), self.structure, self.batch_size)

    def skip(self, count: int) -> Dataset:
        """Skips the first `count` rows or batches; all of them for -1."""
        rows = self.table.num_rows if _all(count) else whole("count", count) * (self.batch_size or 1)
        return Dataset(self.table.slice(rows), self.structure, self.batch_size)

    def unbatch(self) -> Dataset:
        """Undoes `batch`."""
        return Dataset(self.table, self.structure)

    def cache(self, *_: Any) -> Dataset:
        """Returns the dataset itself, which is in memory already."""
        return self

    def prefetch(self, *_: Any) -> Dataset:
        """Returns the dataset itself; training prefetches in any case."""
        return self

    def columns(self) -> list[Column]:
        """The columns of a row that are not embedded."""
        found = self.structure
        several = found.values() if isinstance(found, dict) else found
        every: Iterable[Any] = several if isinstance(found, (dict, tuple)) else [found]
        return [column for column in every if isinstance(column, Column)]

    def renamed(self) -> tuple[pa.Table, dict[str, Column]]:
        """The columns of a row, under the names that the row gives them."""
        found = self.structure if isinstance(self.structure, dict) else {_ONE: self.structure}
        for name, column in found.items():
            if not isinstance(column, Column):
                words = f"a row's `{name}` is {type(column).__name__} and no column: rows are columns by name"
                raise ConfigError(f"dataset: {words}, as {{'user_id': row['user_id'], …}}", field="dataset")
        table = pa.table({name: self.table.column(column.name) for name, column in found.items()})
        return table, {name: Column(name) for name in found}

    def __len__(self) -> int:
        """The number of rows, or of batches after `batch`."""
        rows: int = self.table.num_rows
        return rows if self.batch_size is None else -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """Iterates over rows for inspection, or over arrays by column after `batch`. Strings are `str`, not bytes."""
        found = self.structure
        several = found.values() if isinstance(found, dict) else found if isinstance(found, tuple) else [found]
        if not all(isinstance(column, Column) for column in several):
            raise ConfigError("dataset: embeddings are computed in training and cannot be inspected", field="dataset")
        size = self.batch_size or _AT_ONCE
        for at in range(0, self.table.num_rows, size):
            parts = {column.name: self.table.column(column.name).slice(at, size) for column in self.columns()}
            if self.batch_size is not None:
                yield _row({name: _array(part) for name, part in parts.items()}, found)
                continue
            values = {name: part.to_pylist() for name, part in parts.items()}
            for row in range(min(size, self.table.num_rows - at)):
                yield _row({name: column[row] for name, column in values.items()}, found)

    as_numpy_iterator = __iter__


def _all(count: object) -> bool:
    """Whether TensorFlow's -1 is meant."""
    return isinstance(count, int) and count == -1


def _row(values: dict[str, Any], structure: Any) -> Any:
    """Values as the structure has them."""
    if isinstance(structure, dict):
        return {name: values[column.name] for name, column in structure.items()}
    if isinstance(structure, tuple):
        return tuple(values[column.name] for column in structure)
    return values[structure.name]


def _array(part: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """The values of a batch."""
    try:
        return np.asarray(part.to_numpy())
    except pa.ArrowException as error:
        raise ShapeError(f"dataset: {error}") from error


__all__ = ["AUTOTUNE", "Dataset"]
__getattr__ = absent("tercel.tf.data", __all__)
