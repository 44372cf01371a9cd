"""Publishing among other people's files, beside other processes, and killed at any step."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
import tercel
from tercel._files import locked

from pipeline import publish
from pipeline.publish import FALLBACK_USER, PublishError, UserList, publish_dynamodb, publish_sqlite, serve_night
from pipeline.publish_dynamodb import manifest_of, remove_requests, send
from pipeline.publish_sqlite import night_file
from pipeline.store import open_night
from tests.kills import killed_at

FALLBACK = UserList(FALLBACK_USER, ["p1"], [0.5])


def lists(users: int) -> pa.Table:
    names = [f"u{user}" for user in range(users)]
    return pa.table({"user": names, "rank": [1] * users, "item": [f"i{user}" for user in range(users)],
                     "score": [1.0] * users})  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, and what it holds."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def served(store: Path) -> tuple[str, int]:
    """The night that is served, whole, and its users' number."""
    with closing(open_night(store)) as night:
        return night.label, night.verify()


def store_of_another_format(path: Path) -> None:
    """As it was written before there were checksums."""
    with closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE recommendations (user TEXT PRIMARY KEY, items TEXT NOT NULL)")
        base.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
        base.execute("INSERT INTO meta VALUES ('format', 'tercel-recommendations-1'), ('night', 'monday')")
        base.commit()


# ------------------------------------------------------------------------------------------------ other people's files


@pytest.mark.parametrize("name", ["store", "store.sqlite", "recommendations.db"])
def test_files_that_are_called_like_nights_stay(name: str, tmp_path: Path) -> None:
    store = tmp_path / name
    head, tail = store.stem, store.suffix
    publish_sqlite(lists(1), store, "backed-up", FALLBACK)
    foreign = [f"{head}.csv", f"{head}.parquet", f"{head}.notes{tail}", f"{head}.backup{tail}", f".{head}.x{tail}.tmp"]
    for other in foreign[:3]:
        (tmp_path / other).write_text("mine")
    with closing(sqlite3.connect(tmp_path / foreign[4])) as base:
        base.execute("CREATE TABLE mine (a)")
    # A copy of a night is nobody's night: its name says another one than it does.
    shutil.copyfile(store, tmp_path / foreign[3])
    before = {other: (tmp_path / other).read_bytes() for other in foreign}
    for number in range(5):
        publish_sqlite(lists(2), store, f"night-{number}", FALLBACK, keep=1)
    assert {other: (tmp_path / other).read_bytes() for other in foreign} == before
    assert publish.nights(store) == ["night-4"] and served(store) == ("night-4", 2)
    assert len(list(tmp_path.iterdir())) == len(foreign) + 2
    with pytest.raises(PublishError, match="no night backup"):
        serve_night(store, "backup")


def test_what_is_no_store_is_never_replaced(tmp_path: Path) -> None:
    store = tmp_path / "recommendations.sqlite"
    for path, content in ((store, b"mine"), (night_file(store, "monday"), b"mine, too")):
        path.write_bytes(content)
        before = contents(tmp_path)
        with pytest.raises(PublishError, match=rf"{path.name} is not a store of recommendations and is kept"):
            publish_sqlite(lists(1), store, "monday", FALLBACK)
        assert contents(tmp_path) == before
        path.unlink()
    with closing(sqlite3.connect(store)) as base:
        base.execute("CREATE TABLE meta (key TEXT, value TEXT)")
    with pytest.raises(PublishError, match="not a store"):
        publish_sqlite(lists(1), store, "monday", FALLBACK)


def test_another_night_of_that_name_stays(tmp_path: Path) -> None:
    store = tmp_path / "recommendations.sqlite"
    publish_sqlite(lists(1), store, "monday", FALLBACK)
    shutil.copyfile(night_file(store, "monday"), night_file(store, "tuesday"))
    with pytest.raises(PublishError, match="contains the night monday, not tuesday, and is kept"):
        publish_sqlite(lists(2), store, "tuesday", FALLBACK)
    assert served(store) == ("monday", 1)


def test_an_older_store_and_a_damaged_one_are_replaced(tmp_path: Path) -> None:
    """Both are known to be ours; a damaged night that would be removed stays, to be looked at."""
    store = tmp_path / "recommendations.sqlite"
    store_of_another_format(store)
    publish_sqlite(lists(1), store, "monday", FALLBACK)
    content = bytearray(store.read_bytes())
    content[-3000:] = bytes(3000)
    for path in (store, night_file(store, "monday")):
        path.write_bytes(bytes(content))
    with pytest.raises(PublishError, match="damaged"):
        serve_night(store, "monday")
    publish_sqlite(lists(2), store, "tuesday", FALLBACK)
    assert served(store) == ("tuesday", 2)
    publish_sqlite(lists(3), store, "wednesday", FALLBACK, keep=1)
    assert night_file(store, "monday").read_bytes() == bytes(content)
    assert not night_file(store, "tuesday").exists()


