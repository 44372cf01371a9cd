"""Writes the store that the API reads: one SQLite file per night.

`recommendations.sqlite` is the night being served; beside it lie the last nights as `recommendations.NIGHT.sqlite`.
A night is written to a draft and renamed when it is whole and on disk, so that a reader sees the old night or the new
one and never a part of either. One process publishes at a time. Only stores are replaced, and only nights that prove to
be this store's are removed: whatever else is called like one stays.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tercel._files import beside, followed, in_place, locked, new_draft, shown, sync

from pipeline.checks_data import Source, opened
from pipeline.publish_rows import PublishError, UserList
from pipeline.store import StoreUnavailable, has_our_mark, old_label, open_night
from pipeline.store_format import APPLICATION, DIGEST, FALLBACK_USER, FORMAT, TABLES, Digests, bits_for, seal

log = logging.getLogger("tercel.publish")

SETUP = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
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
    """Writes a night, makes it the one being served and removes all but the last `keep`. Returns the users' number.

    Raises:
        PublishError: For a night that cannot be published, or a file that would be replaced and is no store of ours.
        FileError: While another process publishes.
    """
    check_name(night)
    if keep < 1:
        raise PublishError("at least one night must be kept")
    store = followed(store)
    with locked(store, "publish"):
        sweep(store)
        file = night_file(store, night)
        refuse_foreign(store)
        refuse_foreign(file, night)
        draft = new_draft(file)
        try:
            if not file.exists() and store.exists():
                os.chmod(draft, stat.S_IMODE(store.stat().st_mode))
            count = write_file(draft, night, lists, fallback, model_checksum, articles)
            in_place(draft, file)
        finally:
            draft.unlink(missing_ok=True)
        serve_file(store, file)
        prune(store, keep)
    return count


def check_name(night: str) -> None:
    """Whether a night may be called so: its name becomes part of names of files.

    Raises:
        PublishError: When it may not.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", night):
        raise PublishError(f"the night {night!r} must consist of letters, digits, dots, dashes and underscores")


