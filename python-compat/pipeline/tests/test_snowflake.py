"""The same models in Snowflake's SQL. No account is reached: fakesnow stands in for the connector, in this process, and
translates Snowflake's SQL to DuckDB's. So dbt's Snowflake target is seen to parse, compile and give the same rows; that
Snowflake itself takes every statement is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline import dataops
from pipeline.dataops import DataTestsFailed, SourceKind
from pipeline.tests.shop import CATALOGUE, SAMPLE, sampled

fakesnow = pytest.importorskip("fakesnow")
connector = pytest.importorskip("snowflake.connector")
pytestmark = pytest.mark.usefixtures("quick")

MARTS = [
    "purchases",
    "customers",
    "articles",
    "split_dates",
    "purchase_splits",
    "training_users",
    "training_purchases",
    "joined_purchases",
]
ACCOUNT = {
    "SNOWFLAKE_ACCOUNT": "nowhere",
    "SNOWFLAKE_USER": "nobody",
    "SNOWFLAKE_PASSWORD": "none",
    "SNOWFLAKE_ROLE": "loader",
    "SNOWFLAKE_WAREHOUSE": "small",
    "SNOWFLAKE_DATABASE": "shop",
    "SNOWFLAKE_SCHEMA": "main",
    "SNOWFLAKE_THREADS": "1",
}


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ACCOUNT.items():
        monkeypatch.setenv(name, value)


def groceries(folder: Path) -> Path:
    """Eight households (two described) and four products (one not in the catalogue), as Complete Journey's files."""
    folder.mkdir()
    lines = [f"2017-12-{day:02},{day % 8},0{day * 7 % 4},{day % 2 + 1},{day}.25" for day in range(1, 32)] * 2
    (folder / "transactions.csv").write_text(
        "\n".join(
            [
                "t_dat,household_id,product_id,quantity,sales_value",
                *lines,
                "2017-12-31,1,01,0,0",
                "2017-12-31,1,99,900,9",
            ]
        )
    )
    (folder / "households.csv").write_text(
        "household_id,age,income,home_ownership,marital_status,household_size,household_comp,kids_count\n"
        "1,65+,35-49K,Homeowner,Married,2,2 Adults No Kids,0\n2,19-24,,,,,,\n"
    )
    (folder / "products.csv").write_text(
        "product_id,manufacturer_id,department,brand,product_category,product_type,package_size\n"
        "00,69,GROCERY,Private,BREAD,WHITE BREAD,20 OZ\n01,2,DELI,National,,,\n02,2,MEAT,National,BEEF,,1 LB\n"
        "99,1,FUEL,National,FUEL,GASOLINE,\n"
    )
    return folder


def copy_raw(warehouse: Path, kind: SourceKind, cursor: Any) -> None:
    """The raw tables of a DuckDB file, into Snowflake's."""
    for statement in dataops.raw_ddl(kind):
        cursor.execute(statement)
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        for table in ["loads", *(table.name for table in dataops.TABLES[kind])]:
            rows = connection.execute(f"select * from raw.{table}").fetchall()
            marks = ", ".join(["%s"] * len(rows[0]))
            cursor.executemany(f"insert into raw.{table} values ({marks})", rows)


def in_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=repr)


def same_rows(cursor: Any, warehouse: Path) -> None:
    """Every mart has the same columns and rows in both."""
    for mart in MARTS:
        there = cursor.execute(f"select * from marts.{mart}").fetchall()
        columns = [column.name.lower() for column in cursor.description]
        with duckdb.connect(str(warehouse), read_only=True) as duck:
            here = duck.execute(f"select * from marts.{mart}")
            assert columns == [column[0].lower() for column in here.description or []], mart
            rows = here.fetchall()
        assert len(rows) > 0 and in_order(there) == in_order(rows), mart


def test_the_marts_of_hm_are_those_of_duckdb_and_a_failing_test_is_named(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    warehouse, report = sampled(tmp_path_factory.getbasetemp())
    work = tmp_path / "dbt"
    with fakesnow.patch(), connector.connect(database="shop", schema="main") as connection:
        cursor = connection.cursor()
        copy_raw(warehouse, "hm", cursor)
        passed, warnings = dataops.run_dbt("snowflake", SAMPLE.as_vars("hm"), work)
        assert json.loads((work / "manifest.json").read_text())["metadata"]["adapter_type"] == "snowflake"
        assert passed == report.tests_passed > 20 and warnings == report.warnings == []
        same_rows(cursor, warehouse)
        # The same again with a user less: that fails one test, alone.
        cursor.execute("delete from raw.hm_customers where customer_id = 'user03'")
        with pytest.raises(DataTestsFailed) as raised:
            dataops.run_dbt("snowflake", SAMPLE.as_vars("hm"), work)
        [failure] = raised.value.failures
        assert (failure.model, failure.rows) == ("purchases", 14)
        table = failure.where.removeprefix("the table ").split(" (")[0]
        assert len(cursor.execute(f"select * from {table}").fetchall()) == 14


def test_the_marts_of_complete_journey_are_those_of_duckdb(tmp_path: Path) -> None:
    settings = replace(SAMPLE, min_purchases=2)
    warehouse = tmp_path / "shop.duckdb"
    dataops.load_raw(groceries(tmp_path / "files"), warehouse, "complete-journey")
    report = dataops.build(warehouse, settings)
    with fakesnow.patch(), connector.connect(database="shop", schema="main") as connection:
        cursor = connection.cursor()
        copy_raw(warehouse, "complete-journey", cursor)
        passed, warnings = dataops.run_dbt("snowflake", settings.as_vars("complete-journey"), tmp_path / "dbt")
        assert passed == report.tests_passed > 20
        # Sixteen lines sell the product that the catalogue lacks: a warning in both.
        for warned in (warnings, report.warnings):
            assert [(warning.test, warning.rows) for warning in warned] == [(CATALOGUE, 16)]
        same_rows(cursor, warehouse)
