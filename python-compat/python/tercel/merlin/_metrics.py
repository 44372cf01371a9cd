"""Metrics under Merlin's names, computed over the full catalogue with one row per user."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .._counts import several
from . import differs


@dataclass(frozen=True)
class TopKMetric:
    """A metric of the top `k` items.

    Attributes:
        k: The length of the list.
        name: Accepted for compatibility with Merlin; has no effect.
        ours: The name of the metric in Tercel.
        merlins: The name of the metric in Merlin's results.
    """

    k: int = 10
    name: str = ""
    ours = "recall"
    merlins = "recall_at"

    @property
    def key(self) -> str:
        """The key in results, as in Merlin: `recall_at_10`."""
        return f"{self.merlins}_{self.k}"

    @property
    def metric(self) -> str:
        """Tercel's name of the metric: `recall@10`."""
        return f"{self.ours}@{self.k}"


class RecallAt(TopKMetric):
    """Recall@k: hits / relevant items.

    >>> from tercel.merlin.models.tf import RecallAt
    >>> RecallAt(10).key
    'recall_at_10'
    """

    ours, merlins = "recall", "recall_at"


class PrecisionAt(TopKMetric):
    """Precision@k: hits / k.

    >>> from tercel.merlin.models.tf import PrecisionAt
    >>> PrecisionAt(10).metric
    'precision@10'
    """

    ours, merlins = "precision", "precision_at"


class AvgPrecisionAt(TopKMetric):
    """MAP@k: the mean over users of the average precision.

    >>> from tercel.merlin.models.tf import AvgPrecisionAt
    >>> AvgPrecisionAt(10).key
    'map_at_10'
    """

    ours, merlins = "map", "map_at"


class MRRAt(TopKMetric):
    """MRR@k: 1 / rank of the first hit.

    >>> from tercel.merlin.models.tf import MRRAt
    >>> MRRAt(5).key
    'mrr_at_5'
    """

    ours, merlins = "mrr", "mrr_at"


class NDCGAt(TopKMetric):
    """NDCG@k: discounted cumulative gain relative to the best possible list.

    >>> from tercel.merlin.models.tf import NDCGAt
    >>> NDCGAt(10).metric
    'ndcg@10'
    """

    ours, merlins = "ndcg", "ndcg_at"


class TopKMetricsAggregator:
    """A group of metrics.

    >>> from tercel.merlin.models.tf import TopKMetricsAggregator
    >>> [metric.key for metric in TopKMetricsAggregator.default_metrics(top_ks=5)][:2]
    ['recall_at_5', 'mrr_at_5']
    """

    def __init__(self, *metrics: TopKMetric) -> None:
        """Takes the metrics."""
        self.metrics = list(metrics)

    @classmethod
    def default_metrics(cls, top_ks: tuple[int, ...] | int = (10,)) -> list[TopKMetric]:
        """Returns recall, MRR, NDCG, MAP and precision for each k."""
        ks = (top_ks,) if isinstance(top_ks, int) else tuple(top_ks)
        return [kind(k) for k in ks for kind in (RecallAt, MRRAt, NDCGAt, AvgPrecisionAt, PrecisionAt)]


def top_k_metrics(metrics: Iterable[object]) -> list[TopKMetric]:
    """The metrics of a list, including those in groups."""
    found: list[TopKMetric] = []
    for metric in several(metrics, "metrics"):
        if isinstance(metric, TopKMetricsAggregator):
            found += metric.metrics
        elif isinstance(metric, TopKMetric):
            found.append(metric)
        else:
            name = metric if isinstance(metric, str) else type(metric).__name__
            differs(f"metrics: {name} is left out; a model that ranks has metrics of the first k places (RecallAt, …)")
    return found


DEFAULT = [RecallAt(10), MRRAt(10), NDCGAt(10), AvgPrecisionAt(10), PrecisionAt(10)]
"""The default metrics of a retrieval model."""
