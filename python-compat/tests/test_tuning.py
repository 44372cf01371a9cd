"""The search for settings, from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import tercel

SPACE = {"model": {"temperature": {"from": 0.1, "to": 0.4, "scale": "log"}}, "train": {"batch_size": [64, 256]}}


@pytest.fixture(scope="module")
def data() -> tercel.Dataset:
    return tercel.Dataset.build(tercel.demo_purchases(), split="last-per-user:1", progress=False)


def test_a_search_finds_settings_and_trains_a_model(data: tercel.Dataset, tmp_path: Path) -> None:
    trials: list[dict[str, Any]] = []
    out = tmp_path / "tuned"
    found = tercel.tune(data, out, trials=5, space=SPACE, dim=8, epochs=3, progress=False, on_trial=trials.append)
    assert found.path == out
    assert found.trials == 5
    assert {trial["trial"] for trial in trials} == set(range(5))
    assert set(found.chosen) == {"model.temperature", "train.batch_size"}
    assert found.report.is_file()
    table = pq.read_table(out / "trials.parquet").to_pydict()
    assert table["status"].count("winner") >= 1
    assert found.model().recommend(k=3, progress=False).num_rows == 3 * data.users
    again = tercel.Model.train(data, config=found.settings, progress=False)
    assert again.recommend(k=1, progress=False).num_rows == data.users


def test_without_a_folder_it_goes_with_its_answer(data: tercel.Dataset) -> None:
    found = tercel.tune(data, trials=2, space=SPACE, dim=8, epochs=1, progress=False)
    model, path = found.model(), found.path
    del found
    assert path.is_dir()
    del model
    assert not path.exists()


def test_what_on_trial_raises_stops_a_search_which_goes_on(data: tercel.Dataset, tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop(_: dict[str, Any]) -> None:
        raise Enough

    asked: dict[str, Any] = {"trials": 4, "space": SPACE, "dim": 8, "epochs": 2, "progress": False}
    with pytest.raises(Enough):
        tercel.tune(data, tmp_path / "tuned", on_trial=stop, **asked)
    with pytest.raises(tercel.CheckpointError, match="unfinished search"):
        tercel.tune(data, tmp_path / "tuned", **asked)
    found = tercel.tune(data, tmp_path / "tuned", resume=True, **asked)
    whole = tercel.tune(data, tmp_path / "whole", **asked)
    assert (found.chosen, found.value) == (whole.chosen, whole.value)
    assert (found.path / "trials.parquet").read_bytes() == (whole.path / "trials.parquet").read_bytes()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"metric": "loss"}, "metric"),
        ({"trials": 0}, "trials"),
        ({"minutes": -1}, "minutes"),
        ({"space": {"model": {"temprature": [1]}}}, "temprature"),
        ({"trials": "many"}, "trials"),
        ({"trials": 1, "metric": 3}, "metric"),
        ({"trials": 1, "space": "x"}, "space"),
    ],
)
def test_what_cannot_be_used_is_named(data: tercel.Dataset, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(tercel.ConfigError, match=words):
        tercel.tune(data, progress=False, **wrong)


@pytest.mark.parametrize("work", [tercel.tune, tercel.Model.train])
def test_a_dataset_may_be_named_by_its_folder_and_nothing_else_is_one(work: Any, tmp_path: Path) -> None:
    data = tercel.Dataset.build(tercel.demo_purchases(), tmp_path / "data", split="last-per-user:1", progress=False)
    settings: dict[str, Any] = {"dim": 8, "epochs": 1, "progress": False}
    if work is tercel.tune:
        settings |= {"trials": 1}
    work(str(data.path), **settings)
    with pytest.raises(tercel.errors.KindError, match="dataset: int is no dataset: give"):
        work(3, **settings)
