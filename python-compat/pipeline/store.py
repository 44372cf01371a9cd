"""Reads a store of recommendations, and believes nothing in it that its checksums do not prove.

    night = open_night(Path("recommendations.sqlite"))
    night.recommendations("42", 12)

What is answered is what was published, label included, or `StoreDamaged` is raised: that a user is not there is proven
as much as what stands in its list.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.store_format import (
    APPLICATION,
    DIGEST,
    FALLBACK_USER,
    FORMAT,
    KINDS,
    OLD_FORMAT,
    TABLES,
    Digests,
    bucket_of,
    seal,
)

MOST_VALUE = 64 << 20
"""Bytes of the largest value that is read: a damaged length asks for no memory."""

MOST_META = 64

MOST_NAMES = 250_000
"""Names of items that are kept in memory."""

_LIMIT_LENGTH = 0
"""SQLite's number of this limit."""

STEPS, MOST_STEPS = 10_000, 1_000
"""A query may take so many times so many steps of SQLite's machine; a few dozen are usual."""


class StoreUnavailable(Exception):
    """There is no store to read, or it is not one of ours."""


class StoreDamaged(StoreUnavailable):
    """A store of ours in which something is not as it was published."""


class Night:
    """A night that is open for reading."""

    def __init__(self, path: Path, base: sqlite3.Connection) -> None:
        """Reads who it is. `open_night` makes one."""
        self.path = path
        self._base = base
        self._steps = 0
        self._names: dict[str, str] = {}
        base.set_progress_handler(self._stepped, STEPS)
        with self._damage("its tables"):
            self._check_tables()
            self.meta = self._read_meta()
            self._digests = Digests(self.meta["edition"])
            self._bits = {kind: int(self.meta[f"{kind}_bits"]) for kind in KINDS}

    def close(self) -> None:
        """Closes the file."""
        self._base.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """The open file; texts come as bytes."""
        return self._base

    @property
    def label(self) -> str:
        """The night's name."""
        return self.meta["night"]

    def recommendations(self, user: str, k: int) -> dict[str, Any]:
        """What the API answers for a user: its list with names, or the fallback list, and the night.

        Raises:
            StoreDamaged: When any part of the answer is not as it was published.
        """
        found = None if user == FALLBACK_USER else self.value("users", user)
        text = self.value("users", FALLBACK_USER) if found is None else found
        if text is None:
            raise self.damaged("it has no fallback list")
        items = json.loads(text)[:k]
        for item in items:
            name = self._name(item["item"])
            if name:
                item["name"] = name
        return {"user": user, "items": items, "night": self.label, "fallback": found is None}

    def _name(self, item: str) -> str:
        """An item's name, empty where it has none: proven once, and kept, as the same items are in many lists."""
        name = self._names.get(item)
        if name is None:
            if len(self._names) >= MOST_NAMES:
                self._names.clear()
            name = self._names[item] = self.value("items", item) or ""
        return name

    def value(self, kind: str, key: str) -> str | None:
        """The value of a key, or `None` where it is proven that there is none.

        Raises:
            StoreDamaged: When neither is proven.
        """
        table, key_column, value_column = KINDS[kind]
        asked = key.encode()
        digest = self._digests.key(kind, asked)
        with self._damage(f"its table of {kind}"):
            entry = self._entry(kind, digest)
            if entry is None:
                return None
            query = f"SELECT CAST({value_column} AS BLOB) FROM {table} WHERE {key_column} = ? LIMIT 2"
            rows = self._rows(query, key)
            if len(rows) != 1 or self._digests.row(kind, asked, rows[0][0]) != entry:
                raise self.damaged(f"its row of `{key[:100]}` in the table {table} is not as it was published")
            return str(rows[0][0].decode())

    def _entry(self, kind: str, digest: bytes) -> bytes | None:
        """The digest of a key's row, by the directory."""
        number = bucket_of(digest, self._bits[kind])
        rows = self._rows("SELECT entries, checksum FROM directory WHERE kind = ? AND bucket = ? LIMIT 2", kind, number)
        if len(rows) != 1 or self._digests.bucket(kind, number, rows[0][0]) != rows[0][1]:
            raise self.damaged(f"its directory of {kind} is not as it was published (bucket {number})")
        entries: bytes = rows[0][0]
        at = entries.find(digest)
        while at > 0 and at % (2 * DIGEST):  # parts of two others
            at = entries.find(digest, at + 1)
        return None if at < 0 else entries[at + DIGEST : at + 2 * DIGEST]

    def verify(self) -> int:
        """Reads all of it: every page, every row, every bucket. Returns the number of users.

        Raises:
            StoreDamaged: When anything is not as it was published.
        """
        self._base.set_progress_handler(None, 0)
        with self._damage("its pages"):
            found = self._base.execute("PRAGMA integrity_check(1)").fetchall()
            if found != [(b"ok",)]:
                raise self.damaged(f"SQLite says: {found[0][0].decode('utf-8', 'replace')}")
            for kind in KINDS:
                self._verify_kind(kind)
        return int(self.meta["users"])

    def _verify_kind(self, kind: str) -> None:
        """Rows and entries are the same: their numbers are, and so are the sums of their digests."""
        table, key_column, value_column = KINDS[kind]
        rows = entries = row_sum = entry_sum = 0
        query = f"SELECT CAST({key_column} AS BLOB), CAST({value_column} AS BLOB) FROM {table}"
        for key, value in self._base.execute(query):
            both = self._digests.key(kind, key) + self._digests.row(kind, key, value)
            row_sum += int.from_bytes(both, "big")
            rows += 1
        buckets = self._base.execute(
            "SELECT bucket, entries, checksum FROM directory WHERE kind = ? ORDER BY bucket", (kind,)
        )
        at = -1
        for at, (number, held, checksum) in enumerate(buckets):
            if number != at or self._digests.bucket(kind, number, held) != checksum:
                raise self.damaged(f"its directory of {kind} is not as it was published (bucket {at})")
            entry_sum += sum(
                int.from_bytes(held[start : start + 2 * DIGEST], "big") for start in range(0, len(held), 2 * DIGEST)
            )
            entries += len(held) // (2 * DIGEST)
        if at + 1 != 1 << self._bits[kind] or rows != entries or row_sum != entry_sum:
            raise self.damaged(f"its table {table} is not as it was published")

    def damaged(self, reason: str) -> StoreDamaged:
        """The error, with the file's name."""
        return StoreDamaged(f"the store {_name(self.path)} is damaged: {reason}; publish the night again")

    @contextmanager
    def _damage(self, where: str) -> Iterator[None]:
        """Whatever SQLite and Python say of bytes that make no sense."""
        self._steps = 0
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError, KeyError, OverflowError, MemoryError, AttributeError) as error:
            raise self.damaged(f"{where} cannot be read ({str(error) or type(error).__name__})") from error

    def _stepped(self) -> int:
        self._steps += 1
        return int(self._steps > MOST_STEPS)

    def _rows(self, query: str, *values: object) -> list[Any]:
        return self._base.execute(query, values).fetchall()

    def _check_tables(self) -> None:
        """Exactly our tables: a view or a trigger could answer anything."""
        rows = self._base.execute("SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT 64").fetchall()
        expected: set[tuple[bytes | None, ...]] = set()
        for name, sql in TABLES.items():
            expected.add((b"table", name.encode(), name.encode(), sql.encode()))
        expected.add((b"index", b"sqlite_autoindex_recommendations_1", b"recommendations", None))
        if set(rows) != expected or len(rows) != len(expected):
            if old_label(self.path) is not None:
                raise StoreUnavailable(
                    f"the store {_name(self.path)} has the format {OLD_FORMAT}, not {FORMAT}: publish the night again"
                )
            raise self.damaged("its tables are not those of a store")

    def _read_meta(self) -> dict[str, str]:
        rows = self._base.execute(f"SELECT key, value FROM meta LIMIT {MOST_META}").fetchall()
        meta = {key.decode(): value.decode() for key, value in rows}
        if meta.get("seal") != seal(meta):
            raise self.damaged("its label is not as it was published")
        if meta["format"] != FORMAT:
            raise StoreUnavailable(f"the store {_name(self.path)} has the format {meta['format']}, not {FORMAT}")
        return meta


