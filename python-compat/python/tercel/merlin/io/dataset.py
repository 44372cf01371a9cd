"""`merlin.io.dataset`."""

from __future__ import annotations

from . import Dataset

__all__ = ["Dataset"]
