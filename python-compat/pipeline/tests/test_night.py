"""Steps of a night that meet what others have left: another run's models, damage, and other people's files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tercel

from pipeline import night, night_tune, report
from pipeline.owned import NotOurs

ROOT = Path(__file__).resolve().parents[2]
SHORT = night.Schedule(metric="ndcg@5", epochs=2, threads=1, device="cpu")


@pytest.fixture
def work(tmp_path: Path) -> night.Work:
    """A folder with a dataset."""
    made = night.Work(tmp_path / "night")
    made.folder.mkdir()
    tercel.Dataset.build(tercel.demo_purchases(), made.data, split="last-per-user:2", progress=False)
    return made


class Stopped(Exception):
    """Somebody pulled the plug."""


def stop(event: dict[str, object]) -> None:
    if event["event"] == "epoch":
        raise Stopped


def test_another_runs_leavings_make_place(work: night.Work) -> None:
    """A finished model of other settings until there is a new one, and an unfinished run at once."""
    first = night.train_one(work, "a", {"dim": 8}, SHORT)
    again = night.train_one(work, "a", {"dim": 8}, SHORT)
    assert again.value == first.value
    other = night.train_one(work, "a", {"dim": 4}, SHORT)
    assert tercel.Model(other.path).config["model"]["dim"] == 4
    with pytest.raises(Stopped):
        tercel.Model.train(tercel.Dataset(work.data), work.model("b"), dim=4, epochs=9, on_event=stop, progress=False)
    assert os.listdir(work.model("b").parent) != ["a"]
    assert night.train_one(work, "b", {"dim": 8}, SHORT).settings == {"dim": 8}
    assert sorted(os.listdir(work.model("b").parent)) == ["a", "b"]


SPACE = {"optimizer": {"lr": [0.02, 0.05, 0.1]}, "train": {"epochs": [2, 4]}}
SEARCH = night.Search(every=2, trials=3, space=SPACE)
LONG = night.Schedule(metric="ndcg@5", threads=1, device="cpu")


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `tercel.tune` was called for, without what it was told."""
    calls = []
    whole = tercel.tune

    def counted(*given: Any, **told: Any) -> tercel.Tuned:
        calls.append("search")
        return whole(*given, **told)

    monkeypatch.setattr(tercel, "tune", counted)
    return calls


def test_a_search_holds_until_the_next(work: night.Work, searches: list[str]) -> None:
    first = night.tune(work, "monday", SEARCH, LONG)
    assert searches == ["search"] and (work.tuning / "report.html").is_file()
    kept = json.loads(work.tuned.read_text())
    assert (kept["searched"]["night"], kept["searched"]["number"]) == ("monday", 1)
    if kept["tuned"] is not None:
        assert kept["tuned"]["night"] == "monday" and first == kept["tuned"]["settings"]
        assert set(kept["tuned"]["chosen"]) == {"optimizer.lr", "train.epochs"}
    assert night.tune(work, "monday", SEARCH, LONG) == first, "the same night again"
    assert night.tune(work, "tuesday", SEARCH, LONG) == first
    assert searches == ["search"]
    trained = night.train_one(work, night.TUNED, first, LONG)
    assert tercel.Model(trained.path).config["optimizer"]["lr"] == pytest.approx(
        first["config"]["optimizer"]["lr"] if first else tercel.Model(work.tuning / "model").config["optimizer"]["lr"]
    )
    origin = night.origin(work, trained)
    assert origin["tuned"] == kept["tuned"] and origin["search"] == kept["searched"]
    night.tune(work, "wednesday", SEARCH, LONG)
    assert searches == ["search"] * 2, "two nights later"
    night.tune(work, "wednesday", night.Search(every=2, trials=2, space=SPACE), LONG)
    assert searches == ["search"] * 3, "another question"
    # Two people's changes are not mixed up.
    work.tuned.write_text("{}")
    with pytest.raises(NotOurs, match=r"tuned\.json: is not as the night wrote it"):
        night.tune(work, "thursday", SEARCH, LONG)


