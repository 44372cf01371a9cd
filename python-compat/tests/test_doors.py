"""Every door, everything odd behind it: what comes out is an answer or a `TercelError`."""

from __future__ import annotations

import datetime
import decimal
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import tercel
import tercel.merlin.models.tf as mm
import tercel.tf as tf
import tercel.tfrs as tfrs
from tercel.merlin.io import Dataset
from tercel.merlin.models.utils.dataset import unique_rows_by_features
from tercel.merlin.schema import ColumnSchema, Schema, Tags
from tercel.tf._plan import Column
from tercel.tf.keras.optimizers import optimizer_settings

ROWS = tercel.demo_purchases(users=6, items=8, each=4)
IDS = Schema([ColumnSchema("user_id", ["user_id"]), ColumnSchema("item_id", ["item_id"])])
EYE = np.eye(4, dtype=np.float32)

Door = Callable[[Any], Any]


def odd() -> Iterator[Any]:
    """Made anew for each door: some are used up."""
    yield from (None, 0, -1, 2.5, float("nan"), True, "", "x", b"x", b"\xff", np.int64(3), decimal.Decimal("1.5"))
    yield from ([], [1], ["a"], [None], [1.5], [[1]], (), {}, {"a": 1}, {"a": [1]}, {1, 2}, iter([1]))
    yield from (object(), type, datetime.date(2024, 1, 5), np.zeros(3), np.zeros((2, 2)), np.array(["a"]))
    yield from (pd.DataFrame(), pd.DataFrame({"a": [1]}), pd.Series([1.5]), pl.DataFrame(), pl.Series(["a"]))
    yield from (pa.table({}), pa.table({"a": [1]}), pa.array([1]), pa.array([None]))


def build(name: str) -> Door:
    def door(value: Any) -> Any:
        given: dict[str, Any] = {name: value}
        return tercel.Dataset.build(given.pop("interactions", ROWS), progress=False, **given)

    return door


def fitted(name: str) -> Door:
    def door(value: Any) -> Any:
        model = mm.MatrixFactorizationModelV2(IDS, dim=4)
        return model.fit(Dataset(ROWS, schema=IDS), verbose=0, **{"epochs": 1, name: value})

    return door


def compiled(value: Any) -> Any:
    model = mm.MatrixFactorizationModelV2(IDS, dim=4)
    model.compile(value)
    return model.fit(Dataset(ROWS, schema=IDS), verbose=0)


def lossy(value: Any) -> Any:
    class Lossy(tfrs.Model):
        def compute_loss(self, inputs: Any, training: bool = False) -> Any:
            return value

    return Lossy().fit(tf.data.Dataset.from_tensor_slices({"a": [1]}))


# fmt: off
SETTINGS = (
    "interactions", "valid", "test", "user_features", "item_features", "user", "item", "time", "weight", "split",
    "user_feature_kinds", "user_key", "item_key", "min_user_count", "on_error", "format", "sep", "columns", "quote",
    "escape", "null", "time_unit", "time_format", "threads", "seed",
)
# fmt: on

