"""Models: training, and what a trained one can do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from . import _core
from ._counts import as_json, count
from ._pretrained import save
from ._progress import PASSING, Event, Observer, parsed, training_bar, users_bar
from ._scratch import Scratch
from ._tables import PathLike, Table, Words, explained, path_of, raw_ids, read_options, users_source
from ._warn import warn
from .config import Config, configuration, settings_of
from .dataset import Dataset, Split, _arrow, opened
from .errors import ResultWarning
from .evaluation import Evaluation, evaluate
from .index import Index

Exclude: TypeAlias = Literal["all", "train", "none"]
"""Which of a user's items are excluded from their list."""


class Model:
    """A trained two-tower model.

    >>> import tercel
    >>> data = tercel.Dataset.build(tercel.demo_purchases(), split="last-per-user:1", progress=False)
    >>> model = tercel.Model.train(data, dim=8, epochs=5, progress=False)
    >>> model.recommend(k=2, users=["u0"], include_seen=True, progress=False).column_names
    ['user', 'rank', 'item', 'score']
    >>> model.item_embeddings().shape[0] == len(model.item_ids)
    True
    """

    def __init__(self, path: PathLike, *, device: str = "auto", threads: int = 0) -> None:
        """Opens a model folder.

        Args:
            path: A folder written by `train`, `save_pretrained` or `tercel train`.
            device: `auto`, `cpu` or `cuda:N`.
            threads: 0 for every core.

        Raises:
            CheckpointError: If the folder does not contain a complete model.
            DeviceError: If the device cannot be used.
        """
        self.path = path_of(path, "path")
        self._core = _core.TwoTower(self.path, device, count("threads", threads))
        self._folder: Scratch | None = None
        self.history: list[Event] = []

    @classmethod
    def train(
        cls,
        dataset: Dataset | PathLike,
        out: PathLike | None = None,
        *,
        config: Config | PathLike | None = None,
        resume: bool = False,
        progress: bool = True,
        on_event: Callable[[Event], None] | None = None,
        **settings: Any,
    ) -> Model:
        """Trains on a dataset.

        Ctrl-C stops at a checkpoint: the same call with `resume=True` continues from there, and the result is
        bit-identical to that of an uninterrupted run (on a CPU).

        Args:
            dataset: The dataset to train on, or its folder.
            out: The model folder; by default a temporary one, which is removed with the model.
            config: A TOML or JSON file, or a dictionary, as for `tercel train --config`.
            resume: Continues from the folder's last checkpoint.
            progress: Shows a bar.
            on_event: Called with every event of `tercel train --json`; an exception that it raises stops training.
            settings: Short names of settings: `dim`, `epochs`, `batch_size`, `lr`, … (`tercel.config.SHORT`).

        Raises:
            ConfigError: For a setting that cannot be used.
            NonFiniteError: If the loss or a parameter becomes NaN or infinite.
            CheckpointError: If the folder contains an unfinished run and `resume` is false, or a different run.
        """
        dataset = opened(dataset)
        whole = configuration(config, settings)
        folder = Scratch() if out is None else None
        path = folder.path / "model" if folder is not None else path_of(out or "", "out")
        events: list[Event] = []
        observers: list[Observer] = [lambda event: None if event["event"] in PASSING else events.append(event)]
        bar = None
        if progress:
            bar, told = training_bar()
            observers.append(told)
        if on_event is not None:
            observers.append(on_event)
        words = json.dumps(whole)
        try:
            with settings_of(words):
                _core.train(dataset.path, path, words, resume, parsed(observers))
        finally:
            if bar is not None:
                bar.close()
        train = whole.get("train", {})
        model = cls(path, device=train.get("device", "auto"), threads=train.get("threads", 0))
        model._folder = folder
        model.history = events
        return model

    @classmethod
    def from_pretrained(cls, path: PathLike, *, device: str = "auto", threads: int = 0) -> Model:
        """Opens a folder written by `save_pretrained`; the same as `Model(path)`."""
        return cls(path, device=device, threads=threads)

    def save_pretrained(self, path: PathLike, *, trainer: bool = False) -> Path:
        """Writes the model into a folder: parameters (`model.safetensors`), settings (`config.json`), vocabularies,
        metrics (`metrics.json`) and the model card (`README.md`).

        Args:
            path: The folder; an existing model is replaced.
            trainer: Also writes the optimizer state, which is needed for resuming.

        Raises:
            CheckpointError: If the folder contains anything that is not part of a model, or a file of this model is a
                link that leads out of its folder.
            FileError: If another process is writing it.
        """
        target = path_of(path, "path")
        if target.resolve() == self.path.resolve():
            return target
        save(self.path, target, trainer)
        return target

    @property
    def config(self) -> Config:
        """The settings that it was trained with, including defaults."""
        info: Config = json.loads(self._core.info())
        found: Config = info["config"]
        return found

    @property
    def metrics(self) -> dict[str, Any]:
        """What training measured: losses by epoch, validation metrics, and the metrics of the model card."""
        found: dict[str, Any] = json.loads(_core.read_json(self.path / "metrics.json"))
        found.pop("checksum")
        return found

    @property
    def card(self) -> str:
        """The model card: data, settings, metrics with intervals, and limits, in Markdown."""
        return (self.path / "README.md").read_text(encoding="utf-8")

    @property
    def device(self) -> str:
        """The device it runs on: `cpu` or `cuda:N`."""
        return self._core.device()

    @property
    def user_ids(self) -> pa.Array:
        """The raw ids of the users, in the order of `user_embeddings()`."""
        return self._ids("users")

    @property
    def item_ids(self) -> pa.Array:
        """The raw ids of the items, in the order of `item_embeddings()`. Item `i` of an index of this model (row
        numbers from 1) is `item_ids[i - 1]`.
        """
        return self._ids("items")

    def _ids(self, side: str) -> pa.Array:
        info = json.loads(self._core.info())
        tables = [_arrow(self.path / info[side]["file"]["name"]).column("id").slice(1)]
        unseen = info[side].get("unseen_file")
        if unseen:
            tables.append(_arrow(self.path / unseen["name"]).column("id"))
        return pa.concat_arrays([chunk for table in tables for chunk in table.chunks])

    def user_embeddings(self, users: Iterable[object] | Table | None = None) -> npt.NDArray[np.float32]:
        """The vectors of users, one row each: of all users, of these ids, or of a table or file (see `recommend`).

        Their dot products with `item_embeddings()` give the ranking of `recommend`.
        """
        asked = users_source(users)
        with explained(users=users):
            return self._core.user_embeddings(asked)

    def item_embeddings(self, items: Iterable[object] | None = None) -> npt.NDArray[np.float32]:
        """The vectors of items, one row each: of all items, or of these ids."""
        return self._core.item_embeddings(None if items is None else raw_ids(items))

    def build_index(self, *, recall: float | None = 0.95, k: int = 10) -> Index:
        """An index of the model's items, numbered by their rows in the vocabulary (from 1): approximate with this
        recall, or exact with `None`. Item features become tags (`category=shoes`), popularity becomes a bias for each
        item. Search it with `index_queries`.
        """
        return Index(self._core.build_index(recall, count("k", k)))

    def index_queries(self, users: Iterable[object] | Table | None = None) -> npt.NDArray[np.float32]:
        """The vectors of users for an index built by `build_index`: `user_embeddings` without the popularity column,
        which the index has as biases.

        >>> import tercel
        >>> data = tercel.Dataset.build(tercel.demo_purchases(), progress=False)
        >>> model = tercel.Model.train(data, dim=8, epochs=1, progress=False)
        >>> rows, _ = model.build_index(recall=None).search(model.index_queries(["u0"]), k=1)
        >>> top = model.recommend(k=1, users=["u0"], include_seen=True, progress=False)
        >>> top["item"][0] == model.item_ids[int(rows[0, 0]) - 1]
        True
        """
        rows = self.user_embeddings(users)
        return np.ascontiguousarray(rows[:, :-1]) if self.config["model"]["popularity"] else rows

    def recommend(
        self,
        k: int = 12,
        *,
        users: Iterable[object] | Table | None = None,
        items: Iterable[object] | None = None,
        tags: Iterable[str] = (),
        seen: Dataset | None = None,
        exclude: Exclude | None = None,
        include_seen: bool = False,
        recall: float | None = None,
        out: PathLike | None = None,
        by_user: bool = False,
        memory: int | None = None,
        sep: str | None = None,
        columns: Words = None,
        quote: str | None = None,
        escape: str | None = None,
        null: Words = None,
        time_unit: str | None = None,
        time_format: str | None = None,
        mmap: bool = False,
        progress: bool = True,
    ) -> pa.Table:
        """The top `k` items of every user: columns user, rank (from 1), item, score. Without `out`, or with `mmap`,
        the table is mapped from disk, so it may be larger than memory.

        Every user gets `k` items as long as `k` remain.

        Args:
            k: Items per user.
            users: Raw ids; or a table or file with a user column and, optionally, the items of new users (one per row,
                added to their history) and features. By default all users.
            items: Raw ids of the only items that may be recommended.
            tags: Recommends only items that have all of these, each as `column=value`.
            seen: The dataset that defines which items users already have, and whose training rows are the histories
                that the model reads; by default, the training rows stored in the model.
            exclude: Which of a user's items are excluded: those of every split (`all`, the default), those of the
                training split (`train`), or `none`. Without `seen`, those of the other splits are unknown, and a
                warning says so.
            include_seen: Keeps the items that a user has: short for `exclude="none"`.
            recall: Uses an approximate index with at least this recall: `items.index` in the model's folder, which is
                built if it is missing, damaged or of another model.
            out: Writes to this file (`.arrow`, `.parquet`, `.csv`, `.jsonl`). The returned table is read back from
                it if it is Arrow or Parquet, and is empty for other formats.
            by_user: With `.jsonl`, writes one line per user.
            memory: Memory limit for blocks of users, in bytes.
            sep: The separator of a text file of users; this and the settings below are as for `Dataset.build`.
                Detected from the file by default.
            columns: The columns' names, for a text file without a header.
            quote: The character that quotes a value, or `none`.
            escape: The escape character.
            null: The words that mean a missing value, instead of the usual ones.
            time_unit: The unit of integer times: `s`, `ms`, `us`, `ns`, `days`, `excel`.
            time_format: The format of times, such as `%d/%m/%Y`.
            mmap: Maps the lists of the Arrow file `out` instead of reading them into memory. The file must then not be
                overwritten while the table is in use: if it is truncated, the process ends.
            progress: Shows a bar.

        Raises:
            ConfigError: For a setting that cannot be used, an unknown user, or a tag that no item has.
            DataError: For a table of users that cannot be used.

        Warns:
            ResultWarning: If something was left out, or the result may be misleading.
        """
        k = count("k", k)
        memory = None if memory is None else count("memory", memory)
        options = read_options(
            sep=sep,
            columns=columns,
            quote=quote,
            escape=escape,
            null=null,
            time_unit=time_unit,
            time_format=time_format,
        )
        read = as_json(options)
        folder = Scratch() if out is None else None
        file = folder.path / "top.arrow" if folder is not None else path_of(out or "", "out")
        bar, told = users_bar("recommend")
        try:
            with settings_of(read), explained(users=users):
                done = self._core.recommend(
                    file,
                    k,
                    users_source(users),
                    None if items is None else raw_ids(items, "items"),
                    list(tags),
                    None if seen is None else seen.path,
                    exclude,
                    include_seen,
                    recall,
                    by_user,
                    memory,
                    read,
                    parsed([told] if progress else []),
                )
            for note in json.loads(done)["notes"]:
                warn(note, ResultWarning)
            if file.suffix == ".arrow":
                # The file may go: its values are in memory, or its pages stay. Nobody cuts one that is ours alone.
                return _arrow(file, mmap=mmap or folder is not None)
        finally:
            bar.close()
            if folder is not None:
                folder.close()
        if file.suffix == ".parquet":
            import pyarrow.parquet

            with file.open("rb") as content:  # pyarrow takes no path that is not UTF-8
                return pyarrow.parquet.read_table(content)
        return pa.table({"user": pa.array([], pa.string())})

    def evaluate(self, dataset: Dataset, split: Split = "test", **settings: Any) -> Evaluation:
        """`tercel.evaluate` as a method.

        >>> import tercel
        >>> data = tercel.Dataset.build(tercel.demo_purchases(), split="last-per-user:1", progress=False)
        >>> model = tercel.Model.train(data, dim=8, epochs=1, progress=False)
        >>> model.evaluate(data, k=5, view="next", progress=False).users
        30
        """
        return evaluate(self, dataset, split, **settings)

    def __repr__(self) -> str:
        """A one-line description."""
        return f"Model({str(self.path)!r}, D = {self.config['model']['dim']}, {len(self.item_ids)} items)"


def recommend(model: Model, k: int = 12, **settings: Any) -> pa.Table:
    """`Model.recommend` as a function.

    >>> import tercel
    >>> data = tercel.Dataset.build(tercel.demo_purchases(), progress=False)
    >>> model = tercel.Model.train(data, dim=8, epochs=2, progress=False)
    >>> tercel.recommend(model, k=3, include_seen=True, progress=False).num_rows
    90
    """
    return model.recommend(k, **settings)