def test_a_search_that_was_killed_goes_on(work: night.Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_: dict[str, Any]) -> None:
        raise Stopped

    said = night_tune._said
    monkeypatch.setattr(night_tune, "_said", stopped)
    with pytest.raises(Stopped):
        night.tune(work, "monday", SEARCH, LONG)
    assert (work.folder / ".tuning.tuning" / "search.json").is_file()
    monkeypatch.setattr(night_tune, "_said", said)
    night.tune(work, "monday", SEARCH, LONG)
    whole = tercel.tune(tercel.Dataset(work.data), tmp_path / "whole", metric="ndcg@5", trials=3, space=SPACE, seed=1,
                        device="cpu", progress=False)  # fmt: skip
    for name in ("trials.parquet", "model/model.safetensors"):
        assert (work.tuning / name).read_bytes() == (whole.path / name).read_bytes()


def test_a_search_that_fails_does_not_keep_the_night(work: night.Work, searches: list[str]) -> None:
    wrong = night.Search(every=2, trials=2, space={"train": {"seed": [1, 2]}})
    assert night.tune(work, "monday", wrong, LONG) == {}
    kept = json.loads(work.tuned.read_text())
    assert kept["searched"]["outcome"] == "failed" and "train.seed" in kept["searched"]["reason"]
    assert night.tune(work, "monday", wrong, LONG) == {} and searches == ["search"]
    night.tune(work, "tuesday", wrong, LONG)
    assert searches == ["search"] * 2, "what failed is due in the next night"


def test_a_model_with_somebodys_notes_stays(work: night.Work) -> None:
    night.train_one(work, "a", {"dim": 8}, SHORT)
    notes = work.model("a") / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(tercel.TercelError, match=r"notes\.txt"):
        night.train_one(work, "a", {"dim": 4}, SHORT)
    assert notes.read_text() == "mine" and tercel.Model(work.model("a")).config["model"]["dim"] == 8


def test_lists_are_replaced_when_a_night_wrote_them(work: night.Work) -> None:
    chosen = night.train_one(work, "a", {"dim": 8}, SHORT)
    before = os.umask(0o027)
    try:
        assert night.predict(work, chosen, 5, SHORT) == 30 * 5
        assert work.predictions.stat().st_mode & 0o777 == 0o640
        assert night.predict(work, chosen, 4, SHORT) == 30 * 4
    finally:
        os.umask(before)
    assert sorted(path.name for path in work.folder.iterdir()) == [
        ".tercel-night.json", "data", "models", "predictions-checked.parquet", "predictions.parquet",
    ]  # fmt: skip
    content = bytearray(work.predictions.read_bytes())
    content[len(content) // 2] ^= 1
    work.predictions.write_bytes(bytes(content))
    with pytest.raises(NotOurs, match=r"predictions\.parquet: is not as the night wrote it"):
        night.publish(work, chosen, "monday", 5)
    with pytest.raises(NotOurs, match="is not as the night wrote it"):
        night.predict(work, chosen, 5, SHORT)
    assert work.predictions.read_bytes() == bytes(content) and not work.store.exists()


def test_a_damaged_metrics_file_is_refused_in_a_line(
    work: night.Work, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = night.train_one(work, "a", {"dim": 8}, SHORT)
    metrics = chosen.path / "metrics.json"
    assert report.read_metrics(metrics)["epoch_losses"] == chosen.losses
    for wrong in (metrics.read_bytes().replace(b"0.", b"1.", 1), metrics.read_bytes()[:-9], b"[]"):
        damaged = tmp_path / "metrics.json"
        damaged.write_bytes(wrong)
        inputs = [word for name in ("predictions", "purchases", "customers", "articles") for word in (f"--{name}", "x")]
        assert report.main([*inputs, "--metrics", str(damaged), "--out", str(tmp_path / "out.html")]) == 3
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1 and "metrics.json" in said, said
    assert not (tmp_path / "out.html").exists()


def test_a_full_disk_leaves_the_night_before(tmp_path: Path) -> None:
    """Files may not grow here: one line says so, and nothing else is left."""
    users = 20_000
    lists = pa.table({"user": [f"u{at}" for at in range(users)], "rank": [1] * users, "item": ["i"] * users,
                      "score": [1.0] * users})  # fmt: skip
    pq.write_table(lists, tmp_path / "lists.parquet")
    bought = pa.table({"user_id": ["u"], "item_id": ["i"], "bought_at": [0], "split": ["train"]})
    pq.write_table(bought, tmp_path / "bought.parquet")
    command = f"ulimit -f 200; exec {sys.executable} -m pipeline.publish --predictions {tmp_path}/lists.parquet "
    command += f"--purchases {tmp_path}/bought.parquet --store {tmp_path}/r.sqlite --night monday"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bought.parquet", "lists.parquet"]
