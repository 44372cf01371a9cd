"""A night in SQLite and in DynamoDB, written, read back, and broken."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto import mock_aws

from pipeline import publish
from pipeline.publish import FALLBACK_USER, PublishError, UserList, popular_list, publish_dynamodb, publish_sqlite
from pipeline.publish_dynamodb import request_lines, send, send_one, write_requests
from pipeline.publish_rows import BATCH_ROWS, user_lists
from pipeline.publish_sqlite import write_night

FALLBACK = UserList(FALLBACK_USER, ["p1", "p2"], [0.5, 0.25])


def predictions(users: int, k: int = 3) -> pa.Table:
    """Users u0, u1 …, each with the items u-0, u-1 …"""
    names = [f"u{user}" for user in range(users) for _ in range(k)]
    ranks = [rank for _ in range(users) for rank in range(1, k + 1)]
    items = [f"{name}-{rank}" for name, rank in zip(names, ranks, strict=True)]
    scores = pa.array([1.0 / rank for rank in ranks], pa.float32())
    return pa.table({"user": names, "rank": pa.array(ranks, pa.uint32()), "item": items, "score": scores})


def stored(store: Path, query: str = "SELECT user, items FROM recommendations ORDER BY rowid") -> list[tuple[str, str]]:
    """What a store holds."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as base:
        return base.execute(query).fetchall()


def test_every_list_comes_back(tmp_path: Path) -> None:
    """Items, scores and ranks, the fallback, the names and the meta table."""
    store = tmp_path / "recommendations.sqlite"
    articles = pa.table({"item_id": ["u0-1", "p1", "x"], "name": ["One", "Popular “1”", None]})
    done = publish_sqlite(predictions(3), store, "2020-09-22", FALLBACK, "abc", articles)
    assert done.users == 3
    rows = dict(stored(store))
    assert list(rows) == [FALLBACK_USER, "u0", "u1", "u2"]
    assert json.loads(rows["u1"])[1] == {"item": "u1-2", "score": 0.5, "rank": 2}
    assert json.loads(rows[FALLBACK_USER])[0]["item"] == "p1"
    assert dict(stored(store, "SELECT item, name FROM names")) == {"u0-1": "One", "p1": "Popular “1”"}
    meta = dict(stored(store, "SELECT key, value FROM meta"))
    assert (meta["night"], meta["model_checksum"], meta["users"]) == ("2020-09-22", "abc", "3")
    assert meta["created"].endswith("+00:00")


def test_lists_that_cross_batches_are_whole(tmp_path: Path) -> None:
    """A user's rows may lie in two batches and two row groups."""
    users = BATCH_ROWS // 7 * 2
    table = predictions(users, 7)
    path = tmp_path / "predictions.parquet"
    pq.write_table(table, path, row_group_size=10_001)
    lists = list(user_lists(path))
    assert len(lists) == users
    assert all(len(one.items) == 7 and one.items[6] == f"{one.user}-7" for one in lists)


def test_integer_ids_become_texts() -> None:
    """`tercel recommend` writes integers where the input had them."""
    table = pa.table({"user": [7, 7], "rank": [1, 2], "item": [30, 40], "score": [0.5, 0.25]})
    assert list(user_lists(table)) == [UserList("7", ["30", "40"], [0.5, 0.25])]


def broken(**columns: list[Any]) -> pa.Table:
    """Two users with two items each, with a column replaced."""
    good = {"user": ["a", "a", "b", "b"], "rank": [1, 2, 1, 2], "item": ["x", "y", "x", "z"], "score": [2.0, 1, 2, 1]}
    return pa.table({name: values for name, values in {**good, **columns}.items() if values})


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (broken(score=[2.0, float("nan"), 2.0, 1.0]), "no numbers"),
        (broken(rank=[1, 3, 1, 2]), "ranks of user a"),
        (broken(user=["a", "a", "b", None]), "empty user"),
        (broken(item=[]), "no column item"),
        (broken()[:0], "no rows"),
        (broken(user=["a", "b", "a", "b"], rank=[1, 1, 1, 1]), "twice"),
        (broken(user=["a", "a", FALLBACK_USER, FALLBACK_USER]), "fallback"),
    ],
)
def test_bad_predictions_leave_the_night_before_in_place(tmp_path: Path, table: pa.Table, reason: str) -> None:
    """Nothing of a broken night is left, in either form, and the old one is still served."""
    store = tmp_path / "recommendations.sqlite"
    publish_sqlite(predictions(2), store, "monday", FALLBACK)
    before = stored(store)
    with pytest.raises(PublishError, match=reason):
        publish_sqlite(table, store, "tuesday", FALLBACK)
    with pytest.raises(PublishError, match=reason):
        publish_dynamodb(table, tmp_path / "requests", "table", "tuesday", FALLBACK)
    assert stored(store) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recommendations.monday.sqlite", store.name]


