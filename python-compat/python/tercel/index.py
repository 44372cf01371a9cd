"""Search for items by dot product, exactly or with a target recall that is measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _core
from ._counts import as_json, count, mapping_of, number
from ._tables import PathLike, path_of, text_of
from .errors import ShapeError

Rule: TypeAlias = "str | dict[str, Any]"
"""A tag, or `{"tag": …}`, `{"items": […]}`, `{"all": [rules]}`, `{"any": [rules]}`, `{"not": rule}`."""

NO_ITEM = 2**32 - 1
"""The number in a place without an item."""


class Index:
    """An index of items, identified by numbers from 0 to 2^32 - 2.

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
        biases: npt.NDArray[np.float32] | None = None,
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
            biases: A value for each row, added to its scores, such as the item's popularity. By default none.
            ids: Their numbers; 0, 1, … by default.
            queries: Held-out queries with which recall is measured: a thousand or more embeddings of users. By default,
                items are used as queries.
            recall: The minimum mean recall@k; `None` for an exact index.
            k: The k of the recall.
            seed: The seed of its lists and samples.
            threads: 0 for every core.
            catalogue: A name for the catalogue.
            device: `cpu`, `cuda:N` or `auto`.

        Raises:
            ConfigError: For a recall or k that is out of range.
            ShapeError: If vectors, biases, ids and queries do not fit together, or a value is not finite.
        """
        numbers = None if ids is None else _numbers(ids)
        asked = None if queries is None else _rows(queries)
        recall = None if recall is None else number("recall", recall)
        catalogue, device = text_of(catalogue, "catalogue"), text_of(device, "device")
        k, seed, threads = count("k", k), count("seed", seed), count("threads", threads)
        rows, added = _rows(vectors), _biases(biases)
        core = _core.ItemIndex.build(rows, added, numbers, asked, recall, k, seed, threads, catalogue, device)
        return cls(core)

    @classmethod
    def open(cls, path: PathLike, *, device: str = "cpu", threads: int = 0, mmap: bool = False) -> Index:
        """Opens an index file.

        Args:
            path: The file.
            device: `cpu`, `cuda:N` or `auto`.
            threads: 0 for every core.
            mmap: Maps the file instead of reading it into memory, so that several processes share its pages. It must
                then not be overwritten while it is open (replace it by rename): if it is truncated, the process ends
                with a line that names it.

        Raises:
            DamagedError: If a byte of it has changed.
            OutOfMemoryError: If it does not fit into memory.
        """
        return cls(_core.ItemIndex.open(path_of(path, "path"), device, count("threads", threads), bool(mmap)))

    def save(self, path: PathLike) -> None:
        """Writes the index into one file, completely or not at all."""
        self._core.save(path_of(path, "path"))

    def search(
        self,
        queries: npt.NDArray[np.float32],
        k: int = 10,
        *,
        skip: Sequence[Iterable[int]] | None = None,
        only: Rule | None = None,
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
        """The best `k` items of each query: item numbers and scores, descending, ties by number. A score is the dot
        product with the item's vector, plus the item's bias if the index has biases. Places without an item contain
        `NO_ITEM` and -inf.

        Args:
            queries: Rows of D values. Searching many at once is far faster than one by one.
            k: Items per query.
            skip: For each query, the items that must not be returned.
            only: The only items that may be returned.

        Raises:
            ConfigError: For an empty rule, a tag that no item has, or a negative `k`.
            ShapeError: If the width of the queries differs from that of the vectors, or their number from the lists.
        """
        lists = None
        if skip is not None:
            offsets, values = [0], []
            for one in _several(skip, "skip"):
                values.extend(sorted(set(_numbers(_several(one, "skip")).tolist())))
                offsets.append(len(values))
            lists = offsets, values
        k = count("k", k)
        rule = None if only is None else as_json({"tag": only} if isinstance(only, str) else mapping_of(only, "only"))
        rows = _rows(queries, "queries")
        if len(rows) and rows.shape[1] != self.dim:
            raise ShapeError(f"queries are {rows.shape[1]} wide, the index's vectors {self.dim}")
        return self._core.search(rows, k, lists, rule)

    def set_tag(self, tag: str, items: Iterable[int]) -> None:
        """Sets the tag on exactly these items and removes it from all others."""
        self._core.set_tag(text_of(tag, "tag"), _numbers(_several(items, "items")).tolist())

    @property
    def tags(self) -> dict[str, int]:
        """All tags, each with its number of items."""
        return dict(self._core.tags())

    def add(
        self,
        ids: npt.NDArray[np.uint32],
        vectors: npt.NDArray[np.float32],
        biases: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Adds items, or replaces them. An index with biases needs one for each item, and one without takes none.

        Raises:
            ShapeError: If ids, vectors and biases do not fit together, or the width differs from that of the index.
        """
        self._core.add(_numbers(ids), _rows(vectors), _biases(biases))

    def remove(self, ids: Iterable[int]) -> int:
        """Removes items, and returns how many of them were in the index."""
        return self._core.remove(_numbers(_several(ids, "ids")).tolist())

    def measure(self) -> dict[str, Any] | None:
        """Measures recall again, with its interval and under filters; `None` for an exact index, which every index of a
        few thousand items is.
        """
        found: dict[str, Any] | None = json.loads(self._core.measure())
        return found

    @property
    def about(self) -> dict[str, Any]:
        """The kind, settings and measurements of the index."""
        found: dict[str, Any] = json.loads(self._core.about())
        return found

    @property
    def rebuild_advised(self) -> str | None:
        """The reason why the index should be rebuilt, or None."""
        return self._core.rebuild_advised()

    @property
    def has_biases(self) -> bool:
        """Whether each item has a bias that is added to its scores."""
        return self._core.has_biases()

    @property
    def dim(self) -> int:
        """The width of the vectors."""
        return self._core.shape()[1]

    def __len__(self) -> int:
        """The number of items."""
        return self._core.shape()[0]


