"""The blocks of a tower: its inputs and its layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._counts import count, several, text_of
from ..errors import ConfigError
from . import differs, unused
from .schema import Schema, Tags


def schema_of(schema: object, where: str) -> Schema:
    """Returns the schema, after checking that it is one.

    Raises:
        ConfigError: For anything else.
    """
    if not isinstance(schema, Schema):
        raise ConfigError(f"{where}: a Schema is needed, not {type(schema).__name__}", field="schema")
    return schema


@dataclass
class MLPBlock:
    """The dense layers of a tower.

    The last layer is always linear in Tercel. Merlin's default gives it a ReLU as well, so that no embedding can have a
    negative component.

    >>> from tercel.merlin.models.tf import MLPBlock
    >>> MLPBlock([128, 64], no_activation_last_layer=True).dimensions
    [128, 64]
    """

    dimensions: Sequence[int]
    activation: str = "relu"
    use_bias: bool = True
    dropout: float | None = None
    no_activation_last_layer: bool = False
    kernel_initializer: str = "glorot_uniform"
    options: dict[str, Any] = field(default_factory=dict)

    def __init__(
        self,
        dimensions: Sequence[int],
        activation: str = "relu",
        use_bias: bool = True,
        dropout: float | None = None,
        no_activation_last_layer: bool = False,
        kernel_initializer: str = "glorot_uniform",
        **options: Any,
    ) -> None:
        """Takes the widths of the layers; the last one is the width of the embedding."""
        widths = [count("dimensions", width) for width in several(dimensions, "dimensions")]
        if not widths:
            raise ConfigError("MLPBlock: at least one width is required", field="dimensions")
        if text_of(activation, "activation") != "relu":
            raise ConfigError(f"MLPBlock: Tercel has relu, not {activation}", field="activation")
        if not no_activation_last_layer:
            differs(
                "MLPBlock: the last layer is linear here, as with no_activation_last_layer=True; with Merlin's default "
                "its ReLU leaves no embedding a negative value, and half of the space unused"
            )
        if dropout:
            differs(f"MLPBlock: there is no dropout here; {dropout} is left out")
        changed = {"use_bias": use_bias is not True, "kernel_initializer": kernel_initializer != "glorot_uniform"}
        unused("MLPBlock", [*options, *(name for name, given in changed.items() if given)])
        self.dimensions, self.activation, self.use_bias = widths, activation, use_bias
        self.dropout, self.no_activation_last_layer = dropout, no_activation_last_layer
        self.kernel_initializer, self.options = kernel_initializer, options


@dataclass
class L2Norm:
    """Divides embeddings by their L2 norm. Pass it to an encoder as `post=L2Norm()`.

    >>> from tercel.merlin.models.tf import Encoder, L2Norm
    >>> from tercel.merlin.schema import Schema
    >>> Encoder(Schema(["user_id"]), post=L2Norm()).normalize
    True
    """


@dataclass
class EmbeddingTable:
    """The width of an embedding.

    >>> from tercel.merlin.models.tf import EmbeddingTable, InputBlockV2
    >>> from tercel.merlin.schema import Schema
    >>> InputBlockV2(Schema(["user_id"]), embeddings=EmbeddingTable(32)).dim
    32
    """

    dim: int
    columns: tuple[Any, ...] = ()

    def __init__(self, dim: int, *columns: Any, **others: Any) -> None:
        """Takes the width of the embedding of each id."""
        unused("EmbeddingTable", others)
        self.dim, self.columns = dim, columns


@dataclass
class Embeddings:
    """The widths of the embeddings of a schema's columns.

    >>> from tercel.merlin.models.tf import Embeddings, InputBlockV2
    >>> from tercel.merlin.schema import Schema
    >>> user = Schema(["user_id"])
    >>> InputBlockV2(user, categorical=Embeddings(user, dim=32)).dim
    32
    """

    schema: Schema
    dim: int | None = None

    def __init__(self, schema: Schema, dim: int | dict[str, int] | None = None, **others: Any) -> None:
        """Takes one width for all columns, or a dictionary of widths by column."""
        unused("Embeddings", others)
        if isinstance(dim, dict):
            widths = sorted(set(dim.values()))
            if len(widths) > 1:
                differs(f"Embeddings: all embeddings of a tower have the same width here: {widths[-1]}")
            dim = widths[-1] if widths else None
        self.schema, self.dim = schema, dim


@dataclass
class EmbeddingOptions:
    """The widths of embeddings.

    >>> from tercel.merlin.models.tf import EmbeddingOptions
    >>> EmbeddingOptions(embedding_dim_default=32).embedding_dim_default
    32
    """

    embedding_dims: dict[str, int] | None = None
    embedding_dim_default: int = 64
    infer_embedding_sizes: bool = False
    infer_embedding_sizes_multiplier: float = 2.0

    def __post_init__(self) -> None:
        """Says what differs."""
        if self.embedding_dims or self.infer_embedding_sizes:
            differs(
                "EmbeddingOptions: the embeddings of a tower are as wide as each other here: embedding_dim_default, "
                f"{self.embedding_dim_default}"
            )


@dataclass
class InputBlockV2:
    """The inputs of a tower: the columns of a schema.

    >>> from tercel.merlin.models.tf import InputBlockV2
    >>> from tercel.merlin.schema import Schema
    >>> InputBlockV2(Schema(["user_id", "age"]), dim=16).schema.column_names
    ['user_id', 'age']
    """

    schema: Schema
    dim: int | None = None

    def __init__(
        self, schema: Schema, dim: int | None = None, embeddings: Any = None, categorical: Any = None, **others: Any
    ) -> None:
        """Every categorical column gets an embedding of width `dim`; numbers are bucketized, and buckets embedded."""
        unused("InputBlockV2", others)
        schema_of(schema, "InputBlockV2")
        self.schema = schema
        self.dim = dim if dim is not None else getattr(embeddings or categorical, "dim", None)


InputBlock = InputBlockV2


@dataclass
class Encoder:
    """A tower: inputs followed by blocks.

    >>> import warnings
    >>> from tercel.merlin.models.tf import Encoder, InputBlockV2, MLPBlock
    >>> from tercel.merlin.schema import ColumnSchema, Schema, Tags
    >>> user = Schema([ColumnSchema("user_id", tags=[Tags.USER_ID])])
    >>> Encoder(InputBlockV2(user), MLPBlock([64], no_activation_last_layer=True)).hidden
    [64]
    """

    inputs: InputBlockV2
    blocks: tuple[Any, ...] = ()
    normalize: bool = False

    def __init__(self, inputs: InputBlockV2 | Schema, *blocks: Any, post: Any = None, **others: Any) -> None:
        """Takes an input block, or a schema to make one from, and the blocks that follow it."""
        unused("Encoder", others)
        if not isinstance(inputs, InputBlockV2):
            inputs = InputBlockV2(schema_of(inputs, "Encoder"))
        self.inputs = inputs
        self.normalize = any(isinstance(block, L2Norm) for block in (*blocks, post))
        self.blocks = tuple(block for block in blocks if not isinstance(block, L2Norm))
        strange = [type(block).__name__ for block in self.blocks if not isinstance(block, MLPBlock)]
        if strange:
            raise ConfigError(f"Encoder: Tercel's towers have MLPBlock and L2Norm, not {', '.join(strange)}")

    @property
    def schema(self) -> Schema:
        """The columns that the tower reads."""
        return self.inputs.schema

    @property
    def hidden(self) -> list[int]:
        """The widths of its layers; the last one is the width of the embedding."""
        return [width for block in self.blocks for width in block.dimensions]

    def select_by_tag(self, tag: Tags | str) -> Schema:
        """The columns of the tower that have this tag."""
        return self.schema.select_by_tag(tag)


@dataclass
class DotProduct:
    """The dot product of the two towers, which is the only score that Tercel supports.

    >>> from tercel.merlin.models.tf import ContrastiveOutput, DotProduct
    >>> ContrastiveOutput(DotProduct()).to_call.query_name
    'query'
    """

    query_name: str = "query"
    item_name: str = "candidate"


@dataclass
class InBatchSamplerV2:
    """Uses the other items of the batch as negatives.

    >>> from tercel.merlin.models.tf import ContrastiveOutput, InBatchSamplerV2
    >>> ContrastiveOutput(negative_samplers=[InBatchSamplerV2()]).uniform
    0
    """


InBatchSampler = InBatchSamplerV2


@dataclass
class PopularityBasedSamplerV2:
    """Draws negatives in addition to those of the batch. Tercel draws them uniformly, and corrects for how often an
    item is a candidate.

    >>> import warnings
    >>> from tercel.merlin.models.tf import ContrastiveOutput, PopularityBasedSamplerV2
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     ContrastiveOutput(negative_samplers=[PopularityBasedSamplerV2(max_num_samples=64)]).uniform
    64
    """

    max_id: int = 0
    min_id: int = 0
    max_num_samples: int = 10
    unique: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        """Says what differs."""
        differs(
            "PopularityBasedSamplerV2: negatives beside the batch are drawn evenly from the catalogue here, and logQ "
            "uses the mixture's probabilities; in-batch negatives are popular already"
        )


PopularityBasedSampler = PopularityBasedSamplerV2


@dataclass
class PopularityLogitsCorrection:
    """The logQ correction. Merlin uses the given counts; Tercel uses the counts of the training split.

    >>> from tercel.merlin.models.tf import PopularityLogitsCorrection
    >>> PopularityLogitsCorrection([0.5, 0.5], is_prob_distribution=True).reg_factor
    1.0
    """

    item_freq_probs: Iterable[float] | None = None
    is_prob_distribution: bool = False
    reg_factor: float = 1.0

    def __post_init__(self) -> None:
        """Says what differs."""
        if self.reg_factor != 1.0:
            differs(f"PopularityLogitsCorrection: reg_factor is 1 here, not {self.reg_factor}")
