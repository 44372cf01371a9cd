"""A store that is damaged in any way answers what was published, or says 503: never anything else.

`TERCEL_DAMAGE_CASES=5000 pytest pipeline/tests/test_store_damage.py` for a long sweep.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from pipeline.publish import FALLBACK_USER, UserList, publish_sqlite
from pipeline.publish_sqlite import night_file
from pipeline.serve import create_app
from pipeline.store import StoreDamaged, StoreUnavailable, open_night

CASES = int(os.environ.get("TERCEL_DAMAGE_CASES", "180"))
USERS, ITEMS, K = 300, 90, 4
PAGE = 4096
STRANGERS = ["nobody", "user-", "user-300", FALLBACK_USER]

Answer = dict[str, Any]


def publish(store: Path, night: str, shift: int, users: int = USERS) -> None:
    """A night in which every user has other items, and two of three items have a name."""
    places = [(at, rank) for at in range(users) for rank in range(K)]
    rows = [(f"user-{at}", rank + 1, f"item-{(at * 7 + rank + shift) % ITEMS}") for at, rank in places]
    predictions = pa.table(
        {
            "user": [row[0] for row in rows],
            "rank": [row[1] for row in rows],
            "item": [row[2] for row in rows],
            "score": [1.0 / row[1] for row in rows],
        }
    )
    named = [at for at in range(ITEMS) if at % 3]
    names = {"item_id": [f"item-{at}" for at in named], "name": [f"The {at} of {night}" for at in named]}
    fallback = UserList(FALLBACK_USER, [f"item-{shift + 1}", f"item-{shift + 3}"], [0.5, 0.25])
    publish_sqlite(predictions, store, night, fallback, "abc", pa.table(names))


def answers(client: TestClient, users: list[str]) -> list[tuple[int, Answer]]:
    """What the API says of each."""
    found = [client.get("/itemRecs", params={"userId": user, "k": K}) for user in users]
    return [(one.status_code, one.json()) for one in found]


class Shop:
    """Two nights, what is right of each, and a folder to damage copies in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "published" / "recommendations.sqlite"
        publish(self.store, "monday", 0)
        publish(self.store, "tuesday", 5)
        self.nights = {night: night_file(self.store, night).read_bytes() for night in ("monday", "tuesday")}
        self.users = [f"user-{at}" for at in range(USERS)] + STRANGERS
        self.right: dict[str, dict[str, Answer]] = {}
        for night, content in self.nights.items():
            client = TestClient(create_app(self.copy(content)))
            told = answers(client, self.users)
            assert {status for status, _ in told} == {200}
            self.right[night] = dict(zip(self.users, (body for _, body in told), strict=True))

    def copy(self, content: bytes) -> Path:
        """A store of these bytes."""
        path = self.folder / "copy.sqlite"
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("damage"))


def changed_bytes(content: bytes, other: bytes, dice: random.Random) -> bytes:
    made = bytearray(content)
    for _ in range(dice.choice([1, 1, 1, 3, 50])):
        made[dice.randrange(len(made))] = dice.randrange(256)
    return bytes(made)


