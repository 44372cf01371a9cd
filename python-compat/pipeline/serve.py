"""The read API over the store of recommendations.

    python -m pipeline.serve --store recommendations.sqlite --port 8080
    curl "localhost:8080/itemRecs?userId=42&k=5"

It opens the store read-only and serves a new night from the first request after it was published, without a restart.
A user that the store does not know gets the fallback list, and the answer says so. What a damaged store cannot prove is
not answered: 503, and a line in the log.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serve_http import HEADERS, MOST_HEADER, Limits, guarded
from pipeline.store import Night, StoreDamaged, StoreUnavailable, open_night

DEFAULT_K = 12
MOST_K = 1000
MOST_USER = 2048

PATIENCE = 0.5
"""Seconds that /health waits for the look at the whole of a store."""

log = logging.getLogger("tercel.serve")

Identity = tuple[int, ...]


class Store:
    """The night being served. A store that was replaced, or written over, is noticed by its file's identity and opened
    anew. All of a store is read once, beside the requests; what was found damaged is said by `check`.
    """

    def __init__(self, path: Path) -> None:
        """Opens nothing yet: the first night may come after the API has started."""
        self.path = path
        self.identity: Identity | None = None
        self.night: Night | None = None
        self.damage: StoreDamaged | None = None
        self.verification: threading.Thread | None = None
        self.verified = False
        self._lock = threading.Lock()
        self._looking = False

    def opened(self) -> Night:
        """The night that is there now.

        Raises:
            StoreUnavailable: When there is none.
        """
        identity = self._identity()
        if self.night is None or identity != self.identity:
            night = open_night(self.path)
            self.close()
            if identity != self.identity:
                self._look_at_all(identity)
            self.night = night
        return self.night

    def current(self) -> sqlite3.Connection:
        """A connection to the night that is there now."""
        return self.opened().connection

    def close(self) -> None:
        """Closes what is open."""
        if self.night is not None:
            self.night.close()
        self.night = None

    def recommendations(self, user: str, k: int) -> dict[str, Any]:
        """What the API answers for a user.

        Raises:
            StoreUnavailable: When there is no store, or it cannot prove the answer.
        """
        try:
            return self.opened().recommendations(user, k)
        except StoreDamaged:
            # It may have been written over, and a page been read meanwhile: once more, from the disk.
            self.close()
        try:
            return self.opened().recommendations(user, k)
        except StoreDamaged as error:
            self.close()
            self.damage = error
            raise

    def check(self) -> dict[str, str]:
        """Who the night is, where nothing of it is known to be damaged.

        Raises:
            StoreUnavailable: When there is no store, or some of it was found damaged.
        """
        self.recommendations("", 1)
        meta = self.opened().meta
        if self.damage is not None:
            raise self.damage
        return meta

    def _identity(self) -> Identity:
        try:
            found = self.path.stat()
        except OSError as error:
            raise StoreUnavailable(f"there is no store {self.path.name} yet") from error
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _look_at_all(self, identity: Identity) -> None:
        """Reads all of a store that is new, in one thread, however often it changes meanwhile."""
        with self._lock:
            self.identity, self.damage, self.verified = identity, None, False
            if not self._looking:
                self._looking = True
                self.verification = threading.Thread(target=self._verify, daemon=True)
                self.verification.start()

    def _verify(self) -> None:
        """Reads all of the store with a connection of its own; again where it was replaced meanwhile."""
        while True:
            identity, damage = self.identity, None
            try:
                with closing(open_night(self.path)) as night:
                    night.verify()
            except StoreUnavailable as error:
                damage = error
            with self._lock:
                if identity != self.identity:
                    continue
                self._looking = False
                self.verified = damage is None
                if isinstance(damage, StoreDamaged):
                    self.damage = damage
            if self.damage is not None:
                log.error("%s", self.damage)
            return


def read_query(request: Request) -> tuple[str, int]:
    """userId and k, or a 400 that says what is wrong."""
    given: dict[str, str] = {}
    for part in request.scope["query_string"].split(b"&"):
        name, _, value = part.partition(b"=")
        if name in (b"userId", b"k"):
            key = name.decode()
            if key in given:
                raise HTTPException(400, f"{key} is given twice")
            given[key] = _unquoted(key, value)
    user = given.get("userId", "")
    if not user:
        raise HTTPException(400, "userId is missing: ask for /itemRecs?userId=ID")
    if len(user) > MOST_USER:
        raise HTTPException(400, f"userId is longer than {MOST_USER} letters")
    text = given.get("k", str(DEFAULT_K))
    k = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= k <= MOST_K:
        raise HTTPException(400, f"k has to be a whole number from 1 to {MOST_K}, not {text[:40]!r}")
    return user, k


def _unquoted(name: str, value: bytes) -> str:
    """A value without its escapes; what is no UTF-8 is another text than was meant."""
    made = unquote_to_bytes(value.replace(b"+", b" "))
    if value.count(b"%") != (len(value) - len(made)) / 2:
        raise HTTPException(400, f"{name}: a % has to be followed by two hexadecimal digits")
    try:
        return made.decode()
    except UnicodeDecodeError:
        raise HTTPException(400, f"{name} is not UTF-8") from None


class SafeHeaders:
    """Adds the headers that every answer has."""

    def __init__(self, app: ASGIApp) -> None:
        """Around an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An answer with them."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        await self.app(scope, receive, with_headers)


