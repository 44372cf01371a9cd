"""`tf.keras`, as far as two-tower scripts go."""

from __future__ import annotations

from . import layers, optimizers
from .models import Model, Sequential

__all__ = ["Model", "Sequential", "layers", "optimizers"]
