"""Converts a dataset of joined rows to a Tercel dataset: interactions, and one row of features per user and item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from .._tables import together
from ..dataset import Dataset as Encoded
from ..errors import ConfigError, SchemaError
from .io import Dataset
from .models.utils.dataset import last_of_each
from .schema import ColumnSchema, Schema, Tags


@dataclass(frozen=True)
class Columns:
    """The roles of the columns."""

    user: str
    item: str
    time: str | None
    user_features: tuple[ColumnSchema, ...]
    item_features: tuple[ColumnSchema, ...]

    @staticmethod
    def of(schema: Schema, user_tower: Schema, item_tower: Schema) -> Columns:
        """Finds the ids and times by the tags of the dataset's schema; features are the other columns that the towers
        read.
        """
        one = {}
        for tag in (Tags.USER_ID, Tags.ITEM_ID):
            found = schema.select_by_tag(tag).column_names
            if len(found) != 1:
                words = f"{len(found)} columns have the tag {tag}" + (f": {', '.join(found)}" if found else "")
                raise ConfigError(f"schema: {words}; one must", field="schema")
            one[tag] = found[0]
        times = schema.select_by_tag(Tags.TIME).column_names
        if len(times) > 1:
            raise ConfigError(f"schema: {len(times)} columns have the tag time: {', '.join(times)}", field="schema")
        ids = set(one.values())
        features = [
            tuple(column for column in tower if column.name not in ids and column.name in schema)
            for tower in (user_tower, item_tower)
        ]
        return Columns(one[Tags.USER_ID], one[Tags.ITEM_ID], times[0] if times else None, features[0], features[1])

    def interactions(self, table: pa.Table) -> pa.Table:
        """The columns of users, items and times."""
        return selected(table, [name for name in (self.user, self.item, self.time) if name is not None])

    def features(self, tables: list[pa.Table], side: Literal["user", "item"]) -> pa.Table | None:
        """The features of a side, one row per user or item, or None if it has no features."""
        key, features = (self.user, self.user_features) if side == "user" else (self.item, self.item_features)
        if not features:
            return None
        names = [key, *(column.name for column in features)]
        # The training rows come last: what they say of an id holds, whatever later rows say.
        rows = [selected(table, names) for table in reversed(tables)]
        return last_of_each(together(rows), key, names)

    def kinds(self, side: Literal["user", "item"]) -> dict[str, str]:
        """The kinds of features that have a tag; the others are detected from their values."""
        features = self.user_features if side == "user" else self.item_features
        kinds = {}
        for column in features:
            if Tags.CONTINUOUS in column.tags:
                kinds[column.name] = "numeric"
            elif Tags.CATEGORICAL in column.tags and not column.is_list and Tags.LIST not in column.tags:
                kinds[column.name] = "categorical"
        return kinds


def selected(table: pa.Table, names: list[str]) -> pa.Table:
    """Selects columns of a table.

    Raises:
        SchemaError: If one is missing.
    """
    for name in names:
        if name not in table.column_names:
            words = ", ".join(table.column_names) or "no columns"
            raise SchemaError(f"dataset: no column `{name}`; there are {words}", path="dataset", column=name)
    return table.select(names)


def encode(train: Dataset, held_out: Dataset | None, columns: Columns) -> Encoded:
    """Builds a dataset with `held_out` as its validation split. Everything is fitted on the training rows only."""
    rows = train.to_arrow()
    tables = [rows] if held_out is None else [rows, held_out.to_arrow()]
    later = None if held_out is None else columns.interactions(tables[1])
    return Encoded.build(
        columns.interactions(rows),
        user=columns.user,
        item=columns.item,
        time=columns.time,
        valid=later,
        user_features=columns.features(tables, "user"),
        item_features=columns.features(tables, "item"),
        user_feature_kinds=columns.kinds("user") if columns.user_features else None,
        item_feature_kinds=columns.kinds("item") if columns.item_features else None,
        progress=False,
        **train.times,
    )