def test_links_are_followed_and_permissions_stay(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "current.sqlite"
    link.symlink_to("real/shop.sqlite")
    with pytest.raises(tercel.FileError, match="which does not exist"):
        publish_sqlite(lists(1), link, "monday", FALLBACK)
    before = os.umask(0o022)
    try:
        publish_sqlite(lists(1), tmp_path / "real" / "shop.sqlite", "sunday", FALLBACK)
        real = (tmp_path / "real" / "shop.sqlite").resolve()
        assert stat.S_IMODE(real.stat().st_mode) == 0o644
        os.umask(0o077)
        real.chmod(0o664)
        publish_sqlite(lists(2), link, "monday", FALLBACK)
        assert link.is_symlink() and served(link) == ("monday", 2)
        assert stat.S_IMODE(real.stat().st_mode) == stat.S_IMODE(night_file(real, "monday").stat().st_mode) == 0o664
        serve_night(link, "sunday")
        night_file(real, "monday").chmod(0o600)
        serve_night(link, "monday")
        # The store keeps its own, though the night has others now.
        assert served(link) == ("monday", 2) and stat.S_IMODE(real.stat().st_mode) == 0o664
    finally:
        os.umask(before)


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    store = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.sqlite"))
    publish_sqlite(lists(1), store, "monday", FALLBACK)
    publish_sqlite(lists(2), store, "tuesday", FALLBACK, keep=1)
    serve_night(store, "tuesday")
    assert served(store) == ("tuesday", 2)
    assert sorted(os.listdir(os.fsencode(tmp_path))) == [b"caf\xe9.sqlite", b"caf\xe9.tuesday.sqlite"]


# ----------------------------------------------------------------------------------------------- beside other processes


def test_one_publishes_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "recommendations.sqlite"
    publish_sqlite(lists(1), store, "monday", FALLBACK)
    with locked(store, "publish"):
        for work in (
            lambda: publish_sqlite(lists(2), store, "tuesday", FALLBACK),
            lambda: serve_night(store, "monday"),
        ):
            with pytest.raises(tercel.FileError, match=f"process {os.getpid()} has been writing it since"):
                work()
        assert publish.main(["--store", str(store), "--night", "monday", "--back"]) == 1
    assert "has been writing it since" in capsys.readouterr().err
    assert served(store) == ("monday", 1)


def all_kills(work: Callable[[], object], where: Path, look: Callable[[], None]) -> int:
    """Kills the work at its first step, then at its second, until it comes to its end; looks at what each has left."""
    for step in range(1, 400):
        dead = killed_at(step, work, str(where))
        look()
        if not dead:
            return step - 1
    raise AssertionError("it never ends")


def test_a_publisher_that_is_killed_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The store is one night or the other, whole; the next one takes over, and leaves nothing of the dead one."""
    store = tmp_path / "recommendations.sqlite"
    publish_sqlite(lists(30), store, "monday", FALLBACK)
    seen = set()

    def look() -> None:
        seen.add(served(store))

    kills = all_kills(lambda: publish_sqlite(lists(40), store, "tuesday", FALLBACK, keep=1), tmp_path, look)
    assert seen == {("monday", 30), ("tuesday", 40)}
    publish_sqlite(lists(50), store, "wednesday", FALLBACK, keep=1)
    assert sorted(contents(tmp_path)) == [store.name, "recommendations.wednesday.sqlite"]
    publish_sqlite(lists(30), store, "thursday", FALLBACK, keep=2)
    seen.clear()
    kills += all_kills(lambda: serve_night(store, "wednesday"), tmp_path, look)
    assert seen == {("thursday", 30), ("wednesday", 50)}
    with capsys.disabled():
        print(f"\n[{kills} kills, no half night", end="]")
    assert kills > 20


# -------------------------------------------------------------------------------------------------- DynamoDB's requests


def test_requests_are_replaced_when_they_are_as_they_were_written(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    folder.mkdir()
    remove_requests(folder)
    publish_dynamodb(lists(30), folder, "t", "monday", FALLBACK)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(PublishError, match=r"`notes\.txt` is not as it was written"):
        remove_requests(folder)
    assert len(contents(folder)) == 2
    (folder / "notes.txt").unlink()
    file = folder / "requests-00000.jsonl"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"u1", b"u2"))
    with pytest.raises(PublishError, match="is not as it was written"):
        remove_requests(folder)
    file.write_bytes(content)
    remove_requests(folder)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "requests-00000.jsonl").write_text("mine")
    with pytest.raises(PublishError, match="which says what belongs to it"):
        remove_requests(tmp_path / "photos")


class Never:
    """A table to which nothing may be sent."""

    def batch_write_item(self, *, RequestItems: dict[str, object]) -> dict[str, object]:
        raise AssertionError("sent")


def test_damaged_requests_are_not_sent(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    publish_dynamodb(lists(3), folder, "t", "monday", FALLBACK)
    file = folder / "requests-00000.jsonl"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"0.5", b"0.6"))
    with pytest.raises(PublishError, match="damaged"):
        send(Never(), folder)
    file.write_bytes(content)
    manifest = manifest_of(folder)
    manifest.write_bytes(manifest.read_bytes().replace(b"monday", b"friday"))
    with pytest.raises(tercel.DamagedError, match="damaged"):
        send(Never(), folder)


def test_a_writer_of_requests_that_is_killed_anywhere(tmp_path: Path) -> None:
    folder = tmp_path / "requests"

    def work() -> None:
        remove_requests(folder)
        publish_dynamodb(lists(30), folder, "t", "monday", FALLBACK)

    def look() -> None:
        if folder.exists() and contents(folder):
            assert contents(folder)["requests-00000.jsonl"].count(b"userId") == 31

    assert all_kills(work, tmp_path, look) > 10
    work()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".requests.requests.json", "requests"]
