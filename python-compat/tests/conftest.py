"""Data with a known taste, and what is trained on it once for all tests."""

from __future__ import annotations

import pyarrow as pa
import pytest
import tercel

from .planted import planted


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
    return tercel.Model.train(
        data, out, dim=16, epochs=10, batch_size=256, early_stop="off", progress=False, device="cpu"
    )


@pytest.fixture(scope="session")
def bought() -> tuple[pa.Table, pa.Table]:
    """Rows to train on, and later ones: groups of users and items that features tell too."""
    rows = planted(again=True)
    users, items = rows["user_id"].to_pylist(), rows["item_id"].to_pylist()
    rows = rows.append_column("age_group", pa.array([f"a{user % 6}" for user in users]))
    rows = rows.append_column("category", pa.array([f"c{item % 12}" for item in items]))
    rows = rows.append_column("price", pa.array([float(item % 40) + 0.5 for item in items]))
    return rows.slice(0, 4_800), rows.slice(4_800)
