"""Models by Merlin's names: what they learn and keep, and what they answer, whatever the batches."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tercel
import tercel.merlin.models.tf as mm
import tercel.tf as tf
from tercel.merlin import MerlinDifference
from tercel.merlin.io import Dataset
from tercel.merlin.schema import ColumnSchema, Schema, Tags

from .two_towers import PLAIN, popular, towers


@pytest.fixture(scope="module")
def trained(bought: tuple[pa.Table, pa.Table]) -> mm.TwoTowerModelV2:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing here is done in another way than in Merlin
        model = mm.TwoTowerModelV2(*towers())
        model.compile(optimizer="adam", metrics=[mm.RecallAt(10), mm.MRRAt(10)])
        model.fit(Dataset(bought[0], schema=PLAIN), batch_size=128, epochs=8, verbose=0, device="cpu")
    return model


def test_models_and_outputs(bought: tuple[pa.Table, pa.Table]) -> None:
    train, later = (Dataset(rows, schema=PLAIN) for rows in bought)

    def recall(model: Any) -> tuple[float, dict[str, Any]]:
        model.compile(optimizer=tf.keras.optimizers.Adam(0.01), metrics=[mm.RecallAt(10)])
        model.fit(train, batch_size=128, epochs=6, verbose=0, device="cpu")
        return model.evaluate(later)["recall_at_10"], model.trained.config

    baseline = popular(*bought, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "evaluate: a user is one row here")
        factors, config = recall(mm.MatrixFactorizationModelV2(PLAIN, dim=16))
        assert factors > 1.5 * baseline and config["model"]["dim"] == 16 and config["model"]["user"]["mlp"] == []
        assert (config["model"]["normalize"], config["model"]["temperature"]) == (False, 1.0)
        assert config["loss"]["logq"] == "off" and config["loss"]["mask_accidental_hits"]

        correction = mm.PopularityLogitsCorrection(np.ones(121) / 121, is_prob_distribution=True)
        output = mm.ContrastiveOutput(mm.DotProduct(), negative_samplers="in-batch", post=correction)
        corrected, config = recall(mm.TwoTowerModelV2(*towers(), outputs=output))
        assert corrected > 1.5 * baseline and config["loss"]["logq"] == "exact"

        block = mm.MLPBlock([32, 16], no_activation_last_layer=True)
        older, config = recall(mm.TwoTowerModel(PLAIN, block, logits_temperature=0.2))
        assert older > 1.5 * baseline and config["model"]["normalize"]
        assert config["model"]["user"]["mlp"] == [32] and config["model"]["temperature"] == pytest.approx(0.2)

        normed, config = recall(mm.TwoTowerModelV2(*towers(post=mm.L2Norm()), logits_temperature=0.2))
        assert normed > 1.5 * baseline and config["model"]["normalize"]
    with pytest.warns(MerlinDifference, match="drawn evenly"):
        sampled = mm.ContrastiveOutput(negative_samplers=["in-batch", mm.PopularityBasedSamplerV2(max_num_samples=20)])
    _, config = recall(mm.TwoTowerModelV2(*towers(), outputs=sampled))
    assert config["loss"]["negatives"] == "in-batch+uniform:20"


def test_keras_optimizers_keep_their_settings(bought: tuple[pa.Table, pa.Table]) -> None:
    model = mm.MatrixFactorizationModelV2(PLAIN, dim=8)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(learning_rate=0.04))
    model.fit(Dataset(bought[0], schema=PLAIN), epochs=1, verbose=0)
    optimizer = model.trained.config["optimizer"]
    assert (optimizer["name"], optimizer["schedule"], optimizer["weight_decay"]) == ("adagrad", "constant", 0.0)
    assert optimizer["lr"] == pytest.approx(0.04) and optimizer["initial_accumulator"] == pytest.approx(0.1)


def test_tags_say_what_numbers_are(bought: tuple[pa.Table, pa.Table]) -> None:
    sizes = pa.array([item % 40 for item in bought[0]["item_id"].to_pylist()])
    weights = pa.array([item % 3 for item in bought[0]["item_id"].to_pylist()])
    rows = bought[0].append_column("size", sizes).append_column("weight", weights)
    tagged = {"size": Tags.CATEGORICAL, "weight": Tags.CONTINUOUS}
    schema = PLAIN + Schema([ColumnSchema(name, tags=[Tags.ITEM, tag]) for name, tag in tagged.items()])
    model = mm.TwoTowerModelV2(*towers(schema))
    model.fit(Dataset(rows, schema=schema), epochs=1, verbose=0)
    features = json.loads((model.trained.path / "config.json").read_text())["items"]["features"]
    assert {feature["name"]: feature["kind"] for feature in features} == {"size": "categorical", "weight": "numeric"}


def test_later_rows_change_nothing_that_is_trained(bought: tuple[pa.Table, pa.Table]) -> None:
    """What held-out rows say of a user is the future: neither training nor evaluation may read it."""
    train, later = bought
    schema = PLAIN + Schema([ColumnSchema("age_group", tags=[Tags.USER, Tags.CATEGORICAL])])
    other = later.set_column(3, "age_group", pa.array(["new"] * later.num_rows))

    def fitted(held_out: pa.Table) -> tuple[bytes, Any]:
        model = mm.TwoTowerModelV2(*towers(schema))
        model.compile("adam", metrics=[mm.RecallAt(10)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MerlinDifference)
            model.fit(
                Dataset(train, schema=schema),
                validation_data=Dataset(held_out, schema=schema),
                epochs=2,
                verbose=0,
                device="cpu",
            )
            found = model.evaluate(Dataset(held_out, schema=schema))
        return (model.trained.path / "model.safetensors").read_bytes(), found

    assert fitted(later) == fitted(other)


def test_a_saved_model_opens_in_tercels_words(trained: mm.TwoTowerModelV2, tmp_path: Path) -> None:
    trained.save(str(tmp_path / "model"))
    model = tercel.Model.from_pretrained(tmp_path / "model")
    top = model.recommend(k=10, users=[7], include_seen=True, progress=False)
    answer = trained.to_top_k_encoder(k=10).batch_predict(
        Dataset(pa.table({"user_id": [7], "item_id": [0], "timestamp": [0]}), schema=PLAIN)
    )
    assert answer.to_arrow()["item_id"].to_pylist() == [top["item"].to_pylist()]


def test_evaluation_does_not_change_with_the_batch_size(
    trained: mm.TwoTowerModelV2, bought: tuple[pa.Table, pa.Table]
) -> None:
    later = Dataset(bought[1], schema=PLAIN)
    found = [trained.evaluate(later, batch_size=size) for size in (1, 7, 1024)]
    found += [trained.evaluate(mm.Loader(later, batch_size=size)) for size in (16, 800)]
    assert all(one == found[0] for one in found) and found[0]["recall_at_10"] > 1.5 * popular(*bought, 10)
    topk = trained.to_top_k_encoder(k=10)
    topk.compile(metrics=[mm.RecallAt(10), mm.MRRAt(10)])
    assert topk.evaluate(later, batch_size=3) == found[0], "one answer, whoever asks"
    tables = [topk.batch_predict(later, batch_size=size).to_arrow() for size in (1, 500)]
    assert tables[0].equals(tables[1])


def test_predict_answers_every_row(trained: mm.TwoTowerModelV2) -> None:
    asked = Dataset(pa.table({"user_id": [5, 9, 5], "item_id": [10_000] * 3, "timestamp": [0] * 3}), schema=PLAIN)
    scores, ids = trained.to_top_k_encoder(k=4).predict(asked)
    assert scores.shape == ids.shape == (3, 4) and (ids[0] == ids[2]).all() and not (ids[0] == ids[1]).all()


def test_candidates_restrict_predictions(trained: mm.TwoTowerModelV2) -> None:
    some = Dataset(
        pa.table({"item_id": [10_000, 10_001, 10_002]}), schema=Schema([ColumnSchema("item_id", [Tags.ITEM_ID])])
    )
    asked = Dataset(pa.table({"user_id": [5], "item_id": [10_000], "timestamp": [0]}), schema=PLAIN)
    found = trained.to_top_k_encoder(some, k=10).batch_predict(asked).to_arrow()
    assert sorted(found["item_id"].to_pylist()[0]) == [10_000, 10_001, 10_002]
