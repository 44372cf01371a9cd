"""The columns and towers that a script describes, before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .._counts import several
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..model import Model


@dataclass(frozen=True)
class Column:
    """A column of the dataset, as passed to a function that is traced."""

    name: str


@dataclass(frozen=True)
class Looked:
    """A column after a lookup layer, with numbers instead of strings."""

    column: Column


@dataclass
class Trained:
    """The place where the layers of a tower find the trained model."""

    model: Model | None = None
    users: str = ""
    items: str = ""


@dataclass(frozen=True)
class Tower:
    """An embedding of one or more columns, and the layers after it."""

    columns: tuple[Column, ...]
    dim: int
    hidden: tuple[int, ...] = ()
    normalize: bool = False
    layers: tuple[Any, ...] = field(default=(), compare=False)

    def then(self, width: int) -> Tower:
        """The tower with one more layer."""
        return replace(self, hidden=(*self.hidden, width))

    @property
    def width(self) -> int:
        """The width of its output."""
        return self.hidden[-1] if self.hidden else self.dim * len(self.columns)


def concat(values: list[Tower] | tuple[Tower, ...], axis: int = 1) -> Tower:
    """`tf.concat` of embeddings: a single tower that reads all of their columns.

    >>> from tercel.tf._plan import Column, Tower, concat
    >>> concat([Tower((Column("user_id"),), 32), Tower((Column("age"),), 32)], axis=1).width
    64
    """
    values = several(values, "values")
    strange = [type(tower).__name__ for tower in values if not isinstance(tower, Tower)]
    if strange or not values:
        words = f"not {strange[0]}" if strange else "and there are none"
        raise ConfigError(f"concat: embeddings are needed, {words}", field="values")
    columns = tuple(column for tower in values for column in tower.columns)
    layers = tuple(layer for tower in values for layer in tower.layers)
    return Tower(columns, max(tower.dim for tower in values), layers=layers)