def _rows(values: npt.NDArray[np.float32], what: str = "vectors") -> npt.NDArray[np.float32]:
    """Contiguous float32 rows: a view where they are that already."""
    try:
        rows = np.atleast_2d(np.asarray(values))
    except ValueError as error:  # rows of different widths
        raise ShapeError(f"{what}: {error}") from None
    if rows.ndim != 2:
        raise ShapeError(f"{what}: rows of values are needed, not an array of {rows.ndim} dimensions")
    if rows.dtype.kind not in "fiub":
        raise ShapeError(f"{what}: numbers are needed, not {rows.dtype}")
    return np.ascontiguousarray(rows, dtype=np.float32)


def _biases(values: npt.ArrayLike | None) -> npt.NDArray[np.float32] | None:
    """One float32 value for each item, if there are any."""
    if values is None:
        return None
    given = np.asarray(values)
    if given.ndim != 1 or given.dtype.kind not in "fiub":
        raise ShapeError(f"biases: a list of numbers is needed, not {given.dtype} of shape {given.shape}")
    return np.ascontiguousarray(given, dtype=np.float32)


def _several(values: Any, what: str) -> list[Any]:
    """A list of anything that can be iterated over."""
    try:
        return list(values)
    except TypeError:
        raise ShapeError(f"{what}: a list is needed, not {type(values).__name__}") from None


def _numbers(ids: npt.ArrayLike) -> npt.NDArray[np.uint32]:
    """Item numbers, checked: a conversion alone would turn -2 into an item."""
    try:
        given = np.asarray(ids)
    except ValueError as error:
        raise ShapeError(f"item numbers: {error}") from None
    if given.size == 0:
        return np.zeros(0, dtype=np.uint32)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise ShapeError(f"item numbers: a list of whole numbers is needed, not {given.dtype} of shape {given.shape}")
    if given.min() < 0 or given.max() >= NO_ITEM:
        wrong = given[(given < 0) | (given >= NO_ITEM)][0]
        raise ShapeError(f"item numbers: {wrong} is not from 0 to {NO_ITEM - 1}")
    return np.ascontiguousarray(given, dtype=np.uint32)
