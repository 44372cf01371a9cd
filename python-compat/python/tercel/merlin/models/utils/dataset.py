"""`merlin.models.utils.dataset`: one row of features per id."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...._absent import absent
from ....errors import KindError, SchemaError
from ... import differs
from ...io import Dataset
from ...schema import Schema, Tags

_ROW = "\0row"


def unique_rows_by_features(
    dataset: Dataset, features_tag: Tags | str, grouping_tag: Tags | str = Tags.ITEM_ID
) -> Dataset:
    """Selects the features with a tag, one row per id: the last row of that id in the dataset.

    >>> import tercel, warnings
    >>> from tercel.merlin.io import Dataset
    >>> from tercel.merlin.schema import ColumnSchema, Schema, Tags
    >>> schema = Schema([ColumnSchema("user_id", tags=[Tags.USER_ID]), ColumnSchema("item_id", tags=[Tags.ITEM_ID])])
    >>> unique_rows_by_features(Dataset(tercel.demo_purchases(), schema=schema), Tags.ITEM, Tags.ITEM_ID).num_rows
    20
    """
    if not isinstance(dataset, Dataset):
        raise KindError(f"dataset: a merlin.io.Dataset is needed, not {type(dataset).__name__}", path="dataset")
    key = dataset.schema.select_by_tag(grouping_tag).first.name
    features = dataset.schema.select_by_tag(features_tag)
    columns = Schema([dataset.schema[key], *(column for column in features if column.name != key)])
    return Dataset(last_of_each(dataset.to_arrow(), key, columns.column_names), schema=columns)


def last_of_each(table: pa.Table, key: str, columns: list[str]) -> pa.Table:
    """Returns the last row of each key, so that a feature that changes between the rows of an id has its latest value.

    >>> import pyarrow as pa
    >>> from tercel.merlin.models.utils.dataset import last_of_each
    >>> rows = pa.table({"user_id": [1, 2, 1], "city": ["Rome", "Oslo", "Rome"]})
    >>> last_of_each(rows, "user_id", ["user_id", "city"]).to_pylist()
    [{'user_id': 1, 'city': 'Rome'}, {'user_id': 2, 'city': 'Oslo'}]
    """
    others = [name for name in columns if name != key]
    for name in columns:
        if name not in table.column_names:
            words = ", ".join(table.column_names)
            raise SchemaError(f"no column `{name}`; there are {words}", path="dataset", column=name)
    keyed = pa.table({key: table[key], _ROW: pa.array(np.arange(table.num_rows))})
    try:
        last = keyed.group_by(key, use_threads=False).aggregate([(_ROW, "max")])
    except pa.ArrowException as error:
        raise SchemaError(f"column {key}: {table[key].type} is no id: {error}", path="dataset", column=key) from error
    if others:
        places = pc.index_in(table[key], value_set=last[key])
        newest = last[f"{_ROW}_max"].take(places)
        changing = [name for name in others if not _same(table[name], table[name].take(newest))]
        if changing:
            differs(
                f"{', '.join(changing)} changes between the rows of one {key}; Tercel reads features of users and "
                "items, not of rows: the last value of each is taken"
            )
    return table.select(columns).take(last[f"{_ROW}_max"])


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Whether two columns have the same values where both have one."""
    if pa.types.is_nested(one.type):
        pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
        return all(a is None or b is None or a == b for a, b in pairs)
    return bool(pc.all(pc.fill_null(pc.equal(one, other), True)).as_py() in (True, None))


__all__ = ["last_of_each", "unique_rows_by_features"]
__getattr__ = absent("tercel.merlin.models.utils.dataset", __all__)
