"""What tests of Merlin's names share: a schema, two towers, the most popular items, and what differences were told."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import tercel.merlin.models.tf as mm
from tercel.merlin import MerlinDifference
from tercel.merlin.schema import ColumnSchema, Schema, Tags

PLAIN = Schema(
    [
        ColumnSchema("user_id", tags=[Tags.USER_ID]),
        ColumnSchema("item_id", tags=[Tags.ITEM_ID]),
        ColumnSchema("timestamp", tags=[Tags.TIME]),
    ]
)


def towers(schema: Schema = PLAIN, width: int = 16, **settings: Any) -> tuple[mm.Encoder, mm.Encoder]:
    def encoder(tag: Tags) -> mm.Encoder:
        block = mm.MLPBlock([width], no_activation_last_layer=True)
        return mm.Encoder(mm.InputBlockV2(schema.select_by_tag(tag)), block, **settings)

    return encoder(Tags.USER), encoder(Tags.ITEM)


def popular(train: pa.Table, later: pa.Table, k: int) -> float:
    """Recall@k of the most popular items, mean over users."""
    counts = train["item_id"].value_counts().to_pylist()
    best = {one["values"] for one in sorted(counts, key=lambda one: -one["counts"])[:k]}
    relevant: dict[int, set[int]] = {}
    for user, item in zip(later["user_id"].to_pylist(), later["item_id"].to_pylist(), strict=True):
        relevant.setdefault(user, set()).add(item)
    return float(np.mean([len(items & best) / len(items) for items in relevant.values()]))


def differences(said: list[warnings.WarningMessage]) -> list[str]:
    assert all(issubclass(one.category, MerlinDifference) for one in said), [str(one.message) for one in said]
    return [str(one.message) for one in said]
