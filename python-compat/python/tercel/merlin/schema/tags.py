"""`merlin.schema.tags`."""

from __future__ import annotations

from . import Tags

__all__ = ["Tags"]
