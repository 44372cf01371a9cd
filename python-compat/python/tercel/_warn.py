"""Warnings at the line of the script that they are for."""

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
    """Warns at the first line that is not this package's: once for each such line, where nobody asks for more."""
    if _SAID.get() and _SAID.get() in words:
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    warnings.warn(words, category, stacklevel=level)


@contextmanager
def said(words: str) -> Iterator[None]:
    """Does not warn meanwhile of what has these words: it is said in others. Filters of `warnings` would not do: to set
    them makes Python forget what it has shown.
    """
    before = _SAID.set(words)
    try:
        yield
    finally:
        _SAID.reset(before)
