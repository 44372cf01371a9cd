"""The output of a retrieval model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import differs, unused
from ._blocks import DotProduct, InBatchSamplerV2, PopularityBasedSamplerV2, PopularityLogitsCorrection


@dataclass
class ContrastiveOutput:
    """The output of a two-tower model: softmax over the items of the batch.

    >>> from tercel.merlin.models.tf import ContrastiveOutput, DotProduct
    >>> ContrastiveOutput(DotProduct(), negative_samplers="in-batch", logits_temperature=0.1).logits_temperature
    0.1
    """

    to_call: Any = None
    negative_samplers: Any = "in-batch"
    logits_temperature: float = 1.0
    downscore_false_negatives: bool = True
    logq: bool = False
    uniform: int = 0

    def __init__(
        self,
        to_call: Any = None,
        negative_samplers: Any = "in-batch",
        target: Any = None,
        target_name: str | None = None,
        name: str | None = None,
        logits_temperature: float = 1.0,
        pre: Any = None,
        post: Any = None,
        downscore_false_negatives: bool = True,
        false_negative_score: float | None = None,
        query_name: str = "query",
        candidate_name: str = "candidate",
        store_negative_ids: bool = False,
        logq_sampling_correction: bool = False,
        **others: Any,
    ) -> None:
        """Takes Merlin's arguments. `post=PopularityLogitsCorrection(…)` or `logq_sampling_correction=True` enables the
        logQ correction.
        """
        unused("ContrastiveOutput", others)
        self.to_call = to_call or DotProduct()
        self.negative_samplers = negative_samplers
        self.logits_temperature = logits_temperature
        self.downscore_false_negatives = downscore_false_negatives
        self.logq = logq_sampling_correction or isinstance(post, PopularityLogitsCorrection)
        self.uniform = uniform_of(negative_samplers)
        if self.logq and logits_temperature != 1.0:
            differs(
                "ContrastiveOutput: Merlin divides log q by the temperature with the scores; here the scores alone are "
                "divided, as in the paper (Yi et al., 2019)"
            )
        if false_negative_score is not None:
            differs(
                "ContrastiveOutput: an accidental hit is left out of the softmax, whatever false_negative_score says"
            )


def uniform_of(samplers: Any) -> int:
    """The number of negatives that these samplers draw in addition to those of the batch."""
    several: Iterable[Any] = samplers if isinstance(samplers, (list, tuple)) else [samplers]
    drawn = 0
    for sampler in several:
        if isinstance(sampler, PopularityBasedSamplerV2):
            drawn += sampler.max_num_samples
        elif sampler == "popularity-based":
            drawn += PopularityBasedSamplerV2().max_num_samples
        elif sampler not in (None, "in-batch") and not isinstance(sampler, InBatchSamplerV2):
            differs(f"negative sampler {sampler!r}: in-batch negatives are used here")
    return drawn
