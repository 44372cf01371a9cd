"""Batches of a dataset, for scripts that iterate over them. Training and evaluation read the dataset directly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .._counts import count
from ..errors import ConfigError
from . import differs, unused
from .io import Dataset
from .schema import Schema, Tags


class ToTarget:
    """Makes the item the target. In Tercel it always is, so this has no effect.

    >>> from tercel.merlin.models.tf import ToTarget
    >>> from tercel.merlin.schema import Schema
    >>> ToTarget(Schema(["user_id", "item_id"]), "item_id").target
    ('item_id',)
    """

    def __init__(self, schema: Schema, *target: Any, **others: Any) -> None:
        """Takes Merlin's arguments."""
        unused("ToTarget", others)
        self.schema, self.target = schema, target


class Loader:
    """Batches of columns, shuffled with a seed.

    >>> import tercel
    >>> from tercel.merlin.io import Dataset
    >>> from tercel.merlin.models.tf import Loader
    >>> from tercel.merlin.schema import ColumnSchema, Schema
    >>> schema = Schema([ColumnSchema("user_id", ["user_id"]), ColumnSchema("item_id", ["item_id"])])
    >>> batches = Loader(Dataset(tercel.demo_purchases(), schema=schema), batch_size=256)
    >>> [len(inputs["user_id"]) for inputs, _ in batches]
    [256, 256, 58]
    """

    def __init__(
        self,
        paths_or_dataset: Dataset | Any,
        batch_size: int = 1024,
        schema: Schema | None = None,
        shuffle: bool = True,
        seed_fn: Callable[[], int] | None = None,
        parts_per_chunk: int = 1,
        global_size: int | None = None,
        global_rank: int | None = None,
        drop_last: bool = False,
        transform: Any = None,
        **others: Any,
    ) -> None:
        """Takes Merlin's arguments. All rows are shuffled together, whatever `parts_per_chunk` is."""
        self.dataset = paths_or_dataset if isinstance(paths_or_dataset, Dataset) else Dataset(paths_or_dataset)
        if schema is not None:
            self.dataset = Dataset(self.dataset.to_arrow(), schema=schema)
        batch_size = count("batch_size", batch_size)
        if batch_size == 0:
            raise ConfigError("batch_size: must be at least 1", field="batch_size")
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self.global_size, self.global_rank = global_size or 1, global_rank or 0
        self._seed_fn, self._epoch = seed_fn, 0
        unused("Loader", others)
        if transform is not None:
            differs("Loader: transform is left out; Tercel reads users and items, no targets")

    @property
    def schema(self) -> Schema:
        """The schema of the dataset."""
        return self.dataset.schema

    def map(self, transform: Any) -> Loader:
        """Returns the loader itself: items are always the targets, so that `ToTarget` is not needed."""
        if not isinstance(transform, ToTarget):
            differs("Loader.map: the transform is left out; Tercel reads users and items, no targets")
        return self

    def __len__(self) -> int:
        """The number of batches per epoch, which is the same for every rank."""
        rows = self.dataset.num_rows // self.global_size
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[tuple[dict[str, npt.NDArray[Any]], None]]:
        """Iterates over one epoch: `(inputs, None)` for each batch, where `inputs` maps column names to arrays."""
        table = self.dataset.to_arrow()
        order = np.arange(table.num_rows)
        if self.shuffle:
            seed = self._seed_fn() if self._seed_fn is not None else 0
            np.random.default_rng([seed, self._epoch]).shuffle(order)
        self._epoch += 1
        # Ranks have equal numbers of batches: a rank with one more would wait for the others for ever.
        each = len(order) // self.global_size
        order = order[self.global_rank * each : (self.global_rank + 1) * each]
        for batch in range(len(self)):
            rows = table.take(pa.array(order[batch * self.batch_size : (batch + 1) * self.batch_size]))
            yield {name: rows.column(name).to_numpy() for name in rows.column_names}, None


def as_dataset(data: Dataset | Loader | Any) -> Dataset:
    """Returns the dataset of a loader, or makes one from a table."""
    if isinstance(data, Loader):
        return data.dataset
    return data if isinstance(data, Dataset) else Dataset(data)


__all__ = ["Loader", "Tags", "as_dataset"]
