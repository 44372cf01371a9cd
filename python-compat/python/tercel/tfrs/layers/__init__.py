"""`tfrs.layers`."""

from __future__ import annotations

from ..._absent import absent
from . import factorized_top_k

__all__ = ["factorized_top_k"]
__getattr__ = absent("tercel.tfrs.layers", __all__)
