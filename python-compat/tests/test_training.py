"""Training from Python: it can be stopped and goes on, lets others run, and gives the same bits again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tercel

QUIET: dict[str, Any] = {"progress": False, "device": "cpu", "early_stop": "off"}
LONG: dict[str, Any] = {"dim": 16, "epochs": 80, "batch_size": 128, "seed": 3, "negatives": "in-batch+uniform:32"}


def train(data: tercel.Dataset, out: Path | None = None, **settings: Any) -> tercel.Model:
    return tercel.Model.train(data, out, **{**QUIET, "dim": 8, "epochs": 2, "batch_size": 256, **settings})


def parameters(model: tercel.Model) -> bytes:
    return (model.path / "model.safetensors").read_bytes()


# -------------------------------------------------------------------------------------------------------------- Ctrl-C

CHILD = """
import json, sys, tercel
data, out, settings = sys.argv[1:]
try:
    tercel.Model.train(tercel.Dataset(data), out, **json.loads(settings))
except KeyboardInterrupt:
    print("interrupted")
    sys.exit(42)
print("finished")
"""


def test_ctrl_c_stops_at_a_checkpoint_and_resume_ends_at_the_same_bits(data: tercel.Dataset, tmp_path: Path) -> None:
    out = tmp_path / "model"
    command = [sys.executable, "-c", CHILD, str(data.path), str(out), json.dumps(LONG | QUIET)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 60
    while not (tmp_path / ".model.training" / "trainer.json").exists() and child.poll() is None:  # the first checkpoint
        assert time.monotonic() < limit
        time.sleep(0.005)
    child.send_signal(signal.SIGINT)
    said, errors = child.communicate(timeout=60)
    assert (child.returncode, said.strip()) == (42, "interrupted"), errors
    assert not (out / "metrics.json").exists(), "it was over before the signal came"

    # A run that stopped is neither overwritten nor taken for a model by mistake.
    with pytest.raises(tercel.CheckpointError, match="resume"):
        train(data, out, **LONG)
    with pytest.raises(tercel.CheckpointError, match=r"a different optimizer\.lr"):
        train(data, out, **(LONG | {"lr": 0.5}), resume=True)
    events: list[dict[str, Any]] = []
    resumed = train(data, out, **LONG, resume=True, on_event=events.append)
    epochs = [event["epoch"] for event in events if event["event"] == "epoch"]
    assert 1 < epochs[0] <= 80 and epochs == list(range(epochs[0], 81)), "it went on where it had stopped"
    unbroken = train(data, tmp_path / "unbroken", **LONG)
    assert parameters(resumed) == parameters(unbroken)
    assert resumed.metrics["epoch_losses"] == unbroken.metrics["epoch_losses"]


@pytest.mark.parametrize("bar", [False, True])
def test_ctrl_c_stops_ingest(bar: bool, tmp_path: Path) -> None:
    """Of a stream without end: the signal may come while its Python code runs, or the native half's."""
    child = """
import os, signal, sys, threading
import numpy as np, pyarrow as pa, tercel
batch = pa.record_batch({"user_id": np.arange(9_000) % 97, "item_id": np.arange(9_000) % 41})
def batches():
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    while True:
        yield batch
try:
    tercel.Dataset.build(pa.RecordBatchReader.from_batches(batch.schema, batches()), sys.argv[1], progress=BAR)
except KeyboardInterrupt:
    sys.exit(42)
""".replace("BAR", str(bar))
    done = subprocess.run([sys.executable, "-c", child, str(tmp_path / "out")], capture_output=True, timeout=30)
    assert done.returncode == 42, done.stderr
    assert list(tmp_path.iterdir()) == [], "nothing half-made stays"


# ------------------------------------------------------------------------------------------------------------- threads