class Entries:
    """The directory's entries of one kind of keys, as they are written: 32 bytes of memory each, at last 64."""

    def __init__(self, digests: Digests, kind: str) -> None:
        """None yet."""
        self._digests, self._kind = digests, kind
        self._held = bytearray()

    def add(self, key: str, value: str) -> tuple[str, str]:
        """Notes a row, and gives it back."""
        name = key.encode()
        self._held += self._digests.key(self._kind, name) + self._digests.row(self._kind, name, value.encode())
        return key, value

    @property
    def bits(self) -> int:
        """Into how many buckets they go, as a power of two."""
        return bits_for(len(self._held) // (2 * DIGEST))

    def buckets(self) -> Iterator[tuple[str, int, bytes, bytes]]:
        """The rows of the directory."""
        rows = np.frombuffer(self._held, dtype=np.uint8).reshape(-1, 2 * DIGEST)
        heads = rows[:, :4].copy().view(">u4")[:, 0].astype(np.int64)
        numbers = heads >> (32 - self.bits)
        order = np.argsort(numbers, kind="stable")
        edges = (np.searchsorted(numbers[order], np.arange((1 << self.bits) + 1)) * 2 * DIGEST).tolist()
        ordered = rows[order].tobytes()
        for number, (start, end) in enumerate(pairwise(edges)):
            entries = ordered[start:end]
            yield self._kind, number, entries, self._digests.bucket(self._kind, number, entries)


def write_file(
    path: Path, night: str, lists: Iterable[UserList], fallback: UserList, checksum: str, articles: Source | None
) -> int:
    """Writes one night into an empty file, which is on disk when this returns."""
    edition = secrets.token_hex(DIGEST)
    digests = Digests(edition)
    users, items = Entries(digests, "users"), Entries(digests, "items")
    insert = "INSERT INTO recommendations VALUES (?, ?)"
    with closing(sqlite3.connect(path)) as base:
        base.executescript(SETUP)
        for statement in TABLES.values():
            base.execute(statement)
        base.commit()  # the draft says whose it is
        try:
            base.execute(insert, users.add(fallback.user, fallback.as_json()))
            rows = (users.add(one.user, one.as_json()) for one in lists)
            count = base.executemany(insert, rows).rowcount
        except sqlite3.IntegrityError as error:
            reason = f"a user stands twice, apart in the file, or is called {FALLBACK_USER!r} (kept for the fallback)"
            raise PublishError(f"the predictions cannot be published: {reason}") from error
        if articles is not None:
            base.executemany("INSERT INTO names VALUES (?, ?)", (items.add(*pair) for pair in item_names(articles)))
        for entries in (users, items):
            base.executemany("INSERT INTO directory VALUES (?, ?, ?, ?)", entries.buckets())
        meta = {
            "format": FORMAT,
            "night": night,
            "model_checksum": checksum,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "users": str(count),
            "k": str(len(fallback.items)),
            "edition": edition,
            "users_bits": str(users.bits),
            "items_bits": str(items.bits),
        }
        meta["seal"] = seal(meta)
        base.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        base.commit()
    sync(path)
    return int(count)


def item_names(articles: Source) -> Iterator[tuple[str, str]]:
    """(item, name) of every article that has a name, each item once: the first of its rows counts."""
    columns = ["item_id", "name"]
    seen: set[str] = set()
    if isinstance(articles, pa.Table):
        yield from _new_pairs(articles.select(columns).to_batches(max_chunksize=65_536), seen)
        return
    with opened(articles) as file:
        yield from _new_pairs(pq.ParquetFile(file).iter_batches(65_536, columns=columns), seen)


def _new_pairs(batches: Iterable[pa.RecordBatch], seen: set[str]) -> Iterator[tuple[str, str]]:
    for batch in batches:
        pairs = zip(batch.column("item_id").to_pylist(), batch.column("name").to_pylist(), strict=True)
        for item, name in pairs:
            if item is not None and name and str(item) not in seen:
                seen.add(str(item))
                yield str(item), str(name)


def night_file(store: Path, night: str) -> Path:
    """Where a night lies."""
    return store.with_name(f"{store.stem}.{night}{store.suffix}")


def refuse_foreign(file: Path, night: str | None = None) -> None:
    """Whether a file may be replaced: a store of ours may, and as a night only one of this label.

    Raises:
        PublishError: When it is anything else.
    """
    if not os.path.lexists(file):
        return
    mark, old = has_our_mark(file), old_label(file)
    if not file.is_file() or (night is not None and file.is_symlink()) or not (mark or old is not None):
        raise PublishError(f"{shown(file)} is not a store of recommendations and is kept: move it, or name another")
    if night is None:
        return
    label = label_of(file) if mark else old
    if label not in (None, night):  # a damaged one has none
        raise PublishError(f"{shown(file)} contains the night {label}, not {night}, and is kept: move it away")


def label_of(file: Path) -> str | None:
    """The label that a night of ours proves; nothing of any other file."""
    if file.is_symlink() or not has_our_mark(file):
        return None
    try:
        with closing(open_night(file)) as night:
            return night.label
    except StoreUnavailable:
        return None


def nights(store: Path) -> list[str]:
    """The nights that lie beside the store, last written first: files called so that are such nights inside."""
    store = followed(store)
    head, tail = f"{store.stem}.", store.suffix
    found = [path for path in store.parent.glob("*") if path.name.startswith(head) and path.name.endswith(tail)]
    labels = {path: path.name[len(head) : len(path.name) - len(tail)] for path in found if path != store}
    ours = [path for path, label in labels.items() if label and label_of(path) == label]
    ours.sort(key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    return [labels[path] for path in ours]


def prune(store: Path, keep: int) -> None:
    """Removes all nights but the last `keep`, each when all of it is as we wrote it. The lock has to be held."""
    for old in nights(store)[keep:]:
        file = night_file(store, old)
        try:
            with closing(open_night(file)) as night:
                night.verify()
        except StoreUnavailable as error:
            log.warning("%s stays: %s", shown(file), error)
            continue
        file.unlink()
    sync(store.parent)


def sweep(store: Path) -> None:
    """Removes the drafts that a killed publisher left: stores, whole or not. The lock has to be held."""
    stem, suffix = re.escape(store.stem), re.escape(store.suffix)
    name = re.compile(rf"\.{stem}(\.[A-Za-z0-9][A-Za-z0-9._-]*)?{suffix}\.(tercel-tmp|[0-9]+\.tmp)")
    for path in store.parent.iterdir():
        if not name.fullmatch(path.name) or path.is_symlink() or not path.is_file():
            continue
        if path.stat().st_size == 0 or has_our_mark(path) or old_label(path) is not None:
            path.unlink()


def serve_night(store: Path, night: str) -> None:
    """Makes a night that lies beside the store the one being served: also the way back to an earlier night.

    Raises:
        PublishError: When there is no such night, it is damaged, or the store's name is another file's.
        FileError: While another process publishes.
    """
    store = followed(store)
    with locked(store, "publish --back"):
        sweep(store)
        refuse_foreign(store)
        file = night_file(store, night)
        if label_of(file) != night:
            there = ", ".join(nights(store))
            raise PublishError(f"there is no night {night} beside {shown(store.name)}; there are: {there}")
        try:
            with closing(open_night(file)) as opened_night:
                opened_night.verify()
        except StoreUnavailable as error:
            raise PublishError(str(error)) from error
        serve_file(store, file)


def serve_file(store: Path, file: Path) -> None:
    """Gives a night's file the store's name, too. A store that is there keeps its permissions."""
    draft = beside(store, "tercel-tmp")
    draft.unlink(missing_ok=True)
    if store.exists() and store.samefile(file):  # renaming one name of a file to another does nothing
        return
    try:
        if store.exists() and stat.S_IMODE(store.stat().st_mode) != stat.S_IMODE(file.stat().st_mode):
            raise OSError("a link would share the permissions")
        os.link(file, draft)
    except OSError:  # or a file system without hard links
        draft = new_draft(store)
        shutil.copyfile(file, draft)
    try:
        in_place(draft, store)
    finally:
        draft.unlink(missing_ok=True)