DOORS: dict[str, Door] = {
    **{f"Dataset.build: {name}": build(name) for name in SETTINGS},
    "Dataset": lambda v: tercel.Dataset(v),
    "read_table": lambda v: tercel.read_table(v),
    "read_interactions": lambda v: tercel.read_interactions(v),
    "device_for": lambda v: tercel.device_for(v),
    "Index.build": lambda v: tercel.Index.build(v, recall=None),
    "Index.build: ids": lambda v: tercel.Index.build(EYE, ids=v, recall=None),
    "Index.build: queries": lambda v: tercel.Index.build(EYE, queries=v, recall=None),
    "Index.build: recall": lambda v: tercel.Index.build(EYE, recall=v),
    "Index.build: k": lambda v: tercel.Index.build(EYE, recall=None, k=v),
    "Index.build: device": lambda v: tercel.Index.build(EYE, recall=None, device=v),
    "Index.build: catalogue": lambda v: tercel.Index.build(EYE, recall=None, catalogue=v),
    "Index.open": lambda v: tercel.Index.open(v),
    "Index.search": lambda v: tercel.Index.build(EYE, recall=None).search(v),
    "Index.search: skip": lambda v: tercel.Index.build(EYE, recall=None).search(EYE[:1], skip=v),
    "Index.search: only": lambda v: tercel.Index.build(EYE, recall=None).search(EYE[:1], only=v),
    "Index.set_tag": lambda v: tercel.Index.build(EYE, recall=None).set_tag(v, [1]),
    "Index.set_tag: items": lambda v: tercel.Index.build(EYE, recall=None).set_tag("red", v),
    "Index.add": lambda v: tercel.Index.build(EYE, recall=None).add(v, EYE[:1]),
    "Index.add: vectors": lambda v: tercel.Index.build(EYE, recall=None).add(np.array([9], np.uint32), v),
    "Index.remove": lambda v: tercel.Index.build(EYE, recall=None).remove(v),
    "merlin.Dataset": lambda v: Dataset(v),
    "merlin.Dataset: schema": lambda v: Dataset(ROWS, schema=v),
    "merlin.Dataset: engine": lambda v: Dataset(ROWS, engine=v),
    "Schema": lambda v: Schema(v),
    "Schema[]": lambda v: IDS[v],
    "Schema.select": lambda v: IDS.select(v),
    "Schema.select_by_tag": lambda v: IDS.select_by_tag(v),
    "Schema.excluding_by_name": lambda v: IDS.excluding_by_name(v),
    "ColumnSchema": lambda v: ColumnSchema(v),
    "ColumnSchema: tags": lambda v: ColumnSchema("a", tags=v),
    "unique_rows_by_features": lambda v: unique_rows_by_features(v, Tags.USER),
    "unique_rows_by_features: tag": lambda v: unique_rows_by_features(Dataset(ROWS, schema=IDS), v),
    "Loader": lambda v: mm.Loader(v),
    "Loader: batch_size": lambda v: mm.Loader(Dataset(ROWS, schema=IDS), batch_size=v),
    "MLPBlock": lambda v: mm.MLPBlock(v),
    "MLPBlock: activation": lambda v: mm.MLPBlock([4], activation=v),
    "Encoder": lambda v: mm.Encoder(v),
    "Encoder: blocks": lambda v: mm.Encoder(IDS, v),
    "InputBlockV2": lambda v: mm.InputBlockV2(v),
    "MatrixFactorizationModelV2": lambda v: mm.MatrixFactorizationModelV2(v, dim=8),
    "MatrixFactorizationModelV2: dim": lambda v: mm.MatrixFactorizationModelV2(IDS, dim=v),
    "TwoTowerModel": lambda v: mm.TwoTowerModel(v, mm.MLPBlock([4])),
    "fit": lambda v: mm.MatrixFactorizationModelV2(IDS, dim=4).fit(v, verbose=0),
    **{f"fit: {name}": fitted(name) for name in ("validation_data", "batch_size", "epochs", "seed", "device")},
    "compile": compiled,
    "compile: metrics": lambda v: mm.MatrixFactorizationModelV2(IDS, dim=4).compile(metrics=v),
    "from_tensor_slices": lambda v: tf.data.Dataset.from_tensor_slices(v),
    "tf.data: take": lambda v: tf.data.Dataset.from_tensor_slices([1, 2]).take(v),
    "tf.data: batch": lambda v: tf.data.Dataset.from_tensor_slices([1, 2]).batch(v),
    "tf.data: shuffle": lambda v: tf.data.Dataset.from_tensor_slices([1, 2]).shuffle(9, seed=v),
    "tf.data: map": lambda v: tf.data.Dataset.from_tensor_slices([1, 2]).map(v),
    "tf.data: mapped": lambda v: list(tf.data.Dataset.from_tensor_slices([1, 2]).map(lambda _: v)),
    "tf.concat": lambda v: tf.concat(v),
    "Embedding": lambda v: tf.keras.layers.Embedding(3, v),
    "Dense": lambda v: tf.keras.layers.Dense(v),
    "Dense: activation": lambda v: tf.keras.layers.Dense(3, v),
    "StringLookup": lambda v: tf.keras.layers.StringLookup(v),
    "StringLookup.adapt": lambda v: tf.keras.layers.StringLookup().adapt(v),
    "Sequential": lambda v: tf.keras.Sequential([v])(Column("a")) if v is not type else None,
    "optimizer_settings": optimizer_settings,
    "SGD": lambda v: optimizer_settings(tf.keras.optimizers.SGD(v)),
    "Retrieval: temperature": lambda v: tfrs.tasks.Retrieval(temperature=v),
    "FactorizedTopK: ks": lambda v: tfrs.metrics.FactorizedTopK(ks=v),
    "tfrs.fit": lambda v: tfrs.Model().fit(v),
    "compute_loss": lossy,
    "BruteForce": lambda v: tfrs.layers.factorized_top_k.BruteForce(v)(["u1"]),
    "BruteForce.index": lambda v: tfrs.layers.factorized_top_k.BruteForce().index(None, v),
    "BruteForce.index_from_dataset": lambda v: tfrs.layers.factorized_top_k.BruteForce().index_from_dataset(v),
}