def test_readers_see_a_whole_night_while_the_next_is_written(tmp_path: Path) -> None:
    """A reader that opens the store in the middle of a night's writing sees all of the night before."""
    store = tmp_path / "recommendations.sqlite"
    publish_sqlite(predictions(2), store, "monday", FALLBACK)

    def slowly() -> Iterator[UserList]:
        for one in user_lists(predictions(5)):
            assert len(stored(store)) == 3
            yield one

    open_reader = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    write_night(store, "tuesday", slowly(), FALLBACK, "")
    assert len(stored(store)) == 6
    assert open_reader.execute("SELECT count(*) FROM recommendations").fetchone() == (3,)
    open_reader.close()


def test_a_night_that_is_published_again_replaces_itself(tmp_path: Path) -> None:
    """Whoever reads the first edition reads it to its end."""
    store = tmp_path / "recommendations.sqlite"
    publish_sqlite(predictions(2), store, "monday", FALLBACK)
    before = {path: path.stat().st_ino for path in tmp_path.iterdir()}
    publish_sqlite(predictions(4), store, "monday", FALLBACK)
    assert len(stored(store)) == 5
    assert all(path.stat().st_ino != inode for path, inode in before.items())


def test_the_last_nights_are_kept_and_can_be_served_again(tmp_path: Path) -> None:
    """Older ones go; a step back is one rename; a night that went is refused by name."""
    store = tmp_path / "recommendations.sqlite"
    for number in range(1, 5):
        publish_sqlite(predictions(number), store, f"night-{number}", FALLBACK, keep=2)
        os.utime(tmp_path / f"recommendations.night-{number}.sqlite", ns=(number, number))
    assert publish.nights(store) == ["night-4", "night-3"]
    publish.serve_night(store, "night-3")
    assert len(stored(store)) == 4
    publish.serve_night(store, "night-3")
    assert len(stored(store)) == 4
    with pytest.raises(PublishError, match="no night night-1"):
        publish.serve_night(store, "night-1")


