"""Borrowed names: figures that mean something else say so, names that are not there say so, batches are batches."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tercel
import tercel.merlin.models.tf as mm
import tercel.tf as tf
import tercel.tfrs as tfrs
from tercel.merlin import MerlinDifference
from tercel.merlin.io import Dataset
from tercel.merlin.models.utils.dataset import last_of_each
from tercel.merlin.schema import ColumnSchema, Schema, Tags

IDS = Schema([ColumnSchema("user_id", tags=[Tags.USER_ID]), ColumnSchema("item_id", tags=[Tags.ITEM_ID])])
ROWS = tercel.demo_purchases()


class Shop(tfrs.Model):
    def __init__(self) -> None:
        self.user, self.item = (tf.keras.Sequential([tf.keras.layers.Embedding(1, 8)]) for _ in range(2))

    def compute_loss(self, features: Any, training: bool = False) -> Any:
        return tfrs.tasks.Retrieval()(self.user(features["user_id"]), self.item(features["item_id"]))


@pytest.fixture(scope="module")
def merlins() -> mm.TwoTowerModelV2:
    model = mm.MatrixFactorizationModelV2(IDS, dim=8)
    model.compile("adam", metrics=[mm.RecallAt(5), mm.MRRAt(5)])
    model.fit(Dataset(ROWS, schema=IDS), epochs=1, verbose=0, device="cpu")
    return model  # type: ignore[return-value]


@pytest.fixture(scope="module")
def shop() -> Shop:
    model = Shop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MerlinDifference)
        model.fit(tf.data.Dataset.from_tensor_slices(ROWS).batch(64), epochs=1, verbose=0, device="cpu")
    return model


def told(call: Any, filter: Any = "always") -> list[str]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter(filter)
        call()
    assert all(issubclass(one.category, MerlinDifference) and one.filename == __file__ for one in said)
    return [str(one.message) for one in said]


# -------------------------------------------------------------------------------------------------------------- figures


def test_figures_that_mean_something_else_say_so(merlins: mm.TwoTowerModelV2, shop: Shop) -> None:
    later = Dataset(ROWS.slice(500), schema=IDS)
    topk = merlins.to_top_k_encoder(k=5)
    rows = tf.data.Dataset.from_tensor_slices(ROWS)
    for call, whose in (
        (lambda: merlins.evaluate(later), "Merlin has a row for each interaction"),
        (lambda: merlins.evaluate(later, return_dict=False), "among the items of its batch"),
        (lambda: topk.evaluate(later), "Merlin's top-k encoder has a row for each interaction"),
        (lambda: topk.evaluate(mm.Loader(later)), "with one relevant item"),
        (lambda: shop.evaluate(rows.take(50)), "TFRS has a row for each interaction"),
    ):
        words = told(call)
        assert len(words) == 1 and whose in words[0] and "a user is one row here" in words[0], words
        assert "whole catalogue" in words[0] and "MRR@10" in words[0]
    fresh = Shop()
    words = told(lambda: fresh.fit(rows.batch(64), epochs=1, verbose=0, device="cpu"))
    assert len(words) == 1 and "a mean over rows; TFRS reports the sum" in words[0]


def test_once_for_each_place(merlins: mm.TwoTowerModelV2) -> None:
    later = Dataset(ROWS.slice(500), schema=IDS)

    def twice() -> None:
        for _ in range(3):
            merlins.evaluate(later)
        merlins.evaluate(later)

    assert len(told(twice, "default")) == 2


def test_the_figures_are_of_users(merlins: mm.TwoTowerModelV2) -> None:
    """What the warning says, counted by hand: a user with two rows is one, and each user weighs the same."""
    later = pa.table(
        {"user_id": ["u0", "u0", "u0", "u1"], "item_id": ["i0", "i2", "i4", "i1"], "timestamp": [2**31] * 4}
    )
    merlins.metrics = [mm.RecallAt(5), mm.MRRAt(5)]
    with pytest.warns(MerlinDifference):
        found = merlins.evaluate(Dataset(later, schema=IDS))
    top = merlins.trained.recommend(5, users=["u0", "u1"], include_seen=True, progress=False).to_pylist()
    lists = {user: [row["item"] for row in top if row["user"] == user] for user in ("u0", "u1")}
    wanted = {"u0": {"i0", "i2", "i4"}, "u1": {"i1"}}
    recall = [len(wanted[user] & set(lists[user])) / len(wanted[user]) for user in wanted]
    places = [next((i + 1 for i, item in enumerate(lists[user]) if item in wanted[user]), 0) for user in wanted]
    assert found["recall_at_5"] == pytest.approx(np.mean(recall))
    assert found["mrr_at_5"] == pytest.approx(np.mean([1 / place if place else 0 for place in places]))


def test_strangers_of_a_top_k_encoder_are_counted(merlins: mm.TwoTowerModelV2) -> None:
    topk = merlins.to_top_k_encoder(k=3)
    for users, words in (
        (["u0", "who"], "1 of 2 users are unknown to the model (`who` is the first)"),
        ([7, 8, 8], "2 of 2 users"),
        (["U0", "u0", "u1"], "1 of 3 users"),
    ):
        asked = Dataset(pa.table({"user_id": users, "item_id": ["i0"] * len(users)}), schema=IDS)
        for call, where in ((topk.batch_predict, "batch_predict"), (topk.predict, "predict")):
            said = told(lambda call=call, asked=asked: call(asked))
            assert len(said) == 1 and words in said[0] and said[0].startswith(f"{where}: ")
    known = Dataset(pa.table({"user_id": ["u1", "u0", "u1"], "item_id": ["i0"] * 3}), schema=IDS)
    scores, ids = topk.predict(known)
    assert scores.shape == ids.shape == (3, 3) and (ids[0] == ids[2]).all()


@pytest.mark.parametrize("users", [[22.0, 7.0], ["u0", None], [True, False]])
def test_users_that_are_no_ids_are_refused(merlins: mm.TwoTowerModelV2, users: list[Any]) -> None:
    asked = Dataset(pa.table({"user_id": users, "item_id": ["i0"] * 2}), schema=IDS)
    for call in (merlins.to_top_k_encoder(k=3).batch_predict, merlins.to_top_k_encoder(k=3).predict):
        with pytest.raises(tercel.RowError, match="users: row"):
            call(asked)


def test_embeddings_are_those_of_the_dataset(merlins: mm.TwoTowerModelV2) -> None:
    some = Dataset(pa.table({"user_id": ["u3", "u1", "u3"], "item_id": ["i2", "i2", "i0"]}), schema=IDS)
    users, items = merlins.query_embeddings(some).to_arrow(), merlins.candidate_embeddings(some).to_arrow()
    assert users["user_id"].to_pylist() == ["u3", "u1"] and items["item_id"].to_pylist() == ["i2", "i0"]
    assert np.array_equal(users["embedding"].to_pylist(), merlins.trained.user_embeddings(["u3", "u1"]))
    assert merlins.query_embeddings().num_rows == 30 and merlins.candidate_embeddings().num_rows == 20


# ---------------------------------------------------------------------------------------------- names that are not here


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("tercel.tf", "Tensor"),
        ("tercel.tf", "random"),
        ("tercel.tf", "string"),
        ("tercel.tf", "Variable"),
        ("tercel.tf.data", "experimental"),
        ("tercel.tf.keras", "callbacks"),
        ("tercel.tf.keras.layers", "TextVectorization"),
        ("tercel.tf.keras.optimizers", "RMSprop"),
        ("tercel.tfrs", "experimental"),
        ("tercel.tfrs.tasks", "Ranking"),
        ("tercel.tfrs.layers", "dcn"),
        ("tercel.tfrs.layers.factorized_top_k", "TopK"),
        ("tercel.merlin.models.tf", "DLRMModel"),
        ("tercel.merlin.io", "dispatch"),
        ("tercel.merlin.schema", "Domain"),
    ],
)
def test_names_that_are_not_here_say_so(module: str, name: str) -> None:
    found = importlib.import_module(module)
    with pytest.raises(tercel.NotHereError, match=f"{module} has no `{name}`; it has .*README") as error:
        getattr(found, name)
    assert isinstance(error.value, AttributeError) and not hasattr(found, name)
    with pytest.raises(ImportError):
        exec(f"from {module} import {name}")


def test_what_must_be_written_says_so() -> None:
    with pytest.raises(NotImplementedError, match="write compute_loss"):
        tfrs.Model().compute_loss({})
    with pytest.raises(tercel.NotWrittenError, match="write call"):
        tf.keras.Model()(1)


# -------------------------------------------------------------------------------------------------------------- tf.data


def dataset(rows: int = 10) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(
        {"user_id": np.array([f"u{i}" for i in range(rows)]), "n": np.arange(rows)}
    )


def test_batches_are_batches() -> None:
    batches = dataset().batch(4)
    assert len(batches) == 3 and [list(batch["n"]) for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [list(batch["n"]) for batch in batches.take(1)] == [[0, 1, 2, 3]]
    assert [list(batch["n"]) for batch in batches.skip(2)] == [[8, 9]]
    assert [list(batch["n"]) for batch in dataset().batch(4, drop_remainder=True)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [row["n"] for row in batches.unbatch().take(2)] == [0, 1] and len(batches.take(-1)) == 3
    names = dataset().map(lambda row: row["user_id"]).batch(3)
    assert np.unique(np.concatenate(list(names))).tolist() == sorted(f"u{i}" for i in range(10))
    pairs = dataset().map(lambda row: (row["n"], row["user_id"]))
    assert next(iter(pairs)) == (0, "u0") and next(iter(pairs.batch(2)))[1].tolist() == ["u0", "u1"]
    assert [row["n"] for row in dataset(9_000)] == list(range(9_000))
    with pytest.raises(tercel.ConfigError, match="in batches already"):
        batches.batch(2)
    with pytest.warns(MerlinDifference, match="TensorFlow keeps each batch together"):
        batches.shuffle(10)


@pytest.mark.parametrize("number", [0, -1, 2.5, "all", None])
def test_batches_of_no_size_are_refused(number: Any) -> None:
    with pytest.raises(tercel.ConfigError, match="batch"):
        dataset().batch(number)
    with pytest.raises(tercel.ConfigError, match="batch"):
        mm.Loader(Dataset(ROWS, schema=IDS), batch_size=number)


def test_values_keep_their_kind() -> None:
    made = tf.data.Dataset.from_tensor_slices({"a": [b"x", b"y"], "b": ["0022", "1.0"], "c": [1, 2], "d": [0.5, None]})
    assert list(made) == [{"a": "x", "b": "0022", "c": 1, "d": 0.5}, {"a": "y", "b": "1.0", "c": 2, "d": None}]
    assert list(tf.data.Dataset.from_tensor_slices(pd.Series(["0022"]))) == ["0022"]
    assert list(tf.data.Dataset.from_tensor_slices(np.array([b"0022"]))) == ["0022"]


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": [1, "a"]},
        {"a": ["a", 1.5]},
        {"a": [b"\xff"]},
        {"a": [1, 2], "b": [1]},
        {"a": "abc"},
        {"a": np.eye(2)},
        {},
        [1, "a"],
        "rows.csv",
        b"rows.csv",
        (["a"], ["b"]),
        7,
        None,
    ],
    ids=str,
)
def test_slices_of_no_table_are_refused(tensors: Any) -> None:
    with pytest.raises(tercel.TercelError) as error:
        tf.data.Dataset.from_tensor_slices(tensors)
    assert error.value.path == "tensors"


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (lambda row: row["movie"], tercel.SchemaError, "no column 'movie'; a row has user_id, n"),
        (lambda row: int(row["n"]), tercel.ConfigError, "called once, with columns"),
        (lambda row: row["n"] + 1, tercel.ConfigError, "called once, with columns"),
        (lambda row: row["user_id"].lower(), tercel.ConfigError, "called once, with columns"),
    ],
)
def test_functions_that_compute_are_refused(function: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        dataset().map(function)


def test_plans_that_are_none_are_refused() -> None:
    embedding = tf.keras.layers.Embedding(9, 4)
    values: Any = np.eye(2)
    for call in (
        lambda: embedding(values),
        lambda: tf.keras.layers.StringLookup()(values),
        lambda: tf.keras.layers.Dense(4)(values),
        lambda: tf.concat([values], axis=1),
        lambda: tf.concat([], axis=1),
        lambda: tf.keras.layers.Embedding(9, 2.5),  # type: ignore[arg-type]
        lambda: tf.keras.layers.StringLookup().adapt(dataset()),
        lambda: list(dataset().map(lambda row: embedding(row["user_id"]))),
        lambda: Shop().fit(dataset().map(lambda row: (row["user_id"], row["n"]))),
        lambda: Shop().fit({"user_id": ["a"]}),  # type: ignore[arg-type]
        lambda: Shop().evaluate(dataset()),
    ):
        with pytest.raises(tercel.TercelError):
            call()


def test_vocabularies_count_what_keras_counts() -> None:
    names = dataset().map(lambda row: row["user_id"])
    for settings, places in (({"mask_token": None}, 1), ({"mask_token": ""}, 2), ({}, 1)):
        lookup = tf.keras.layers.StringLookup(**settings)
        lookup.adapt(names)
        assert lookup.vocabulary_size() == 10 + places


# ------------------------------------------------------------------------------------------------------ features of ids


def test_lists_and_gaps_of_features() -> None:
    rows = pa.table({"item_id": [1, 2, 1, 2], "tags": [["a"], None, ["a"], ["b"]], "price": [1.0, 2.0, None, 2.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        last = last_of_each(rows, "item_id", ["item_id", "tags", "price"])
    assert last.to_pylist() == [
        {"item_id": 1, "tags": ["a"], "price": None},
        {"item_id": 2, "tags": ["b"], "price": 2.0},
    ]
    other = rows.set_column(1, "tags", pa.array([["a"], ["b"], ["c"], ["b"]]))
    with pytest.warns(MerlinDifference, match="tags changes"):
        last_of_each(other, "item_id", ["item_id", "tags"])
    with pytest.raises(tercel.SchemaError, match="no column `sku`"):
        last_of_each(rows, "item_id", ["item_id", "sku"])
    with pytest.raises(tercel.SchemaError, match="no id"):
        last_of_each(rows, "tags", ["tags", "price"])
