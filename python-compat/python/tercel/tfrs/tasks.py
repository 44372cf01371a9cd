"""`tfrs.tasks`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from ..merlin import MerlinDifference
from ..tf._plan import Tower
from .metrics import FactorizedTopK


@dataclass(frozen=True)
class Plan:
    """What a model's loss is: two towers and a task."""

    task: Retrieval
    query: Tower
    candidate: Tower
    logq: bool


class Retrieval:
    """In-batch softmax.

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
        **_: Any,
    ) -> None:
        """TFRS's arguments. The loss is a mean over the batch here (TFRS sums it up: divide its learning rates of SGD by
        the batch size; Adagrad and Adam do not mind).
        """
        given = metrics if isinstance(metrics, list) else [metrics] if metrics is not None else []
        self.factorized_metrics = given[0] if given else FactorizedTopK()
        self.temperature = 1.0 if temperature is None else temperature
        self.remove_accidental_hits = remove_accidental_hits
        if num_hard_negatives is not None:
            warnings.warn("Retrieval: every candidate counts here, not the hardest alone", MerlinDifference, stacklevel=2)
        if loss is not None:
            warnings.warn("Retrieval: the loss is the softmax over candidates here", MerlinDifference, stacklevel=2)

    def __call__(
        self,
        query_embeddings: Tower,
        candidate_embeddings: Tower,
        sample_weight: Any = None,
        candidate_sampling_probability: Any = None,
        candidate_ids: Any = None,
        compute_metrics: bool = True,
        **_: Any,
    ) -> Plan:
        """The plan of a model."""
        if sample_weight is not None:
            warnings.warn("Retrieval: sample_weight is left out; tercel.Dataset has weights", MerlinDifference, stacklevel=2)
        return Plan(self, query_embeddings, candidate_embeddings, candidate_sampling_probability is not None)
