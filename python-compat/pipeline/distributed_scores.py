"""The lists of users, scored by the workers of Spark or Ray Data: batches of user ids to batches of their top items.

Nothing here knows an engine. What a user gets does not depend on the batch or the process that it comes in: it is what
`tercel.Model.recommend` gives on one machine, score bits included, as long as all of them compute on CPUs.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from tercel import Model
from tercel.model import Exclude

SCORES = pa.schema([("user", pa.string()), ("rank", pa.int32()), ("item", pa.string()), ("score", pa.float32())])
"""What `score_users` yields. Ids are texts whatever the model has them as, and ranks have a sign, which Spark wants."""

AT_ONCE = 65_536
"""Users of one search: each search reads the model's histories once, so few large ones are faster."""

OUT_ROWS = 65_536
"""Rows of a batch that goes back to the engine."""


@dataclass(frozen=True)
class Scoring:
    """What is asked of the workers.

    They take `threads` threads each: engines give a task one core.
    """

    model: str
    k: int = 12
    include_seen: bool = False
    column: str = "user"
    threads: int = 1
    at_once: int = AT_ONCE


def score_users(batches: Iterator[pa.RecordBatch], scoring: Scoring) -> Iterator[pa.RecordBatch]:
    """The top items of every user of the batches, as `SCORES` has them; each user should be there once.

    A user is known by its id: one of the training split by its purchases, one of the other splits by its features. An
    id that the model has never seen gets the list of somebody of whom nothing is known.
    """
    for ids in _gathered(batches, scoring.column, scoring.at_once):
        # Looked up for each search, not only once: a worker may outlive a model.
        opened = open_model(scoring.model, scoring.threads)
        for table in opened.scored(ids, scoring.k, scoring.include_seen):
            yield from table.to_batches(max_chunksize=OUT_ROWS)


def user_ids(model: str | Path) -> pa.Table:
    """Every user of a model by its id, in the column `user`: what `score_users` takes to score all of them."""
    return pa.table({"user": open_model(str(model), 1).ids})


@dataclass(frozen=True)
class OpenModel:
    """A model that stays open in a worker, with the ids of its users as texts."""

    model: Model
    ids: pa.Array

    def scored(self, ids: pa.Array, k: int, include_seen: bool) -> Iterator[pa.Table]:
        """The lists of these users, as `SCORES` has them: first of those that the model has, then of strangers."""
        known = pc.is_in(ids, value_set=self.ids)
        strangers = ids.filter(pc.invert(known))
        # A table of strangers alone is taken for a mistake: somebody who is known comes with them, and goes again.
        beside = self.ids.slice(0, 1)
        for users, besides in ((ids.filter(known), None), (strangers, beside)):
            if len(users):
                asked = users if besides is None else pa.table({"user": pa.concat_arrays([users, besides])})
                exclude: Exclude = "none" if include_seen else "train"
                found = self.model.recommend(k, users=asked, exclude=exclude, progress=False)
                found = found.select(SCORES.names).cast(SCORES)
                yield found if besides is None else found.filter(pc.not_equal(found["user"], besides[0]))


def open_model(path: str, threads: int) -> OpenModel:
    """The model of a folder, from this process's cache unless another has taken its place there."""
    config = (Path(path) / "config.json").stat()
    return _open(path, threads, (config.st_mtime_ns, config.st_size, config.st_ino))


@functools.lru_cache(maxsize=1)
def _open(path: str, threads: int, _version: tuple[int, ...]) -> OpenModel:
    # On every machine alike: another device rounds in another way.
    model = Model(path, device="cpu", threads=threads)
    return OpenModel(model, model.user_ids.cast(pa.string()))


def _gathered(batches: Iterator[pa.RecordBatch], column: str, at_once: int) -> Iterator[pa.Array]:
    """The ids of the batches as texts, this many together."""
    waiting: list[pa.Array] = []
    for batch in batches:
        waiting.append(batch.column(column).cast(pa.string()))
        if sum(map(len, waiting)) >= at_once:
            yield pa.concat_arrays(waiting)
            waiting = []
    if any(map(len, waiting)):
        yield pa.concat_arrays(waiting)
