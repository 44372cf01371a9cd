"""What a night may replace: only what a night wrote, as it wrote it; and one flow at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tercel
from tercel._files import locked

from pipeline.distributed_job import new_folder
from pipeline.one_flow import one_flow
from pipeline.owned import MANIFEST, NotOurs, Owned
from tests.kills import killed_at

ROOT = Path(__file__).resolve().parents[2]


def wrote(folder: Path, text: str) -> None:
    """A night that writes one file."""
    Owned(folder).write_text(folder / "reports" / "a.html", text)


def test_a_night_replaces_what_a_night_wrote(tmp_path: Path) -> None:
    wrote(tmp_path, "one")
    wrote(tmp_path, "two")
    assert (tmp_path / "reports" / "a.html").read_text() == "two"
    Owned(tmp_path).check(tmp_path / "reports" / "a.html")


@pytest.mark.parametrize("theirs", ["mine", "one"])
def test_somebody_elses_file_stays(theirs: str, tmp_path: Path) -> None:
    """Whatever is in it; a folder and a link likewise."""
    path = tmp_path / "reports" / "a.html"
    path.parent.mkdir()
    path.write_text(theirs)
    with pytest.raises(NotOurs, match=r"a\.html: is there, and nothing says that a night wrote it"):
        wrote(tmp_path, "one")
    assert path.read_text() == theirs
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotOurs):
        wrote(tmp_path, "one")
    with pytest.raises(NotOurs, match="nothing says"):
        Owned(tmp_path).claim(path)


def test_a_file_that_was_changed_is_neither_replaced_nor_read(tmp_path: Path) -> None:
    wrote(tmp_path, "one")
    path = tmp_path / "reports" / "a.html"
    path.write_text("mine")
    with pytest.raises(NotOurs, match="is not as the night wrote it"):
        wrote(tmp_path, "two")
    with pytest.raises(NotOurs, match="is not as the night wrote it"):
        Owned(tmp_path).check(path)
    assert path.read_text() == "mine"
    path.unlink()
    with pytest.raises(NotOurs, match="does not exist"):
        Owned(tmp_path).check(path)
    wrote(tmp_path, "two")


def test_a_damaged_manifest_is_an_error(tmp_path: Path) -> None:
    wrote(tmp_path, "one")
    manifest = tmp_path / MANIFEST
    content = manifest.read_bytes()
    changed = json.loads(content)
    changed["files"]["notes.txt"] = []
    for wrong in (content[:-9], b"", b"[]", content.replace(b"html", b"txt"), json.dumps(changed).encode()):
        manifest.write_bytes(wrong)
        with pytest.raises(tercel.DamagedError, match="damaged"):
            Owned(tmp_path)


def test_a_night_that_is_killed_anywhere_is_gone_on_with(tmp_path: Path) -> None:
    wrote(tmp_path, "one")
    path = tmp_path / "reports" / "a.html"
    seen = set()
    for step in range(1, 100):
        dead = killed_at(step, lambda: wrote(tmp_path, "two"), str(tmp_path))
        seen.add(path.read_text())
        if not dead:
            break
        wrote(tmp_path, "one")
    assert seen == {"one", "two"} and step > 10
    killed_at(9, lambda: wrote(tmp_path, "three"), str(tmp_path))
    Owned(tmp_path).sweep()
    assert sorted(os.listdir(tmp_path / "reports")) == ["a.html"]


# ------------------------------------------------------------------------------------------------------------ two flows


def flow(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`python -m pipeline` in a folder."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def until(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_second_flow_is_refused_and_a_dead_one_stops_nobody(tmp_path: Path) -> None:
    first = flow(tmp_path, "--root", "out")
    try:
        lock = tmp_path / ".out.tercel-lock"
        until(lambda: lock.exists() and lock.stat().st_size > 0)
        assert json.loads(lock.read_text())["pid"] == first.pid
        for command in (["--root", "out"], ["run", "--root=./out"], ["--root", str(tmp_path / "out")]):
            second = flow(tmp_path, *command)
            words, _ = second.communicate(timeout=60)
            assert second.returncode == 3 and "Traceback" not in words, words
            assert f"process {first.pid} has been writing it since 20" in words and "(pipeline run)" in words, words
        until(lambda: bool(children(first.pid)))
        tasks = children(first.pid)
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    # Its tasks go with it: nobody writes any more who holds no lock.
    until(lambda: not any(map(alive, tasks)), 10)
    third = flow(tmp_path, "--root", "out", "--grid", "[]")
    words, _ = third.communicate(timeout=120)
    assert "pass at least one set of settings" in words and third.returncode not in (0, 3), words
    assert not lock.exists()
    # What is resumed writes to the folder of its first run.
    with locked(tmp_path / "out", "test"):
        resumed = flow(tmp_path, "resume")
        words, _ = resumed.communicate(timeout=60)
        assert resumed.returncode == 3 and f"process {os.getpid()} has been writing it" in words, words


def test_a_root_that_is_no_utf8_is_refused_in_a_line(tmp_path: Path) -> None:
    made = flow(tmp_path, "--root", os.fsdecode(b"caf\xe9"))
    words, _ = made.communicate(timeout=60)
    assert made.returncode == 3 and words.startswith("error: ") and "caf\\xe9: DuckDB takes no path" in words, words
    assert os.listdir(tmp_path) == []


# ---------------------------------------------------------------------------------------------------- engines' folders


def test_engines_write_into_new_folders_alone(tmp_path: Path) -> None:
    """Neither among other files nor beside another job."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.parquet").write_text("mine")
    with (
        pytest.raises(SystemExit, match=r"error: .*photos: already exists and is not empty"),
        new_folder(str(tmp_path / "photos")),
    ):
        raise AssertionError
    again = new_folder(str(tmp_path / "lists"))
    with new_folder(str(tmp_path / "lists")), pytest.raises(SystemExit, match="has been writing it since"), again:
        raise AssertionError
    with new_folder("s3://bucket/lists"):
        pass
    assert os.listdir(tmp_path) == ["photos"]


def test_a_root_that_this_machine_does_not_see_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the workers of a cluster do."""
    with one_flow("TercelNight", ["run", "--root", "/proc/nowhere/night"]):
        pass
    assert "no lock" in capsys.readouterr().err
    for arguments in (["show"], ["run", "--help"], ["--no-pylint", "check"]):
        with one_flow("TercelNight", arguments):
            pass
    assert capsys.readouterr().err == ""
