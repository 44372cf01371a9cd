"""The store that the API reads: one SQLite file per night.

`recommendations.sqlite` is the night being served; beside it lie the last nights as `recommendations.NIGHT.sqlite`.
A night is written to a temporary file and renamed when it is whole, so that a reader sees the old night or the new one
and never a part of either.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.checks_data import Source
from pipeline.publish_rows import FALLBACK_USER, PublishError, UserList

FORMAT = "tercel-recommendations-1"

SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE recommendations (user TEXT PRIMARY KEY, items TEXT NOT NULL);
CREATE TABLE names (item TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


def write_night(
    store: Path,
    night: str,
    lists: Iterable[UserList],
    fallback: UserList,
    model_checksum: str,
    articles: Source | None = None,
    keep: int = 7,
) -> int:
    """Writes a night, makes it the one being served and removes all but the last `keep`. Returns the users' number."""
    check_name(night)
    if keep < 1:
        raise PublishError("at least one night has to be kept")
    store.parent.mkdir(parents=True, exist_ok=True)
    file = night_file(store, night)
    temporary = store.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        count = write_file(temporary, night, lists, fallback, model_checksum, articles)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    serve_night(store, night)
    for old in nights(store)[keep:]:
        night_file(store, old).unlink()
    return count


def check_name(night: str) -> None:
    """Whether a night may be called so: its name becomes part of names of files.

    Raises:
        PublishError: When it may not.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", night):
        raise PublishError(f"the night {night!r} has to be letters, digits, dots, dashes and underscores")


def write_file(
    path: Path, night: str, lists: Iterable[UserList], fallback: UserList, checksum: str, articles: Source | None
) -> int:
    """Writes one night to a new file, which is on disk when this returns."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as base:
        base.executescript(SCHEMA)
        try:
            base.executemany(
                "INSERT INTO recommendations VALUES (?, ?)", ((one.user, one.as_json()) for one in [fallback])
            )
            inserted = base.executemany(
                "INSERT INTO recommendations VALUES (?, ?)", ((one.user, one.as_json()) for one in lists)
            ).rowcount
        except sqlite3.IntegrityError as error:
            reason = f"a user stands twice, apart in the file, or is called {FALLBACK_USER!r} (kept for the fallback)"
            raise PublishError(f"the predictions cannot be published: {reason}") from error
        if articles is not None:
            base.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", item_names(articles))
        meta = {
            "format": FORMAT,
            "night": night,
            "model_checksum": checksum,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "users": str(inserted),
            "k": str(len(fallback.items)),
        }
        base.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        base.commit()
    flush(path)
    return int(inserted)


def flush(path: Path) -> None:
    """Waits until a file's bytes are on disk, so that a rename never gives a name to an empty file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def item_names(articles: Source) -> Iterator[tuple[str, str]]:
    """(item, name) of every article that has a name."""
    columns = ["item_id", "name"]
    if isinstance(articles, pa.Table):
        found = articles.select(columns).to_batches(max_chunksize=65_536)
    else:
        found = pq.ParquetFile(articles).iter_batches(65_536, columns=columns)
    for batch in found:
        pairs = zip(batch.column("item_id").to_pylist(), batch.column("name").to_pylist(), strict=True)
        yield from ((str(item), str(name)) for item, name in pairs if item is not None and name)


def night_file(store: Path, night: str) -> Path:
    """Where a night lies."""
    return store.with_name(f"{store.stem}.{night}{store.suffix}")


def nights(store: Path) -> list[str]:
    """The nights that lie beside the store, last written first."""
    head, tail = f"{store.stem}.", store.suffix
    found = [path for path in store.parent.glob("*") if path.name.startswith(head) and path.name.endswith(tail)]
    found = [path for path in found if len(path.name) > len(head) + len(tail)]
    found.sort(key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    return [path.name[len(head) : len(path.name) - len(tail)] for path in found]


def serve_night(store: Path, night: str) -> None:
    """Makes a night that lies beside the store the one being served: also the way back to an earlier night."""
    file = night_file(store, night)
    if not file.is_file():
        raise PublishError(f"there is no night {night} beside {store.name}; there are: {', '.join(nights(store))}")
    temporary = store.with_name(f".{store.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(file, temporary)
    except OSError:  # a file system without hard links
        shutil.copy2(file, temporary)
        flush(temporary)
    if store.exists() and store.samefile(temporary):  # renaming one name of a file to another does nothing
        temporary.unlink()
        return
    os.replace(temporary, store)
