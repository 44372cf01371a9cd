"""A tiny shop for the tests of DataOps, and warehouses of it that are built once in a process."""

from __future__ import annotations

import csv
import functools
import gc
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline import dataops
from pipeline.dataops import BuildReport, DataSettings

FIRST, DAYS = date(2020, 8, 1), 40
NEWEST = FIRST + timedelta(DAYS - 1)
TRAIN_UNTIL, VALID_UNTIL = NEWEST - timedelta(13), NEWEST - timedelta(6)

Line = tuple[date, str, str, str, str]  # day, user, item, price, channel

# One user, one item, one day: three identical lines, and one at another price through the other channel.
AGAIN: list[Line] = [
    *[(FIRST + timedelta(5), "user00", "0100", "0.0508305084745762", "1")] * 3,
    (FIRST + timedelta(5), "user00", "0100", "0.03", "2"),
]


# Two users with ten purchases in the held-out weeks: one has two purchases before them, the other three.
LATE: list[Line] = [
    (day, user, "0100", "0.5", "1")
    for user, early in (("user13", 2), ("user14", 3))
    for day in [FIRST + timedelta(at) for at in range(early)] + [NEWEST - timedelta(at) for at in range(10)]
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
    """A tiny shop in H&M's three files. user12 has bought nothing."""

    lines: list[Line] = field(default_factory=lambda: regular_lines() + AGAIN + LATE)
    users: list[str] = field(default_factory=lambda: [f"user{user:02}" for user in range(15)])
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


# The one data test of severity `warn`: test_snowflake.py sees it find rows.
CATALOGUE = "stg_cj__purchases_item_id_is_in_catalogue"

# The newest purchase is just as old as it may be.
SETTINGS = DataSettings(min_purchases=3, max_age_days=3, as_of=NEWEST + timedelta(3))
SAMPLE = DataSettings(min_purchases=3, user_sample_percent=60)


def made(folder: Path, shop: Shop, settings: DataSettings, project: Path = dataops.PROJECT) -> Path:
    """A warehouse with the shop loaded and built."""
    warehouse = folder / "shop.duckdb"
    dataops.load_raw(shop.write(folder / "files"), warehouse, "hm")
    dataops.build(warehouse, settings, project)
    return warehouse


def rows(warehouse: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return connection.execute(query).fetchall()


def copied(warehouse: Path, folder: Path) -> Path:
    """A copy that a test may change."""
    folder.mkdir(exist_ok=True)
    return Path(shutil.copy(warehouse, folder / warehouse.name))


@contextmanager
def quick_builds() -> Iterator[None]:
    """Builds without dbt's log, which no test reads, and with garbage looked for less often: both cost much time."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, 50, 50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_LOG_LEVEL_FILE", "none")
        try:
            yield
        finally:
            gc.set_threshold(*before)


# A build takes seconds, so these two are made once in a process, under pytest's own folder, and only read.


@functools.cache
def plain(base: Path) -> Path:
    """The shop, built with SETTINGS."""
    warehouse, project = bench(base)
    made(warehouse.parent, Shop(), SETTINGS, project)
    shutil.copytree(warehouse.parent, base / "plain")
    return base / "plain" / warehouse.name


@functools.cache
def sampled(base: Path) -> tuple[Path, BuildReport]:
    """The shop, built with SAMPLE, and what that build reported."""
    warehouse = copied(plain(base), base / "sampled")
    return warehouse, dataops.build(warehouse, SAMPLE)


def bench(base: Path, **models: str) -> tuple[Path, Path]:
    """Where a warehouse goes, and the dbt project with these models' SQL; `{0}` in it is the SQL that was there.

    For builds with SETTINGS: always in one place, emptied but for what dbt has parsed there, which halves a build.
    """
    folder = base / "bench"
    for path in folder.glob("*"):
        if path.name != "shop.dbt":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in folder.glob("shop.dbt/*"):
        if path.name != "partial_parse.msgpack":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder / "shop.duckdb", spoiled(folder, **models)


def bench_with_shop(base: Path, **models: str) -> tuple[Path, Path]:
    """The same, with the plain shop in it."""
    built = plain(base)
    warehouse, project = bench(base, **models)
    return copied(built, warehouse.parent), project


def spoiled(folder: Path, **models: str) -> Path:
    """A copy of the dbt project, spoiled as bench() says."""
    project = folder / "dbt"
    shutil.copytree(dataops.PROJECT, project)
    for model, sql in models.items():
        file = project / "models" / "marts" / f"{model}.sql"
        file.write_text(sql.replace("{0}", f"(\n{file.read_text()}\n)"))
    return project
