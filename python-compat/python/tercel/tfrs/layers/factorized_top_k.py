"""`tfrs.layers.factorized_top_k`: the best items of users."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import ConfigError
from ...merlin import unused
from ...model import Model
from ...tf.data import Dataset
from ...tf.keras.models import trained_of


class BruteForce:
    """The exact best `k` of the candidates.

    The query model is a tower of a `tfrs.Model` that has been trained; queries are raw ids of users.

    >>> import tercel
    >>> import tercel.tf as tf
    >>> import tercel.tfrs as tfrs
    >>> class Shop(tfrs.Model):
    ...     def __init__(self):
    ...         self.user, self.item = (tf.keras.Sequential([tf.keras.layers.Embedding(31, 8)]) for _ in range(2))
    ...     def compute_loss(self, features, training=False):
    ...         return tfrs.tasks.Retrieval()(self.user(features["user_id"]), self.item(features["item_id"]))
    >>> shop, rows = Shop(), tf.data.Dataset.from_tensor_slices(tercel.demo_purchases())
    >>> _ = shop.fit(rows.batch(64), epochs=2, verbose=0)
    >>> index = tfrs.layers.factorized_top_k.BruteForce(shop.user, k=3)
    >>> scores, items = index.index_from_dataset(rows.map(lambda row: row["item_id"]))(["u0", "u1"])
    >>> items.shape
    (2, 3)
    """

    recall: float | None = None

    def __init__(self, query_model: Any = None, k: int = 10, **others: Any) -> None:
        """TFRS's arguments."""
        unused("BruteForce", others)
        self.query_model, self.k = query_model, k
        self._candidates: list[str] | None = None

    def index_from_dataset(self, candidates: Dataset) -> BruteForce:
        """Takes the candidates: identifiers, and (for TFRS's sake) their embeddings."""
        columns = candidates.columns()
        if columns:
            ids = candidates.table.column(columns[0].name).unique().to_pylist()
            self._candidates = list(map(str, ids))
        return self

    def index(self, candidates: Any = None, identifiers: Iterable[Any] | None = None) -> BruteForce:
        """The same with arrays."""
        if identifiers is not None:
            self._candidates = [str(one) for one in identifiers]
        return self

    def __call__(
        self, queries: Sequence[Any] | npt.NDArray[Any], k: int | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
        """Scores and identifiers, a row for each query. Users that the model does not know get what the average user
        would.
        """
        return self._top(queries, k or self.k, {})

    def query_with_exclusions(
        self, queries: Sequence[Any] | npt.NDArray[Any], exclusions: Sequence[Sequence[Any]], k: int | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
        """The same without a list of items for each query; `k` are left as long as there are `k`."""
        users = [str(user) for user in queries]
        without = {user: set(map(str, out)) for user, out in zip(users, exclusions, strict=True)}
        return self._top(queries, k or self.k, without)

    def is_exact(self) -> bool:
        """Whether the answer is exact."""
        return self.recall is None

    @property
    def _model(self) -> Model:
        trained = trained_of(self.query_model) if self.query_model is not None else None
        if trained is None or trained.model is None:
            raise ConfigError("the query model has not been trained: fit its tfrs.Model first")
        self._user = trained.users
        return trained.model

    def _top(
        self, queries: Sequence[Any] | npt.NDArray[Any], k: int, without: dict[str, set[str]]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
        model, users = self._model, [str(user) for user in queries]
        most = max((len(out) for out in without.values()), default=0)
        top = model.recommend(
            k + most,
            users=pa.table({self._user: list(dict.fromkeys(users))}),
            items=self._candidates,
            include_seen=True,
            recall=self.recall,
            progress=False,
        )
        found: dict[str, list[tuple[float, Any]]] = {}
        for row in top.to_pylist():
            user = str(row["user"])
            if str(row["item"]) not in without.get(user, ()):
                found.setdefault(user, []).append((row["score"], row["item"]))
        lists = [found.get(user, [])[:k] for user in users]
        width = min(k, max(map(len, lists), default=0))
        scores = np.full((len(lists), width), -np.inf, dtype=np.float32)
        items = np.full((len(lists), width), None, dtype=object)
        for i, one in enumerate(lists):
            for j, (score, item) in enumerate(one):
                scores[i, j], items[i, j] = score, item
        return scores, items


class Streaming(BruteForce):
    """The same: Tercel's exact search streams anyway.

    >>> import tercel.tfrs as tfrs
    >>> tfrs.layers.factorized_top_k.Streaming(k=5).is_exact()
    True
    """


class ScaNN(BruteForce):
    """Approximate, with a recall that is kept and measured.

    >>> import tercel.tfrs as tfrs
    >>> tfrs.layers.factorized_top_k.ScaNN(k=5, recall=0.98).is_exact()
    False
    """

    recall = 0.95

    def __init__(self, query_model: Any = None, k: int = 10, recall: float = 0.95, **others: Any) -> None:
        """TFRS's arguments; in the place of leaves and blocks, the recall that is to be kept."""
        unused("ScaNN", others)
        super().__init__(query_model, k)
        self.recall = recall


__all__ = ["BruteForce", "ScaNN", "Streaming"]
