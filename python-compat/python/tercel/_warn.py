"""Warnings at the line of the script that they are for."""

from __future__ import annotations

import sys
import warnings

_PACKAGE = __name__.split(".")[0]


def warn(words: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the first line that is not this package's: once for each such line, where nobody asks for more."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    warnings.warn(words, category, stacklevel=level)
