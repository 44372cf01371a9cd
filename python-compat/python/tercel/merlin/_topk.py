"""The encoder that finds the top items for users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .._counts import count
from .._tables import raw_ids
from .._warn import said
from ..evaluation import evaluate
from . import differs, per_user, strangers, unused
from ._encode import encode
from ._loader import Loader, as_dataset
from ._metrics import DEFAULT, TopKMetric, top_k_metrics
from .io import Dataset
from .schema import Schema, Tags

if TYPE_CHECKING:  # A type alone: `_retrieval` imports this file.
    from ._retrieval import RetrievalModel


class TopKEncoder:
    """Finds the exact top items for users. `to_top_k_encoder` creates it.

    >>> import tercel
    >>> import tercel.merlin.models.tf as mm
    >>> from tercel.merlin.io import Dataset
    >>> from tercel.merlin.schema import ColumnSchema, Schema
    >>> schema = Schema([ColumnSchema("user_id", ["user_id"]), ColumnSchema("item_id", ["item_id"])])
    >>> train = Dataset(tercel.demo_purchases(), schema=schema)
    >>> model = mm.MatrixFactorizationModelV2(schema, dim=8)
    >>> model.compile(optimizer="adam")
    >>> _ = model.fit(train, epochs=2, verbose=0)
    >>> model.to_top_k_encoder(k=3).batch_predict(train).to_arrow().column_names
    ['user_id', 'item_id', 'score']
    """

    def __init__(
        self,
        model: RetrievalModel,
        candidates: Dataset | None = None,
        *,
        strategy: str = "brute-force-topk",
        k: int = 10,
    ) -> None:
        """Called by `model.to_top_k_encoder`."""
        if strategy != "brute-force-topk":
            differs(
                f"to_top_k_encoder: the search is exact, not {strategy!r}; Model.recommend(recall=…) is approximate"
            )
        self.model, self.k = model, count("k", k)
        self.metrics: list[TopKMetric] = [type(metric)(k=k) for metric in DEFAULT]
        self.candidates: list[str] | None = None
        if candidates is not None:
            name = candidates.schema.select_by_tag(Tags.ITEM_ID).first.name
            self.candidates = raw_ids(candidates.column(name).unique(), "candidates")

    def compile(self, optimizer: Any = None, *, metrics: list[Any] | None = None, **others: Any) -> None:
        """Sets the metrics of `evaluate`. An optimizer is accepted but not used."""
        unused("compile", others)
        if metrics is not None:
            self.metrics = top_k_metrics(metrics)

    def evaluate(self, x: Dataset | Loader | Any, *, return_dict: bool = True, **others: Any) -> Any:
        """Computes metrics over the model's full catalogue, with one row per user. As in Merlin, lists may contain
        items of the user's training rows.
        """
        unused("evaluate", others, ("batch_size",))
        per_user("evaluate", "Merlin's top-k encoder has a row for each interaction, with one relevant item")
        if self.candidates is not None and len(self.candidates) < len(self.model.trained.item_ids):
            differs("evaluate: the full catalogue is ranked; candidates only restrict predictions")
        train = self.model._trained_on()
        data = encode(train, as_dataset(x), self.model._columns())
        ks = sorted({metric.k for metric in self.metrics})
        found = evaluate(self.model.trained, data, "valid", k=ks, view="next", baselines="none", progress=False)
        values = {metric.key: found[metric.metric] for metric in self.metrics}
        return values if return_dict else list(values.values())

    def batch_predict(self, dataset: Dataset | Loader | Any, batch_size: int = 0, **others: Any) -> Dataset:
        """Finds the top items for every user of a dataset. The result has one row per user, with lists of item ids and
        scores in descending order. Ids are returned exactly as they were passed in. Users unknown to the model get the
        items of the average user, with a warning that counts them.
        """
        unused("batch_predict", others)
        columns = self.model._columns()
        top = self._top("batch_predict", as_dataset(dataset).column(columns.user).unique())
        ids, scores = top.column("item").combine_chunks(), top.column("score").combine_chunks()
        counts = top.group_by("user", use_threads=False).aggregate([("rank", "max")])
        offsets = pa.array(np.concatenate([[0], np.cumsum(counts.column("rank_max").to_numpy())]), pa.int32())
        table = pa.table(
            {
                columns.user: counts.column("user"),
                columns.item: pa.ListArray.from_arrays(offsets, ids),
                "score": pa.ListArray.from_arrays(offsets, scores),
            }
        )
        schema = self.model._trained_on().schema
        return Dataset(table, schema=Schema([schema[columns.user], schema[columns.item], "score"]))

    def predict(
        self, dataset: Dataset | Loader | Any, **others: Any
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Returns scores and item ids, one row per row of the dataset."""
        unused("predict", others, ("batch_size",))
        asked = as_dataset(dataset).column(self.model._columns().user)
        top = self._top("predict", asked.unique())
        width = min(self.k, len(set(top["rank"].to_pylist())))
        place = {user: row for row, user in enumerate(dict.fromkeys(raw_ids(top["user"], "users")))}
        rows = [place[user] for user in raw_ids(asked, "users")]
        ids = np.array(top["item"].to_pylist()).reshape(-1, width)[rows]
        scores = top["score"].to_numpy().reshape(-1, width)[rows]
        return scores, ids

    __call__ = predict

    def _top(self, where: str, users: pa.ChunkedArray) -> pa.Table:
        name = self.model._columns().user
        texts = raw_ids(users, "users")
        beside = strangers(where, texts, self.model.trained.user_ids)
        asked = pa.array([*texts, *beside]) if beside else users
        with said("new to the model"):
            top = self.model.trained.recommend(
                self.k, users=pa.table({name: asked}), items=self.candidates, include_seen=True, progress=False
            )
        return top.filter(pc.not_equal(top["user"].cast(pa.string()), beside[0])) if beside else top
