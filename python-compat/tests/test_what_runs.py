"""The README's table of what runs of Merlin, TensorFlow and TensorFlow Recommenders, each line of it run."""

from __future__ import annotations

import re
import textwrap
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import tercel

README = Path(__file__).parent.parent / "README.md"
BEFORE = """
import numpy as np
import tercel
import tercel.merlin.models.tf as mm
import tercel.tf as tf
import tercel.tfrs as tfrs
from tercel.merlin.io import Dataset
from tercel.merlin.models.utils.dataset import unique_rows_by_features
from tercel.merlin.schema import ColumnSchema, Schema, Tags

schema = Schema([
    ColumnSchema("user_id", tags=[Tags.USER_ID]),
    ColumnSchema("item_id", tags=[Tags.ITEM_ID]),
    ColumnSchema("category", tags=[Tags.ITEM, Tags.CATEGORICAL]),
])
train = Dataset("train.parquet", schema=schema)

def fitted():
    model = mm.TwoTowerModel(schema, mm.MLPBlock([16], no_activation_last_layer=True))
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=[mm.RecallAt(10)])
    model.fit(train, batch_size=64, epochs=1, verbose=0)
    return model

ratings = tf.data.Dataset.from_tensor_slices(tercel.demo_purchases())
movies = tf.data.Dataset.from_tensor_slices(sorted(set(tercel.demo_purchases()["item_id"].to_pylist())))
titles = np.unique(np.concatenate(list(movies.batch(8))))

class Movies(tfrs.Model):
    def __init__(self):
        super().__init__()
        self.user = tf.keras.Sequential([tf.keras.layers.StringLookup(), tf.keras.layers.Embedding(31, 8)])
        self.item = tf.keras.Sequential([tf.keras.layers.StringLookup(vocabulary=titles, mask_token=None),
                                         tf.keras.layers.Embedding(len(titles) + 1, 8)])
        self.task = tfrs.tasks.Retrieval(metrics=tfrs.metrics.FactorizedTopK(movies.batch(8).map(self.item)))
    def compute_loss(self, features, training=False):
        return self.task(self.user(features["user_id"]), self.item(features["item_id"]))

def movie_model():
    model = Movies()
    model.compile(optimizer=tf.keras.optimizers.Adagrad(0.5))
    model.fit(ratings.batch(64).cache(), epochs=1, verbose=0)
    return model
"""

RUNS = {
    "`TwoTowerModel`": "fitted()",
    "`TwoTowerModelV2`": """
        layers = mm.MLPBlock([8], no_activation_last_layer=True)
        towers = [mm.Encoder(mm.InputBlockV2(schema.select_by_tag(tag)), layers) for tag in (Tags.USER, Tags.ITEM)]
        mm.TwoTowerModelV2(*towers).fit(train, epochs=1, verbose=0)
    """,
    "`MatrixFactorizationModel(V2)`": """
        mm.MatrixFactorizationModel(schema, dim=8).fit(train, epochs=1, verbose=0)
        mm.MatrixFactorizationModelV2(schema, dim=8).fit(train, epochs=1, verbose=0)
    """,
    "`fit(validation_data=…)`": "fitted().fit(train, validation_data=train, epochs=1, verbose=0)",
    "`evaluate`": "assert 0 <= fitted().evaluate(train)['recall_at_10'] <= 1",
    "`unique_rows_by_features`": "assert len(unique_rows_by_features(train, Tags.ITEM, Tags.ITEM_ID)) == 20",
    "`to_top_k_encoder`": """
        items = unique_rows_by_features(train, Tags.ITEM)
        assert len(fitted().to_top_k_encoder(items, k=5).batch_predict(train)) == 30
    """,
    "`candidate_embeddings`": "assert len(fitted().candidate_embeddings(train)) == 20",
    "`Loader`": "assert len(next(iter(mm.Loader(train, batch_size=8)))[0]['user_id']) == 8",
    "`merlin.io.Dataset` of Parquet, CSV, patterns, folders, frames": """
        rows = train.to_arrow()
        for source in ("train.parquet", "*.parquet", "rows.csv", rows, rows.to_pandas()):
            assert len(Dataset(source, schema=schema)) == len(rows)
    """,
    "`tf.data.Dataset.from_tensor_slices`, `map`, `batch`, `shuffle`, `take`, `skip`, `cache`, `prefetch`": """
        rows = ratings.map(lambda row: {"user_id": row["user_id"]}).shuffle(10, seed=1).skip(8).take(64)
        assert len(rows.batch(8).cache().prefetch(tf.data.AUTOTUNE)) == 8
    """,
    "batched datasets": "assert len(titles) == 20 and len(next(iter(ratings.batch(8)))['user_id']) == 8",
    "`StringLookup`, `IntegerLookup`, `Embedding`, `Dense`, `UnitNormalization`, `Sequential`": """
        layers = tf.keras.layers
        tf.keras.Sequential([layers.IntegerLookup(), layers.Embedding(9, 8), layers.Dense(4, activation="relu"),
                             layers.Dense(4), layers.UnitNormalization()])
    """,
    "`SGD`, `Adagrad`, `Adam`": "[getattr(tf.keras.optimizers, name)(0.1) for name in ('SGD', 'Adagrad', 'Adam')]",
    "`tfrs.Model` with `compute_loss`, `fit`, `evaluate`": """
        assert len(movie_model().evaluate(ratings.take(100).batch(10))) == 5
    """,
    "`FactorizedTopK(movies.batch(128).map(model))`": "movie_model().task",
    "`BruteForce`, `Streaming`, `ScaNN`": """
        model = movie_model()
        for kind in ("BruteForce", "Streaming", "ScaNN"):
            index = getattr(tfrs.layers.factorized_top_k, kind)(model.user, k=3)
            index.index_from_dataset(movies.batch(8).map(lambda title: (title, model.item(title))))
            assert index(tf.constant(["u1"]))[1].shape == (1, 3)
            assert index.query_with_exclusions(np.array([b"u1"]), [["i1"]])[1].shape == (1, 3)
    """,
}