def test_without_hard_links_the_night_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems have no hard links."""

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    store = tmp_path / "recommendations.sqlite"
    publish_sqlite(predictions(2), store, "monday", FALLBACK)
    publish_sqlite(predictions(3), store, "tuesday", FALLBACK)
    assert len(stored(store)) == 4


@pytest.mark.parametrize("night", ["", "../x", "a b", ".hidden"])
def test_a_night_is_a_file_name(tmp_path: Path, night: str) -> None:
    """It cannot lead out of the folder."""
    with pytest.raises(PublishError, match="night"):
        publish_sqlite(predictions(1), tmp_path / "recommendations.sqlite", night, FALLBACK)


def bought() -> pa.Table:
    """b is bought most, in training; c most of all, but is not sold."""
    items = ["b"] * 4 + ["a"] * 3 + ["d"] * 3 + ["c"] * 9
    return pa.table(
        {
            "user_id": ["u"] * len(items),
            "item_id": items,
            "bought_at": [date(2024, 5, 1)] * len(items),
            "split": ["train"] * 7 + ["test"] * 12,
        }
    )


def test_the_fallback_is_what_is_bought_most() -> None:
    """Ties by id; only articles; only the splits asked for."""
    articles = pa.table({"item_id": ["a", "b", "d"], "name": ["A", "B", "D"]})
    assert popular_list(bought(), 2, articles) == UserList(FALLBACK_USER, ["b", "a"], [0.4, 0.3])
    assert popular_list(bought(), 9).items == ["c", "b", "a", "d"]
    assert popular_list(bought(), 9, splits=("train",)).items == ["b", "a"]
    with pytest.raises(PublishError, match="no purchases"):
        popular_list(bought()[:0], 2)


def dynamodb() -> Any:
    """A table to write to, as the API's tutorial makes it."""
    client = boto3.client(
        "dynamodb", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    client.create_table(
        TableName="userItemTable",
        KeySchema=[{"AttributeName": "userId", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "userId", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return client


@mock_aws
def test_dynamodb_takes_every_request_and_gives_every_list_back(tmp_path: Path) -> None:
    """botocore validates the parameters, moto stores them."""
    folder = tmp_path / "requests"
    table = predictions(120)
    assert publish_dynamodb(table, folder, "userItemTable", "monday", FALLBACK).users == 120
    client = dynamodb()
    assert send(client, folder) == 5
    found = client.scan(TableName="userItemTable")["Items"]
    assert {item["userId"]["S"]: json.loads(item["recs"]["S"]) for item in found} == {
        one.user: json.loads(one.as_json()) for one in [FALLBACK, *user_lists(table)]
    }
    assert {item["night"]["S"] for item in found} == {"monday"}


def test_requests_keep_to_both_limits() -> None:
    """At most 25 users and at most 16 MB a request; the bytes are those of the text, not its letters."""
    sizes = [count for _, count in request_lines(user_lists(predictions(60)), "t", "n")]
    assert sizes == [25, 25, 10]
    wide = [UserList(f"ü{user}", ["é" * 400], [1.0]) for user in range(9)]
    lines = list(request_lines(wide, "t", "n", most_bytes=2_000))
    assert sum(count for _, count in lines) == 9
    assert all(len(line.encode()) <= 2_000 for line, _ in lines)
    assert max(count for _, count in lines) == 2
    with pytest.raises(PublishError, match="400 KB"):
        list(request_lines([UserList("u", ["x" * 410_000], [1.0])], "t", "n"))
    with pytest.raises(PublishError, match="user id"):
        list(request_lines([UserList("", ["x"], [1.0])], "t", "n"))


def test_what_dynamodb_hands_back_is_sent_again() -> None:
    """Half of it is taken at a time; a table that takes nothing is an error, not an endless loop."""

    class Busy:
        taken = 0

        def batch_write_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:
            rows = RequestItems["t"]
            half = (len(rows) + 1) // 2 if self.taken >= 0 else 0
            self.taken += half
            return {"UnprocessedItems": {"t": rows[half:]} if rows[half:] else {}}

    pauses: list[float] = []
    busy = Busy()
    send_one(busy, {"t": list(range(25))}, 8, pauses.append)
    assert busy.taken == 25
    assert pauses == sorted(pauses)
    busy.taken = -1
    with pytest.raises(PublishError, match="capacity"):
        send_one(busy, {"t": [1]}, 3, pauses.append)


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    """Two nights never mix; several files are written where there are many requests."""
    folder = tmp_path / "requests"
    write_requests(folder, "t", "monday", user_lists(predictions(99)), FALLBACK, requests_per_file=3)
    assert [len(path.read_text().splitlines()) for path in sorted(folder.iterdir())] == [3, 1]
    with pytest.raises(PublishError, match="already exists"):
        publish_dynamodb(predictions(1), folder, "t", "tuesday", FALLBACK)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Publishes both forms, goes back, and says what is wrong."""
    pq.write_table(predictions(3), tmp_path / "predictions.parquet")
    pq.write_table(bought(), tmp_path / "purchases.parquet")
    store = tmp_path / "recommendations.sqlite"
    inputs = [
        "--predictions",
        str(tmp_path / "predictions.parquet"),
        "--purchases",
        str(tmp_path / "purchases.parquet"),
    ]
    where = ["--store", str(store), "--dynamodb", str(tmp_path / "requests")]
    model = ["--model", str(tmp_path / "predictions.parquet")]
    assert publish.main([*inputs, *where, *model, "--night", "monday"]) == 0
    assert publish.main([*inputs, *where[:2], "--night", "tuesday", "--k", "1"]) == 0
    assert dict(stored(store, "SELECT key, value FROM meta"))["night"] == "tuesday"
    assert publish.main(["--store", str(store), "--night", "monday", "--back"]) == 0
    assert len(dict(stored(store, "SELECT key, value FROM meta"))["model_checksum"]) == 64
    assert publish.main([*inputs, *where, "--night", "wednesday"]) == 1
    assert "already exists" in capsys.readouterr().err
