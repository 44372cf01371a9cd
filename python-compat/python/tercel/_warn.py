"""Warnings that point to the line of the user's script."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PACKAGE = __name__.split(".")[0]

_SAID: ContextVar[str] = ContextVar("_SAID", default="")
"""What the caller says itself; nothing where this is empty."""


def warn(words: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the innermost caller outside this package: by default once for each such line."""
    if _SAID.get() and _SAID.get() in words:
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    warnings.warn(words, category, stacklevel=level)


@contextmanager
def said(words: str) -> Iterator[None]:
    """Suppresses warnings that contain these words, because the caller reports the same in its own words. The filters
    of `warnings` are not used: setting them makes Python forget which warnings it has shown.
    """
    before = _SAID.set(words)
    try:
        yield
    finally:
        _SAID.reset(before)
