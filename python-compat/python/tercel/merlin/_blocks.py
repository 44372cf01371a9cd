"""Blocks: what towers read, and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._counts import count, several, text_of
from ..errors import ConfigError
from . import differs, unused
from .schema import Schema, Tags


def schema_of(schema: object, where: str) -> Schema:
    """A schema, checked.

    Raises:
        ConfigError: For anything else.
    """
    if not isinstance(schema, Schema):
        raise ConfigError(f"{where}: a Schema is needed, not {type(schema).__name__}", field="schema")
    return schema


@dataclass
class MLPBlock:
    """Hidden layers.

    Tercel's towers end in a linear layer: Merlin's default keeps the ReLU of the last one, which lets no embedding be
    negative in any dimension.

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
        """The widths, the last of which is the embedding's."""
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
    """Divides embeddings by their norm: `post=L2Norm()` of an encoder.

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
        """`dim` values for each id."""
        unused("EmbeddingTable", others)
        self.dim, self.columns = dim, columns


@dataclass
class Embeddings:
    """The widths of a schema's embeddings.

    >>> from tercel.merlin.models.tf import Embeddings, InputBlockV2
    >>> from tercel.merlin.schema import Schema
    >>> user = Schema(["user_id"])
    >>> InputBlockV2(user, categorical=Embeddings(user, dim=32)).dim
    32
    """

    schema: Schema
    dim: int | None = None

    def __init__(self, schema: Schema, dim: int | dict[str, int] | None = None, **others: Any) -> None:
        """`dim` values for each column."""
        unused("Embeddings", others)
        if isinstance(dim, dict):
            widths = sorted(set(dim.values()))
            if len(widths) > 1:
                differs(f"Embeddings: all embeddings of a tower have the same width here: {widths[-1]}")
            dim = widths[-1] if widths else None
        self.schema, self.dim = schema, dim


@dataclass
class EmbeddingOptions:
    """How wide embeddings are.

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
    """What a tower reads: the columns of a schema.

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
        """Each categorical column has an embedding `dim` wide; numbers are put into buckets that have one."""
        unused("InputBlockV2", others)
        schema_of(schema, "InputBlockV2")
        self.schema = schema
        self.dim = dim if dim is not None else getattr(embeddings or categorical, "dim", None)


InputBlock = InputBlockV2


@dataclass
class Encoder:
    """A tower: inputs, then blocks.

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
        """A schema stands for its input block."""
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
        """What it reads."""
        return self.inputs.schema

    @property
    def hidden(self) -> list[int]:
        """The widths of its layers, the embedding's last."""
        return [width for block in self.blocks for width in block.dimensions]

    def select_by_tag(self, tag: Tags | str) -> Schema:
        """The columns with a tag."""
        return self.schema.select_by_tag(tag)


@dataclass
class DotProduct:
    """The score of a user and an item: the only one there is.

    >>> from tercel.merlin.models.tf import ContrastiveOutput, DotProduct
    >>> ContrastiveOutput(DotProduct()).to_call.query_name
    'query'
    """

    query_name: str = "query"
    item_name: str = "candidate"


@dataclass
class InBatchSamplerV2:
    """The other items of the batch as negatives.

    >>> from tercel.merlin.models.tf import ContrastiveOutput, InBatchSamplerV2
    >>> ContrastiveOutput(negative_samplers=[InBatchSamplerV2()]).uniform
    0
    """


InBatchSampler = InBatchSamplerV2


@dataclass
class PopularityBasedSamplerV2:
    """Negatives beside the batch. Tercel draws them evenly and corrects for how often an item is a candidate.

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
    """The logQ correction: on by these counts in Merlin, by the training split's own here.

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
