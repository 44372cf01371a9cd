"""Model folders: written whole, read back bit for bit, and open to whoever reads safetensors.

PyTorch is used where there is one: in this interpreter, in that of `TERCEL_TORCH_PYTHON`, or Debian's
(`apt-get install --no-install-recommends python3-torch`, 150 MB; PyPI's wheel for x86-64 is 540 MB and wants CUDA's
libraries beside it). Else NumPy takes its place: the test's name says which it was.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import safetensors
import safetensors.numpy
import tercel
from tercel import _files

from .kills import killed_at
from .planted import files

SCRIPT = Path(__file__).parent / "scripts" / "scores.py"


def interpreters() -> Iterator[tuple[str, str]]:
    """NumPy, and PyTorch with the first interpreter that has it."""
    yield "numpy", sys.executable
    if importlib.util.find_spec("torch"):
        yield "torch", sys.executable
        return
    look = "import importlib.util, sys; sys.exit(not importlib.util.find_spec('torch'))"
    for other in (os.environ.get("TERCEL_TORCH_PYTHON"), "/usr/bin/python3"):
        if other and Path(other).exists() and subprocess.run([other, "-c", look], capture_output=True).returncode == 0:
            yield "torch", other
            return


TOOLS = list(interpreters())


def everything(model: tercel.Model) -> pa.Table:
    return model.recommend(k=120, include_seen=True, progress=False)


@pytest.fixture(scope="module")
def rich(data: tercel.Dataset, purchases: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> tercel.Model:
    """With features, hidden layers and a learned temperature."""
    ids = sorted(set(purchases["item_id"].to_pylist()))
    features = pa.table({"item_id": ids, "group": [f"g{i % 6}" for i in ids], "price": [float(i % 11) for i in ids]})
    folder = tmp_path_factory.mktemp("rich")
    made = tercel.Dataset.build(
        purchases, folder / "data", split="last-per-user:1", item_features=features, progress=False
    )
    settings: dict[str, Any] = {"dim": 16, "epochs": 4, "batch_size": 256, "item_mlp": [32], "user_mlp": [24, 20]}
    return tercel.Model.train(
        made, folder / "model", **settings, learn_temperature=True, popularity=0.3, progress=False, device="cpu"
    )


# --------------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("kind", ["model", "rich"])
def test_a_round_trip_changes_no_bit(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model: tercel.Model = request.getfixturevalue(kind)
    path = model.save_pretrained(tmp_path / "shop" / "model")
    assert path == tmp_path / "shop" / "model"
    again = tercel.Model.from_pretrained(path, device="cpu")
    assert everything(again).equals(everything(model))
    assert np.array_equal(again.user_embeddings(), model.user_embeddings())
    assert np.array_equal(again.item_embeddings(), model.item_embeddings())
    assert again.config == model.config and again.metrics == model.metrics and again.card == model.card
    assert again.recommend(k=5, progress=False).equals(model.recommend(k=5, progress=False)), "seen items come along"
    twice = again.save_pretrained(tmp_path / "twice")
    assert files(twice) == files(path)


def test_the_trainer_stays_behind_unless_asked_for(model: tercel.Model, tmp_path: Path) -> None:
    light = files(model.save_pretrained(tmp_path / "light"))
    whole = files(model.save_pretrained(tmp_path / "whole", trainer=True))
    assert "trainer.safetensors" not in light and "trainer.safetensors" in whole
    assert {"model.safetensors", "config.json", "metrics.json", "README.md"} <= set(light)
    assert {name: content for name, content in whole.items() if name in light} == light


def test_a_moved_folder_needs_nothing_of_the_old_place(
    data: tercel.Dataset, model: tercel.Model, tmp_path: Path
) -> None:
    kept = model.save_pretrained(tmp_path / "a")
    shutil.move(kept, tmp_path / "b")
    assert everything(tercel.Model(tmp_path / "b")).equals(everything(model))
    for name, content in files(tmp_path / "b").items():
        assert str(data.path).encode() not in content and str(model.path).encode() not in content, name


# -------------------------------------------------------------------------------------------------- whole or not at all


def test_a_model_is_replaced(model: tercel.Model, rich: tercel.Model, tmp_path: Path) -> None:
    rich.save_pretrained(tmp_path / "model")
    model.save_pretrained(tmp_path / "model")
    assert files(tmp_path / "model") == files(model.save_pretrained(tmp_path / "fresh"))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["fresh", "model"]


@pytest.mark.parametrize("fails", ["copy", "exchange"])
def test_what_fails_leaves_the_old_model(
    fails: str, model: tercel.Model, rich: tercel.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rich.save_pretrained(tmp_path / "model")
    before = files(tmp_path / "model")
    calls = []

    def full(file: Path, other: Path) -> None:
        calls.append(file)
        if fails == "exchange" or len(calls) == 2:
            raise OSError(28, "No space left on device")
        shutil.copyfile(file, other)

    if fails == "copy":
        monkeypatch.setattr(shutil, "copy2", full)
    else:
        monkeypatch.setattr(_files, "exchange", full)
    with pytest.raises(OSError, match="No space left"):
        model.save_pretrained(tmp_path / "model")
    assert files(tmp_path / "model") == before
    assert os.listdir(tmp_path) == ["model"]
    if fails == "copy":
        calls.clear()
        with pytest.raises(OSError, match="No space left"):
            model.save_pretrained(tmp_path / "new")
        assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_save_that_is_killed_anywhere(
    exchanges: bool, model: tercel.Model, rich: tercel.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One model or the other, whole; where folders cannot be exchanged perhaps none, until the next one comes."""
    if not exchanges:
        monkeypatch.setattr(_files, "_renameat2", lambda *_: 38)
    rich.save_pretrained(tmp_path / "model")
    whole = {"rich": files(tmp_path / "model"), "model": files(model.save_pretrained(tmp_path / "fresh"))}
    seen = set()
    for step in range(1, 200):
        dead = killed_at(step, lambda: model.save_pretrained(tmp_path / "model"), str(tmp_path))
        if (tmp_path / "model").exists():
            [name] = [name for name, content in whole.items() if content == files(tmp_path / "model")]
            seen.add(name)
        else:
            assert not exchanges
        if not dead:
            break
        rich.save_pretrained(tmp_path / "model")
        assert sorted(os.listdir(tmp_path)) == ["fresh", "model"] and files(tmp_path / "model") == whole["rich"]
    assert seen == {"rich", "model"} and step > 20


