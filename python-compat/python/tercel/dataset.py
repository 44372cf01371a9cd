"""Datasets: interactions and features, encoded once, read from memory-mapped Arrow shards."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from . import _core
from ._counts import as_json, mapping_of
from ._progress import Observer, parsed, rows_bar
from ._scratch import Scratch
from ._tables import (
    PathLike,
    Table,
    Words,
    explained,
    given,
    given_all,
    is_path,
    path_of,
    read_options,
    stream_of,
    text_of,
)
from .config import settings_of
from .errors import ConfigError, DamagedError, FileError, KindError

Split: TypeAlias = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
"""Every split, in the order of time."""


class Dataset:
    """A dataset folder.

    >>> import tercel
    >>> purchases = tercel.demo_purchases()
    >>> data = tercel.Dataset.build(purchases, split="last-per-user:1", progress=False)
    >>> data.rows("train"), data.rows("test"), data.users, data.items
    (510, 30, 30, 20)
    >>> data.to_arrow("test").column_names
    ['user', 'item', 'timestamp']
    """

    def __init__(self, path: PathLike) -> None:
        """Opens a folder that `build` or `tercel ingest` has written.

        Raises:
            DataError: When no dataset is there.
            DamagedError: When it is a damaged one.
        """
        self.path = path_of(path, "dataset")
        self.manifest: dict[str, Any] = json.loads(_core.check_dataset(self.path))
        self.summary: dict[str, Any] = {}
        self._folder: Scratch | None = None
        self._shape: dict[str, Any] | None = None

    @classmethod
    def build(
        cls,
        interactions: Table | Sequence[Table],
        out: PathLike | None = None,
        *,
        user: str | None = None,
        item: str | None = None,
        time: str | None = None,
        weight: str | None = None,
        split: str = "none",
        valid: Table | Sequence[Table] | None = None,
        test: Table | Sequence[Table] | None = None,
        user_features: Table | None = None,
        item_features: Table | None = None,
        user_feature_kinds: Mapping[str, str] | None = None,
        item_feature_kinds: Mapping[str, str] | None = None,
        user_key: str | None = None,
        item_key: str | None = None,
        min_user_count: int = 0,
        min_item_count: int = 0,
        on_error: Literal["stop", "skip"] = "stop",
        format: str | None = None,
        sep: str | None = None,
        columns: Words = None,
        quote: str | None = None,
        escape: str | None = None,
        null: Words = None,
        time_unit: str | None = None,
        time_format: str | None = None,
        threads: int = 0,
        seed: int = 0,
        progress: bool = True,
    ) -> Dataset:
        """Encodes interactions (one per row) and features into a dataset folder.

        Tables are read batch by batch through the Arrow C stream interface: no column is copied as a whole, and a
        stream may be larger than memory. Everything that is fitted is fitted on the training split only.

        Args:
            interactions: A path, a table, or several: the training split, or all splits (see `split`).
            out: The folder to write; by default a temporary one, which is removed with this object.
            user: The user column; by default a column with a common name (`user_id`, `customer_id`, …). The same holds
                for `item` and `time`.
            item: The item column.
            time: The time column: timestamps, dates, either as text, or numbers (see `time_unit`).
            weight: The column of row weights.
            split: `time:VALID_START,TEST_START`, `last-per-user:N`, `random:FRACTION` or `none`.
            valid: The validation split, if it is separate.
            test: The test split, if it is separate.
            user_features: One row per user: the id, in the column named by `user_key`, and features. The index of a
                pandas data frame is not a column: use `frame.reset_index()`.
            item_features: The same for items.
            user_feature_kinds: By column: `categorical`, `multi-hot:SEPARATOR`, `numeric`, `numeric:BUCKETS`, `skip`.
            item_feature_kinds: The same for items.
            user_key: The id column of `user_features`; by default the one named like the user column, or a common name.
            item_key: The same for items.
            min_user_count: Users with fewer training rows are dropped.
            min_item_count: The same for items.
            on_error: `skip` writes malformed rows to `rejected.csv` instead of raising `RowError`.
            format: The format of files whose names do not show it: `csv`, `movielens`, `hm`, `arrow`, `parquet`.
            sep: The separator of text files: `,`, `tab`, `;`, `|`, `::` or other bytes. Detected from the file by
                default.
            columns: The columns' names, for text files without a header.
            quote: The character that quotes a value, or `none`.
            escape: The escape character, such as `\\` in files written by Spark, MySQL and Hive.
            null: The words that mean a missing value, instead of the usual ones (empty, NULL, NaN, …).
            time_unit: The unit of integer times: `s`, `ms`, `us`, `ns`, `days` (since 1970), `excel` (days since the
                end of 1899). Detected from the values if only one fits.
            time_format: The format of times, such as `%Y%m%d` or `%d/%m/%Y`.
            threads: 0 for every core. Does not affect the result.
            seed: The seed of a random split.
            progress: Shows a bar.

        >>> import tempfile, tercel
        >>> with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        ...     _ = file.write("ann|tea|3\\nann|milk|4\\nbob|tea|5\\n")
        ...     file.flush()
        ...     names = ["user", "item", "bought"]
        ...     data = tercel.Dataset.build(file.name, format="csv", sep="|", columns=names, progress=False)
        >>> data.users, data.items
        (2, 2)

        Raises:
            RowError: For the first row that cannot be read.
            DataError: For an input that cannot be used.
            ConfigError: For settings that do not fit the input.
        """
        config: dict[str, Any] = {
            "user": user,
            "item": item,
            "time": time,
            "weight": weight,
            "format": format,
            "split": split,
            "min_count": {"user": min_user_count, "item": min_item_count},
            "user_feature_kinds": mapping_of(user_feature_kinds, "user_feature_kinds"),
            "item_feature_kinds": mapping_of(item_feature_kinds, "item_feature_kinds"),
            "on_error": on_error,
            "threads": threads,
            "seed": seed,
            "user_key": user_key,
            "item_key": item_key,
        }
        for field in ("user", "item", "time", "weight", "format", "split", "user_key", "item_key"):
            if config[field] is not None:
                config[field] = text_of(config[field], field)
        config |= read_options(
            sep=sep,
            columns=columns,
            quote=quote,
            escape=escape,
            null=null,
            time_unit=time_unit,
            time_format=time_format,
        )
        tables = {
            "interactions": interactions,
            "valid": valid,
            "test": test,
            "user_features": user_features,
            "item_features": item_features,
        }
        folder = Scratch() if out is None else None
        path = folder.path / "data" if folder is not None else path_of(out, "out")
        observers: list[Observer] = []
        bar = None
        if progress:
            bar, told = rows_bar()
            observers.append(told)
        words = as_json({name: value for name, value in config.items() if value is not None})
        try:
            with settings_of(words), explained(**tables):
                summary = _core.ingest(
                    given_all(interactions, "interactions"),
                    path,
                    words,
                    given_all(valid, "valid"),
                    given_all(test, "test"),
                    None if user_features is None else given(user_features, "user_features"),
                    None if item_features is None else given(item_features, "item_features"),
                    parsed(observers),
                )
        finally:
            if bar is not None:
                bar.close()
        dataset = cls(path)
        dataset.summary = json.loads(summary)
        dataset._folder = folder
        return dataset

    @property
    def users(self) -> int:
        """The number of users in the training split."""
        return int(self.manifest["users"]["rows"]) - 1

    @property
    def items(self) -> int:
        """The number of items in the training split: the catalogue."""
        return int(self.manifest["items"]["rows"]) - 1

    @property
    def shape(self) -> dict[str, Any]:
        """Statistics of the training rows, from which default settings are derived: `rows`, `users`, `items`,
        `user_rows` and `item_rows` (means), `user_rows_median`, `gini` of the rows per item, `repeats` (the share of
        rows that repeat an earlier one), `timed` (the share whose time differs from that of the user's row before),
        `valid_rows`, `later` (the share of held-out rows that come after their user's training rows), `next`: how often
        the user's last item is in the top 20 predicted by the two items before (`last`), two earlier ones (`earlier`),
        all items before (`all`) or popularity, and `held_out`: how often any item of a user is in the top 20 predicted
        by their other items (`neighbours`) or popularity.
        """
        found = self._shape or json.loads(_core.shape(self.path))
        self._shape = found
        return dict(found)

    def rows(self, split: Split = "train") -> int:
        """The number of rows of a split."""
        return int(self._split(split)["rows"])

    def to_arrow(self, split: Split = "train", *, mmap: bool = True) -> pa.Table:
        """The interactions of a split: user and item are rows of `user_table()` and `item_table()` (of those with
        `unseen`, in held-out splits), timestamps are seconds.

        Args:
            split: The split.
            mmap: Maps the shards. They must not be overwritten while the table is in use (ingest never does): if one is
                truncated, the process ends. Otherwise they are read into memory.
        """
        files = self._split(split)["files"]
        tables = [_arrow(self.path / file["name"], mmap=mmap) for file in files]
        return pa.concat_tables(tables) if tables else pa.table({"user": pa.array([], pa.uint32())})

    def user_table(self, *, unseen: bool = False) -> pa.Table:
        """The users: raw ids, training counts and feature codes. Row 0 is the unknown user.

        Args:
            unseen: Appends those that occur in held-out rows only.
        """
        return self._table("users", unseen)

    def item_table(self, *, unseen: bool = False) -> pa.Table:
        """The items, likewise."""
        return self._table("items", unseen)

    def _table(self, side: str, unseen: bool) -> pa.Table:
        info = self.manifest[side]
        files = [info["file"], info.get("unseen_file") if unseen else None]
        return pa.concat_tables([_arrow(self.path / file["name"]) for file in files if file])

    def _split(self, split: str) -> dict[str, Any]:
        if not isinstance(split, str) or split not in ("train", "valid", "test"):
            raise ConfigError(f"split: `{split}` is not one of train, valid, test", field="split")
        found: dict[str, Any] = self.manifest[split]
        return found

    def __repr__(self) -> str:
        """What it holds, in a line."""
        rows = ", ".join(f"{self.rows(split)} {split}" for split in SPLITS)
        return f"Dataset({str(self.path)!r}: {self.users} users, {self.items} items, rows: {rows})"


def _arrow(path: Path, *, mmap: bool = False) -> pa.Table:
    """A file's table, read into memory or mapped: a mapped file that is cut ends the process by a signal."""
    try:
        with pa.memory_map(os.fsencode(path)) if mmap else pa.OSFile(os.fsencode(path)) as file:
            return pa.ipc.open_file(file).read_all()
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}", path=str(path)) from error
    except pa.ArrowException as error:
        raise DamagedError(f"{path}: damaged: {error}", path=str(path)) from error


def read_interactions(
    table: Table,
    *,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    weight: str | None = None,
    null: Words = None,
    time_unit: str | None = None,
    time_format: str | None = None,
) -> pa.Table:
    """The rows of a table as `Dataset.build` reads them, without building a dataset: for workers of a cluster. Columns
    are detected, times parsed and rows rejected in the same way; the rows give the same dataset, except that ids are
    texts here.

    >>> import tercel
    >>> days = ["2020-09-22", "2020-09-22 10:00:30"]
    >>> rows = pa.table({"customer_id": [7, 8], "article_id": ["a", "b"], "t_dat": days})
    >>> tercel.read_interactions(rows).to_pydict()
    {'user': ['7', '8'], 'item': ['a', 'b'], 'time': [1600732800, 1600768830]}

    Args:
        table: Rows in memory: a table, record batch, list of them or data frame.
        user: The user column; by default a column with a common name. The same holds for `item` and `time`.
        item: The item column.
        time: The time column.
        weight: The column of row weights.
        null: The words that mean a missing value, instead of the usual ones.
        time_unit: The unit of integer times, as for `Dataset.build`. Pass it if part of the rows may be ambiguous.
        time_format: The format of times.

    Returns:
        The columns user and item (string), time (int64, seconds since 1970, UTC) and weight (float), the last two if
        the table has them.

    Raises:
        RowError: For the first row that cannot be read.
        DataError: For a table that cannot be used.
    """
    if is_path(table):
        raise KindError(
            "read_interactions takes rows in memory; Dataset.build reads files",
            path=str(path_of(table, "interactions")),
        )
    columns = {"user": user, "item": item, "time": time, "weight": weight}
    settings: dict[str, Any] = {name: text_of(column, name) for name, column in columns.items() if column is not None}
    settings |= read_options(null=null, time_unit=time_unit, time_format=time_format)
    stream = stream_of(table, "interactions")
    words = json.dumps(settings)
    with settings_of(words), explained(interactions=table):
        capsule = _core.interactions(("interactions", stream), words)
    return pa.RecordBatchReader.from_stream(_Capsule(capsule)).read_all()


class _Capsule:
    """An Arrow stream of the native half, as pyarrow takes it."""

    def __init__(self, capsule: object) -> None:
        self._capsule = capsule

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._capsule


def demo_purchases(users: int = 30, items: int = 20, each: int = 19) -> pa.Table:
    """Purchases of two tastes, for examples: even users buy even items, odd users odd ones.

    >>> import tercel
    >>> tercel.demo_purchases().num_rows
    570
    """
    rows = [(user, visit) for visit in range(each) for user in range(users)]
    return pa.table(
        {
            "user_id": [f"u{user}" for user, _ in rows],
            "item_id": [f"i{(visit * 7 + user) % items // 2 * 2 + user % 2}" for user, visit in rows],
            "timestamp": [1_600_000_000 + 86_400 * visit + user for user, visit in rows],
        }
    )


def opened(dataset: Dataset | PathLike) -> Dataset:
    """Returns the dataset itself, or opens it if a folder is given.

    Raises:
        KindError: For anything else.
    """
    if isinstance(dataset, Dataset):
        return dataset
    if isinstance(dataset, (str, os.PathLike)):
        return Dataset(dataset)
    given = type(dataset).__name__
    raise KindError(f"dataset: {given} is no dataset: give a tercel.Dataset, or the path of its folder", path="dataset")
