"""The API over real sockets: clients that keep it waiting, and requests that make no sense, keep nobody else out."""

from __future__ import annotations

import json
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from pipeline.publish import FALLBACK_USER, UserList, publish_sqlite
from pipeline.serve import create_app
from pipeline.serve_http import HEADERS, Limits

ROOT = Path(__file__).resolve().parents[2]
MANY, MOST = 300, 100
HEADER, BODY, IDLE = 1.5, 2.0, 3.0
GET = b"GET /itemRecs?userId=nobody&k=1 HTTP/1.1\r\nHost: here\r\n"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serve") / "recommendations.sqlite"
    ranks = list(range(1, 1001))
    items = [f"item-{rank}-{'x' * 60}" for rank in ranks]
    table = pa.table({"user": ["u"] * 1000, "rank": ranks, "item": items, "score": [1.0 / rank for rank in ranks]})
    publish_sqlite(table, path, "monday", UserList(FALLBACK_USER, ["p1"], [0.5]))
    return path


class Server:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, request: bytes) -> bytes:
        """The whole answer to a request; the server has closed then."""
        with self.connect() as client:
            client.sendall(request)
            return read_all(client)

    def answers(self) -> float:
        """The seconds that an honest client waits."""
        start = time.monotonic()
        answer = self.ask(GET + b"Connection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ") and b'"item":"p1"' in answer, answer
        return time.monotonic() - start


def ended(client: socket.socket) -> bool:
    """Whether the server has closed a connection; an answer that came before is passed over."""
    client.setblocking(False)
    try:
        while client.recv(65_536):
            pass
        return True
    except ConnectionError:
        return True
    except BlockingIOError:
        return False


def read_all(client: socket.socket) -> bytes:
    parts = []
    try:
        while part := client.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@contextmanager
def running(store: Path, log: Path, *options: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "pipeline.serve", "--store", str(store), "--port", "0", *options]
    with log.open("w") as words, subprocess.Popen(command, cwd=ROOT, stderr=words, stdout=words, text=True) as process:
        try:
            deadline = time.monotonic() + 30
            while not (found := re.search(r"http://[\d.]+:(\d+)", log.read_text())):
                assert time.monotonic() < deadline and process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield Server(process, int(found[1]), log)
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "log"
    times = ["--header-timeout", str(HEADER), "--body-timeout", str(BODY), "--idle-timeout", str(IDLE)]
    with running(store, log, *times, "--connections", str(MOST)) as made:
        yield made
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]


def silent(client: socket.socket) -> None:
    """Opens, and says nothing."""


def half_open(client: socket.socket) -> None:
    """Half of a request's headers."""
    client.sendall(GET)


def bodyless(client: socket.socket) -> None:
    """A request whose body does not come."""
    client.sendall(b"POST /itemRecs HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n")


def kept_alive(client: socket.socket) -> None:
    """A request with its answer, and no other one."""
    client.sendall(GET + b"\r\n")
    answer = b""
    while not answer.endswith(b"}"):
        answer += client.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("rude", [silent, half_open, bodyless, kept_alive])
