"""`tfrs.layers.factorized_top_k`: the top items for users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..._absent import absent
from ..._counts import count
from ..._ids import is_column, raw_ids
from ..._warn import said
from ...errors import ConfigError, KindError, ShapeError
from ...merlin import differs, strangers, unused
from ...model import Model
from ...tf.data import Dataset
from ...tf.keras.models import trained_of

_MOST = 1_000
"""How many items of a user are asked for at once, beyond the `k` that are."""


class BruteForce:
    """Exact search for the top `k` candidates.

    The query model is a tower of a trained `tfrs.Model`; queries are raw ids of users.

    >>> import tercel, warnings
    >>> import tercel.tf as tf
    >>> import tercel.tfrs as tfrs
    >>> class Shop(tfrs.Model):
    ...     def __init__(self):
    ...         self.user, self.item = (tf.keras.Sequential([tf.keras.layers.Embedding(31, 8)]) for _ in range(2))
    ...     def compute_loss(self, features, training=False):
    ...         return tfrs.tasks.Retrieval()(self.user(features["user_id"]), self.item(features["item_id"]))
    >>> shop, rows = Shop(), tf.data.Dataset.from_tensor_slices(tercel.demo_purchases())
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # that the loss is a mean here
    ...     _ = shop.fit(rows.batch(64), epochs=2, verbose=0)
    >>> index = tfrs.layers.factorized_top_k.BruteForce(shop.user, k=3)
    >>> scores, items = index.index_from_dataset(rows.map(lambda row: row["item_id"]))(["u0", "u1"])
    >>> items.shape
    (2, 3)
    """

    recall: float | None = None

    def __init__(self, query_model: Any = None, k: int = 10, **others: Any) -> None:
        """Takes TFRS's arguments."""
        unused("BruteForce", others)
        self.query_model, self.k = query_model, k
        self._candidates: list[str] | None = None
        self._user = ""
        self._beside: list[str] = []

    def index_from_dataset(self, candidates: Dataset) -> BruteForce:
        """Sets the candidates from a dataset of identifiers. Embeddings, which TFRS needs, are accepted but not used.

        Raises:
            ConfigError: If several columns of a row could be the identifier.
        """
        if not isinstance(candidates, Dataset):
            kind = type(candidates).__name__
            raise KindError(f"candidates: a tercel.tf.data.Dataset is needed, not {kind}", path="candidates")
        columns = candidates.columns()
        if len(columns) > 1:
            words = ", ".join(column.name for column in columns)
            raise ConfigError(
                f"index_from_dataset: a row has the columns {words}; map it to the identifier, or to (identifier, "
                "embedding)",
                field="candidates",
            )
        if not columns:
            return self.index()
        return self._of(raw_ids(candidates.table.column(columns[0].name).unique(), "candidates"))

    def index(self, candidates: Any = None, identifiers: Iterable[Any] | None = None) -> BruteForce:
        """Sets the candidates from arrays. Without identifiers, all items of the catalogue are candidates, and results
        are their ids.
        """
        if identifiers is None:
            differs(
                "index: no identifiers are given; answers are ids of the whole catalogue here, TFRS's are positions"
            )
            self._candidates = None
            return self
        return self._of(list(dict.fromkeys(raw_ids(identifiers, "identifiers"))))

    def _of(self, ids: list[str]) -> BruteForce:
        if not ids:
            raise ConfigError("candidates: empty", field="candidates")
        self._candidates = ids
        return self

    def __call__(self, queries: Any, k: int | None = None) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
        """Returns scores and identifiers, one row per query. Users unknown to the model get the items of the average
        user, with a warning that counts them.

        Args:
            queries: Raw ids of users (strings, UTF-8 bytes or integers), or a dictionary with only the user column.
            k: How many; those of the index without it.

        Raises:
            RowError: For a value that cannot be an id (`22.0`, `nan`, `None`).
        """
        return self._top("index", queries, self._many(k), None)

    def query_with_exclusions(
        self, queries: Any, exclusions: Any, k: int | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
        """Searches without the items that are excluded for each query. Each query has its own exclusions, even if a
        user occurs more than once. Every row has `k` items as long as `k` remain.

        Args:
            queries: As for `__call__`.
            exclusions: One row of raw item ids per query. Empty strings are padding and exclude nothing.
            k: How many; those of the index without it.

        Raises:
            ShapeError: If the number of rows differs from the number of queries.
        """
        return self._top("query_with_exclusions", queries, self._many(k), exclusions)

    def is_exact(self) -> bool:
        """Whether the search is exact."""
        return self.recall is None

    def _many(self, k: int | None) -> int:
        many = count("k", self.k if k is None else k)
        if many == 0:
            raise ConfigError("k: must be at least 1", field="k")
        return many

    @property
    def _model(self) -> Model:
        trained = trained_of(self.query_model) if self.query_model is not None else None
        if trained is None or trained.model is None:
            raise ConfigError("the query model has not been trained: fit its tfrs.Model first")
        self._user = trained.users
        return trained.model

    def _users(self, queries: Any) -> list[str]:
        """Raw ids of the queries."""
        if isinstance(queries, Mapping):
            others = [str(name) for name in queries if name != self._user]
            if others or not queries:
                words = f"`{self._user}` alone is read, not {', '.join(others) or 'nothing'}"
                raise ConfigError(
                    f"queries: {words}: features of known users are those of training; for others use "
                    "tercel.Model.recommend(users=table)",
                    field="queries",
                )
            queries = queries[self._user]
        return raw_ids(queries, "queries")

    def _top(
        self, where: str, queries: Any, k: int, exclusions: Any
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
        model = self._model
        users = self._users(queries)
        without = [set[str]()] * len(users) if exclusions is None else _exclusions(exclusions, len(users))
        self._beside = strangers(where, users, model.user_ids)
        lists: list[list[tuple[float, Any]]] = [[] for _ in users]
        # One search of the users that many more cover; a row that excludes more than that is a search of its own.
        plain = [row for row, out in enumerate(without) if k + len(out) <= max(k, _MOST)]
        if plain:
            most = max(len(without[row]) for row in plain)
            found = self._found(model, list(dict.fromkeys(users[row] for row in plain)), k + most, self._candidates)
            for row in plain:
                left = (one for one in found.get(users[row], []) if str(one[1]) not in without[row])
                lists[row] = list(islice(left, k))
        for row in sorted(set(range(len(users))) - set(plain)):
            among = self._candidates if self._candidates is not None else raw_ids(model.item_ids, "items")
            left_over = [item for item in among if item not in without[row]]
            if left_over:
                lists[row] = self._found(model, [users[row]], k, left_over).get(users[row], [])
        width = min(k, max(map(len, lists), default=0))
        scores = np.full((len(lists), width), -np.inf, dtype=np.float32)
        items = np.full((len(lists), width), None, dtype=object)
        for i, one in enumerate(lists):
            for j, (score, item) in enumerate(one):
                scores[i, j], items[i, j] = score, item
        return scores, items

    def _found(
        self, model: Model, users: list[str], k: int, candidates: list[str] | None
    ) -> dict[str, list[tuple[float, Any]]]:
        """The lists of different users."""
        with said("new to the model"):
            top = model.recommend(
                k,
                users=pa.table({self._user: [*users, *self._beside]}),
                items=candidates,
                include_seen=True,
                recall=self.recall,
                progress=False,
            )
        found: dict[str, list[tuple[float, Any]]] = {}
        for row in top.to_pylist():
            found.setdefault(str(row["user"]), []).append((row["score"], row["item"]))
        return found


def _exclusions(exclusions: Any, queries: int) -> list[set[str]]:
    """What each query goes without."""
    tensor = getattr(exclusions, "numpy", None)
    rows = list(tensor() if callable(tensor) else exclusions)
    if len(rows) != queries:
        raise ShapeError(f"exclusions: {len(rows)} rows for {queries} queries; one row per query is required")
    made = []
    for at, row in enumerate(rows):
        several = row.as_py() if isinstance(row, pa.Scalar) else row
        if several is None or isinstance(several, (str, bytes)) or not is_column(several):
            raise ShapeError(f"exclusions: row {at + 1} is {several!r}, not a list of ids")
        listed = several.tolist() if isinstance(several, np.ndarray) else list(several)
        made.append(set(raw_ids([one for one in listed if one not in ("", b"")], f"exclusions[{at}]")))
    return made


class Streaming(BruteForce):
    """The same as `BruteForce`: exact search never holds all scores in memory.

    >>> import tercel.tfrs as tfrs
    >>> tfrs.layers.factorized_top_k.Streaming(k=5).is_exact()
    True
    """


class ScaNN(BruteForce):
    """Approximate search with a target recall that is measured.

    >>> import tercel.tfrs as tfrs
    >>> tfrs.layers.factorized_top_k.ScaNN(k=5, recall=0.98).is_exact()
    False
    """

    recall = 0.95

    def __init__(self, query_model: Any = None, k: int = 10, recall: float = 0.95, **others: Any) -> None:
        """Takes TFRS's arguments, and a target recall instead of the numbers of leaves and blocks."""
        unused("ScaNN", others)
        super().__init__(query_model, k)
        self.recall = recall


__all__ = ["BruteForce", "ScaNN", "Streaming"]
__getattr__ = absent("tercel.tfrs.layers.factorized_top_k", __all__)
