"""The read API over the store of recommendations.

    python -m pipeline.serve --store recommendations.sqlite --port 8080
    curl "localhost:8080/itemRecs?userId=42&k=5"

It opens the store read-only and serves a new night from the first request after it was published, without a restart.
A user that the store does not know gets the fallback list, and the answer says so.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline.publish_rows import FALLBACK_USER
from pipeline.publish_sqlite import FORMAT

DEFAULT_K = 12
MOST_K = 1000


class StoreUnavailable(Exception):
    """There is no store to read, or it is not one of ours."""


class Store:
    """The night being served. A store that was replaced is noticed by its file's identity and opened anew."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet: the first night may come after the API has started."""
        self.path = path
        self.identity: tuple[int, int, int] | None = None
        self.base: sqlite3.Connection | None = None
        self.meta: dict[str, str] = {}

    def current(self) -> sqlite3.Connection:
        """A connection to the night that is there now."""
        try:
            found = self.path.stat()
        except OSError as error:
            raise StoreUnavailable(f"there is no store {self.path.name} yet") from error
        identity = (found.st_dev, found.st_ino, found.st_mtime_ns)
        if self.base is None or identity != self.identity:
            base = connect(self.path)
            try:
                meta = read_meta(base, self.path.name)
            except StoreUnavailable:
                base.close()
                raise
            self.close()
            self.base, self.meta, self.identity = base, meta, identity
        return self.base

    def close(self) -> None:
        """Closes what is open."""
        if self.base is not None:
            self.base.close()
        self.base = None

    def recommendations(self, user: str, k: int) -> dict[str, Any]:
        """What the API answers for a user."""
        base = self.current()
        items = stored_list(base, user) if user != FALLBACK_USER else None
        fallback = items is None
        if items is None:
            items = stored_list(base, FALLBACK_USER) or []
        items = items[:k]
        names = names_of(base, [item["item"] for item in items])
        for item in items:
            if item["item"] in names:
                item["name"] = names[item["item"]]
        return {"user": user, "items": items, "night": self.meta["night"], "fallback": fallback}


def connect(path: Path) -> sqlite3.Connection:
    """A read-only connection. Nights are replaced and never changed, so that no locks are needed (immutable)."""
    address = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
    try:
        return sqlite3.connect(address, uri=True, check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the store {path.name} cannot be opened: {error}") from error


def read_meta(base: sqlite3.Connection, name: str) -> dict[str, str]:
    """The meta table of a store of ours."""
    try:
        meta = dict(base.execute("SELECT key, value FROM meta").fetchall())
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the store {name} cannot be read: {error}") from error
    if meta.get("format") != FORMAT:
        raise StoreUnavailable(f"the store {name} has the format {meta.get('format')}, not {FORMAT}")
    return meta


def stored_list(base: sqlite3.Connection, user: str) -> list[dict[str, Any]] | None:
    """A user's list, or None."""
    with closing(base.execute("SELECT items FROM recommendations WHERE user = ?", (user,))) as found:
        row = found.fetchone()
    return None if row is None else json.loads(row[0])


def names_of(base: sqlite3.Connection, items: list[str]) -> dict[str, str]:
    """The names of the items that have one."""
    marks = ",".join("?" * len(items))
    return dict(base.execute(f"SELECT item, name FROM names WHERE item IN ({marks})", items).fetchall())


def read_query(request: Request) -> tuple[str, int]:
    """userId and k, or a 400 that says what is wrong."""
    user = request.query_params.get("userId", "")
    if not user:
        raise HTTPException(400, "userId is missing: ask for /itemRecs?userId=ID")
    text = request.query_params.get("k", str(DEFAULT_K))
    k = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= k <= MOST_K:
        raise HTTPException(400, f"k has to be a whole number from 1 to {MOST_K}, not {text[:40]!r}")
    return user, k


def create_app(store: str | Path) -> Starlette:
    """The API as an ASGI application, for any server."""
    opened = Store(Path(store))

    async def item_recs(request: Request) -> JSONResponse:
        user, k = read_query(request)
        return JSONResponse(opened.recommendations(user, k))

    async def health(request: Request) -> JSONResponse:
        opened.current()
        shown = ("night", "created", "users", "model_checksum")
        return JSONResponse({"status": "ok", **{key: opened.meta.get(key, "") for key in shown}})

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)

    async def unavailable(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 503, headers={"Retry-After": "60"})

    return Starlette(
        routes=[Route("/itemRecs", item_recs), Route("/health", health)],
        exception_handlers={
            HTTPException: refused,
            StoreUnavailable: unavailable,
            sqlite3.Error: unavailable,
        },
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m pipeline.serve`."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.serve", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", required=True, type=Path, metavar="FILE", help="what pipeline.publish writes")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="the port (default %(default)s)")
    given = parser.parse_args(arguments)
    uvicorn.run(create_app(given.store), host=given.host, port=given.port)


if __name__ == "__main__":
    main()
