"""The parts of `tf.keras` that two-tower scripts use."""

from __future__ import annotations

from ..._absent import absent
from . import layers, optimizers
from .models import Model, Sequential

__all__ = ["Model", "Sequential", "layers", "optimizers"]
__getattr__ = absent("tercel.tf.keras", __all__)