def changed_head(content: bytes, other: bytes, dice: random.Random) -> bytes:
    """The header, and the heads of pages: what SQLite finds everything by."""
    made = bytearray(content)
    start = dice.randrange(len(made) // PAGE) * PAGE
    made[start + dice.randrange(120)] ^= 1 << dice.randrange(8)
    return bytes(made)


def changed_run(content: bytes, other: bytes, dice: random.Random) -> bytes:
    """A sector or a page of zeros, of ones, or of noise."""
    size = dice.choice([16, 512, PAGE, 3 * PAGE])
    start = dice.randrange(len(content) // size) * size
    filling = dice.choice([bytes(size), b"\xff" * size, dice.randbytes(size)])
    return (content[:start] + filling + content[start + size :])[: len(content)]


def swapped_pages(content: bytes, other: bytes, dice: random.Random) -> bytes:
    pages = [content[at : at + PAGE] for at in range(0, len(content), PAGE)]
    one, two = dice.randrange(len(pages)), dice.randrange(len(pages))
    pages[one], pages[two] = pages[two], pages[one]
    return b"".join(pages)


def borrowed_pages(content: bytes, other: bytes, dice: random.Random) -> bytes:
    """Pages of another night, at their places: a copy in place that was cut short, or lost writes."""
    made = bytearray(content)
    for _ in range(dice.choice([1, 4, 20])):
        start = dice.randrange(min(len(content), len(other)) // PAGE) * PAGE
        made[start : start + PAGE] = other[start : start + PAGE]
    return bytes(made)


def half_copied(content: bytes, other: bytes, dice: random.Random) -> bytes:
    cut = dice.randrange(len(other))
    return other[:cut] + content[cut:]


def cut_short(content: bytes, other: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(len(content))]


def lengthened(content: bytes, other: bytes, dice: random.Random) -> bytes:
    return content + dice.randbytes(dice.choice([1, PAGE]))


def moved_bytes(content: bytes, other: bytes, dice: random.Random) -> bytes:
    """Bytes that were lost, or came twice: everything behind them moves."""
    at, size = dice.randrange(len(content)), dice.choice([1, 7, 512])
    return content[:at] + dice.choice([b"", content[at : at + size] * 2]) + content[at + size :]


DAMAGES: list[Callable[[bytes, bytes, random.Random], bytes]] = [
    changed_bytes,
    changed_head,
    changed_run,
    swapped_pages,
    borrowed_pages,
    half_copied,
    cut_short,
    lengthened,
    moved_bytes,
]


def test_damage_anywhere_is_never_a_wrong_answer(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes, sectors and pages; cut, swapped, of another night. Both nights' answers are right, each by its label."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for case in range(CASES):
        dice = random.Random(case)
        damage = DAMAGES[case % len(DAMAGES)]
        content, other = shop.nights["monday"], shop.nights["tuesday"]
        client = TestClient(create_app(shop.copy(damage(content, other, dice))), raise_server_exceptions=False)
        asked = dice.sample(shop.users[:USERS], 12) + STRANGERS
        for user, (status, body) in zip(asked, answers(client, asked), strict=True):
            counts[str(status)] += 1
            right = status == 503 or (status == 200 and body == shop.right.get(body.get("night", ""), {}).get(user))
            if not right:
                wrong.append(f"{damage.__name__} {case}: {user}: {status} {body}")
        health = client.get("/health")
        counts[f"health {health.status_code}"] += 1
        if health.status_code != 200 and health.status_code != 503:
            wrong.append(f"{damage.__name__} {case}: /health {health.status_code}")
    with capsys.disabled():
        print(f"\n[{CASES} damaged stores: {dict(sorted(counts.items()))}, {len(wrong)} wrong", end="]")
    assert not wrong, wrong[:5]
    assert counts["503"] > CASES < counts["200"], "the damage is neither everywhere nor nowhere"


def test_health_knows_of_any_damage(shop: Shop) -> None:
    """Where the whole look ends well the answers of all users are right."""
    for case in range(60):
        dice = random.Random(1_000_000 + case)
        damage = DAMAGES[case % len(DAMAGES)]
        path = shop.copy(damage(shop.nights["monday"], shop.nights["tuesday"], dice))
        client = TestClient(create_app(path))
        if client.get("/health").json().get("verified") is not True:
            continue
        told = dict(zip(shop.users, answers(client, shop.users), strict=True))
        assert all(told[user] == (200, shop.right["monday"][user]) for user in shop.users), case


CHANGES = {
    "another list": "UPDATE recommendations SET items = replace(items, 'item-', 'other-') WHERE user = 'user-7'",
    "another user": "UPDATE recommendations SET user = 'user-x' WHERE user = 'user-7'",
    "a lost user": "DELETE FROM recommendations WHERE user = 'user-7'",
    "two lists swapped": "UPDATE recommendations SET items = (SELECT items FROM recommendations r WHERE r.user = "
    "CASE recommendations.user WHEN 'user-7' THEN 'user-8' ELSE 'user-7' END) WHERE user IN ('user-7', 'user-8')",
    "a lost fallback": f"DELETE FROM recommendations WHERE user = '{FALLBACK_USER}'",
    "a new user": "INSERT INTO recommendations VALUES ('nobody', '[]')",
    "another name": "UPDATE names SET name = 'Gold' WHERE item = 'item-50'",
    "a lost name": "DELETE FROM names WHERE item = 'item-50'",
    "a new name": "INSERT INTO names VALUES ('item-51', 'Gold')",
    "another night": "UPDATE meta SET value = 'wednesday' WHERE key = 'night'",
    "another date": "UPDATE meta SET value = '2020-01-01' WHERE key = 'created'",
    "another k": "UPDATE meta SET value = '9' WHERE key = 'k'",
    "a lost label": "DELETE FROM meta WHERE key = 'night'",
    "a lost bucket": "DELETE FROM directory WHERE kind = 'users' AND bucket = 0",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM meta; END",
    "a view": "DROP TABLE names; CREATE VIEW names AS SELECT 'item-50' AS item, 'Gold' AS name",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_by_hand_is_found(change: str, shop: Shop) -> None:
    """SQLite finds nothing wrong with these; each is seen by the user whom it concerns, and by /health."""
    path = shop.copy(shop.nights["monday"])
    with closing(sqlite3.connect(path)) as base:
        base.executescript(CHANGES[change])
        base.commit()
    client = TestClient(create_app(path))
    concerned = ["user-7", "user-8", *STRANGERS, *shop.users[:USERS]]
    wrong = [user for user, (status, body) in zip(concerned, answers(client, concerned), strict=True)
             if status != 503 and body != shop.right["monday"][user]]  # fmt: skip
    assert wrong == []
    health = client.get("/health")
    assert health.status_code == 503 and "damaged" in health.json()["error"]


def test_a_store_that_is_copied_over_in_place_never_mixes_nights(shop: Shop) -> None:
    """The API has the file open, and pages of it in memory, while it is written over bit by bit."""
    path = shop.copy(shop.nights["monday"])
    client = TestClient(create_app(path))
    assert client.get("/health").json()["night"] == "monday"
    seen: Counter[str] = Counter()
    content, dice = shop.nights["tuesday"], random.Random(1)
    with path.open("r+b", buffering=0) as file:
        for start in range(0, len(content), PAGE):
            file.write(content[start : start + PAGE])
            asked = dice.sample(shop.users, 3)
            for user, (status, body) in zip(asked, answers(client, asked), strict=True):
                assert status == 503 or body == shop.right[body["night"]][user]
                seen[body.get("night", "refused")] += 1
        file.truncate(len(content))
    assert client.get("/health").json()["night"] == "tuesday"
    told = dict(zip(shop.users, answers(client, shop.users), strict=True))
    assert all(told[user] == (200, shop.right["tuesday"][user]) for user in shop.users)
    assert seen["refused"] and set(seen) <= {"monday", "tuesday", "refused"}


def test_a_refusal_is_logged(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """One line, that names the store and what is wrong with it."""
    client = TestClient(create_app(shop.copy(shop.nights["monday"][:-5000])))
    assert client.get("/itemRecs?userId=user-7").status_code == 503
    assert "copy.sqlite is damaged" in caplog.text and "Traceback" not in caplog.text


def test_all_of_a_whole_store_is_verified(shop: Shop) -> None:
    """Every user is counted; of another night's directory nothing fits."""
    with closing(open_night(shop.copy(shop.nights["monday"]))) as night:
        assert night.verify() == USERS
    for kinds in nights_without(shop):
        with pytest.raises(StoreUnavailable), closing(open_night(kinds)) as night:
            night.verify()


def nights_without(shop: Shop) -> Iterator[Path]:
    """Stores whose directory, or whose meta table, is another night's."""
    other = shop.folder / "other.sqlite"
    shutil.copyfile(night_file(shop.store, "tuesday"), other)
    for table in ("directory", "meta", "recommendations", "names"):
        path = shop.copy(shop.nights["monday"])
        with closing(sqlite3.connect(path)) as base:
            base.execute("ATTACH ? AS other", (str(other),))
            base.execute(f"DELETE FROM {table}")
            base.execute(f"INSERT INTO {table} SELECT * FROM other.{table}")
            base.commit()
        yield path


def test_an_empty_file_and_a_folder_are_no_store(tmp_path: Path) -> None:
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(StoreDamaged):
        open_night(tmp_path / "empty.sqlite")
    with pytest.raises(StoreUnavailable):
        open_night(tmp_path)
