"""Scripts of people who come from Merlin and TensorFlow Recommenders: only their import lines change."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tercel.tf as tf
import tercel.tfrs as tfrs

from .planted import planted
from .two_towers import differences, popular

SCRIPTS = Path(__file__).parent / "scripts"
REWRITTEN = [
    (r"^(from|import) merlin\.", r"\1 tercel.merlin."),
    (r"^import tensorflow as tf$", "import tercel.tf as tf"),
    (r"^import tensorflow_recommenders as tfrs$", "import tercel.tfrs as tfrs"),
]


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
