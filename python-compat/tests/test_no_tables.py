"""What is no table is refused in words; arrays by name are one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import tercel

from .small import frame


@pytest.mark.parametrize(
    ("table", "kind", "words"),
    [
        (pa.table({}), tercel.DataError, "no columns"),
        (pd.DataFrame(), tercel.DataError, "no columns"),
        (pl.DataFrame(), tercel.DataError, "no columns"),
        ({}, tercel.DataError, "no columns"),
        (pa.table([["a"], ["b"], ["c"]], names=["user_id", "item_id", "item_id"]), tercel.SchemaError, "appears twice"),
        (pd.DataFrame([["a", "b", 1]], columns=["user_id", "x", "x"]), tercel.SchemaError, "`x` appears twice"),
        (pd.Series(["a"], name="user_id"), tercel.KindError, "list of values"),
        (pl.Series("user_id", ["a"]), tercel.KindError, "list of values"),
        (pa.array(["a"]), tercel.KindError, "list of values"),
        (pa.chunked_array([["a"]]), tercel.KindError, "list of values"),
        (np.array([["a", "b"]]), tercel.KindError, "list of values"),
        (7, tercel.KindError, "int is no table"),
        (b"x.csv", tercel.TercelError, "table"),
        (frame(user_id=["a", 1], item_id=["x", "y"]), tercel.DataError, "no table"),
        ({"user_id": ["a", 1], "item_id": ["x", "y"]}, tercel.SchemaError, "column user_id"),
        ({"user_id": "abc", "item_id": ["x"]}, tercel.SchemaError, "column user_id"),
        ({"user_id": [1, 2], "item_id": [1]}, tercel.ShapeError, "no table"),
        ({"user_id": np.eye(2), "item_id": [1, 2]}, tercel.SchemaError, "column user_id"),
    ],
    ids=str,
)
def test_what_is_no_table_is_refused_in_words(table: Any, kind: type[tercel.TercelError], words: str) -> None:
    with pytest.raises(kind, match=words) as error:
        tercel.Dataset.build(table, progress=False)
    assert error.value.path == "interactions"


def test_streams_that_are_none() -> None:
    class Broken:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            raise ValueError("closed")

    class Number:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            return 7

    class Column:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            return pa.chunked_array([["a"]]).__arrow_c_stream__()

    for broken in (Broken(), Number(), Column()):
        with pytest.raises(tercel.TercelError) as built:
            tercel.Dataset.build(broken, progress=False)
        with pytest.raises(tercel.TercelError) as read:
            tercel.read_table(broken)
        assert (built.value.path, read.value.path) == ("interactions", "table")


def test_arrays_by_name_as_bytes_are_texts() -> None:
    made = tercel.Dataset.build({"user_id": np.array([b"a", b"b"]), "item_id": np.array(["x", "y"])}, progress=False)
    assert made.user_table()["id"].to_pylist()[1:] == ["a", "b"]
    records = np.array([("a", 1), ("b", 2)], [("user_id", "U1"), ("item_id", "i8")])
    assert tercel.Dataset.build(records, progress=False).items == 2
