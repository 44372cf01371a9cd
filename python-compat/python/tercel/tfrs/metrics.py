"""`tfrs.metrics`."""

from __future__ import annotations

from typing import Any

from .._absent import absent
from .._counts import count, several
from ..merlin import unused


class FactorizedTopK:
    """Metrics over the full catalogue. The candidates are always all items of the training rows.

    >>> import tercel.tfrs as tfrs
    >>> tfrs.metrics.FactorizedTopK(candidates=None).ks
    (1, 5, 10, 50, 100)
    """

    def __init__(self, candidates: Any = None, ks: tuple[int, ...] = (1, 5, 10, 50, 100), **others: Any) -> None:
        """Takes TFRS's arguments."""
        unused("FactorizedTopK", others)
        self.candidates, self.ks = candidates, tuple(count("ks", k) for k in several(ks, "ks"))


__all__ = ["FactorizedTopK"]
__getattr__ = absent("tercel.tfrs.metrics", __all__)
