"""Scripts of people who come from Merlin and TensorFlow Recommenders: only their import lines change."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
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

SCRIPTS = Path(__file__).parent / "scripts"
REWRITTEN = [
    (r"^(from|import) merlin\.", r"\1 tercel.merlin."),
    (r"^import tensorflow as tf$", "import tercel.tf as tf"),
    (r"^import tensorflow_recommenders as tfrs$", "import tercel.tfrs as tfrs"),
]
PLAIN = Schema(
    [
        ColumnSchema("user_id", tags=[Tags.USER_ID]),
        ColumnSchema("item_id", tags=[Tags.ITEM_ID]),
        ColumnSchema("timestamp", tags=[Tags.TIME]),
    ]
)


def run(name: str, **given: Any) -> tuple[dict[str, Any], list[warnings.WarningMessage]]:
    """Runs a script with its imports rewritten: what it has defined, and the differences that were told."""
    words = (SCRIPTS / name).read_text()
    changed = words
    for old, new in REWRITTEN:
        changed = re.sub(old, new, changed, flags=re.MULTILINE)
    pairs = zip(words.splitlines(), changed.splitlines(), strict=True)
    touched = [old for old, new in pairs if old != new]
    assert touched and all(line.startswith(("import ", "from ")) for line in touched)
    assert not re.search(r"^(import|from) (merlin|tensorflow)", changed, flags=re.MULTILINE)
    names: dict[str, Any] = {"__name__": "script", **given}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        exec(compile(changed, name, "exec"), names)
    return names, said


def differences(said: list[warnings.WarningMessage]) -> list[str]:
    assert all(issubclass(one.category, MerlinDifference) for one in said), [str(one.message) for one in said]
    return [str(one.message) for one in said]


@pytest.fixture(scope="module")
def bought() -> tuple[pa.Table, pa.Table]:
    """Rows to train on, and later ones: groups of users and items that features tell too."""
    rows = planted(again=True)
    users, items = rows["user_id"].to_pylist(), rows["item_id"].to_pylist()
    rows = rows.append_column("age_group", pa.array([f"a{user % 6}" for user in users]))
    rows = rows.append_column("category", pa.array([f"c{item % 12}" for item in items]))
    rows = rows.append_column("price", pa.array([float(item % 40) + 0.5 for item in items]))
    return rows.slice(0, 4_800), rows.slice(4_800)


def popular(train: pa.Table, later: pa.Table, k: int) -> float:
    """Recall@k of the most popular items, mean over users."""
    counts = train["item_id"].value_counts().to_pylist()
    best = {one["values"] for one in sorted(counts, key=lambda one: -one["counts"])[:k]}
    relevant: dict[int, set[int]] = {}
    for user, item in zip(later["user_id"].to_pylist(), later["item_id"].to_pylist(), strict=True):
        relevant.setdefault(user, set()).add(item)
    return float(np.mean([len(items & best) / len(items) for items in relevant.values()]))


def towers(schema: Schema = PLAIN, width: int = 16, **settings: Any) -> tuple[mm.Encoder, mm.Encoder]:
    def encoder(tag: Tags) -> mm.Encoder:
        block = mm.MLPBlock([width], no_activation_last_layer=True)
        return mm.Encoder(mm.InputBlockV2(schema.select_by_tag(tag)), block, **settings)

    return encoder(Tags.USER), encoder(Tags.ITEM)


@pytest.fixture(scope="module")
def trained(bought: tuple[pa.Table, pa.Table]) -> mm.TwoTowerModelV2:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing here is done in another way than in Merlin
        model = mm.TwoTowerModelV2(*towers())
        model.compile(optimizer="adam", metrics=[mm.RecallAt(10), mm.MRRAt(10)])
        model.fit(Dataset(bought[0], schema=PLAIN), batch_size=128, epochs=8, verbose=0, device="cpu")
    return model


# --------------------------------------------------------------------------------------------------------- the scripts


def test_a_merlin_two_tower_script(
    bought: tuple[pa.Table, pa.Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, later = bought
    for name, rows in (("train", train), ("valid", later)):
        pyarrow.parquet.write_table(rows, tmp_path / f"{name}.parquet")
    monkeypatch.chdir(tmp_path)
    names, said = run("merlin_two_tower.py")

    assert names["history"].history["loss"][0] > names["history"].history["loss"][-1]
    assert {len(values) for values in names["history"].history.values()} == {8}
    assert list(names["history"].history) == ["loss", "val_recall_at_10", "val_ndcg_at_10"]
    found = names["metrics"]
    assert set(found) == {"recall_at_10", "mrr_at_10", "ndcg_at_10", "map_at_10", "precision_at_10"}
    assert found["recall_at_10"] > 1.5 * popular(train, later, 10)
    assert max(names["history"].history["val_recall_at_10"]) > names["history"].history["val_recall_at_10"][0]

    answers = names["answers"]
    assert list(answers.columns) == ["user_id", "item_id", "score"] and len(answers) == 400
    pairs = [(user, item) for user, items in zip(answers["user_id"], answers["item_id"], strict=True) for item in items]
    assert len(pairs) == 4_000 and all(10_000 <= item < 10_120 for _, item in pairs), "ids as they went in"
    assert np.mean([user % 6 == (item - 10_000) % 6 for user, item in pairs]) > 0.8
    assert list(names["item_vectors"].columns) == ["item_id", "embedding"] and len(names["item_vectors"]) == 120

    told = differences(said)
    assert len(told) == 2 and told[0].startswith("fit: validation metrics are of the full catalogue"), told
    assert told[1].startswith("evaluate: a user is one row here") and "MRR@10" in told[1]
    assert "in-batch" in told[0] and "the best epoch" in told[0]
    assert {Path(one.filename).name for one in said} == {"merlin_two_tower.py"}, "at the line of the script"


def test_a_tfrs_quickstart(bought: tuple[pa.Table, pa.Table]) -> None:
    rows = pa.concat_tables(bought)
    users = [str(user) for user in rows["user_id"].to_pylist()]
    titles = [f"film {item}" for item in rows["item_id"].to_pylist()]
    names, said = run("tfrs_quickstart.py", TABLE={"user_id": np.array(users), "movie_title": np.array(titles)})

    losses = names["history"].history["loss"]
    assert len(losses) == 20 and losses[-1] < losses[0] - 0.5
    found = names["metrics"]
    assert list(found) == [f"factorized_top_k/top_{k}_categorical_accuracy" for k in (1, 5, 10, 50, 100)]
    assert sorted(found.values()) == list(found.values())
    train, test = names["train"].table, names["test"].table
    train, test = (table.rename_columns(["user_id", "item_id"]) for table in (train, test))
    baseline = popular(train, test, 10)
    assert found["factorized_top_k/top_10_categorical_accuracy"] > 1.5 * baseline > 0
    assert names["scores"].shape == names["titles"].shape == (1, 10)
    assert (np.diff(names["scores"][0]) <= 0).all()
    assert [int(title.split()[1]) % 6 for title in names["best"]] == [(10_000 + 42) % 6] * 3
    told = differences(said)
    assert [words.split(":")[0] for words in told] == ["fit", "evaluate"], told
    assert "a mean over rows" in told[0] and "TFRS has a row for each interaction" in told[1]


def test_an_epoch_of_sums_is_an_epoch_of_means() -> None:
    """TFRS sums losses over a batch: its Adagrad(0.5) must not become a crawl."""
    rows = planted(users=200, again=True)

    class Shop(tfrs.Model):
        def __init__(self) -> None:
            self.user, self.item = (tf.keras.Sequential([tf.keras.layers.Embedding(1, 16)]) for _ in range(2))

        def compute_loss(self, features: Any, training: bool = False) -> Any:
            return tfrs.tasks.Retrieval()(self.user(features["user_id"]), self.item(features["item_id"]))

    def losses(optimizer: Any) -> list[float]:
        model = Shop()
        model.compile(optimizer=optimizer)
        given = tf.data.Dataset.from_tensor_slices(rows).batch(256)
        found: list[float] = model.fit(given, epochs=3, verbose=0, device="cpu").history["loss"]
        return found

    for optimizer in (tf.keras.optimizers.Adagrad(0.5), tf.keras.optimizers.SGD(0.1), tf.keras.optimizers.Adam(0.05)):
        first, _, last = losses(optimizer)
        assert last < first - 0.2, optimizer.name


# --------------------------------------------------------------------------------------------------------- differences


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


# -------------------------------------------------------------------------------------------------------------- models


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


def test_a_saved_model_opens_in_tercels_words(trained: mm.TwoTowerModelV2, tmp_path: Path) -> None:
    trained.save(str(tmp_path / "model"))
    model = tercel.Model.from_pretrained(tmp_path / "model")
    top = model.recommend(k=10, users=[7], include_seen=True, progress=False)
    answer = trained.to_top_k_encoder(k=10).batch_predict(
        Dataset(pa.table({"user_id": [7], "item_id": [0], "timestamp": [0]}), schema=PLAIN)
    )
    assert answer.to_arrow()["item_id"].to_pylist() == [top["item"].to_pylist()]


# ---------------------------------------------------------------------------------------------------- batches and ranks


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


def test_ranks_have_equal_batches() -> None:
    rows = pa.table({"user_id": range(1_003), "item_id": range(1_003), "timestamp": range(1_003)})
    for drop_last in (False, True):
        seen: list[int] = []
        shapes = []
        for rank in range(4):
            loader = mm.Loader(
                Dataset(rows, schema=PLAIN), batch_size=32, global_size=4, global_rank=rank, drop_last=drop_last
            )
            batches = [inputs["user_id"] for inputs, _ in loader]
            assert len(batches) == len(loader)
            shapes.append([len(batch) for batch in batches])
            seen += np.concatenate(batches).tolist()
        assert all(shape == shapes[0] for shape in shapes), "a rank with more batches would wait for ever"
        assert len(seen) == len(set(seen)) and len(seen) >= 4 * (250 // 32 * 32)


def test_epochs_of_a_loader_differ_and_come_again() -> None:
    loaders = [mm.Loader(Dataset(planted(20), schema=PLAIN), batch_size=64, seed_fn=lambda: 3) for _ in range(2)]
    first, again = ([inputs["item_id"].tolist() for inputs, _ in loader] for loader in loaders)
    second = [inputs["item_id"].tolist() for inputs, _ in loaders[0]]
    assert first == again != second
    for epoch in (first, second):
        assert sorted(item for batch in epoch for item in batch) == sorted(planted(20)["item_id"].to_pylist())


# ------------------------------------------------------------------------------------------------------------- schemas


def test_schemas() -> None:
    schema = Schema([ColumnSchema("a", tags="user_id"), ColumnSchema("b", tags=[Tags.ITEM, "continuous"]), "c"])
    assert schema.select_by_tag([Tags.USER, "item"]).column_names == ["a", "b"]
    assert schema.excluding_by_tag(Tags.ITEM).column_names == ["a", "c"] == schema.remove_by_tag("item").column_names
    assert schema.select(["c", "a"]).column_names == ["c", "a"] and schema.without(["c"]).column_names == ["a", "b"]
    assert (schema.select("a") + schema.select("c")).column_names == ["a", "c"] and schema.first.name == "a"
    assert "b" in schema and len(schema) == 3 and schema["b"].with_name("d").name == "d"
    assert schema == Schema(list(schema)) and schema != Schema(["a"])


@pytest.mark.parametrize("form", ["parquet", "csv", "folder", "pattern", "list", "frame"])
def test_datasets_of_files_and_frames(form: str, tmp_path: Path) -> None:
    import pyarrow.csv

    rows = planted(20)
    for part in range(2):
        for folder in (tmp_path, tmp_path / "parts"):
            folder.mkdir(exist_ok=True)
            pyarrow.parquet.write_table(rows.slice(part * 140, 140), folder / f"{part}.parquet")
    pyarrow.csv.write_csv(rows, tmp_path / "all.csv")
    sources: dict[str, Any] = {
        "parquet": str(tmp_path / "0.parquet"),
        "csv": tmp_path / "all.csv",
        "folder": tmp_path / "parts",
        "pattern": str(tmp_path / "*.parquet"),
        "list": [tmp_path / "0.parquet", tmp_path / "1.parquet"],
        "frame": rows.to_pandas(),
    }
    dataset = Dataset(sources[form], schema=PLAIN.excluding_by_tag(Tags.TIME))
    assert dataset.to_arrow().column_names == ["user_id", "item_id"]
    assert len(dataset) == dataset.num_rows == (140 if form == "parquet" else 280)
    assert dataset.head(2).shape == (2, 2) and len(dataset.compute()) == len(dataset)


def test_a_schema_without_ids_is_refused(bought: tuple[pa.Table, pa.Table]) -> None:
    untagged = Schema(["user_id", "item_id"])
    model = mm.TwoTowerModelV2(*towers())
    with pytest.raises(tercel.ConfigError, match="0 columns have the tag user_id"):
        model.fit(Dataset(bought[0], schema=untagged), verbose=0)
