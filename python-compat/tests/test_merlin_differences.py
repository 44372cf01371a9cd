"""What is done in another way than in Merlin or TensorFlow Recommenders is told; what cannot be done is refused."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tercel
import tercel.merlin.models.tf as mm
import tercel.tf as tf
import tercel.tfrs as tfrs
from tercel.merlin import MerlinDifference
from tercel.merlin.io import Dataset
from tercel.merlin.models.utils.dataset import unique_rows_by_features
from tercel.merlin.schema import ColumnSchema, Schema, Tags
from tercel.tf.keras.optimizers import optimizer_settings

from .planted import planted
from .two_towers import PLAIN, differences, towers


@pytest.mark.parametrize(
    ("make", "what", "why"),
    [
        (lambda: mm.MLPBlock([64]), "MLPBlock: the last layer is linear", "no embedding a negative value"),
        (lambda: mm.MLPBlock([8], no_activation_last_layer=True, dropout=0.2), "no dropout here", "0.2 is left out"),
        (
            lambda: mm.MLPBlock([8], no_activation_last_layer=True, normalization="batch_norm"),
            "MLPBlock",
            "normalization",
        ),
        (lambda: mm.MLPBlock([8], use_bias=False, no_activation_last_layer=True), "MLPBlock", "use_bias has no effect"),
        (lambda: mm.EmbeddingOptions({"user_id": 8}), "EmbeddingOptions", "as wide as each other"),
        (lambda: mm.InputBlockV2(PLAIN, aggregation="element-wise-sum"), "InputBlockV2", "aggregation has no effect"),
        (lambda: mm.PopularityBasedSamplerV2(max_num_samples=5), "drawn evenly", "in-batch negatives are popular"),
        (lambda: mm.ContrastiveOutput(negative_samplers=["hard"]), "'hard'", "in-batch negatives are used"),
        (lambda: mm.ContrastiveOutput(false_negative_score=-9.0), "accidental hit", "false_negative_score"),
        (
            lambda: mm.ContrastiveOutput(post=mm.PopularityLogitsCorrection([0.5, 0.5]), logits_temperature=0.1),
            "Merlin divides log q by the temperature",
            "as in the paper",
        ),
        (lambda: mm.PopularityLogitsCorrection([1.0], reg_factor=0.5), "reg_factor is 1", "0.5"),
        (lambda: mm.TwoTowerModelV2(*towers(), lr=1), "TwoTowerModelV2", "lr has no effect"),
        (lambda: mm.TwoTowerModelV2(*towers()).compile(metrics=["auc"]), "auc is left out", "ranks"),
        (lambda: mm.TwoTowerModelV2(*towers()).compile(loss="bpr"), "softmax", "bpr"),
        (lambda: mm.Loader(Dataset(planted(9), schema=PLAIN), transform=len), "transform is left out", "no targets"),
        (lambda: mm.Loader(Dataset(planted(9), schema=PLAIN)).map(len), "transform is left out", "no targets"),
        (lambda: Dataset(planted(9)), "no schema", "user_id is user_id, item_id is item_id, timestamp is time"),
        (lambda: tfrs.tasks.Retrieval(num_hard_negatives=5), "every candidate", "hardest"),
        (lambda: tfrs.tasks.Retrieval(loss="bpr"), "softmax", "loss"),
        (lambda: tfrs.metrics.FactorizedTopK(None, metrics=[]), "FactorizedTopK", "metrics has no effect"),
        (lambda: tf.keras.optimizers.Adam(0.1, clipnorm=1.0), "Adam", "clipnorm has no effect"),
        (lambda: tf.keras.layers.Embedding(9, 4, embeddings_regularizer="l2"), "Embedding", "embeddings_regularizer"),
        (lambda: tf.keras.layers.Dense(4, use_bias=False), "Dense", "use_bias has no effect"),
    ],
)
def test_each_difference_is_told(make: Any, what: str, why: str) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        make()
    told = differences(said)
    assert len(told) == 1 and what in told[0] and why in told[0], told
    assert said[0].filename == __file__


def test_what_cannot_be_done_is_refused() -> None:
    for make in (
        lambda: mm.MLPBlock([8], activation="gelu", no_activation_last_layer=True),
        lambda: mm.MLPBlock([]),
        lambda: mm.Encoder(mm.InputBlockV2(PLAIN), object()),
        lambda: mm.TwoTowerModelV2(*towers()).evaluate(Dataset(planted(9), schema=PLAIN)),
        lambda: tf.keras.layers.Dense(8, activation="tanh"),
        lambda: optimizer_settings("rmsprop"),
    ):
        with pytest.raises(tercel.ConfigError):
            make()


def test_towers_of_different_widths_are_refused(bought: tuple[pa.Table, pa.Table]) -> None:
    model = mm.TwoTowerModelV2(towers(width=16)[0], towers(width=8)[1])
    with pytest.raises(tercel.ConfigError, match="widths must be equal"):
        model.fit(Dataset(bought[0], schema=PLAIN), verbose=0)


def test_features_that_vary_by_row(bought: tuple[pa.Table, pa.Table]) -> None:
    rows = bought[0].set_column(5, "price", pa.array(np.arange(bought[0].num_rows, dtype=np.float64)))
    schema = PLAIN + Schema([ColumnSchema("price", tags=[Tags.ITEM, Tags.CONTINUOUS])])
    with pytest.warns(MerlinDifference, match="price changes between the rows of one item_id.*the last value") as said:
        unique = unique_rows_by_features(Dataset(rows, schema=schema), Tags.ITEM, Tags.ITEM_ID).to_arrow()
    assert len(said) == 1
    last = {item: price for item, price in zip(rows["item_id"].to_pylist(), rows["price"].to_pylist(), strict=True)}
    assert dict(zip(unique["item_id"].to_pylist(), unique["price"].to_pylist(), strict=True)) == last
    model = mm.TwoTowerModelV2(*towers(schema))
    with pytest.warns(MerlinDifference, match="price changes"):
        model.fit(Dataset(rows, schema=schema), epochs=1, verbose=0)
