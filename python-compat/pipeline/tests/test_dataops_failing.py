"""DataOps, every data test seen to fail on data (or SQL) that deserves it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from pipeline import dataops
from pipeline.dataops import BuildFailed, DataTestsFailed, NotBuilt
from pipeline.tests.shop import (
    CATALOGUE,
    DAYS,
    FIRST,
    NEWEST,
    SETTINGS,
    Shop,
    bench,
    bench_with_shop,
    copied,
    made,
    rows,
    spoiled,
)

pytestmark = pytest.mark.usefixtures("quick")

# A build names every data test that found rows, so many faults share one build. Only what comes after a model with a
# failed test is skipped, hence one build per step: purchases, splits, users, training purchases. What is said is exact:
# the tests that fail, their models and their rows, and that no other test fails.
Failing = dict[str, tuple[str, int]]

OF_PURCHASES: Failing = {
    "relationships_purchases_user_id__user_id__ref_customers_": ("purchases", 12),
    "relationships_purchases_item_id__item_id__ref_articles_": ("purchases", 20),
    "unique_customers_user_id": ("customers", 1),
    "unique_articles_item_id": ("articles", 1),
    "not_null_customers_user_id": ("customers", 1),
    "not_null_articles_item_id": ("articles", 1),
    "not_null_purchases_user_id": ("purchases", 1),
    "not_null_purchases_item_id": ("purchases", 1),
    "not_null_purchases_bought_at": ("purchases", 1),
    "not_null_purchases_amount": ("purchases", 1),
    "not_null_purchases_quantity": ("purchases", 1),
    "at_least_purchases_amount__0": ("purchases", 1),
    "at_least_purchases_quantity__1": ("purchases", 1),
    "no_purchase_after_load": ("purchases", 1),
    "no_gap_in_days": ("purchases", 2),
    "every_line_is_kept": ("stg_hm__purchases, purchases", 4),
}
OF_SETTINGS: Failing = {
    "newest_purchase_is_fresh": ("split_dates", 1),
    "training_is_not_empty": ("training_purchases", 1),
}
OF_SPLITS: Failing = {
    "splits_do_not_overlap": ("purchase_splits, split_dates", 1),
    "accepted_values_purchase_splits_split__train__valid__test": ("purchase_splits", 1),
    "not_null_purchase_splits_split": ("purchase_splits", 1),
}
OF_USERS: Failing = {
    "unique_training_users_user_id": ("training_users", 1),
    "not_null_training_users_user_id": ("training_users", 1),
}
OF_TRAINING: Failing = {"histories_are_whole": ("training_purchases, purchases", 13)}
OF_WINDOWS: Failing = {
    "purchases_are_unique": ("purchases", 3),
    "every_line_is_kept": ("stg_hm__purchases, purchases", 14),
}


def check_failures(warehouse: Path, failed: DataTestsFailed, expected: Failing) -> None:
    """Exactly these failed, the message says so, the rows are where it says, and nobody can train on the marts."""
    assert {failure.test: (failure.model, failure.rows) for failure in failed.failures} == expected
    assert len(failed.failures) == len(expected)
    for failure in failed.failures:
        assert f"{failure.test} on {failure.model}: {failure.rows} failing row" in str(failed)
        table = failure.where.removeprefix("the table ").split(" (")[0]
        assert len(rows(warehouse, f"select * from {table}")) == failure.rows
        assert Path(failure.where.split("its query: ")[1].rstrip(")")).is_file()
    with pytest.raises(NotBuilt, match="its marts are not tested"):
        dataops.purchases(warehouse)


def test_bad_data_and_a_bad_mart_fail_the_tests_that_are_for_them(base: Path) -> None:
    shop = Shop()
    shop.users.remove("user03")
    shop.items.remove("0300")
    shop.users += ["user04", ""]
    shop.items += ["0400", ""]
    shop.lines = [line for line in shop.lines if not 10 <= (line[0] - FIRST).days < 18]
    shop.lines += [
        (NEWEST, "", "0200", "0.01", "1"),
        (NEWEST, "user01", "", "0.01", "1"),
        (NEWEST, "user02", "0200", "", "1"),
        (NEWEST, "user05", "0200", "-0.5", "1"),
        (date.today() + timedelta(400), "user01", "0200", "0.01", "1"),
    ]
    # Files cannot hold these three, so the SQL brings them; each is a line that every_line_is_kept misses on its day,
    # and the first one is too much on no day.
    sql = """
        select * replace (
            case when user_id = 'user06' and bought_at = '2020-08-01' then null else bought_at end as bought_at,
            case
                when user_id = 'user07' and bought_at = '2020-08-03' then 0
                when user_id = 'user08' and bought_at = '2020-08-02' then null
                else quantity
            end as quantity
        ) from {0}"""
    warehouse, project = bench(base, purchases=sql)
    with pytest.raises(DataTestsFailed) as raised:
        made(warehouse.parent, shop, SETTINGS, project)
    check_failures(warehouse, raised.value, OF_PURCHASES)
    days = rows(warehouse, "select cast(bought_at as varchar) from failures.every_line_is_kept order by all nulls last")
    assert days == [("2020-08-01",), ("2020-08-02",), ("2020-08-03",), (None,)]


def test_fresh_data_is_fresh(warehouse: Path) -> None:
    assert rows(warehouse, "select * from meta.last_build") == [(True, repr(SETTINGS))]
    assert rows(warehouse, "select * from failures.newest_purchase_is_fresh") == []


def test_old_data_and_settings_that_leave_nobody_fail(warehouse: Path, tmp_path: Path) -> None:
    other = copied(warehouse, tmp_path)
    with pytest.raises(DataTestsFailed) as raised:  # one day older than the data that is fresh
        dataops.build(other, replace(SETTINGS, as_of=NEWEST + timedelta(4), min_purchases=10_000))
    check_failures(other, raised.value, OF_SETTINGS)


def test_overlapping_and_unknown_splits_fail(base: Path) -> None:
    sql = """
        select * replace (case
            when user_id = 'user06' and bought_at = '2020-08-01' then 'test'
            when user_id = 'user07' and bought_at = '2020-08-03' then 'all'
            when user_id <> 'user08' or bought_at <> '2020-08-02' then split
        end as split) from {0}"""
    other, project = bench_with_shop(base, purchase_splits=sql)
    with pytest.raises(DataTestsFailed) as raised:
        dataops.build(other, SETTINGS, project)
    check_failures(other, raised.value, OF_SPLITS)


def test_bad_users_fail_and_old_data_by_the_day_of_its_load(warehouse: Path, tmp_path: Path) -> None:
    other = copied(warehouse, tmp_path)
    sql = "select * from {0} union all select unnest(['user12', 'user12', null]), 3"
    with pytest.raises(DataTestsFailed) as raised:
        dataops.build(other, replace(SETTINGS, as_of=None), spoiled(tmp_path, training_users=sql))
    check_failures(other, raised.value, {**OF_USERS, "newest_purchase_is_fresh": ("split_dates", 1)})


def test_a_sample_of_rows_fails_alone(base: Path) -> None:
    # Fault 6 of the system that this replaces.
    sql = "select * from {0} where hash(item_id, bought_at) % 2 = 0"
    other, project = bench_with_shop(base, training_purchases=sql)
    with pytest.raises(DataTestsFailed) as raised:
        dataops.build(other, SETTINGS, project)
    check_failures(other, raised.value, OF_TRAINING)


# Fault 5 of the system that this replaces: the last value of a window, and a group by of everything else. Where the
# window ends at the row itself no date moves, but equal lines of a day become one; over all rows, every date
# moves to the last.
WINDOW = """
select user_id, item_id, cast(last_value(bought_at) over (partition by user_id, item_id order by bought_at {frame})
    as date) as bought_at, cast(amount as double) as amount, cast(quantity as bigint) as quantity, channel
