"""`tfrs.layers`."""

from __future__ import annotations

from . import factorized_top_k

__all__ = ["factorized_top_k"]