STOPS = {
    "`tf.Tensor`, in annotations too": """
        def compute_loss(self, features: dict[str, tf.Tensor], training=False) -> tf.Tensor: ...
    """,
    "`tf.random.set_seed`": "tf.random.set_seed(42)",
    "`tf.data.Dataset.zip`, `concatenate`, `filter`, `repeat`": """
        tf.data.Dataset.zip((movies.batch(8), movies.batch(8).map(tf.keras.layers.Embedding(9, 4))))
    """,
    "functions of `map` that compute": "ratings.map(lambda row: int(row['timestamp']))",
    "`tf.data` of files (`make_csv_dataset`, `TextLineDataset`)": "tf.data.experimental.make_csv_dataset('rows.csv')",
    "`TextVectorization`, `Discretization`, `Normalization` and other layers": "tf.keras.layers.TextVectorization()",
    "`GlobalAveragePooling1D`, GRU, attention": "tf.keras.layers.GRU(32)",
    "other activations than ReLU": "tf.keras.layers.Dense(8, activation='tanh')",
    "other optimizers": "tf.keras.optimizers.RMSprop(0.1)",
    "callbacks (`tf.keras.callbacks`, TensorBoard)": "tf.keras.callbacks.EarlyStopping()",
    "`tf.saved_model.save`, `tf.keras.models.load_model`": "tf.saved_model.save(movie_model(), 'export')",
    "embeddings as values (`model.user([…])`)": "movie_model().user(np.array(['u1']))",
    "`tfrs.tasks.Ranking`, multi-task models": "tfrs.tasks.Ranking(loss=None)",
    "`tfrs.layers.dcn`, `tfrs.experimental`": "tfrs.experimental.models.Ranking",
    "`compute_loss` that adds losses": """
        class Two(Movies):
            def compute_loss(self, features, training=False):
                return super().compute_loss(features) + super().compute_loss(features)
        Two().fit(ratings.batch(64), verbose=0)
    """,
    "schema files (`.merlin/schema.json`, `schema.pbtxt`, `Schema.load`)": "Schema.load('schema.pbtxt')",
    "NVTabular workflows, `merlin.datasets`": "from tercel.merlin.datasets.synthetic import generate_data",
    "`DLRMModel`, `DCNModel`, `NCFModel`, `YoutubeDNNRetrievalModelV2`, ranking heads": "mm.DLRMModel(schema)",
    "`mm.Model`, `mm.Block`, `ParallelBlock`, `connect`": "mm.ParallelBlock({})",
    "`mm.sample_batch`, `mm.BinaryOutput`, `mm.get_item_frequencies`": "mm.sample_batch(train, batch_size=8)",
    "`retrieval_block`, `query_encoder` of a model": "fitted().retrieval_block.query_block()",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    rows = tercel.demo_purchases().select(["user_id", "item_id"])
    rows = rows.append_column("category", pa.array([f"c{int(item[1:]) % 4}" for item in rows["item_id"].to_pylist()]))
    pyarrow.parquet.write_table(rows, folder / "train.parquet")
    pa.csv.write_csv(rows, folder / "rows.csv")
    return folder


def run(words: str) -> None:
    names: dict[str, Any] = {"__name__": "script"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(BEFORE + textwrap.dedent(words), "script.py", "exec", dont_inherit=True), names)


@pytest.mark.parametrize("name", RUNS)
def test_what_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    run(RUNS[name])


@pytest.mark.parametrize("name", STOPS)
def test_what_stops(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    run("")
    with pytest.raises((tercel.TercelError, AttributeError, ImportError, TypeError)) as error:
        run(STOPS[name])
    frames = [frame for frame in error.traceback if Path(frame.path).name == "script.py"]
    assert frames or isinstance(error.value, ImportError)


def test_the_readme_has_these_lines_and_no_others() -> None:
    words = README.read_text(encoding="utf-8")
    section = words[words.index("## From Merlin") : words.index("## The nightly pipeline")]
    runs, stops = section[: section.index("stops")], section[section.index("stops") :]
    for said, names in ((runs, RUNS), (stops, STOPS)):
        found = [row.split(" | ")[0].strip("| ") for row in re.findall(r"^\| (?!---)(.*) \|$", said, re.MULTILINE)]
        assert [name for name in found if name in RUNS or name in STOPS] == list(names)