def open_night(path: Path) -> Night:
    """Opens a store for reading. Nights are replaced and never changed, so that no locks are needed (immutable).

    Raises:
        StoreUnavailable: When it is not there, or none of ours.
        StoreDamaged: When it is damaged.
    """
    if not path.is_file():
        raise StoreUnavailable(f"there is no store {_name(path)} yet")
    address = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro&immutable=1"
    try:
        base = sqlite3.connect(address, uri=True, check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the store {_name(path)} cannot be opened: {error}") from error
    base.text_factory = bytes
    try:
        if hasattr(base, "setlimit"):  # Python 3.11
            base.setlimit(_LIMIT_LENGTH, MOST_VALUE)
        base.executescript("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;")
        return Night(path, base)
    except sqlite3.Error as error:
        base.close()
        raise StoreDamaged(f"the store {_name(path)} cannot be read: {error}") from error
    except BaseException:
        base.close()
        raise


def has_our_mark(path: Path) -> bool:
    """Whether a file begins as a store of ours does: a SQLite file with our application id."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(72)
    return head.startswith(b"SQLite format 3\0") and head[68:72] == APPLICATION.to_bytes(4, "big")


def old_label(path: Path) -> str | None:
    """The label of a night of the older format; nothing where it is none."""
    if not path.is_file():
        return None
    address = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro&immutable=1"
    try:
        base = sqlite3.connect(address, uri=True)
        try:
            meta = dict(base.execute(f"SELECT key, value FROM meta LIMIT {MOST_META}").fetchall())
        finally:
            base.close()
    except sqlite3.Error:
        return None
    return str(meta.get("night")) if meta.get("format") == OLD_FORMAT else None


def _name(path: Path) -> str:
    """A file's name for a message, whatever its bytes are."""
    return os.fsencode(path.name).decode("utf-8", "backslashreplace")
