"""Metrics by Merlin's names. Tercel measures over the full catalogue, one row per user."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TopKMetric:
    """A metric of the first `k` places."""

    k: int = 10
    name: str = ""
    ours = "recall"
    merlins = "recall_at"

    @property
    def key(self) -> str:
        """What Merlin calls its value: `recall_at_10`."""
        return f"{self.merlins}_{self.k}"

    @property
    def metric(self) -> str:
        """What Tercel calls it: `recall@10`."""
        return f"{self.ours}@{self.k}"


class RecallAt(TopKMetric):
    """Recall@k: hits / relevant items.

    >>> from tercel.merlin.models.tf import RecallAt
    >>> RecallAt(10).key
    'recall_at_10'
    """

    ours, merlins = "recall", "recall_at"


class PrecisionAt(TopKMetric):
    """Precision@k: hits / k."""

    ours, merlins = "precision", "precision_at"


class AvgPrecisionAt(TopKMetric):
    """MAP@k."""

    ours, merlins = "map", "map_at"


class MRRAt(TopKMetric):
    """MRR@k: 1 / the place of the first hit."""

    ours, merlins = "mrr", "mrr_at"


class NDCGAt(TopKMetric):
    """NDCG@k."""

    ours, merlins = "ndcg", "ndcg_at"


class TopKMetricsAggregator:
    """Several metrics: a list of them, as Merlin groups them."""

    @classmethod
    def default_metrics(cls, top_ks: tuple[int, ...] | int = (10,)) -> list[TopKMetric]:
        """Recall, MRR, NDCG, MAP and precision for each k."""
        ks = (top_ks,) if isinstance(top_ks, int) else tuple(top_ks)
        return [kind(k) for k in ks for kind in (RecallAt, MRRAt, NDCGAt, AvgPrecisionAt, PrecisionAt)]


DEFAULT = [RecallAt(10), MRRAt(10), NDCGAt(10), AvgPrecisionAt(10), PrecisionAt(10)]
"""What a retrieval model measures where nothing is said."""
