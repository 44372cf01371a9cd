"""`tf.keras.layers`: lookups, embeddings and dense layers."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from ..._absent import absent
from ..._counts import count, several, text_of
from ...errors import ConfigError, KindError
from ...merlin import unused
from .._plan import Column, Looked, Tower, Trained
from ..data import Dataset


class StringLookup:
    """Maps strings to integers. Tercel builds its own vocabulary, from the training rows.

    >>> from tercel.tf.data import Dataset
    >>> lookup = StringLookup(mask_token=None)
    >>> lookup.adapt(Dataset.from_tensor_slices(["a", "b", "a"]))
    >>> lookup.vocabulary_size()
    3
    """

    def __init__(self, vocabulary: Any = None, mask_token: str | None = None, **others: Any) -> None:
        """Keras's arguments."""
        unused("StringLookup", others, ("num_oov_indices", "oov_token", "max_tokens"))
        self._size = 0 if vocabulary is None else len(several(vocabulary, "vocabulary"))
        self._masked = mask_token is not None

    def adapt(self, data: Dataset, batch_size: int | None = None) -> None:
        """Counts the distinct values."""
        if not isinstance(data, Dataset):
            raise KindError(f"adapt: a tercel.tf.data.Dataset is needed, not {type(data).__name__}", path="data")
        columns = data.columns()
        if len(columns) != 1:
            words = f"a row has {len(columns)} columns; map it to the one that is looked up"
            raise ConfigError(f"adapt: {words}: dataset.map(lambda row: row['user_id'])", field="data")
        column = columns[0]
        self._size = int(pc.count_distinct(data.table.column(column.name)).as_py())

    def vocabulary_size(self) -> int:
        """The number of distinct values, plus one for unknown values and one for the mask if there is a mask token."""
        return self._size + 1 + self._masked

    vocab_size = vocabulary_size

    def __call__(self, column: Column) -> Looked:
        """Of a column."""
        if not isinstance(column, Column):
            words = "a layer is a plan here, and called with columns: Tercel computes in training"
            raise ConfigError(f"{type(self).__name__}: {words}, not {type(column).__name__}", field="inputs")
        return Looked(column)


class IntegerLookup(StringLookup):
    """`StringLookup` for integers.

    >>> from tercel.tf.data import Dataset
    >>> lookup = IntegerLookup()
    >>> lookup.adapt(Dataset.from_tensor_slices([7, 9, 7]))
    >>> lookup.vocabulary_size()
    3
    """


class Embedding:
    """A trainable vector for each id.

    >>> from tercel.tf._plan import Column
    >>> Embedding(input_dim=100, output_dim=32)(Column("user_id")).width
    32
    """

    def __init__(self, input_dim: int, output_dim: int, **others: Any) -> None:
        """Keras's arguments: `output_dim` values."""
        unused("Embedding", others, ("input_length",))
        self.input_dim, self.output_dim = input_dim, count("output_dim", output_dim)
        self.trained = Trained()

    def __call__(self, looked: Looked | Column) -> Tower:
        """Of a looked-up column."""
        column = looked.column if isinstance(looked, Looked) else looked
        if not isinstance(column, Column):
            words = "a layer is a plan here, and called with columns: Tercel computes in training"
            raise ConfigError(f"Embedding: {words}, not {type(column).__name__}", field="inputs")
        return Tower((column,), self.output_dim, layers=(self,))


class Dense:
    """A dense layer of a tower. Every layer but the last has a ReLU.

    >>> from tercel.tf._plan import Column
    >>> Dense(16)(Embedding(100, 32)(Column("user_id"))).width
    16
    """

    def __init__(self, units: int, activation: str | None = None, **others: Any) -> None:
        """Keras's arguments."""
        unused("Dense", others)
        if activation is not None and text_of(activation, "activation") not in ("linear", "relu"):
            raise ConfigError(f"Dense: Tercel has relu, not {activation}", field="activation")
        self.units, self.activation = count("units", units), activation

    def __call__(self, tower: Tower) -> Tower:
        """Of a tower."""
        if not isinstance(tower, Tower):
            raise ConfigError(f"Dense: it follows an Embedding, not {type(tower).__name__}", field="inputs")
        return tower.then(self.units)


class UnitNormalization:
    """Divides the output of a tower by its L2 norm.

    >>> from tercel.tf._plan import Column
    >>> UnitNormalization()(Embedding(100, 32)(Column("user_id"))).normalize
    True
    """

    def __call__(self, tower: Tower) -> Tower:
        """Of a tower."""
        return Tower(tower.columns, tower.dim, tower.hidden, True, tower.layers)


__all__ = ["Dense", "Embedding", "IntegerLookup", "StringLookup", "UnitNormalization"]
__getattr__ = absent("tercel.tf.keras.layers", __all__)