def leaks(door: Door) -> list[str]:
    """What comes out that is no error of ours."""
    found = []
    for value in odd():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                door(value)
            except tercel.TercelError as error:
                assert str(error)
            except Exception as error:
                found.append(f"{value!r}: {type(error).__name__}: {error}")
    return found


@pytest.mark.parametrize("name", DOORS)
def test_what_comes_out_is_an_error_of_ours(name: str) -> None:
    assert leaks(DOORS[name]) == []


@pytest.fixture(scope="module")
def merlins() -> Any:
    model = mm.MatrixFactorizationModelV2(IDS, dim=4)
    model.fit(Dataset(ROWS, schema=IDS), verbose=0, device="cpu")
    return model


@pytest.mark.parametrize(
    "door",
    [
        lambda model: model.evaluate,
        lambda model: model.to_top_k_encoder(k=3).predict,
        lambda model: model.to_top_k_encoder(k=3).batch_predict,
        lambda model: model.to_top_k_encoder(k=3).evaluate,
        lambda model: model.to_top_k_encoder,
        lambda model: lambda value: model.to_top_k_encoder(k=value),
        lambda model: model.query_embeddings,
        lambda model: model.candidate_embeddings,
    ],
)
def test_what_comes_out_of_a_trained_model(door: Callable[[Any], Door], merlins: Any) -> None:
    assert leaks(door(merlins)) == []


def test_what_comes_out_of_evaluation(model: tercel.Model, data: tercel.Dataset) -> None:
    wrong: Any = tercel.evaluate
    doors: list[Door] = [
        lambda v: wrong(v, data, progress=False),
        lambda v: wrong(model, v, progress=False),
        lambda v: wrong(model, data, v, progress=False),
        lambda v: wrong(model, data, k=v, bootstrap=0, progress=False),
        lambda v: wrong(model, data, bootstrap=v, progress=False),
        data.to_arrow,
        data.rows,
    ]
    assert [leak for door in doors for leak in leaks(door)] == []


@pytest.mark.parametrize("path", [3, b"folder", None, ["a"]])
def test_paths_of_another_kind_are_named(path: Any) -> None:
    for call in (lambda: tercel.Dataset(path), lambda: tercel.Index.open(path)):
        with pytest.raises(tercel.KindError):
            call()


def test_evaluation_of_something_else(model: tercel.Model, data: tercel.Dataset) -> None:
    wrong: Any
    for wrong in ("data", data.path, None):
        with pytest.raises(tercel.ConfigError, match=r"dataset: a tercel\.Dataset is needed"):
            tercel.evaluate(model, wrong)
    for wrong in ("model", model.path, None):
        with pytest.raises(tercel.ConfigError, match=r"model: a tercel\.Model is needed"):
            tercel.evaluate(wrong, data)
    for wrong in ("10", 2.5, [5, "10"], None):
        with pytest.raises(tercel.ConfigError, match="k: "):
            tercel.evaluate(model, data, k=wrong, progress=False)
    assert tercel.evaluate(model, data, k=np.int64(5), bootstrap=0, progress=False).metrics  # type: ignore[arg-type]