def test_other_threads_run_meanwhile(data: tercel.Dataset) -> None:
    ticks: list[float] = []
    over = threading.Event()

    def tick() -> None:
        while not over.wait(0.002):
            ticks.append(time.monotonic())

    # One epoch without a word in between: nothing lets go of the interpreter but the call itself.
    rows = pa.concat_tables([data_rows(data)] * 30)
    whole = tercel.Dataset.build(rows, progress=False)
    thread = threading.Thread(target=tick)
    thread.start()
    try:
        start = time.monotonic()
        train(whole, dim=64, epochs=1, batch_size=512, threads=1, negatives="full")
        end = time.monotonic()
    finally:
        over.set()
        thread.join()
    inside = [start, *(at for at in ticks if start <= at <= end), end]
    pause = float(np.max(np.diff(inside)))
    assert len(inside) > 20 and pause < (end - start) / 2, f"{len(inside)} ticks, a pause of {pause:.2f} s"


def data_rows(data: tercel.Dataset) -> pa.Table:
    """Its training rows, with numbers for ids."""
    return data.to_arrow("train").rename_columns(["user_id", "item_id", "timestamp"])


def test_two_models_train_at_once(data: tercel.Dataset) -> None:
    alone = parameters(train(data, epochs=4, seed=5))
    found: dict[int, bytes] = {}

    def work(place: int) -> None:
        found[place] = parameters(train(data, epochs=4, seed=5))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[place] for place in range(3)] == [alone] * 3


# -------------------------------------------------------------------------------------------------------------- events


class Enough(Exception):
    """Raised by an observer, with something that no other exception has."""


def test_what_an_observer_raises_stops_training_and_comes_out(data: tercel.Dataset, tmp_path: Path) -> None:
    raised = Enough("at epoch 2", 17)
    seen: list[int] = []

    def watch(event: dict[str, Any]) -> None:
        if event["event"] == "epoch":
            seen.append(event["epoch"])
            if event["epoch"] == 2:
                raise raised

    with pytest.raises(Enough) as error:
        train(data, tmp_path / "model", epochs=20, on_event=watch)
    assert error.value is raised and seen == [1, 2]
    # It ended at a checkpoint.
    resumed = train(data, tmp_path / "model", epochs=20, resume=True)
    assert parameters(resumed) == parameters(train(data, epochs=20))


def test_events_say_what_happened(data: tercel.Dataset) -> None:
    events: list[dict[str, Any]] = []
    model = train(data, epochs=3, early_stop="ndcg@10,3", on_event=events.append)
    kinds = [event["event"] for event in events]
    assert kinds.count("epoch") == kinds.count("validation") == 3 and "checkpoint" in kinds
    assert [event for event in events if event["event"] not in ("progress", "evaluating")] == model.history
    losses = [event["loss"] for event in events if event["event"] == "epoch"]
    assert losses[0] > losses[-1] and model.metrics["epoch_losses"] == losses
    json.dumps(events)


# ---------------------------------------------------------------------------------------------------------------- bars


def slowly(event: dict[str, Any]) -> None:
    """Bars show themselves where work takes a while."""
    if event["event"] == "epoch":
        time.sleep(0.02)


