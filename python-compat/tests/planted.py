"""Purchases with a known answer, and what tests of several files need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

DAY = 86_400


def planted(
    users: int = 400, items: int = 120, each: int = 14, groups: int = 6, seed: int = 0, again: bool = False
) -> pa.Table:
    """Purchases of users who mostly stay in their group: item `i` is of group `i % groups`, user `u` of `u % groups`.

    Within a group popularity falls, so that the popularity baseline finds something, and far less than a model that
    knows the groups. No user has an item twice, unless `again`.
    """
    rng = np.random.default_rng(seed)
    shares = 1.0 / (1.0 + np.arange(items // groups))
    rows: list[tuple[int, int, int]] = []
    for user in range(users):
        own = np.arange(items // groups) * groups + user % groups
        weights = np.full(items, 0.05 / items)
        weights[own] += 0.95 * shares / shares.sum()
        had = rng.choice(items, size=each, replace=again, p=weights / weights.sum())
        rows += [(user, int(item), 1_600_000_000 + DAY * visit + user) for visit, item in enumerate(had)]
    rows.sort(key=lambda row: row[2])
    return pa.table(
        {
            "user_id": pa.array([user for user, _, _ in rows], pa.int64()),
            "item_id": pa.array([10_000 + item for _, item, _ in rows], pa.int64()),
            "timestamp": pa.array([at for _, _, at in rows], pa.int64()),
        }
    )


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of every file of a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
