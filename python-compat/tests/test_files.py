"""Outputs: old or new and whole, one writer, links followed, permissions kept."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
import tercel
from tercel import _files
from tercel._files import beside, exchange, folder_in_place, locked, mend, remove_named, shown, whole, write_text

HOLDER = """
import os, sys, time
from pathlib import Path
from tercel._files import locked
with locked(Path(sys.argv[1]), "test"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def holder(target: Path) -> subprocess.Popen[str]:
    """A process that holds the lock of `target`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    made = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(target)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert made.stdout is not None and made.stdout.readline() == "held\n"
    return made


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(KeyError), whole(tmp_path / "a.txt") as draft:
        draft.write_text("half")
        assert (tmp_path / "a.txt").read_text() == "old"
        raise KeyError
    assert (tmp_path / "a.txt").read_text() == "old" and names(tmp_path) == ["a.txt"]
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new" and names(tmp_path) == ["a.txt"]


def test_permissions_are_those_of_the_umask_or_stay(tmp_path: Path, umask: None) -> None:
    write_text(tmp_path / "a.txt", "x")
    assert mode(tmp_path / "a.txt") == 0o640
    (tmp_path / "a.txt").chmod(0o604)
    write_text(tmp_path / "a.txt", "y")
    assert mode(tmp_path / "a.txt") == 0o604


def test_links_are_followed_and_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to("real/a.txt")
    with pytest.raises(tercel.FileError, match=r"a link to real/a\.txt, which does not exist"):
        write_text(tmp_path / "link.txt", "x")
    (tmp_path / "real" / "a.txt").touch()
    write_text(tmp_path / "link.txt", "x")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real" / "a.txt").read_text() == "x"
    assert names(tmp_path / "real") == ["a.txt"]
    with pytest.raises(tercel.FileError, match="is a folder"):
        write_text(tmp_path / "real", "x")


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    with whole("/dev/null") as draft:
        assert draft == Path("/dev/null")


def test_what_a_kill_left_of_a_draft_goes(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.tercel-tmp").write_text("half of somebody's")
    write_text(tmp_path / "a.txt", "x")
    assert names(tmp_path) == ["a.txt"]


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    first = holder(tmp_path / "a.txt")
    try:
        with pytest.raises(tercel.FileError, match=rf"process {first.pid} has been writing it since 20\d\d-.*\(test\)"):
            write_text(tmp_path / "a.txt", "x")
        assert json.loads((tmp_path / ".a.txt.tercel-lock").read_text())["pid"] == first.pid
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    # What the kill left stops nobody, and goes with the next one.
    assert names(tmp_path) == [".a.txt.tercel-lock"]
    write_text(tmp_path / "a.txt", "x")
    assert names(tmp_path) == ["a.txt"]


def test_the_core_and_python_have_one_lock(data: tercel.Dataset, tmp_path: Path) -> None:
    with (
        locked(tmp_path / "model", "test"),
        pytest.raises(tercel.TercelError, match=f"process {os.getpid()} has been writing it since"),
    ):
        tercel.Model.train(data, tmp_path / "model", dim=4, epochs=1, progress=False)
    assert names(tmp_path) == []


def test_somebody_elses_lock_file_stays(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.tercel-lock").write_text("my notes")
    with pytest.raises(tercel.FileError, match="no lock of ours"):
        write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / ".a.txt.tercel-lock").read_text() == "my notes"


def test_folders_that_were_made_for_nothing_go(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path / "a" / "b" / "c", "test"):
        raise KeyError
    assert names(tmp_path) == []
    with locked(tmp_path / "a" / "b" / "c", "test"):
        (tmp_path / "a" / "b" / "c").touch()
    assert (tmp_path / "a" / "b" / "c").exists()


@pytest.mark.parametrize("exchanges", [True, False])
def test_folders_are_exchanged(exchanges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one step, or in three where the system cannot; then a failure puts the old one back."""
    if not exchanges:
        monkeypatch.setattr(_files, "_renameat2", lambda *_: 38)
    (tmp_path / "new").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "old").chmod(0o711)
    write_text(tmp_path / "new" / "n", "n")
    write_text(tmp_path / "old" / "o", "o")
    folder_in_place(tmp_path / "new", tmp_path / "old")
    assert (names(tmp_path / "old"), names(tmp_path / "new"), mode(tmp_path / "old")) == (["n"], ["o"], 0o711)
    assert names(tmp_path) == ["new", "old"]
    with pytest.raises(OSError):
        exchange(tmp_path / "none", tmp_path / "old")
    assert names(tmp_path) == ["new", "old"]


def test_an_exchange_that_was_killed_is_mended(tmp_path: Path) -> None:
    aside = beside(tmp_path / "model", "tercel-old")
    aside.mkdir()
    assert mend(tmp_path / "model") is None and names(tmp_path) == ["model"]
    aside.mkdir()
    assert mend(tmp_path / "model") == aside


def test_only_named_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    for name in ("ours", "theirs"):
        (tmp_path / "f" / name).touch()
    with pytest.raises(tercel.FileError, match="`theirs` was not created by Tercel"):
        remove_named(tmp_path / "f", ["ours", "gone"])
    assert names(tmp_path / "f") == ["theirs"]


def test_any_bytes_are_a_name(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, and names so long that nothing can be added to them."""
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    write_text(strange, "x")
    assert os.listdir(os.fsencode(tmp_path)) == [b"caf\xe9"] and shown(strange).endswith("caf\\xe9")
    write_text(tmp_path / ("n" * 255), "x")
    assert len(names(tmp_path)) == 2


def test_the_whole_way_through_a_folder_whose_name_is_no_utf8(tmp_path: Path) -> None:
    """From a text file to lists, an index and a copy of the model."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    (folder / "shop").mkdir(parents=True)
    with (folder / "shop" / "in.csv").open("wb") as file:
        pa.csv.write_csv(tercel.demo_purchases(), file)
    assert tercel.read_table(folder / "shop").num_rows == 570
    data = tercel.Dataset.build(folder / "shop" / "in.csv", folder / "data", progress=False)
    assert data.to_arrow().num_rows == 570 and data.item_table().num_rows == 21
    model = tercel.Model.train(data, folder / "model", dim=4, epochs=1, progress=False)
    for name in ("top.arrow", "top.parquet"):
        top = model.recommend(2, out=folder / name, users=folder / "shop" / "in.csv", include_seen=True, progress=False)
        assert top.num_rows == 60
    model.build_index(recall=None).save(folder / "items.index")
    assert len(tercel.Index.open(folder / "items.index")) == 20
    again = tercel.Model.from_pretrained(model.save_pretrained(folder / "copy"))
    assert again.metrics == model.metrics and again.item_ids.equals(model.item_ids)
    with pytest.raises(tercel.TercelError, match="none: no dataset"):
        tercel.Dataset(folder / "none")
