"""`merlin.models.utils.dataset`: one row for each id."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute

from ... import differs
from ...io import Dataset
from ...schema import Schema, Tags


def unique_rows_by_features(
    dataset: Dataset, features_tag: Tags | str, grouping_tag: Tags | str = Tags.ITEM_ID
) -> Dataset:
    """The features with a tag, one row for each id: the last that the dataset has of it.

    >>> import tercel, warnings
    >>> from tercel.merlin.io import Dataset
    >>> from tercel.merlin.schema import ColumnSchema, Schema, Tags
    >>> schema = Schema([ColumnSchema("user_id", tags=[Tags.USER_ID]), ColumnSchema("item_id", tags=[Tags.ITEM_ID])])
    >>> unique_rows_by_features(Dataset(tercel.demo_purchases(), schema=schema), Tags.ITEM, Tags.ITEM_ID).num_rows
    20
    """
    key = dataset.schema.select_by_tag(grouping_tag).first.name
    features = dataset.schema.select_by_tag(features_tag)
    columns = Schema([dataset.schema[key], *(column for column in features if column.name != key)])
    return Dataset(last_of_each(dataset.to_arrow(), key, columns.column_names), schema=columns)


def last_of_each(table: pa.Table, key: str, columns: list[str]) -> pa.Table:
    """The last row of each key: a feature that changes between the rows of one id has its newest value.

    >>> import pyarrow as pa
    >>> from tercel.merlin.models.utils.dataset import last_of_each
    >>> rows = pa.table({"user_id": [1, 2, 1], "city": ["Rome", "Oslo", "Rome"]})
    >>> last_of_each(rows, "user_id", ["user_id", "city"]).to_pylist()
    [{'user_id': 1, 'city': 'Rome'}, {'user_id': 2, 'city': 'Oslo'}]
    """
    others = [name for name in columns if name != key]
    grouped = table.select([key, *others]).group_by(key, use_threads=False)
    last = grouped.aggregate([(name, "last") for name in others] if others else [])
    last = last.rename_columns([name.removesuffix("_last") if name != key else name for name in last.column_names])
    if others:
        counts = table.select([key, *others]).group_by(key).aggregate([(name, "count_distinct") for name in others])
        changing = [name for name in others if (pa.compute.max(counts[f"{name}_count_distinct"]).as_py() or 0) > 1]
        if changing:
            differs(
                f"{', '.join(changing)} changes between the rows of one {key}; Tercel reads features of users and "
                "items, not of rows: the last value of each is taken"
            )
    return last.select(columns)
