"""What a store of recommendations is: tables in a SQLite file, and the checksums by which every answer is proven.

The table `directory` holds, for every key of the tables `recommendations` and `names`, a digest of the key and one
of its row, in buckets by the key's digest. A bucket's checksum covers all of it, so that it proves which keys there are
and which there are not. Every digest is keyed with the night's edition, a random number in `meta`, and `meta` has a
checksum that covers the night's label: a row, a bucket or a label of another night fits nowhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FORMAT = "tercel-recommendations-2"

OLD_FORMAT = "tercel-recommendations-1"
"""Without checksums: such a store is replaced, and no longer read."""

FALLBACK_USER = "no_user"
"""The key of the list for users that the store does not know."""

APPLICATION = 0x54524353
"""SQLite's application id, in a file's first hundred bytes: by it a damaged store is still known to be ours."""

TABLES = {
    "recommendations": "CREATE TABLE recommendations (user TEXT PRIMARY KEY, items TEXT NOT NULL)",
    "names": "CREATE TABLE names (item TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID",
    "meta": "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "directory": (
        "CREATE TABLE directory (kind TEXT NOT NULL, bucket INTEGER NOT NULL, entries BLOB NOT NULL, "
        "checksum BLOB NOT NULL, PRIMARY KEY (kind, bucket)) WITHOUT ROWID"
    ),
}
"""The tables, as SQLite keeps their statements."""

KINDS = {"users": ("recommendations", "user", "items"), "items": ("names", "item", "name")}
"""The kinds of keys: their table, and its columns of the key and the value."""

DIGEST = 16
"""Bytes of a digest; an entry of the directory is two of them."""

PER_BUCKET = 32
"""Entries of a bucket, at most and about."""


def seal(meta: Mapping[str, str]) -> str:
    """The checksum of the meta table, which is kept in it as `seal`."""
    rest = {key: value for key, value in meta.items() if key != "seal"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=DIGEST).hexdigest()


class Digests:
    """The digests of one edition."""

    def __init__(self, edition: str) -> None:
        """Of this edition, which is a number in hexadecimal digits."""
        key = bytes.fromhex(edition)

        def begun(what: str) -> Any:
            return hashlib.blake2b(digest_size=DIGEST, key=key, person=what.encode())

        # Begun once and copied for each: a night has millions of them.
        self._keys = {kind: begun(f"key of {kind}") for kind in KINDS}
        self._rows = {kind: begun(f"row of {kind}") for kind in KINDS}
        self._buckets = {kind: begun(f"bucket of {kind}") for kind in KINDS}

    def key(self, kind: str, key: bytes) -> bytes:
        """Of a key."""
        made = self._keys[kind].copy()
        made.update(key)
        found: bytes = made.digest()
        return found

    def row(self, kind: str, key: bytes, value: bytes) -> bytes:
        """Of a row."""
        made = self._rows[kind].copy()
        made.update(b"%d:%b%b" % (len(key), key, value))
        found: bytes = made.digest()
        return found

    def bucket(self, kind: str, number: int, entries: bytes) -> bytes:
        """Of a bucket of the directory."""
        made = self._buckets[kind].copy()
        made.update(b"%d:%b" % (number, entries))
        found: bytes = made.digest()
        return found


def bits_for(count: int) -> int:
    """Into how many buckets so many entries go, as a power of two."""
    return max(0, (max(1, count) - 1).bit_length() - (PER_BUCKET - 1).bit_length())


def bucket_of(digest: bytes, bits: int) -> int:
    """The bucket of a key's digest."""
    return int.from_bytes(digest[:4], "big") >> (32 - bits)
