"""`merlin.models.tf`, for `import tercel.merlin.models.tf as mm`: the blocks of two-tower models."""

from __future__ import annotations

from ..._absent import absent
from ...tf.keras.optimizers import LazyAdam
from .._blocks import (
    DotProduct,
    EmbeddingOptions,
    Embeddings,
    EmbeddingTable,
    Encoder,
    InBatchSampler,
    InBatchSamplerV2,
    InputBlock,
    InputBlockV2,
    L2Norm,
    MLPBlock,
    PopularityBasedSampler,
    PopularityBasedSamplerV2,
    PopularityLogitsCorrection,
)
from .._loader import Loader, ToTarget
from .._metrics import AvgPrecisionAt, MRRAt, NDCGAt, PrecisionAt, RecallAt, TopKMetricsAggregator
from .._outputs import ContrastiveOutput
from .._retrieval import MatrixFactorizationModel, MatrixFactorizationModelV2, TwoTowerModel, TwoTowerModelV2
from .._topk import TopKEncoder

BatchedDataset = Loader

__all__ = [
    "AvgPrecisionAt",
    "BatchedDataset",
    "ContrastiveOutput",
    "DotProduct",
    "EmbeddingOptions",
    "EmbeddingTable",
    "Embeddings",
    "Encoder",
    "InBatchSampler",
    "InBatchSamplerV2",
    "InputBlock",
    "InputBlockV2",
    "L2Norm",
    "LazyAdam",
    "Loader",
    "MLPBlock",
    "MRRAt",
    "MatrixFactorizationModel",
    "MatrixFactorizationModelV2",
    "NDCGAt",
    "PopularityBasedSampler",
    "PopularityBasedSamplerV2",
    "PopularityLogitsCorrection",
    "PrecisionAt",
    "RecallAt",
    "ToTarget",
    "TopKEncoder",
    "TopKMetricsAggregator",
    "TwoTowerModel",
    "TwoTowerModelV2",
]
__getattr__ = absent("tercel.merlin.models.tf", __all__)
