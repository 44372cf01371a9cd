"""Merlin's loader: ranks have equal batches, epochs differ and come again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import tercel.merlin.models.tf as mm
from tercel.merlin.io import Dataset

from .planted import planted
from .two_towers import PLAIN


def test_ranks_have_equal_batches() -> None:
    rows = pa.table({"user_id": range(1_003), "item_id": range(1_003), "timestamp": range(1_003)})
    for drop_last in (False, True):
        seen: list[int] = []
        shapes = []
        for rank in range(4):
            loader = mm.Loader(
                Dataset(rows, schema=PLAIN), batch_size=32, global_size=4, global_rank=rank, drop_last=drop_last
            )
            batches = [inputs["user_id"] for inputs, _ in loader]
            assert len(batches) == len(loader)
            shapes.append([len(batch) for batch in batches])
            seen += np.concatenate(batches).tolist()
        assert all(shape == shapes[0] for shape in shapes), "a rank with more batches would wait for ever"
        assert len(seen) == len(set(seen)) and len(seen) >= 4 * (250 // 32 * 32)


def test_epochs_of_a_loader_differ_and_come_again() -> None:
    loaders = [mm.Loader(Dataset(planted(20), schema=PLAIN), batch_size=64, seed_fn=lambda: 3) for _ in range(2)]
    first, again = ([inputs["item_id"].tolist() for inputs, _ in loader] for loader in loaders)
    second = [inputs["item_id"].tolist() for inputs, _ in loaders[0]]
    assert first == again != second
    for epoch in (first, second):
        assert sorted(item for batch in epoch for item in batch) == sorted(planted(20)["item_id"].to_pylist())
