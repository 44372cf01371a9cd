"""Temporary folders that are removed with the object that holds them."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path


class Scratch:
    """A temporary folder. It is removed when it is closed, when nothing refers to it any more, or when Python exits.

    >>> from tercel._scratch import Scratch
    >>> scratch = Scratch()
    >>> path = scratch.path
    >>> del scratch
    >>> path.exists()
    False
    """

    def __init__(self) -> None:
        """Makes it."""
        self.path = Path(tempfile.mkdtemp(prefix="tercel-"))
        # Unlike `tempfile.TemporaryDirectory` it says nothing when it goes by itself: that is what it is for.
        self._end = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def close(self) -> None:
        """Removes the folder now."""
        self._end()
