"""`tfrs.tasks`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._absent import absent
from .._counts import number
from ..merlin import differs, unused
from ..tf._plan import Tower
from .metrics import FactorizedTopK


@dataclass(frozen=True)
class Plan:
    """The loss of a model: a task and its two towers.

    >>> import tercel.tf as tf
    >>> import tercel.tfrs as tfrs
    >>> from tercel.tf._plan import Column
    >>> towers = [tf.keras.layers.Embedding(100, 32)(Column(name)) for name in ("user_id", "item_id")]
    >>> tfrs.tasks.Retrieval()(*towers).query.dim
    32
    """

    task: Retrieval
    query: Tower
    candidate: Tower
    logq: bool


class Retrieval:
    """The retrieval task: softmax over the candidates in the batch.

    >>> import tercel.tfrs as tfrs
    >>> tfrs.tasks.Retrieval(temperature=0.1, remove_accidental_hits=True).temperature
    0.1
    """

    def __init__(
        self,
        loss: Any = None,
        metrics: FactorizedTopK | list[FactorizedTopK] | None = None,
        batch_metrics: Any = None,
        loss_metrics: Any = None,
        temperature: float | None = None,
        num_hard_negatives: int | None = None,
        remove_accidental_hits: bool = False,
        **others: Any,
    ) -> None:
        """Takes TFRS's arguments. The loss is the mean over the batch where TFRS takes the sum; the optimizer's
        settings are converted so that the updates are the same.
        """
        unused("Retrieval", others)
        given = metrics if isinstance(metrics, list) else [metrics] if metrics is not None else []
        self.factorized_metrics = given[0] if given else FactorizedTopK()
        self.temperature = 1.0 if temperature is None else number("temperature", temperature)
        self.remove_accidental_hits = remove_accidental_hits
        if num_hard_negatives is not None:
            differs("Retrieval: every candidate counts here, not only the hardest")
        if loss is not None:
            differs("Retrieval: the loss is the softmax over candidates here")

    def __call__(
        self,
        query_embeddings: Tower,
        candidate_embeddings: Tower,
        sample_weight: Any = None,
        candidate_sampling_probability: Any = None,
        candidate_ids: Any = None,
        compute_metrics: bool = True,
        **others: Any,
    ) -> Plan:
        """Combines the two towers into the loss of a model."""
        unused("Retrieval", others, ("compute_batch_metrics",))
        if sample_weight is not None:
            differs("Retrieval: sample_weight is left out; tercel.Dataset has weights")
        return Plan(self, query_embeddings, candidate_embeddings, candidate_sampling_probability is not None)


__all__ = ["Plan", "Retrieval"]
__getattr__ = absent("tercel.tfrs.tasks", __all__)