from {{{{ stg('purchases') }}}} where {users} group by user_id, item_id, bought_at, amount, quantity, channel"""
WHOLE = "rows between unbounded preceding and unbounded following"


def test_dates_from_a_window_fail(base: Path) -> None:
    sql = " union all ".join(
        f"select * from ({part})"
        for part in (
            WINDOW.format(frame="", users="user_id <> 'user08'"),
            WINDOW.format(frame=WHOLE, users="user_id = 'user08'"),
        )
    )
    other, project = bench_with_shop(base, purchases=sql)
    with pytest.raises(DataTestsFailed) as raised:
        dataops.build(other, SETTINGS, project)
    check_failures(other, raised.value, OF_WINDOWS)
    # user08 buys one of two items every third day: each window leaves its own faults, on its own days.
    twice = rows(other, "select user_id, cast(bought_at as varchar) from failures.purchases_are_unique order by all")
    assert twice == [("user00", "2020-08-06"), ("user08", "2020-09-04"), ("user08", "2020-09-07")]
    days = {day for (day,) in rows(other, "select bought_at from failures.every_line_is_kept")}
    assert days == {FIRST + timedelta(5), *(FIRST + timedelta(day) for day in range(1, DAYS, 3))}


def test_no_data_test_of_the_project_is_left_out_here(warehouse: Path) -> None:
    manifest = json.loads((warehouse.with_suffix(".dbt") / "manifest.json").read_text())
    nodes = [*manifest["nodes"].values(), *(node for twins in manifest["disabled"].values() for node in twins)]
    tests = {node["name"] for node in nodes if node["resource_type"] == "test"}
    seen = [OF_PURCHASES, OF_SETTINGS, OF_SPLITS, OF_USERS, OF_TRAINING, OF_WINDOWS]
    assert tests == {CATALOGUE}.union(*seen)


def test_a_model_that_cannot_run_is_named(base: Path) -> None:
    other, project = bench_with_shop(base, purchases="select item from {{ stg('purchases') }}")
    with pytest.raises(BuildFailed, match=r"(?s)purchases: .*column \"item\""):
        dataops.build(other, SETTINGS, project)
