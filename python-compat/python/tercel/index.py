"""Items to be found by inner product, exactly or with a recall that is kept and measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _core
from ._tables import PathLike

Rule: TypeAlias = "str | dict[str, Any]"
"""A tag, or `{"tag": …}`, `{"items": […]}`, `{"all": [rules]}`, `{"any": [rules]}`, `{"not": rule}`."""

NO_ITEM = 2**32 - 1
"""The number of a place without an item."""


class Index:
    """An index of items, known by numbers from 0 to 2^32 - 2.

    >>> import numpy as np, tercel
    >>> vectors = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], dtype=np.float32)
    >>> index = tercel.Index.build(vectors, recall=None)
    >>> ids, scores = index.search(np.array([[1.0, 0.1]], dtype=np.float32), k=2)
    >>> ids.tolist()
    [[0, 1]]
    >>> index.set_tag("red", [1, 2])
    >>> index.search(np.array([[1.0, 0.1]], dtype=np.float32), k=1, only="red")[0].tolist()
    [[1]]
    """

    def __init__(self, core: _core.ItemIndex) -> None:
        """Use `build`, `open` or `Model.build_index`."""
        self._core = core

    @classmethod
    def build(
        cls,
        vectors: npt.NDArray[np.float32],
        *,
        ids: npt.NDArray[np.uint32] | None = None,
        queries: npt.NDArray[np.float32] | None = None,
        recall: float | None = 0.95,
        k: int = 10,
        seed: int = 0,
        threads: int = 0,
        catalogue: str = "",
        device: str = "cpu",
    ) -> Index:
        """Builds an index.

        Args:
            vectors: Rows of D values.
            ids: Their numbers; 0, 1, … without them.
            queries: Held-out queries that recall is measured with: a thousand or more embeddings of users. Without
                them items stand in.
            recall: The mean recall@k that it must keep; `None` for an exact index.
            k: The k that the recall is meant for.
            seed: Of its lists and samples.
            threads: 0 for every core.
            catalogue: What catalogue this is, in your words.
            device: `cpu`, `cuda:N` or `auto`.

        Raises:
            ConfigError: For a recall or k that cannot be kept.
            ShapeError: When vectors, ids and queries do not fit together.
        """
        numbers = None if ids is None else np.ascontiguousarray(ids, dtype=np.uint32)
        asked = None if queries is None else _rows(queries)
        core = _core.ItemIndex.build(_rows(vectors), numbers, asked, recall, k, seed, threads, catalogue, device)
        return cls(core)

    @classmethod
    def open(cls, path: PathLike, *, device: str = "cpu", threads: int = 0) -> Index:
        """Opens an index file, mapped into memory.

        Raises:
            DamagedError: When a byte of it has changed.
        """
        return cls(_core.ItemIndex.open(Path(path), device, threads))

    def save(self, path: PathLike) -> None:
        """Writes the index into one file, whole or not at all."""
        self._core.save(Path(path))

    def search(
        self,
        queries: npt.NDArray[np.float32],
        k: int = 10,
        *,
        skip: Sequence[Iterable[int]] | None = None,
        only: Rule | None = None,
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
        """The best `k` items of each query: item numbers and scores, descending, ties by number. Places without an item
        hold `NO_ITEM` and -inf.

        Args:
            queries: Rows of D values. Asking for many at once is far faster than one by one.
            k: Items per query.
            skip: For each query the items that it must not be given.
            only: The only items that may be given.
        """
        lists = None
        if skip is not None:
            offsets, values = [0], []
            for one in skip:
                values.extend(sorted(set(one)))
                offsets.append(len(values))
            lists = offsets, values
        rule = None if only is None else json.dumps({"tag": only} if isinstance(only, str) else only)
        return self._core.search(_rows(queries), k, lists, rule)

    def set_tag(self, tag: str, items: Iterable[int]) -> None:
        """Gives these items, and no others, the tag."""
        self._core.set_tag(tag, list(items))

    @property
    def tags(self) -> dict[str, int]:
        """The tags, and how many items each has."""
        return dict(self._core.tags())

    def add(self, ids: npt.NDArray[np.uint32], vectors: npt.NDArray[np.float32]) -> None:
        """Adds items, or replaces them."""
        self._core.add(np.ascontiguousarray(ids, dtype=np.uint32), _rows(vectors))

    def remove(self, ids: Iterable[int]) -> int:
        """Removes items; answers how many were there."""
        return self._core.remove(list(ids))

    def measure(self) -> dict[str, Any] | None:
        """Measures recall again, with its interval and under filters; `None` for an exact index."""
        found: dict[str, Any] | None = json.loads(self._core.measure())
        return found

    @property
    def about(self) -> dict[str, Any]:
        """Its kind, its settings, and what was measured."""
        found: dict[str, Any] = json.loads(self._core.about())
        return found

    @property
    def rebuild_advised(self) -> str | None:
        """Why it should be built anew, if it should."""
        return self._core.rebuild_advised()

    @property
    def dim(self) -> int:
        """The width of the vectors."""
        return self._core.shape()[1]

    def __len__(self) -> int:
        """How many items it has."""
        return self._core.shape()[0]


def _rows(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Contiguous float32 rows: a view where they are that already."""
    return np.ascontiguousarray(np.atleast_2d(values), dtype=np.float32)
