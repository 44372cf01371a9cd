"""The API: what it answers, what it refuses, and that it follows the store from night to night."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from pipeline.publish import FALLBACK_USER, UserList, publish_sqlite, serve_night
from pipeline.serve import Store, create_app

FALLBACK = UserList(FALLBACK_USER, ["p1", "p2", "p3"], [0.5, 0.25, 0.125])
ARTICLES = pa.table({"item_id": ["a", "p1"], "name": ["Äpfel, 1 kg", "Bananas"]})


def night(store: Path, name: str, items: list[str], user: str = "u 1/ü") -> None:
    """Publishes a night with one user."""
    count = len(items)
    scores = [1.0 / (1 + at) for at in range(count)]
    table = pa.table({"user": [user] * count, "rank": list(range(1, count + 1)), "item": items, "score": scores})
    publish_sqlite(table, store, name, FALLBACK, "abc", ARTICLES)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one night."""
    path = tmp_path / "recommendations.sqlite"
    night(path, "monday", ["a", "b", "c"])
    return path


@pytest.fixture
def client(store: Path) -> TestClient:
    """The API over it."""
    return TestClient(create_app(store))


def test_a_user_gets_the_list_with_names(client: TestClient) -> None:
    """Names where the articles have one, best first, and the night."""
    answer = client.get("/itemRecs", params={"userId": "u 1/ü", "k": 2})
    assert answer.status_code == 200
    assert answer.json() == {
        "user": "u 1/ü",
        "items": [
            {"item": "a", "score": 1.0, "rank": 1, "name": "Äpfel, 1 kg"},
            {"item": "b", "score": 0.5, "rank": 2},
        ],
        "night": "monday",
        "fallback": False,
    }


def test_without_k_all_of_a_short_list_comes(client: TestClient) -> None:
    """12 are asked for, 3 are there."""
    assert len(client.get("/itemRecs", params={"userId": "u 1/ü"}).json()["items"]) == 3


@pytest.mark.parametrize("user", ["nobody", FALLBACK_USER, "' OR 1=1 --"])
def test_an_unknown_user_gets_the_fallback(client: TestClient, user: str) -> None:
    """Never an empty answer, and it says what it is."""
    body = client.get("/itemRecs", params={"userId": user, "k": 2}).json()
    assert body["fallback"] is True
    assert [item["item"] for item in body["items"]] == ["p1", "p2"]
    assert body["items"][0]["name"] == "Bananas"


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("", "userId is missing"),
        ("userId=", "userId is missing"),
        ("userId=u&k=0", "from 1 to 1000"),
        ("userId=u&k=-1", "'-1'"),
        ("userId=u&k=1001", "'1001'"),
        ("userId=u&k=ten", "'ten'"),
        ("userId=u&k=", "''"),
        ("userId=u&k=²", "k has to be"),
        ("userId=u&k=" + "9" * 5000, "k has to be"),
    ],
)
def test_a_bad_query_is_refused_in_words(client: TestClient, query: str, word: str) -> None:
    """Status 400, and a message for a person."""
    answer = client.get(f"/itemRecs?{query}")
    assert answer.status_code == 400
    assert word in answer.json()["error"]
    assert len(answer.text) < 200


def test_other_paths_and_methods_are_json_too(client: TestClient) -> None:
    """404 and 405."""
    assert client.get("/").json() == {"error": "Not Found"}
    assert client.post("/itemRecs").status_code == 405


def test_a_new_night_is_served_without_a_restart(client: TestClient, store: Path) -> None:
    """And so is a step back to the night before."""
    assert client.get("/itemRecs?userId=u 1/ü").json()["night"] == "monday"
    night(store, "tuesday", ["x"])
    body = client.get("/itemRecs?userId=u 1/ü").json()
    assert (body["night"], body["items"][0]["item"]) == ("tuesday", "x")
    serve_night(store, "monday")
    assert client.get("/itemRecs?userId=u 1/ü").json()["items"][0]["item"] == "a"


def test_health_says_which_night(client: TestClient) -> None:
    """For a load balancer and for a person."""
    body = client.get("/health").json()
    assert (body["status"], body["night"], body["users"], body["model_checksum"]) == ("ok", "monday", "1", "abc")


def test_before_the_first_night_it_waits(tmp_path: Path) -> None:
    """503 with the reason, then the night, without a restart."""
    store = tmp_path / "recommendations.sqlite"
    client = TestClient(create_app(store))
    assert client.get("/health").status_code == 503
    answer = client.get("/itemRecs?userId=u")
    assert answer.status_code == 503
    assert "no store" in answer.json()["error"]
    night(store, "monday", ["a"])
    assert client.get("/itemRecs?userId=u").status_code == 200


def test_a_file_that_is_no_store_is_refused(client: TestClient, store: Path) -> None:
    """Damaged, and of another format."""
    assert client.get("/health").status_code == 200
    broken = store.with_name("broken")
    broken.write_bytes(b"not a database at all" * 400)
    os.replace(broken, store)
    answer = client.get("/itemRecs?userId=u")
    assert answer.status_code == 503
    assert "cannot be read" in answer.json()["error"]


def test_the_store_is_not_written_to(client: TestClient, store: Path) -> None:
    """Reading leaves no journal and changes nothing, even where the folder is read-only."""
    before = {path.name: path.read_bytes() for path in store.parent.iterdir()}
    client.get("/itemRecs?userId=u")
    assert {path.name: path.read_bytes() for path in store.parent.iterdir()} == before
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        Store(store).current().execute("DELETE FROM recommendations")


def test_it_runs_as_the_docs_say(store: Path) -> None:
    """python -m pipeline.serve, over a real socket."""
    command = [sys.executable, "-m", "pipeline.serve", "--store", str(store), "--port", "0"]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            address = next(found[0] for line in server.stderr if (found := re.search(r"http://[\d.]+:\d+", line)))
            with urllib.request.urlopen(f"{address}/itemRecs?userId=nobody&k=1", timeout=10) as answer:
                assert json.load(answer)["items"][0]["item"] == "p1"
        finally:
            server.terminate()
