"""Data with a known taste, and what is trained on it once for all tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tercel

DAY = 86_400


def planted(users: int = 400, items: int = 120, each: int = 14, groups: int = 6, seed: int = 0) -> pa.Table:
    """Purchases of users who mostly stay in their group: item `i` is of group `i % groups`, user `u` of `u % groups`.

    Within a group popularity falls, so that the popularity baseline finds something, and far less than a model that
    knows the groups. No user has an item twice.
    """
    rng = np.random.default_rng(seed)
    shares = 1.0 / (1.0 + np.arange(items // groups))
    rows: list[tuple[int, int, int]] = []
    for user in range(users):
        own = np.arange(items // groups) * groups + user % groups
        weights = np.full(items, 0.05 / items)
        weights[own] += 0.95 * shares / shares.sum()
        had = rng.choice(items, size=each, replace=False, p=weights / weights.sum())
        rows += [(user, int(item), 1_600_000_000 + DAY * visit + user) for visit, item in enumerate(had)]
    rows.sort(key=lambda row: row[2])
    return pa.table(
        {
            "user_id": pa.array([user for user, _, _ in rows], pa.int64()),
            "item_id": pa.array([10_000 + item for _, item, _ in rows], pa.int64()),
            "timestamp": pa.array([at for _, _, at in rows], pa.int64()),
        }
    )


@pytest.fixture(scope="session")
def purchases() -> pa.Table:
    return planted()


@pytest.fixture(scope="session")
def data(purchases: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> tercel.Dataset:
    out = tmp_path_factory.mktemp("data") / "planted"
    return tercel.Dataset.build(purchases, out, split="last-per-user:1", progress=False)


@pytest.fixture(scope="session")
def model(data: tercel.Dataset, tmp_path_factory: pytest.TempPathFactory) -> tercel.Model:
    out = tmp_path_factory.mktemp("model") / "planted"
    return tercel.Model.train(data, out, dim=16, epochs=10, batch_size=256, progress=False, device="cpu")


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of every file of a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
