"""`read_table` and what reads as it does: text as it is written, files and folders together, tables in memory."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import tercel
from tercel._tables import read_all, read_options, together
from tercel.merlin.io import Dataset

from .small import IDS, ODD, PURCHASES, write


def test_text_is_as_it_is_written(tmp_path: Path) -> None:
    lines = ["user_id,item_id", *(f"{one},x{one}" for one in ODD)]
    plain = write(tmp_path / "x.csv", *lines)
    packed = tmp_path / "x.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    tabs = write(tmp_path / "x.tsv", *(line.replace(",", "\t") for line in lines))
    for file in (plain, packed, tabs, str(plain)):
        assert tercel.read_table(file).to_pydict() == {"user_id": ODD, "item_id": [f"x{one}" for one in ODD]}


def test_options_of_text(tmp_path: Path) -> None:
    bars = write(tmp_path / "a.txt", "ann|tea", "-|NULL")
    assert tercel.read_table(bars, sep="|", columns=["u", "i"], null=["-"]).to_pylist() == [
        {"u": "ann", "i": "tea"},
        {"u": None, "i": "NULL"},
    ]
    quoted = write(tmp_path / "b.csv", "u,i", '"a,b",c', '"say ""so""",d')
    assert tercel.read_table(quoted)["u"].to_pylist() == ["a,b", 'say "so"']
    raw = write(tmp_path / "c.tsv", "u\ti", '"Weird Al\tx', "b\ty")
    assert tercel.read_table(raw, quote="none")["u"].to_pylist() == ['"Weird Al', "b"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"columns": "user,item"}, "columns"),
        ({"null": "NULL"}, "null"),
        ({"null": 3}, "null"),
        ({"columns": ["user", 3]}, "columns"),
        ({"sep": 3}, "sep"),
        ({"quote": False}, "quote"),
        ({"time_unit": 1_000}, "time_unit"),
    ],
)
def test_options_of_another_kind_are_named(options: dict[str, Any], field: str, tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "user_id,item_id", "a,b")
    for call in (tercel.read_table, tercel.Dataset.build, Dataset):
        with pytest.raises(tercel.ConfigError) as error:
            call(file, **options)
        assert error.value.field == field
    assert read_options() == {} and read_options(null=("a",), sep=np.str_(";")) == {"null": ["a"], "sep": ";"}


def test_a_row_that_cannot_be_read_keeps_its_class_and_place(tmp_path: Path) -> None:
    good = [f"u{i},i{i}" for i in range(20_000)]
    for row in (1, 17_000):  # in the first batch and behind it
        lines = ["user_id,item_id", *good]
        lines[row] = "a,b,c"
        file = write(tmp_path / "x.csv", *lines)
        with pytest.raises(tercel.RowError) as error:
            tercel.read_table(file)
        assert (error.value.path, error.value.row) == (str(file), row + 1)
    with pytest.raises(tercel.FileError) as gone:
        tercel.read_table(tmp_path / "none.csv")
    assert gone.value.path == str(tmp_path / "none.csv")


def test_tables_in_memory_keep_their_types() -> None:
    rows = pa.table({"user_id": [1, 2], "price": [0.5, None], "tags": [["a"], []]})
    for table in (rows, rows.to_batches(), rows.to_reader(), pl.from_arrow(rows)):
        read = tercel.read_table(table)
        assert read["user_id"].type == pa.int64() and read.to_pylist() == rows.to_pylist()


def test_a_stream_that_breaks_is_an_error_of_ours() -> None:
    def batches() -> Any:
        yield pa.record_batch({"user_id": [1]})
        raise RuntimeError("the warehouse is closed")

    broken = pa.RecordBatchReader.from_batches(pa.schema([("user_id", pa.int64())]), batches())
    with pytest.raises(tercel.DataError, match="the warehouse is closed") as error:
        tercel.read_table(broken)
    assert error.value.path == "table"


def test_several_files_go_together_by_their_names(tmp_path: Path) -> None:
    one = write(tmp_path / "1.csv", "user_id,item_id", "a,x")
    other = write(tmp_path / "2.csv", "item_id,user_id", "y,b")
    assert read_all([one, other], {}).to_pydict() == {"user_id": ["a", "b"], "item_id": ["x", "y"]}
    for name, header in (("3.csv", "user_id"), ("4.csv", "user_id,item_id,price"), ("5.csv", "user,item_id")):
        lines = [header, ",".join("1" for _ in header.split(","))]
        with pytest.raises(tercel.SchemaError, match=r"no column `(item_id|price|user_id)`, which") as error:
            read_all([one, write(tmp_path / name, *lines)], {})
        assert error.value.path in (str(one), str(tmp_path / name)) and error.value.column


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    """In folders of folders too, with the columns that their names add."""
    for month, user in (("01", "0022"), ("02", "7")):
        part = tmp_path / "year=2024" / f"month={month}"
        part.mkdir(parents=True)
        write(part / "part-0.csv", "user_id,item_id", f"{user},x")
    (tmp_path / "_SUCCESS").touch()
    expected = {"user_id": ["0022", "7"], "item_id": ["x", "x"], "year": ["2024", "2024"], "month": ["01", "02"]}
    assert tercel.read_table(tmp_path).to_pydict() == expected
    assert Dataset(tmp_path, schema=IDS).to_arrow().to_pydict() == {name: expected[name] for name in IDS.column_names}
    (tmp_path / "notes.xls").write_bytes(b"x")
    with pytest.warns(UserWarning, match=r"not read: notes\.xls"):
        assert tercel.read_table(tmp_path).to_pydict() == expected
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "empty", tercel.Dataset.build(PURCHASES, tmp_path / "data", progress=False).path):
        with pytest.raises(tercel.DataError) as error:
            tercel.read_table(nothing)
        assert error.value.path == str(nothing)


def test_types_that_differ_become_texts() -> None:
    numbers, texts = pa.table({"a": [1, 2], "b": [0.5, 1.0]}), pa.table({"a": ["x", "007"], "b": [1, 2]})
    assert together([numbers, texts]).to_pydict() == {"a": ["1", "2", "x", "007"], "b": [0.5, 1.0, 1.0, 2.0]}
    with pytest.raises(tercel.SchemaError) as error:
        together([numbers, pa.table({"a": [[1]], "b": [1.0]})])
    assert error.value.column == "a"
