"""`tf.keras.Model` and `tf.keras.Sequential`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..._counts import several, shown
from ...errors import ConfigError, NotWrittenError
from .._plan import Tower, Trained


class Model:
    """Base class: calling an instance runs its `call` method.

    >>> from tercel.tf.keras import Model
    >>> class Double(Model):
    ...     def call(self, inputs):
    ...         return 2 * inputs
    >>> Double()(21)
    42
    """

    def __call__(self, inputs: Any) -> Any:
        """As Keras's: calls `call`."""
        return self.call(inputs)

    def call(self, inputs: Any) -> Any:
        """Implemented by subclasses."""
        raise NotWrittenError(f"{type(self).__name__}: write call(self, inputs)")


class Sequential(Model):
    """A stack of layers, applied in order.

    >>> from tercel.tf.keras.layers import Dense, Embedding, StringLookup
    >>> from tercel.tf._plan import Column
    >>> Sequential([StringLookup(), Embedding(100, 32), Dense(16)])(Column("user_id")).hidden
    (16,)
    """

    def __init__(self, layers: Iterable[Callable[[Any], Any]] = ()) -> None:
        """Layers or models."""
        self.layers = several(layers, "layers")

    def add(self, layer: Callable[[Any], Any]) -> None:
        """Appends a layer."""
        self.layers.append(layer)

    def call(self, inputs: Any) -> Any:
        """Applies all layers in order."""
        for layer in self.layers:
            if not callable(layer):
                raise ConfigError(f"Sequential: {shown(layer)} is no layer", field="layers")
            inputs = layer(inputs)
        return inputs


def trained_of(model: Callable[[Any], Any]) -> Trained:
    """The place where a tower's layers find the trained model.

    >>> from tercel.tf.keras.layers import Embedding
    >>> trained_of(Sequential([Embedding(100, 32)])).model is None  # before fit
    True
    """
    from .._plan import Column

    if not callable(model):
        raise ConfigError(f"query_model: a tower is needed, not {shown(model)}", field="query_model")
    tower = model(Column("value"))
    layers = tower.layers if isinstance(tower, Tower) else ()
    return layers[0].trained if layers else Trained()