def test_bars_go_to_stderr(data: tercel.Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    train(data, epochs=40, progress=True, on_event=slowly)
    said = capsys.readouterr()
    assert said.out == "" and "train" in said.err and "loss=" in said.err and "epoch=" in said.err
    train(data, epochs=40, on_event=slowly)
    assert capsys.readouterr() == ("", "")


def test_bars_of_ingest_evaluation_and_recommending(
    data: tercel.Dataset, model: tercel.Model, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = pa.record_batch({"user_id": np.arange(4_000) % 97, "item_id": np.arange(4_000) % 41})

    def batches() -> Any:
        for _ in range(40):
            time.sleep(0.01)
            yield batch

    tercel.Dataset.build(pa.RecordBatchReader.from_batches(batch.schema, batches()))
    assert "ingest" in capsys.readouterr().err
    tercel.evaluate(model, data, progress=True)
    model.recommend(k=3, progress=True)
    assert capsys.readouterr().out == ""


def test_nothing_breaks_without_tqdm(
    data: tercel.Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    model = train(data, epochs=20, progress=True, on_event=slowly)
    tercel.evaluate(model, data, progress=True)
    model.recommend(k=3, progress=True)
    tercel.Dataset.build(data_rows(data), progress=True)
    assert capsys.readouterr() == ("", "")


# ------------------------------------------------------------------------------------------------------ the same bits


def test_the_same_seed_gives_the_same_bits(data: tercel.Dataset) -> None:
    first = train(data, epochs=3, seed=7)
    assert parameters(first) == parameters(train(data, epochs=3, seed=7))
    assert parameters(first) == parameters(train(data, epochs=3, seed=7, threads=1))
    assert parameters(first) != parameters(train(data, epochs=3, seed=8))
    top = [first.recommend(k=5, progress=False) for _ in range(2)]
    assert top[0].equals(top[1])


def test_ingest_gives_the_same_bits_whatever_the_threads(purchases: pa.Table) -> None:
    made = [
        tercel.Dataset.build(purchases, split="random:0.2", seed=4, threads=threads, progress=False).manifest
        for threads in (1, 2, 0)
    ]
    assert made[0] == made[1] == made[2]
    other = tercel.Dataset.build(purchases, split="random:0.2", seed=5, progress=False).manifest
    assert other["train"] != made[0]["train"]


# ------------------------------------------------------------------------------------------------------------ settings


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML needs Python 3.11")
def test_toml_files(data: tercel.Dataset, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[model]\ndim = 8\n[train]\nepochs = 2\nbatch_size = 256\nseed = 9\n")
    from_file = tercel.Model.train(data, config=file, **QUIET)
    assert parameters(from_file) == parameters(train(data, seed=9))
    assert from_file.config["model"]["dim"] == 8 and from_file.config["train"]["epochs"] == 2


def test_json_files_dictionaries_and_short_names_over_them(data: tercel.Dataset, tmp_path: Path) -> None:
    settings = {"model": {"dim": 8}, "train": {"epochs": 5, "batch_size": 256, "seed": 9}}
    file = tmp_path / "run.json"
    file.write_text(json.dumps(settings))
    told = [tercel.Model.train(data, config=config, epochs=2, **QUIET) for config in (file, str(file), settings)]
    assert settings["train"]["epochs"] == 5, "the caller's dictionary is left alone"
    assert {parameters(model) for model in told} == {parameters(train(data, seed=9))}


def test_every_short_name_is_a_setting() -> None:
    from tercel.config import SHORT, complete

    whole = complete({}, {"rows": 1_000})
    for name, place in SHORT.items():
        found: Any = whole
        for word in place.split("."):
            assert word in found, f"{name}: {place}"
            found = found[word]


def test_unknown_names_are_refused_with_the_list(data: tercel.Dataset) -> None:
    with pytest.raises(tercel.ConfigError) as error:
        train(data, learning_rate=0.1)
    assert error.value.field == "learning_rate"
    assert all(name in str(error.value) for name in ("learning_rate", "lr", "batch_size", "temperature"))


def test_a_file_that_is_not_there(data: tercel.Dataset, tmp_path: Path) -> None:
    with pytest.raises(tercel.FileError) as error:
        train(data, config=tmp_path / "no.json")
    assert error.value.path == str(tmp_path / "no.json")
    (tmp_path / "bad.json").write_text("{dim")
    with pytest.raises(tercel.ConfigError) as bad:
        train(data, config=tmp_path / "bad.json")
    assert bad.value.path == str(tmp_path / "bad.json")


def test_a_folder_of_its_own_goes_with_the_model(data: tercel.Dataset) -> None:
    model = train(data)
    folder = model.path
    kept = model.save_pretrained(folder.parent.parent / f"kept-{os.getpid()}-{folder.parent.name}")
    try:
        del model
        assert not folder.exists()
        assert tercel.Model(kept).recommend(k=1, progress=False).num_rows == 400
    finally:
        for file in kept.iterdir():
            file.unlink()
        kept.rmdir()