def test_a_model_that_is_replaced_meanwhile_is_not_mixed(
    model: tercel.Model, rich: tercel.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another model takes the place of the one that is copied, in the middle of it."""
    source = tercel.Model(model.save_pretrained(tmp_path / "source"), device="cpu")
    real, calls = shutil.copy2, []

    def copy(file: Path, to: Path) -> object:
        calls.append(file)
        if len(calls) == 3:
            with monkeypatch.context() as inner:
                inner.setattr(shutil, "copy2", real)
                rich.save_pretrained(tmp_path / "source")
        return real(file, to)

    monkeypatch.setattr(shutil, "copy2", copy)
    source.save_pretrained(tmp_path / "copy")
    assert files(tmp_path / "copy") == files(tmp_path / "source") and len(calls) > 8


# ------------------------------------------------------------------------------------------------ links and permissions


def test_a_link_out_of_the_model_is_refused_by_name(model: tercel.Model, tmp_path: Path) -> None:
    kept = model.save_pretrained(tmp_path / "model")
    (tmp_path / "secret").write_text("mine")
    for name in ("README.md", "other.txt"):
        (kept / name).unlink(missing_ok=True)
        (kept / name).symlink_to("../secret")
        opened = tercel.Model(kept, device="cpu")
        with pytest.raises(tercel.CheckpointError, match=f"`{name}` is a link that leads out of the model"):
            opened.save_pretrained(tmp_path / "copy")
        (kept / name).unlink()
    assert not (tmp_path / "copy").exists()


def test_a_link_within_the_model_and_one_to_it_are_followed(model: tercel.Model, tmp_path: Path) -> None:
    kept = model.save_pretrained(tmp_path / "model")
    (kept / "README.md").rename(kept / "card.md")
    (kept / "README.md").symlink_to("card.md")
    (tmp_path / "link").symlink_to("model")
    opened = tercel.Model.from_pretrained(tmp_path / "link")
    copy = opened.save_pretrained(tmp_path / "copy")
    assert not (copy / "README.md").is_symlink() and (copy / "README.md").read_text() == model.card
    (tmp_path / "out").symlink_to("copy")
    model.save_pretrained(tmp_path / "out")
    assert (tmp_path / "out").is_symlink() and files(copy) == files(model.save_pretrained(tmp_path / "fresh"))
    (tmp_path / "nowhere").symlink_to("none")
    with pytest.raises(tercel.FileError, match="which does not exist"):
        model.save_pretrained(tmp_path / "nowhere")


def test_permissions_are_those_of_the_umask_or_stay(model: tercel.Model, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        kept = model.save_pretrained(tmp_path / "model")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in kept.iterdir()}
        assert set(modes.values()) == {0o640} and stat.S_IMODE(kept.stat().st_mode) == 0o750
        kept.chmod(0o705)
        (kept / "README.md").chmod(0o604)
        model.save_pretrained(kept)
        assert stat.S_IMODE(kept.stat().st_mode) == 0o705
        assert stat.S_IMODE((kept / "README.md").stat().st_mode) == 0o604
    finally:
        os.umask(before)


def test_a_folder_in_the_way_of_the_draft_stays(model: tercel.Model, tmp_path: Path) -> None:
    (tmp_path / ".model.saving").mkdir()
    (tmp_path / ".model.saving" / "notes.txt").write_text("mine")
    with pytest.raises(tercel.FileError, match="is in the way"):
        model.save_pretrained(tmp_path / "model")
    assert (tmp_path / ".model.saving" / "notes.txt").read_text() == "mine"


def test_a_name_that_is_no_utf8(model: tercel.Model, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    assert files(model.save_pretrained(path)) == files(model.save_pretrained(tmp_path / "fresh"))
    again = tercel.Model.from_pretrained(path, device="cpu")
    assert again.item_ids.equals(model.item_ids) and again.metrics == model.metrics


# ----------------------------------------------------------------------------------------------- what may be replaced


@pytest.mark.parametrize(
    "strange",
    [
        {"notes.txt": "mine"},
        {"config.json": "{}"},
        {"config.json": '{"model_type": "bert"}', "model.safetensors": ""},
        {"sub/notes.txt": "mine"},
    ],
)
def test_a_folder_with_other_files_is_refused(strange: dict[str, str], model: tercel.Model, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name, content in strange.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    before = files(folder)
    with pytest.raises(tercel.CheckpointError, match="none of a model's") as error:
        model.save_pretrained(folder)
    assert error.value.path == str(folder) and files(folder) == before


def test_a_model_with_somebodys_notes_is_refused(model: tercel.Model, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.raises(tercel.CheckpointError, match=r"`notes\.txt`"):
        model.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model" / "notes.txt").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(tercel.CheckpointError, match="the file"):
        model.save_pretrained(tmp_path / "file")


def test_an_empty_folder_is_taken_and_its_own_is_left(model: tercel.Model, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    model.save_pretrained(tmp_path / "empty")
    kept = tercel.Model(tmp_path / "empty")
    before = files(kept.path)
    assert kept.save_pretrained(tmp_path / "empty") == kept.path and files(kept.path) == before


# ------------------------------------------------------------------------------------------------------------ the card


def test_the_card_has_data_metrics_intervals_and_limits(model: tercel.Model) -> None:
    card = model.card
    assert [line for line in card.splitlines() if line.startswith("## ")] == [
        "## Data",
        "## Training",
        "## Metrics",
        "## Limits",
    ]
    data, _, metrics, limits = (part.split("\n", 1)[1] for part in card.split("\n## ")[1:])
    assert "400 users" in data and "120 items" in data and "| train | 4800 |" in data and "| test | 400 |" in data
    found = model.metrics["diagnostics"]
    [row] = [line for line in metrics.splitlines() if line.startswith("| ndcg@10 |")]
    low, high = found["intervals"]["ndcg@10"]
    assert f"{found['metrics']['ndcg@10']:.4f}" in row and f"{low:.4f} to {high:.4f}" in row
    assert f"{found['popularity']['ndcg@10']:.4f}" in row and low <= found["metrics"]["ndcg@10"] <= high
    assert limits.count("\n- ") + limits.startswith("- ") >= 2 and "popular" in limits
    assert card.startswith("---\n"), "with what a model hub reads"


# ---------------------------------------------------------------------------------------------------------- safetensors


def test_tensors_have_names_shapes_and_types(model: tercel.Model, rich: tercel.Model) -> None:
    def shapes(of: tercel.Model) -> dict[str, tuple[int, ...]]:
        tensors = safetensors.numpy.load_file(of.path / "model.safetensors")
        assert all(tensor.dtype == np.float32 for tensor in tensors.values())
        return {name: tensor.shape for name, tensor in tensors.items()}

    assert shapes(model) == {"user.id.weight": (401, 16), "item.id.weight": (121, 16), "log_scale": (1,)}
    assert shapes(rich) == {
        "user.id.weight": (401, 16),
        "user.mlp.0.weight": (24, 16),
        "user.mlp.0.bias": (24,),
        "user.mlp.1.weight": (20, 24),
        "user.mlp.1.bias": (20,),
        "user.mlp.2.weight": (16, 20),
        "user.mlp.2.bias": (16,),
        "item.id.weight": (121, 16),
        "item.group.weight": (7, 16),
        "item.price.weight": (12, 16),
        "item.mlp.0.weight": (32, 16),
        "item.mlp.0.bias": (32,),
        "item.mlp.1.weight": (16, 32),
        "item.mlp.1.bias": (16,),
        "log_scale": (1,),
    }


@pytest.mark.parametrize("kind", ["model", "rich"])
@pytest.mark.parametrize(("tool", "python"), TOOLS, ids=[tool for tool, _ in TOOLS])
def test_other_libraries_get_the_same_scores(
    tool: str, python: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: Any
) -> None:
    model: tercel.Model = request.getfixturevalue(kind)
    shutil.copy(model.path / "model.safetensors", tmp_path)
    settings = model.config["model"]

    def codes(side: str) -> dict[str, list[int]]:
        table = pa.ipc.open_file(pa.memory_map(str(model.path / f"{side}s.arrow"))).read_all().slice(1)
        named = [name for name in table.column_names if name not in ("id", "count")]
        return {"id": list(range(1, table.num_rows + 1))} | {name: table[name].to_pylist() for name in named}

    items = pa.ipc.open_file(pa.memory_map(str(model.path / "items.arrow"))).read_all().slice(1)
    ask = {
        "normalize": settings["normalize"],
        "popularity": settings["popularity"],
        "counts": items["count"].to_pylist(),
        "user": codes("user"),
        "item": codes("item"),
    }
    (tmp_path / "ask.json").write_text(json.dumps(ask))
    # An interpreter of another place borrows safetensors from here, and nothing else.
    (tmp_path / "borrowed").mkdir()
    (tmp_path / "borrowed" / "safetensors").symlink_to(Path(safetensors.__file__).parent)
    done = subprocess.run(
        [python, str(SCRIPT), tool, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "borrowed"), "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    with capsys.disabled():
        print(f"\n[{kind}: scores with {done.stdout.strip()} of {python}", end="]")
    scores = np.fromfile(tmp_path / "scores.bin", dtype=np.float32).reshape(400, 120)

    users = {user: row for row, user in enumerate(model.user_ids.to_pylist())}
    places = {item: row for row, item in enumerate(model.item_ids.to_pylist())}
    top = everything(model)
    theirs = scores[
        [users[user] for user in top["user"].to_pylist()], [places[item] for item in top["item"].to_pylist()]
    ]
    ours = top["score"].to_numpy()
    assert len(ours) == 400 * 120
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.user_embeddings() @ model.item_embeddings().T, scores, rtol=0, atol=1e-5)
