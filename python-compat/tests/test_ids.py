"""Ids: the same text in and out, or a refusal with its place. Nobody gets another person's list in silence."""

from __future__ import annotations

import datetime
import enum
import uuid
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import tercel
import tercel.tf as tf
import tercel.tfrs as tfrs
from tercel._ids import raw_ids
from tercel._tables import users_source
from tercel.merlin import MerlinDifference

HASH = uuid.UUID("12345678123456781234567812345678")


class Kind(str, enum.Enum):
    GOLD = "gold"


class Tensor:
    """What an eager tensor shows of itself."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def numpy(self) -> Any:
        return self.values


# ---------------------------------------------------------------------------------------------------------- what is one

GOOD: dict[str, tuple[Any, list[str]]] = {
    "texts": (["u1", "0022", "1.0", "é"], ["u1", "0022", "1.0", "é"]),
    "numbers": ([22, -3, 10**20], ["22", "-3", "100000000000000000000"]),
    "both": (["a", 7], ["a", "7"]),
    "bytes": ([b"u1", bytearray(b"u2"), memoryview(b"u3")], ["u1", "u2", "u3"]),
    "NumPy's numbers": ([np.int8(4), np.uint64(2**64 - 1)], ["4", "18446744073709551615"]),
    "NumPy's bytes": (np.array([b"u1", "é".encode()]), ["u1", "é"]),
    "NumPy's texts": (np.array(["u1", "0022"]), ["u1", "0022"]),
    "an array of numbers": (np.array([1, 2], np.uint16), ["1", "2"]),
    "an array of objects": (np.array(["a", 2], object), ["a", "2"]),
    "an array of bytes objects": (np.array([b"a", b"bc"], object), ["a", "bc"]),
    "a tensor of bytes": (Tensor([b"u1"]), ["u1"]),
    "a list of tensors": ([Tensor(b"u1"), Tensor(7)], ["u1", "7"]),
    "UUIDs": ([HASH], ["12345678-1234-5678-1234-567812345678"]),
    "whole decimals": ([Decimal("22"), Decimal(10**25)], ["22", "1" + "0" * 25]),
    "an enumeration of texts": ([Kind.GOLD], ["gold"]),
    "pyarrow": (pa.array(["u1", "0022"]), ["u1", "0022"]),
    "pyarrow's numbers": (pa.chunked_array([[1], [2]]), ["1", "2"]),
    "pyarrow's binary": (pa.array([b"u1"]), ["u1"]),
    "pyarrow's dictionary": (pa.array(["u1", "u2", "u1"]).dictionary_encode(), ["u1", "u2", "u1"]),
    "pyarrow's decimals": (pa.array([Decimal(22)], pa.decimal128(38, 0)), ["22"]),
    "pyarrow's scalars": (list(pa.array(["a", "b"])), ["a", "b"]),
    "pandas": (pd.Series(["u1", "0022"]), ["u1", "0022"]),
    "pandas' index": (pd.Index([7, 8]), ["7", "8"]),
    "pandas' own integers": (pd.Series([1, 2], dtype="Int64"), ["1", "2"]),
    "pandas' categories": (pd.Series(["a", "b"], dtype="category"), ["a", "b"]),
    "Polars": (pl.Series(["u1", "0022"]), ["u1", "0022"]),
    "a generator": ((f"u{i}" for i in range(2)), ["u0", "u1"]),
    "keys": ({"a": 1}.keys(), ["a"]),
    "a range": (range(2), ["0", "1"]),
}


@pytest.mark.parametrize("kind", GOOD)
def test_ids_keep_their_text(kind: str) -> None:
    given, texts = GOOD[kind]
    assert raw_ids(given) == texts


BAD: dict[str, tuple[Any, str]] = {
    "a float": (22.0, "22.0 is a float and no id"),
    "NumPy's float": (np.float32(22), "22.0 is a float"),
    "infinity": (float("inf"), "inf is a float"),
    "NaN": (float("nan"), "nan stands for a missing value"),
    "NumPy's NaN": (np.float64("nan"), "nan stands for a missing value"),
    "None": (None, "None stands for a missing value"),
    "pandas' NA": (pd.NA, "<NA> stands for a missing value"),
    "pandas' NaT": (pd.NaT, "NaT stands for a missing value"),
    "true": (True, "True is a bool"),
    "NumPy's true": (np.True_, "True is a bool"),
    "a decimal": (Decimal("22.0"), "is a decimal with a fraction"),
    "a large decimal": (Decimal("1E+3"), "is a decimal with a fraction or an exponent"),
    "a day": (datetime.date(2024, 1, 5), "is a date and no id"),
    "a moment": (pd.Timestamp("2024-01-05"), "is a Timestamp and no id"),
    "NumPy's moment": (np.datetime64("2024-01-05", "ns"), "is a datetime64 and no id"),
    "NumPy's span": (np.timedelta64(5, "ns"), "is a timedelta64 and no id"),
    "bytes that are no text": (b"\xff\xfe", "is not UTF-8"),
    "half a letter": ("a\ud800", "cannot be written as UTF-8"),
    "nothing": ("", "is empty"),
    "no bytes": (b"", "is empty"),
    "a row": ({"user_id": "u1"}, "is a dict and no id"),
    "a pair": (("u1", "i1"), "is a tuple and no id"),
    "a tensor of a float": (Tensor(1.5), "1.5 is a float"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_id_is_refused_with_its_place(kind: str) -> None:
    value, words = BAD[kind]
    with pytest.raises(tercel.RowError, match="users: row 2: ") as error:
        raw_ids(["u1", value], "users")
    assert words in str(error.value)
    assert (error.value.path, error.value.row) == ("users", 2)


@pytest.mark.parametrize(
    "column",
    [
        np.array([1.0, 2.0]),
        np.array([True]),
        np.array(["2024-01-05"], "datetime64[ns]"),
        np.ma.masked_array([1, 2], [False, True]),
        pa.array([1.0]),
        pa.array([1, None]),
        pa.array([None, "a"]),
        pa.array([datetime.date(2024, 1, 5)]),
        pa.array([Decimal("1.50")]),
        pd.Series([22, None]),
        pd.Series(["a", None]),
        pd.Series([1, None], dtype="Int64"),
        pl.Series([1.5]),
        pl.Series(["a", None]),
    ],
    ids=str,
)
def test_columns_with_one_that_is_no_id_are_refused(column: Any) -> None:
    with pytest.raises(tercel.RowError) as error:
        raw_ids(column)
    assert error.value.row in (1, 2)


@pytest.mark.parametrize(
    "given",
    [
        "u1",
        b"u1",
        7,
        2.5,
        {"user_id": ["u1"]},
        pd.DataFrame({"user_id": ["u1"]}),
        pl.DataFrame({"user_id": ["u1"]}),
        pa.table({"user_id": ["u1"]}),
        np.array([["u1"]]),
        np.array("u1"),
        Tensor("u1"),
        Tensor([["u1"]]),
        object(),
        None,
    ],
    ids=lambda given: type(given).__name__,
)
def test_what_is_no_list_of_ids_is_refused(given: Any) -> None:
    with pytest.raises(tercel.KindError, match="ids: ") as error:
        raw_ids(given)
    assert isinstance(error.value, TypeError) and error.value.path == "ids"


# --------------------------------------------------------------------------------------------------------- who is asked


def test_who_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("user_id\nu1\n")
    assert users_source(None) is None
    assert users_source(file) == users_source(str(file)) == str(file)
    for ids in (["u1", b"u2"], {"u1": 0, "u2": 0}.keys(), pd.Series(["u1", "u2"]), pl.Series(["u1", "u2"])):
        assert users_source(ids) == ["u1", "u2"]
    rows = pa.table({"user_id": ["u1", "u2"]})
    tables = (
        rows,
        rows.to_batches(),
        rows.to_batches()[0],
        rows.to_pandas(),
        rows.to_reader(),
        pl.from_arrow(rows),
        {"user_id": ["u1", "u2"]},
        np.array([("u1",), ("u2",)], [("user_id", "U2")]),
    )
    for table in tables:
        source = users_source(table)
        assert isinstance(source, tuple) and source[0] == "users"
        assert pa.RecordBatchReader.from_stream(source[1]).read_all()["user_id"].to_pylist() == ["u1", "u2"]


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ([], tercel.DataError, "no users"),
        (np.array([]), tercel.DataError, "no users"),
        ("u1", tercel.FileError, r"one user is a list too: \['u1'\]"),
        (b"u1", tercel.KindError, "is one value"),
        (42, tercel.KindError, "is one value"),
        ([{"user_id": "u1"}], tercel.RowError, "is a dict and no id"),
        ([22.0], tercel.RowError, "row 1"),
        (pd.DataFrame(index=pd.Index(["u1"], name="user_id")), tercel.DataError, r"reset_index\(\)"),
        (pa.table({}), tercel.DataError, "no columns"),
        (pa.table([["a"], ["b"]], names=["user_id", "user_id"]), tercel.SchemaError, "`user_id` appears twice"),
        (pd.DataFrame([["a", "b"]], columns=["user", "user"]), tercel.SchemaError, "`user` appears twice"),
    ],
    ids=str,
)
def test_nobody_is_asked_for_by_mistake(given: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as error:
        users_source(given)
    assert isinstance(error.value, tercel.TercelError) and error.value.path


# ----------------------------------------------------------------------------------------------------------------- TFRS


class Shop(tfrs.Model):
    def __init__(self) -> None:
        self.user, self.item = (tf.keras.Sequential([tf.keras.layers.Embedding(1, 8)]) for _ in range(2))

    def compute_loss(self, features: Any, training: bool = False) -> Any:
        return tfrs.tasks.Retrieval()(self.user(features["user_id"]), self.item(features["item_id"]))


@pytest.fixture(scope="module")
def index() -> Any:
    shop = Shop()
    rows = tf.data.Dataset.from_tensor_slices(tercel.demo_purchases())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MerlinDifference)
        shop.fit(rows.batch(64), epochs=2, verbose=0, device="cpu")
    items = tf.data.Dataset.from_tensor_slices(sorted(set(tercel.demo_purchases()["item_id"].to_pylist())))
    return tfrs.layers.factorized_top_k.BruteForce(shop.user, k=5).index_from_dataset(items)


def test_exclusions_are_of_a_row_each(index: Any) -> None:
    plain = index(["u0", "u1"])[1]
    first, other = list(plain[0]), list(plain[1])
    queries = ["u0", "u1", "u0", "u0"]
    exclusions = [first[:2], other[:1], [], [first[4]]]
    scores, items = index.query_with_exclusions(queries, exclusions, k=3)
    assert [list(row) for row in items] == [first[2:5], other[1:4], first[:3], first[:3]]
    assert (np.diff(scores, axis=1) <= 0).all()
    # The same one by one, whatever stands beside it.
    for query, out, row in zip(queries, exclusions, items, strict=True):
        assert list(index.query_with_exclusions([query], [out], k=3)[1][0]) == list(row)


def test_exclusions_of_arrays_and_bytes(index: Any) -> None:
    first = list(index(["u0"])[1][0])
    for out in (
        np.array([[first[0], first[1]]]),
        np.array([[one.encode() for one in first[:2]]]),
        Tensor([first[:2]]),
        pa.array([first[:2]]),
        [[first[0], first[1], "", "no such item"]],
        [set(first[:2])],
    ):
        assert list(index.query_with_exclusions(["u0"], out, k=3)[1][0]) == first[2:5]


def test_what_is_excluded_altogether(index: Any) -> None:
    everything = list(index(["u0"], k=20)[1][0])
    scores, items = index.query_with_exclusions(["u0", "u1"], [everything, []], k=2)
    assert list(items[0]) == [None, None] and np.isneginf(scores[0]).all() and None not in list(items[1])
    # More than is asked for at once: a search of its own, with the same answer.
    many = [f"stranger-{i}" for i in range(1_200)] + everything[:3]
    _, items = index.query_with_exclusions(["u1", "u0"], [[], many], k=2)
    assert list(items[1]) == everything[3:5] and list(items[0]) == list(index(["u1"], k=2)[1][0])


@pytest.mark.parametrize(
    ("queries", "exclusions"),
    [(["u0"], []), (["u0"], [["i0"], ["i1"]]), (["u0"], ["i0"]), (["u0"], [None]), (["u0", "u1"], [["i0"], 7])],
)
def test_exclusions_that_do_not_fit_are_refused(index: Any, queries: Any, exclusions: Any) -> None:
    with pytest.raises(tercel.ShapeError, match="exclusions"):
        index.query_with_exclusions(queries, exclusions)
    with pytest.raises(tercel.RowError, match=r"exclusions\[0\]: row 1: 3.0"):
        index.query_with_exclusions(["u0"], [[3.0]])


def test_ids_as_bytes_are_the_same_people(index: Any) -> None:
    scores, items = index(["u0", "u7"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for queries in (
            [b"u0", b"u7"],
            np.array([b"u0", b"u7"]),
            np.array([b"u0", b"u7"], object),
            tf.constant(["u0", "u7"]),
            tf.constant([b"u0", b"u7"]),
            Tensor([b"u0", b"u7"]),
            pa.array([b"u0", b"u7"]),
            pd.Series(["u0", "u7"]),
            {"user_id": np.array(["u0", "u7"])},
        ):
            again = index(queries)
            assert (again[1] == items).all() and (again[0] == scores).all()


@pytest.mark.parametrize("wrong", [22.0, float("nan"), None, True, b"\xff", pd.NA, Decimal("1.5")], ids=str)
def test_queries_that_are_no_ids_are_refused(index: Any, wrong: Any) -> None:
    with pytest.raises(tercel.RowError, match="queries: row 2"):
        index(["u0", wrong])


@pytest.mark.parametrize("queries", ["u0", {"age": [3]}, {"user_id": ["u0"], "age": [3]}, {}, [["u0"]], {"u0", None}])
def test_queries_that_are_no_list_of_users_are_refused(index: Any, queries: Any) -> None:
    with pytest.raises(tercel.TercelError, match="queries"):
        index(queries)


@pytest.mark.parametrize(
    ("queries", "words"),
    [
        (["u0", "nobody"], "1 of 2 users are unknown to the model (`nobody` is the first)"),
        (["0", "1", "u2", "0"], "2 of 3 users are unknown to the model (`0` is the first)"),
        ([7, b"U0", "u0 "], "3 of 3 users"),
    ],
)
def test_strangers_are_counted(index: Any, queries: Any, words: str) -> None:
    with pytest.warns(MerlinDifference) as said:
        _, items = index(queries)
    assert len(said) == 1 and words in str(said[0].message) and said[0].filename == __file__
    assert items.shape == (len(queries), 5)


def test_candidates_that_could_be_two_columns_are_refused() -> None:
    rows = tf.data.Dataset.from_tensor_slices(tercel.demo_purchases())
    brute = tfrs.layers.factorized_top_k.BruteForce(k=3)
    with pytest.raises(tercel.ConfigError, match="user_id, item_id, timestamp"):
        brute.index_from_dataset(rows)
    with pytest.raises(tercel.RowError, match="identifiers: row 2: nan"):
        brute.index(None, ["i1", float("nan")])
    with pytest.raises(tercel.ConfigError, match="candidates: empty"):
        brute.index(None, [])
    with pytest.warns(MerlinDifference, match="no identifiers are given"):
        brute.index(np.eye(3))


# -------------------------------------------------------------------------------------------- everything that takes ids


@pytest.mark.parametrize("wrong", [22.0, None, float("nan"), True, Decimal("7.5"), datetime.date(2024, 1, 5)], ids=str)
def test_every_door_refuses_them(model: tercel.Model, wrong: Any) -> None:
    doors: list[Any] = [
        lambda: model.recommend(users=[wrong], progress=False),
        lambda: model.recommend(items=[wrong], progress=False),
        lambda: model.user_embeddings([wrong]),
        lambda: model.item_embeddings([wrong]),
        lambda: model.index_queries([wrong]),
    ]
    for door in doors:
        with pytest.raises(tercel.RowError):
            door()


@pytest.mark.parametrize("ids", [[b"7"], np.array([b"7"]), [np.int64(7)], [Decimal(7)], pd.Series([7], dtype="Int64")])
def test_every_door_takes_the_same_person(model: tercel.Model, ids: Any) -> None:
    assert np.array_equal(model.user_embeddings(ids), model.user_embeddings([7]))
    assert model.recommend(users=ids, progress=False).equals(model.recommend(users=["7"], progress=False))


@pytest.mark.parametrize("column", ["user_id", "item_id"])
@pytest.mark.parametrize(
    "values",
    [pa.array([1.0, 2.0]), pa.array([True, False]), pa.array([datetime.date(2024, 1, 5)] * 2), pa.array([[1], [2]])],
    ids=lambda values: str(values.type),
)
def test_columns_that_hold_no_ids_are_refused(column: str, values: pa.Array) -> None:
    rows = pa.table({"user_id": ["a", "b"], "item_id": ["x", "y"]})
    rows = rows.set_column(rows.column_names.index(column), column, values)
    with pytest.raises(tercel.SchemaError) as error:
        tercel.Dataset.build(rows, progress=False)
    assert (error.value.path, error.value.column) == ("interactions", column)