def create_app(store: str | Path) -> Starlette:
    """The API as an ASGI application, for any server."""
    opened = Store(Path(store))

    async def item_recs(request: Request) -> JSONResponse:
        user, k = read_query(request)
        return JSONResponse(opened.recommendations(user, k))

    async def health(request: Request) -> JSONResponse:
        opened.opened()
        verification = opened.verification
        if verification is not None and verification.is_alive():
            await asyncio.to_thread(verification.join, PATIENCE)
        meta = opened.check()
        shown = ("night", "created", "users", "model_checksum")
        found = {key: meta.get(key, "") for key in shown}
        return JSONResponse({"status": "ok", **found, "verified": opened.verified})

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)

    async def unavailable(request: Request, error: Exception) -> JSONResponse:
        log.error("503: %s", error)
        return JSONResponse({"error": str(error)}, 503, headers={"Retry-After": "60"})

    app = Starlette(
        routes=[Route("/itemRecs", item_recs), Route("/health", health)],
        middleware=[Middleware(SafeHeaders)],
        exception_handlers={HTTPException: refused, StoreUnavailable: unavailable},
    )
    app.router.redirect_slashes = False
    return app


def server(store: str | Path, host: str, port: int, limits: Limits) -> uvicorn.Server:
    """The API behind its limits, not yet running."""
    config = uvicorn.Config(
        create_app(store),
        host=host,
        port=port,
        http=guarded(limits.for_this_process()),
        ws="none",
        lifespan="off",
        h11_max_incomplete_event_size=MOST_HEADER,
        timeout_keep_alive=math.ceil(limits.idle) + 1,
        timeout_graceful_shutdown=math.ceil(limits.body),
        server_header=False,
    )
    return uvicorn.Server(config)


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m pipeline.serve`."""
    usual = Limits()
    parser = argparse.ArgumentParser(prog="python -m pipeline.serve", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--store", required=True, type=Path, metavar="FILE", help="the store written by pipeline.publish"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="the port (default %(default)s)")
    for name, what in (
        ("header", "seconds until a request's headers have to be there"),
        ("body", "seconds from there until its body and the answer have to be through"),
        ("idle", "seconds that a connection may be idle"),
    ):
        parser.add_argument(
            f"--{name}-timeout", type=_seconds, default=getattr(usual, name), help=f"{what} (default %(default)s)"
        )
    parser.add_argument(
        "--connections", type=_count, default=usual.connections, help="maximum connections (default %(default)s)"
    )
    given = parser.parse_args(arguments)
    limits = Limits(given.header_timeout, given.body_timeout, given.idle_timeout, given.connections)
    running = server(given.store, given.host, given.port, limits)
    running.run()
    if not running.started:
        raise SystemExit(3)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of connections")
    return value


if __name__ == "__main__":
    main()
