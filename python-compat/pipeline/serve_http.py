"""What keeps the read API open for everybody: time-outs and a limit of connections, in uvicorn's HTTP protocol.

A client that does not finish its request, sends no other one or does not take its answer is cut off after a while.
Where there are as many connections as there may be, those that have kept us waiting longest make place for the next:
half open requests keep nobody out, however many there are.
"""

from __future__ import annotations

import asyncio
import json
import resource
from dataclasses import dataclass, replace

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer: it is one user's and one night's, and nothing in it is to be run or framed."""

MOST_HEADER = 16 * 1024
"""Bytes of a request line with its headers."""

OTHER_FILES = 64
"""Files that a server has open beside its connections, at most."""


@dataclass(frozen=True)
class Limits:
    """How long a client may keep us waiting, in seconds, and how many may at once."""

    header: float = 5.0
    """From the connection, or the first byte of another request, until its headers are there."""
    body: float = 10.0
    """From there until its body, which nobody needs here, and the answer are through."""
    idle: float = 15.0
    """Without a byte between two requests."""
    connections: int = 512

    def for_this_process(self) -> Limits:
        """The same, with half as many connections at most as the process may have open files: for a moment they may be
        twice as many, where all answers are under way.
        """
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            return self
        return replace(self, connections=max(1, min(self.connections, (files - OTHER_FILES) // 2)))


def guarded(limits: Limits) -> type[H11Protocol]:
    """uvicorn's protocol with these limits."""
    opened: set[Guarded] = set()
    # Those of them that wait for their client, the longest first: without an answer yet, and with one.
    fresh: dict[Guarded, None] = {}
    served: dict[Guarded, None] = {}

    def make_place() -> None:
        """Cuts off who has been answered, the longest ago first; then whose first request does not come, where there
        are many: a few may just be coming, while the others are being answered and will be served in a moment.
        """
        while len(opened) > limits.connections and served:
            next(iter(served)).cut_off()
        while len(opened) > limits.connections and len(fresh) > limits.connections // 2:
            next(iter(fresh)).cut_off()

    class Guarded(H11Protocol):
        """A connection with a deadline: of its headers, its body or its next request."""

        phase: tuple[str, object] | None = None
        deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            """Makes place where there is none."""
            super().connection_made(transport)
            opened.add(self)
            self.look()
            make_place()
            if len(opened) > 2 * limits.connections:
                self.cut_off()

        def connection_lost(self, exc: Exception | None) -> None:
            """Waits for nothing more."""
            self.wait(None)
            opened.discard(self)
            super().connection_lost(exc)

        def handle_events(self) -> None:
            """What has come, and what is awaited then."""
            super().handle_events()
            self.look()

        def on_response_complete(self) -> None:
            """Likewise, of an answer that is given."""
            super().on_response_complete()
            self.look()

        def look(self) -> None:
            """Sets the deadline anew where another thing is awaited than before: a byte now and then moves none."""
            if self.transport.is_closing():
                return
            cycle = self.cycle
            if cycle is not None and (not cycle.response_complete or self.conn.their_state is h11.SEND_BODY):
                phase, seconds = ("body", cycle), limits.body
            elif cycle is None or self.conn.trailing_data[0]:
                phase, seconds = ("header", cycle), limits.header
            else:
                phase, seconds = ("idle", cycle), limits.idle
            if phase != self.phase:
                self.phase = phase
                self.wait(seconds)
            if cycle is None:
                fresh.setdefault(self)
            elif cycle.response_complete:
                served.setdefault(self)
            else:
                fresh.pop(self, None)  # it waits for us
                served.pop(self, None)

        def wait(self, seconds: float | None) -> None:
            """For so long; `None` for no more."""
            if self.deadline is not None:
                self.deadline.cancel()
            fresh.pop(self, None)
            served.pop(self, None)
            self.deadline = None if seconds is None else self.loop.call_later(seconds, self.cut_off)

        def cut_off(self) -> None:
            """Ends the connection, also where the client takes no byte."""
            self.wait(None)
            opened.discard(self)
            self.transport.abort()

        def send_400_response(self, msg: str) -> None:
            """Says that a request makes no sense, where no answer has begun."""
            if self.cycle is not None and not self.cycle.response_complete:
                self.cycle.disconnected = True  # its answer is this one
            body = json.dumps({"error": msg}).encode()
            headers = {**HEADERS, "Content-Type": "application/json", "Content-Length": str(len(body))}
            try:
                head = h11.Response(status_code=400, headers=[*headers.items(), ("Connection", "close")])
                for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
            except h11.LocalProtocolError:
                self.cut_off()
                return
            self.transport.close()

    return Guarded
