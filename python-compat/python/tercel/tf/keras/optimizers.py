"""`tf.keras.optimizers`, with Keras's defaults."""

from __future__ import annotations

from typing import Any

from ..._absent import absent
from ..._counts import number, shown
from ...errors import ConfigError
from ...merlin import unused


class Optimizer:
    """Base class of the optimizers: a name and settings.

    >>> from tercel.tf.keras.optimizers import SGD
    >>> SGD(learning_rate=0.5).get_config()
    {'name': 'sgd', 'learning_rate': 0.5}
    """

    name = "sgd"

    def __init__(self, **settings: Any) -> None:
        """Settings by Keras's names."""
        self.settings = settings

    def get_config(self) -> dict[str, Any]:
        """The name and settings, as Keras's optimizers return them."""
        return {"name": self.name, **self.settings}


class SGD(Optimizer):
    """Stochastic gradient descent.

    >>> from tercel.tf.keras.optimizers import SGD
    >>> SGD().settings
    {'learning_rate': 0.01}
    """

    def __init__(self, learning_rate: float = 0.01, **others: Any) -> None:
        """Keras's default rate."""
        unused("SGD", others)
        super().__init__(learning_rate=learning_rate)


class Adagrad(Optimizer):
    """Adagrad. Accumulators start at 0.1, as in Keras.

    >>> from tercel.tf.keras.optimizers import Adagrad, optimizer_settings
    >>> optimizer_settings(Adagrad(learning_rate=0.04))["lr"]
    0.04
    """

    name = "adagrad"

    def __init__(
        self,
        learning_rate: float = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **others: Any,
    ) -> None:
        """Keras's defaults."""
        unused("Adagrad", others)
        super().__init__(
            learning_rate=learning_rate, initial_accumulator_value=initial_accumulator_value, epsilon=epsilon
        )


class Adam(Optimizer):
    """Adam. In embedding tables only the rows that occur in the batch are updated (Merlin's `LazyAdam`).

    >>> from tercel.tf.keras.optimizers import Adam
    >>> Adam(beta_1=0.8).settings["beta_1"]
    0.8
    """

    name = "adam"

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **others: Any,
    ) -> None:
        """Keras's defaults."""
        unused("Adam", others)
        super().__init__(learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)


class LazyAdam(Adam):
    """Merlin's name for `Adam`.

    >>> from tercel.tf.keras.optimizers import LazyAdam, optimizer_settings
    >>> optimizer_settings(LazyAdam())["name"]
    'adam'
    """


_BY_NAME: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adagrad": Adagrad,
    "adam": Adam,
    "lazyadam": Adam,
    "lazy_adam": Adam,
}
_NAMES = {
    "learning_rate": "lr",
    "beta_1": "beta1",
    "beta_2": "beta2",
    "epsilon": "eps",
    "initial_accumulator_value": "initial_accumulator",
}


def optimizer_settings(optimizer: Any) -> dict[str, Any]:
    """The `[optimizer]` section of a configuration for an optimizer of this module or of TensorFlow, or for a name.

    >>> from tercel.tf.keras.optimizers import optimizer_settings
    >>> optimizer_settings("adagrad")["initial_accumulator"]
    0.1

    Raises:
        ConfigError: For an optimizer that Tercel does not support.
    """
    if optimizer is None:
        optimizer = "adam"
    if isinstance(optimizer, str):
        kind = _BY_NAME.get(optimizer.lower())
        if kind is None:
            raise ConfigError(f"optimizer: Tercel has sgd, adagrad and adam, not {optimizer}", field="optimizer")
        optimizer = kind()
    if not callable(getattr(optimizer, "get_config", None)):
        raise ConfigError(f"optimizer: a name or one of Keras's is needed, not {shown(optimizer)}", field="optimizer")
    found = optimizer.get_config()
    name = str(found.get("name", "")).lower()
    if name not in _BY_NAME:
        raise ConfigError(f"optimizer: Tercel has sgd, adagrad and adam, not {name}", field="optimizer")
    settings: dict[str, Any] = {"name": _BY_NAME[name].name, "schedule": "constant", "weight_decay": 0.0}
    for theirs, ours in _NAMES.items():
        if found.get(theirs) is not None:
            settings[ours] = number(f"optimizer.{theirs}", found[theirs])
    return settings


__all__ = ["SGD", "Adagrad", "Adam", "LazyAdam", "Optimizer", "optimizer_settings"]
__getattr__ = absent("tercel.tf.keras.optimizers", __all__)
