"""The whole night as one command: on the shipped data, failing where it must, going on where it failed."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

HERE = Path(__file__).resolve().parent
FAST = json.dumps([{"dim": 32, "history": 0, "batch_size": 1024}, {"dim": 16, "history": 0, "batch_size": 2048}])


class Night:
    """A folder in which the flow runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Metaflow keeps its runs in the folder where it is started.
        path = os.pathsep.join([str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])
        self.environment = os.environ | {"PYTHONPATH": path}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m pipeline` with these arguments."""
        command = [sys.executable, "-m", "pipeline", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A night whose checks were too strict at first, and then resumed."""
    return Night(tmp_path_factory.mktemp("night"))


def test_a_failed_check_publishes_nothing_and_resume_goes_on(night: Night) -> None:
    # Nobody's first item may be anybody else's: more than any model can do.
    thresholds = night.folder / "checks.json"
    thresholds.write_text('{"max_top_item_share": 0.0001}', encoding="utf-8")
    arguments = ["--root", "out", "--grid", FAST, "--epochs", "2", "--night", "2017-12-31", "--user-sample", "20"]
    (night.folder / "requests" / "2017-12-31").mkdir(parents=True)  # as an attempt that was killed leaves it
    failed = night.run(*arguments, "--checks", str(thresholds), "--dynamodb", "requests")
    words = failed.stdout + failed.stderr
    assert failed.returncode != 0, words
    assert "FAILED  no_single_favourite" in words, words
    assert not (night.folder / "out" / "recommendations.sqlite").exists()
    trained = [night.folder / "out" / "models" / name / "model.safetensors" for name in ("grid-0", "grid-1")]
    before = [path.stat().st_mtime_ns for path in trained]
    # So small a model need not beat popularity.
    thresholds.write_text('{"min_gain_over_popularity": -1}', encoding="utf-8")
    resumed = night.run("resume")
    words = resumed.stdout + resumed.stderr
    assert resumed.returncode == 0, words
    assert [path.stat().st_mtime_ns for path in trained] == before, "nothing was trained again"


def test_everything_is_there(night: Night) -> None:
    out = night.folder / "out"
    top = pq.read_table(out / "predictions.parquet")
    users = len(set(top.column("user").to_pylist()))
    assert top.num_rows == 12 * users > 12 * 300
    with sqlite3.connect(out / "recommendations.sqlite") as store:
        tables = [name for (name,) in store.execute("select name from sqlite_master where type = 'table'")]
        assert "meta" in tables
        assert store.execute("select value from meta where key = 'night'").fetchone() == ("2017-12-31",)
    assert (night.folder / "requests" / "2017-12-31" / "requests-00000.jsonl").exists()
    page = (out / "reports" / "2017-12-31.html").read_text(encoding="utf-8")
    assert "ndcg@12" in page and "2017-12-31" in page and "http://" not in page.replace("http://www.w3.org", "")
    checks = json.loads((out / "checks.json").read_text(encoding="utf-8"))
    assert checks["passed"] is True and len(checks["checks"]) >= 12
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["test, discovery"]["metrics"]["ndcg@12"]["value"] > 0


def test_the_cards_show_curves_and_metrics(night: Night) -> None:
    cards = list((night.folder / ".metaflow").rglob("*.html"))
    assert len(cards) >= 5, "data, two of train, pick, test, publish"
    texts = [card.read_text(encoding="utf-8") for card in cards]
    assert any("vega-lite" in text for text in texts)


def test_without_a_grid_the_night_searches_and_the_next_one_does_not(tmp_path: Path) -> None:
    night = Night(tmp_path)
    thresholds = tmp_path / "checks.json"
    thresholds.write_text('{"min_gain_over_popularity": -1}', encoding="utf-8")
    space = json.dumps({"optimizer": {"lr": [0.005, 0.02]}})
    arguments = ["--root", "out", "--tune-trials", "2", "--tune-space", space, "--user-sample", "20", "--epochs", "2"]
    arguments += ["--checks", str(thresholds)]
    for name in ("monday", "tuesday"):
        done = night.run(*arguments, "--night", name)
        words = done.stdout + done.stderr
        assert done.returncode == 0, words
        assert ("trial 0, rung 1" in words) == (name == "monday"), words
        assert (tmp_path / "out" / "models" / "tuned" / "model.safetensors").is_file()
    kept = json.loads((tmp_path / "out" / "tuned.json").read_text(encoding="utf-8"))
    assert (kept["nights"], kept["searched"]["night"]) == (2, "monday")
    page = (tmp_path / "out" / "reports" / "tuesday.html").read_text(encoding="utf-8")
    assert 'id="settings"' in page and "night monday" in page
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["settings"]["search"]["date"] == kept["searched"]["date"]


def test_bad_parameters_say_so_before_any_work(tmp_path: Path) -> None:
    night = Night(tmp_path)
    for arguments, words in (
        (["--user-sample", "0"], "user_sample_percent"),
        (["--grid", "[]"], "grid: pass at least one set of settings"),
        (["--tune-every", "0"], "tune-every: 0 is too small"),
        (["--tune-minutes", "-1"], "tune-minutes: -1.0 is too small"),
        (["--train-until", "soon"], "soon"),
        (["--night", "../night"], "the night '../night' must consist of letters"),
    ):
        failed = night.run("--root", "out", *arguments)
        assert failed.returncode != 0
        assert words in failed.stdout + failed.stderr
        assert not (tmp_path / "out").exists()