def test_many_that_keep_it_waiting_keep_nobody_out(
    rude: Callable[[socket.socket], None], server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three times as many as it takes; whoever comes after them is answered at once."""
    with ExitStack() as stack:
        clients: list[socket.socket] = []
        for _ in range(MANY):
            clients.append(stack.enter_context(closing(server.connect())))
            rude(clients[-1])
        waited = [server.answers() for _ in range(20)]
        # Those that came first made place for the others; the last ones are still there.
        assert [ended(client) for client in clients[:3]] == [True] * 3 and not ended(clients[-1])
        assert sum(map(ended, clients)) >= MANY - MOST
    with capsys.disabled():
        print(f"\n[{MANY} {rude.__name__}: answered in {max(waited):.3f} s at most", end="]")
    assert max(waited) < 1


def trickled(server: Server, request: bytes, every: float) -> float:
    """Sends a request byte by byte; the seconds until the server has had enough."""
    start = time.monotonic()
    with server.connect() as client:
        client.settimeout(every)
        for at in range(len(request)):
            try:
                client.sendall(request[at : at + 1])
                if client.recv(65_536) == b"":
                    break
            except TimeoutError:
                pass
            except OSError:
                break
            if time.monotonic() - start > 20:
                break
    return time.monotonic() - start


@pytest.mark.parametrize(
    ("request_bytes", "limit"),
    [
        (GET + b"X: " + b"y" * 10_000, HEADER),
        (b"POST /health HTTP/1.1\r\nHost: here\r\nContent-Length: 99999\r\n\r\n" + b"z" * 10_000, HEADER + BODY),
    ],
)
def test_bytes_that_trickle_in_move_no_deadline(request_bytes: bytes, limit: float, server: Server) -> None:
    """A byte now and then is not progress: the whole has its time, and no more."""
    assert trickled(server, request_bytes, 0.02) < limit + 1


def test_an_idle_connection_is_closed_and_a_busy_one_kept(server: Server) -> None:
    with server.connect() as client:
        start = time.monotonic()
        for _ in range(5):
            kept_alive(client)
            time.sleep(0.5)
        assert time.monotonic() - start > HEADER
        start = time.monotonic()
        assert read_all(client) == b""
        assert time.monotonic() - start < IDLE + 1


def test_who_takes_no_answer_is_cut_off(server: Server) -> None:
    """Hundreds of requests for long lists in a pipe, and not one answer read."""
    with server.connect() as client:
        client.sendall(b"GET /itemRecs?userId=u&k=1000 HTTP/1.1\r\nHost: here\r\n\r\n" * 600)
        start = time.monotonic()
        client.settimeout(0.2)
        with pytest.raises(OSError):
            while time.monotonic() - start < 30:
                with suppress(TimeoutError):
                    client.sendall(b"G" * 65_536)
        assert time.monotonic() - start < 30
    assert server.answers() < 1


BAD = {
    "a very long address": b"GET /itemRecs?userId=" + b"u" * 200_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "a long user": b"GET /itemRecs?userId=" + b"u" * 5_000 + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
    "bytes that are no UTF-8": b"GET /itemRecs?userId=\xff\xfe HTTP/1.1\r\nHost: h\r\n\r\n",
    "an escape that is no UTF-8": b"GET /itemRecs?userId=%FF HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "half of a pair": b"GET /itemRecs?userId=%ED%A0%80 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "a bad escape": b"GET /itemRecs?userId=%zz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "an escape cut short": b"GET /itemRecs?userId=u%4 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "a user twice": b"GET /itemRecs?userId=a&userId=b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "a path of escapes": b"GET /%2e%2e/%ff%00 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "a slash too many": b"GET /itemRecs/?userId=u HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "another server's address": b"GET http://other/itemRecs HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "POST": b"POST /itemRecs?userId=u HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nxx",
    "a bad chunk": b"POST /health HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n",
    "two lengths": b"POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "DELETE": b"DELETE /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "a method of its own": b"FROB /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "CONNECT": b"CONNECT other:443 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "HEAD of nothing": b"HEAD /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_request_is_refused_and_no_error_of_ours(what: str, server: Server) -> None:
    """4xx, the headers that every answer has, and JSON for a person."""
    answer = server.ask(BAD[what])
    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] 4\d\d ", head), answer[:300]
    for name, value in HEADERS.items():
        assert f"{name}: {value}".lower().encode() in head.lower(), head
    assert what == "HEAD of nothing" or json.loads(body)["error"]
    assert server.answers() < 1


def test_an_upgrade_is_declined(server: Server) -> None:
    """It is a request like another."""
    wish = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with server.connect() as client:
        client.sendall(GET + wish)
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_every_answer_has_the_headers(store: Path) -> None:
    client = TestClient(create_app(store))
    for path in ("/health", "/itemRecs?userId=u", "/itemRecs", "/nothing"):
        headers = client.get(path).headers
        assert {name: headers.get(name) for name in HEADERS} == HEADERS, path
        assert headers["content-type"] == "application/json"
    assert client.head("/health").status_code == 200 and client.head("/health").content == b""


def test_no_more_connections_than_files() -> None:
    """Where a process may open few files, others are left for the store."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, most))
        assert Limits().for_this_process().connections == 68
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    assert Limits(connections=7).for_this_process().connections == 7
