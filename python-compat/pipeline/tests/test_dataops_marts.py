"""DataOps, the marts: purchases by day, splits by date, samples of users, and nothing that the future changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import dataops
from pipeline.dataops import BuildFailed, DataSettings, NotBuilt
from pipeline.tests.shop import AGAIN, LATE, TRAIN_UNTIL, VALID_UNTIL, Shop, made, rows, sampled

pytestmark = pytest.mark.usefixtures("quick")


def test_lines_of_a_day_become_one_purchase_and_no_date_moves(warehouse: Path) -> None:
    bought = dataops.purchases(warehouse).read_all().to_pylist()
    keys = [(row["user_id"], row["item_id"], row["bought_at"]) for row in bought]
    lines = Shop().lines
    assert len(set(keys)) == len(keys)
    assert set(keys) == {(user, item, day) for day, user, item, _, _ in lines}
    assert sum(row["quantity"] for row in bought) == len(lines)
    [again] = [
        row for row in bought if (row["user_id"], row["item_id"], row["bought_at"]) == ("user00", "0100", AGAIN[0][0])
    ]
    assert again["quantity"] == 4 and again["channel"] == "several"
    assert again["amount"] == pytest.approx(3 * 0.0508305084745762 + 0.03, rel=1e-15)


def test_splits_are_by_date_with_the_last_two_weeks_held_out(warehouse: Path) -> None:
    for row in dataops.training_purchases(warehouse).read_all().to_pylist():
        day = row["bought_at"]
        assert row["split"] == ("train" if day < TRAIN_UNTIL else "valid" if day < VALID_UNTIL else "test")


@pytest.fixture(scope="module")
def other_future(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop with other weeks after training, and a sample of a quarter of its users."""
    shop = replace(Shop(), lines=[line for line in Shop().lines if line[0] < TRAIN_UNTIL])
    shop.lines += [(TRAIN_UNTIL + timedelta(day), "user12", "0600", "9.99", "2") for day in range(14)]
    settings = DataSettings(TRAIN_UNTIL, VALID_UNTIL, min_purchases=3, user_sample_percent=25)
    return made(tmp_path_factory.mktemp("future"), shop, settings)


def test_the_future_changes_nothing_before_it(warehouse: Path, other_future: Path) -> None:
    # Averages or vocabularies over all splits would move when only the test weeks do.
    chosen = [user for (user,) in rows(other_future, "select user_id from marts.training_users")]
    for mart in ("training_purchases where split = 'train'", "training_users"):
        query = f"select * from marts.{mart} order by all"
        here = [row for row in rows(warehouse, query) if row[0] in chosen]
        assert len(here) > 0 and rows(other_future, query) == here
    for mart in ("customers", "articles"):
        query = f"select * from marts.{mart} order by all"
        assert rows(other_future, query) == rows(warehouse, query)


def test_a_sample_is_of_users_with_whole_histories(warehouse: Path, other_future: Path, base: Path) -> None:
    chosen: list[set[str]] = []
    for built in (other_future, sampled(base)[0], warehouse):  # 25, 60 and 100 percent
        sample = dataops.training_purchases(built).read_all().to_pylist()
        users = {row["user_id"] for row in sample}
        everything = dataops.purchases(built).read_all().to_pylist()
        assert len(sample) == sum(row["user_id"] in users for row in everything)
        counted = dict(rows(built, "select user_id, purchases_before from marts.training_users"))
        assert counted == Counter(row["user_id"] for row in sample if row["split"] == "train")
        chosen.append(users)
    assert 0 < len(chosen[0]) < len(chosen[1]) < len(chosen[2]) == 13
    assert chosen[0] < chosen[1] < chosen[2]


def test_users_need_enough_purchases_before_training_ends(warehouse: Path) -> None:
    # SETTINGS asks for three: of the two late users, one has them, and comes with everything.
    bought = Counter(row["user_id"] for row in dataops.training_purchases(warehouse).read_all().to_pylist())
    assert "user13" not in bought and bought["user14"] == 13
    assert Counter(line[1] for line in LATE) == {"user13": 12, "user14": 13}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"user_sample_percent": 0}, "must be above 0 and at most 100"),
        ({"user_sample_percent": 101}, "must be above 0 and at most 100"),
        ({"train_until": date(2020, 9, 1)}, "both train_until and valid_until"),
        ({"train_until": date(2020, 9, 1), "valid_until": date(2020, 9, 1)}, "must be before valid_until"),
        ({"min_purchases": -1}, "must be (a whole number, )?0 or more"),
    ],
)
def test_bad_settings_are_refused_here_and_by_dbt_alone(
    settings: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=says):
        DataSettings(**settings)
    texts = {name: str(value) for name, value in settings.items()}
    # A file that is not there: dbt must refuse before it reads anything.
    monkeypatch.setenv("TERCEL_WAREHOUSE", str(tmp_path / "none.duckdb"))
    with pytest.raises(BuildFailed, match=says):
        dataops.run_dbt("duckdb", {"source_kind": "hm", **texts}, tmp_path / "dbt")


def test_marts_are_read_only_after_a_build_that_succeeded(tmp_path: Path) -> None:
    warehouse = tmp_path / "shop.duckdb"
    with pytest.raises(NotBuilt, match="load_raw"):
        dataops.purchases(warehouse)
    with pytest.raises(NotBuilt, match="load_raw"):
        dataops.build(warehouse, DataSettings())
    dataops.load_raw(Shop().write(tmp_path / "files"), warehouse)
    with pytest.raises(NotBuilt, match="never built"):
        dataops.purchases(warehouse)
