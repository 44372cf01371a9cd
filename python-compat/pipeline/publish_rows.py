"""A night's predictions as a stream of lists, one per user, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from json.encoder import encode_basestring

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.checks_data import Source, literal, opened, utf8
from pipeline.store_format import FALLBACK_USER

BATCH_ROWS = 65_536

KINDS = (pa.string(), pa.int64(), pa.string(), pa.float64())


class PublishError(ValueError):
    """Predictions that cannot be published, with the reason in words."""


@dataclass(frozen=True)
class UserList:
    """A user's list: items best first, and their scores."""

    user: str
    items: list[str]
    scores: list[float]

    def as_json(self) -> str:
        """`[{"item": …, "score": …, "rank": …}, …]`, as it is stored. Scores keep the 7 digits that float32 has."""
        if not all(map(math.isfinite, self.scores)):
            raise PublishError(f"the list of user {self.user} has scores that are no numbers")
        places = enumerate(zip(self.items, self.scores, strict=True), start=1)
        # Written by hand: a night has tens of millions of places, and this is three times as fast as json.dumps.
        entries = (
            f'{{"item":{encode_basestring(item)},"score":{score:.7g},"rank":{rank}}}' for rank, (item, score) in places
        )
        return f"[{','.join(entries)}]"


def user_lists(predictions: Source) -> Iterator[UserList]:
    """The lists in the order of the file. All rows of a user stand together, best first."""
    user, items, scores = None, [], []  # type: str | None, list[str], list[float]
    for batch in batches(predictions):
        users, ranks = batch.column(0), batch.column(1).to_numpy(zero_copy_only=False)
        batch_items, batch_scores = batch.column(2).to_pylist(), batch.column(3).to_pylist()
        for start, end in runs(users):
            name = users[start].as_py()
            if name != user:
                if user is not None:
                    yield UserList(user, items, scores)
                user, items, scores = name, [], []
            if not np.array_equal(ranks[start:end], np.arange(len(items) + 1, len(items) + 1 + end - start)):
                raise PublishError(f"the ranks of user {name} are not 1, 2, 3 and so on, or its rows are not together")
            items += batch_items[start:end]
            scores += batch_scores[start:end]
    if user is None:
        raise PublishError("the predictions have no rows")
    yield UserList(user, items, scores)


def batches(predictions: Source) -> Iterator[pa.RecordBatch]:
    """Batches of user, rank, item and score, ids as texts."""
    columns = ["user", "rank", "item", "score"]
    if isinstance(predictions, pa.Table):
        yield from _checked(predictions.to_batches(max_chunksize=BATCH_ROWS), predictions.schema.names, columns)
        return
    with opened(predictions) as handle:
        file = pq.ParquetFile(handle, page_checksum_verification=True)
        names = file.schema_arrow.names
        found = file.iter_batches(BATCH_ROWS, columns=[name for name in columns if name in names])
        yield from _checked(found, names, columns)


def _checked(found: Iterable[pa.RecordBatch], names: list[str], columns: list[str]) -> Iterator[pa.RecordBatch]:
    missing = [column for column in columns if column not in names]
    if missing:
        raise PublishError(f"the predictions have no column {', '.join(missing)}")
    for batch in found:
        parts = [batch.column(batch.schema.get_field_index(name)) for name in columns]
        for name, part in zip(columns, parts, strict=True):
            if part.null_count:
                raise PublishError(f"the predictions have rows with an empty {name}")
        parts = [pc.cast(part, kind) for part, kind in zip(parts, KINDS, strict=True)]
        yield pa.RecordBatch.from_arrays(parts, names=columns)


def runs(users: pa.Array) -> list[tuple[int, int]]:
    """Where each run of equal users starts and ends."""
    if len(users) == 0:
        return []
    changes = pc.not_equal(users[1:], users[:-1]).to_numpy(zero_copy_only=False)
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(users)]
    return list(pairwise(edges))


def popular_list(purchases: Source, k: int, articles: Source | None = None, splits: tuple[str, ...] = ()) -> UserList:
    """The k most bought items, for users that nobody knows; the score is the share of all purchases.

    `splits` limits the purchases (all of them otherwise), `articles` the items.
    """
    connection = duckdb.connect()
    try:
        bought = relation(connection, "bought", purchases)
        where = [f"split IN ({', '.join(literal(split) for split in splits)})"] if splits else []
        if articles is not None:
            sold = relation(connection, "sold", articles)
            where.append(f"CAST(item_id AS VARCHAR) IN (SELECT CAST(item_id AS VARCHAR) FROM {sold})")
        rows = connection.execute(
            f"""SELECT CAST(item_id AS VARCHAR) AS item, count(*) AS n, sum(count(*)) OVER () AS total
            FROM {bought} {"WHERE " + " AND ".join(where) if where else ""}
            GROUP BY item ORDER BY n DESC, item LIMIT {int(k)}"""
        ).fetchall()
    finally:
        connection.close()
    if not rows:
        raise PublishError("there are no purchases to make the fallback list from")
    return UserList(FALLBACK_USER, [row[0] for row in rows], [row[1] / float(row[2]) for row in rows])


def relation(connection: duckdb.DuckDBPyConnection, name: str, source: Source) -> str:
    """What stands after FROM for a source."""
    if isinstance(source, pa.Table):
        connection.register(name, source)
        return name
    return f"read_parquet({literal(utf8(source))})"
