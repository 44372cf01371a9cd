"""One reader for every door: text as it is written, frames with ids in their index, tables that are none."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
import tercel
import tercel.merlin.models.tf as mm
from tercel._tables import explained, read_all, read_options, together
from tercel.merlin import MerlinDifference
from tercel.merlin.io import Dataset
from tercel.merlin.schema import ColumnSchema, Schema, Tags

IDS = Schema([ColumnSchema("user_id", tags=[Tags.USER_ID]), ColumnSchema("item_id", tags=[Tags.ITEM_ID])])
ODD = ["0000000022", "123456789012345678901", "1.0", "1e5", "-0", "+7", "0x1F", "7", "true", "2024-01-05", "00"]
"""Ids that something else would read as numbers, times or truths."""


def write(file: Path, *lines: str) -> Path:
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


# ----------------------------------------------------------------------------------------------------------- read_table


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


# ---------------------------------------------------------------------------------------------------- merlin.io.Dataset


def test_ids_of_a_text_file_come_back_unchanged(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "user_id,item_id", *(f"{user},{item}" for user in ODD for item in ODD))
    rows = Dataset(file, schema=IDS).to_arrow()
    assert rows["user_id"].unique().to_pylist() == rows["item_id"].unique().to_pylist() == ODD
    # All alike, they are texts too: what the other rows have changes no id.
    alike = write(tmp_path / "y.csv", "user_id,item_id", "22,7", "23,8")
    assert Dataset(alike, schema=IDS).to_arrow().to_pydict() == {"user_id": ["22", "23"], "item_id": ["7", "8"]}


def test_ids_go_through_training_unchanged(tmp_path: Path) -> None:
    lines = [f"{user},{item}" for i, user in enumerate(ODD) for j, item in enumerate(ODD) if (i + j) % 3]
    train = Dataset(write(tmp_path / "x.csv", "user_id,item_id", *lines), schema=IDS)
    model = mm.MatrixFactorizationModelV2(IDS, dim=8)
    model.compile("adam")
    model.fit(train, epochs=1, verbose=0, device="cpu")
    top = model.to_top_k_encoder(k=len(ODD)).batch_predict(train).to_arrow()
    assert sorted(top["user_id"].to_pylist()) == sorted(ODD) == sorted(top["item_id"].to_pylist()[0])


def test_numbers_are_numbers_where_all_of_them_are(tmp_path: Path) -> None:
    columns = {
        "whole": (["1", "-2", "9007199254740993"], [1, -2, 9007199254740993]),
        "price": (["2.50", "3", ".5"], [2.5, 3.0, 0.5]),
        "large": (["1e5", "2", "0"], [1e5, 2.0, 0.0]),
        "gaps": (["1", "NA", "3"], [1, None, 3]),
        "zip": (["00123", "99999", "5"], ["00123", "99999", "5"]),
        "wide": (["123456789012345678901", "1", "2"], ["123456789012345678901", "1", "2"]),
        "words": (["1", "two", "3"], ["1", "two", "3"]),
        "plus": (["+1", "2", "3"], ["+1", "2", "3"]),
        "day": (["2024-01-05"] * 3, ["2024-01-05"] * 3),
        "code": (["1.0", "2.0", "3.5"], ["1.0", "2.0", "3.5"]),
        "shelf": (["1", "2", "3"], [1, 2, 3]),
    }
    lines = [",".join(values[row] for values, _ in columns.values()) for row in range(3)]
    file = write(tmp_path / "x.csv", ",".join(columns), *lines)
    tagged = {"price": [Tags.TARGET], "code": [Tags.CATEGORICAL], "shelf": [Tags.CATEGORICAL]}
    schema = Schema([ColumnSchema(name, tags=tagged.get(name, [])) for name in columns])
    assert Dataset(file, schema=schema).to_arrow().to_pydict() == {name: made for name, (_, made) in columns.items()}


def test_a_schema_that_comes_later_is_kept_to(tmp_path: Path) -> None:
    """Scripts set `dataset.schema` behind reading: an id that was taken for a number comes back as it is written."""
    file = write(tmp_path / "x.csv", "who,what", "1.0,007", "2.50,8")
    with pytest.warns(MerlinDifference, match="no column"):
        dataset = Dataset(file)
    assert dataset.to_arrow()["who"].to_pylist() == [1.0, 2.5]
    dataset.schema = Schema([ColumnSchema("who", tags=[Tags.USER_ID]), ColumnSchema("what", tags=[Tags.ITEM_ID])])
    assert dataset.to_arrow().to_pydict() == {"who": ["1.0", "2.50"], "what": ["007", "8"]}


def test_types_of_parquet_stay(tmp_path: Path) -> None:
    rows = pa.table({"user_id": [22, 7], "item_id": ["0022", "1"], "price": ["1", "2"], "size": [1, None]})
    pyarrow.parquet.write_table(rows, tmp_path / "x.parquet")
    schema = IDS + Schema(["price", "size"])
    for source in (tmp_path / "x.parquet", rows):
        made = Dataset(source, schema=schema).to_arrow()
        assert made.to_pydict() == rows.to_pydict() and made["user_id"].type == pa.int64()


def test_a_schema_can_ask_for_numbers(tmp_path: Path) -> None:
    schema = Schema([ColumnSchema("user_id", ["user_id"], dtype=np.int64), ColumnSchema("item_id", ["item_id"])])
    file = write(tmp_path / "x.csv", "user_id,item_id", "22,0022", "7,1")
    assert Dataset(file, schema=schema).to_arrow().to_pydict() == {"user_id": [22, 7], "item_id": ["0022", "1"]}
    for wrong in ("0022", "1.0", "99999999999999999999", "ann"):
        with pytest.raises(tercel.SchemaError) as error:
            Dataset(write(tmp_path / "y.csv", "user_id,item_id", "7,1", f"{wrong},1"), schema=schema)
        assert error.value.column == "user_id"


def test_options_and_names_of_files(tmp_path: Path) -> None:
    bars = write(tmp_path / "x.txt", "0022|7", "23|8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for names in ({"names": ["user_id", "item_id"]}, {"columns": ["user_id", "item_id"]}):
            read = Dataset(bars, engine="csv", sep="|", schema=IDS, **names)
            assert read.to_arrow()["user_id"].to_pylist() == ["0022", "23"]
    with pytest.warns(MerlinDifference, match="usecols has no effect"):
        Dataset(bars, sep="|", columns=["user_id", "item_id"], schema=IDS, usecols=[0])
    with pytest.raises(tercel.ConfigError, match="engine"):
        Dataset(bars, engine="avro")
    for nothing in (tmp_path / "none.csv", tmp_path / "*.parquet", str(tmp_path / "nowhere" / "x.csv")):
        with pytest.raises(tercel.FileError) as error:
            Dataset(nothing, schema=IDS)
        assert error.value.path == str(nothing)


def test_a_pattern_names_files_in_order(tmp_path: Path) -> None:
    for part in (2, 0, 1):
        write(tmp_path / f"{part}.csv", "user_id,item_id", f"0{part},x")
    assert Dataset(tmp_path / "*.csv", schema=IDS).to_arrow()["user_id"].to_pylist() == ["00", "01", "02"]


def test_a_folder_of_two_kinds_is_told_apart_by_the_engine(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "user_id,item_id", "0022,x")
    pyarrow.parquet.write_table(pa.table({"user_id": ["7", "8"], "item_id": ["x", "y"]}), tmp_path / "b.parquet")
    (tmp_path / "_SUCCESS").touch()
    for engine, users, left in (("csv", ["0022"], "b.parquet"), ("parquet", ["7", "8"], "a.csv")):
        with pytest.warns(UserWarning, match=rf"not read: {left} \(it is no {engine}\)") as said:
            rows = Dataset(tmp_path, engine=engine, schema=IDS).to_arrow()
        assert len(said) == 1 and rows["user_id"].to_pylist() == users


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    rows = pa.table({"user_id": ["a"], "item_id": ["b"]})
    schema = IDS + Schema(["price"])
    file = write(tmp_path / "x.csv", "user_id,item_id", "a,b")
    for source in (rows, file, rows.to_pandas()):
        with pytest.raises(tercel.SchemaError, match="no column `price`, which the schema has") as error:
            Dataset(source, schema=schema).to_arrow()
        assert error.value.column == "price"
    with pytest.raises(KeyError, match="no column `price`; it has user_id, item_id"):
        IDS["price"]
    for call in (lambda: IDS.select("price"), lambda: Schema().first, lambda: IDS.select_by_tag("time").first):
        with pytest.raises(tercel.UnknownNameError):
            call()
    with pytest.raises(tercel.ConfigError, match="`users` is not one of user, item"):
        ColumnSchema("a", tags=["users"])


@pytest.mark.parametrize(
    ("columns", "user", "item"),
    [
        (["customer_id", "customer", "product_id", "date"], "customer_id", "product_id"),
        (["user", "movieId", "movie_title", "rating"], "user", "movieId"),
        (["UserID", "Item"], "UserID", "Item"),
    ],
)
def test_names_that_say_id_win(columns: list[str], user: str, item: str) -> None:
    with pytest.warns(MerlinDifference, match="no schema"):
        schema = Dataset(pa.table({name: ["1"] for name in columns})).schema
    assert schema.select_by_tag(Tags.USER_ID).column_names == [user]
    assert schema.select_by_tag(Tags.ITEM_ID).column_names == [item]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (["user_id", "customer_id", "item_id"], "`user_id` and `customer_id` may each be the user_id"),
        (["user", "customer", "item_id"], "`user` and `customer`"),
        (["user_id", "article_id", "product_id"], "`article_id` and `product_id` may each be the item_id"),
        (["user_id", "item_id", "date", "t_dat"], "`date` and `t_dat` may each be the time"),
    ],
)
def test_two_that_could_be_it_are_asked_for(columns: list[str], words: str) -> None:
    with pytest.raises(tercel.ConfigError, match=words) as error:
        Dataset(pa.table({name: ["1"] for name in columns}))
    assert error.value.field == "schema"
    schema = Schema([ColumnSchema(columns[0], ["user_id"])])
    assert Dataset(pa.table({name: ["1"] for name in columns}), schema=schema).to_arrow().column_names == [columns[0]]


def test_features_of_other_types_in_other_files(tmp_path: Path) -> None:
    """A column that is whole in one file and words in the next is one feature all the same."""
    schema = IDS + Schema([ColumnSchema("zip", tags=[Tags.USER, Tags.CATEGORICAL])])
    lines = [f"{user},{item},{10 + user}" for user in range(1, 9) for item in range(5) if (user + item) % 4]
    train = Dataset(write(tmp_path / "a.csv", "user_id,item_id,zip", *lines), schema=schema)
    later = Dataset(write(tmp_path / "b.csv", "user_id,item_id,zip", "1,3,0011", "new,4,x"), schema=schema)
    assert train.to_arrow()["zip"].type != later.to_arrow()["zip"].type
    users, items = (
        mm.Encoder(mm.InputBlockV2(schema.select_by_tag(tag)), mm.MLPBlock([8], no_activation_last_layer=True))
        for tag in (Tags.USER, Tags.ITEM)
    )
    model = mm.TwoTowerModelV2(users, items)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MerlinDifference)
        model.fit(train, validation_data=later, epochs=1, verbose=0, device="cpu")
    assert sorted(model.trained.user_ids.to_pylist())[:3] == ["1", "2", "3"]


# ----------------------------------------------------------------------------------------------------- ids in the index


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


PURCHASES = frame(user_id=["a", "b", "a"], item_id=["x", "y", "y"], timestamp=[1_600_000_000] * 3)


@pytest.mark.parametrize(
    ("rows", "which"),
    [
        (PURCHASES.set_index("user_id"), r"\(`user_id`\)"),
        (PURCHASES.set_index("user_id").rename_axis(None), "the index of the data frame"),
        (PURCHASES.set_index(["user_id", "item_id"]), r"\(`user_id`, `item_id`\)"),
        (PURCHASES.groupby(["user_id", "item_id"]).sum(), r"\(`user_id`, `item_id`\)"),
        (PURCHASES.set_index("item_id"), r"\(`item_id`\)"),
    ],
    ids=["named", "without a name", "several", "grouped", "the item"],
)
def test_ids_in_the_index_are_asked_for(rows: pd.DataFrame, which: str) -> None:
    for call in (lambda: tercel.Dataset.build(rows, progress=False), lambda: tercel.read_interactions(rows)):
        with pytest.raises(tercel.DataError, match=rf"may be in the index.*{which}.*reset_index\(\)|{which}") as error:
            call()
        assert "reset_index()" in str(error.value) and error.value.path == "interactions"
    made = tercel.Dataset.build(rows.reset_index(names=["user_id"]) if which.startswith("the") else rows.reset_index())
    assert (made.users, made.items) == (2, 2)


def test_an_index_that_nobody_needs_is_no_matter() -> None:
    for rows in (
        PURCHASES,
        PURCHASES[PURCHASES.item_id == "y"],
        PURCHASES.sort_values("item_id"),
        PURCHASES.set_index(pd.Index([5, 6, 7], name="order")),
    ):
        made = tercel.Dataset.build(rows, progress=False)
        assert made.rows() == len(rows)


def test_the_table_that_is_meant_is_named() -> None:
    indexed = PURCHASES.set_index("user_id")
    with pytest.raises(tercel.DataError, match="reset_index") as error:
        tercel.Dataset.build([indexed, indexed], progress=False)
    assert error.value.path == "interactions[0]"
    with pytest.raises(tercel.SchemaError, match="reset_index") as named:
        tercel.Dataset.build(PURCHASES, test=indexed, user="user_id", progress=False)
    assert (named.value.path, named.value.column) == ("test", "user_id")
    # A row that is wrong has nothing to do with an index.
    wrong = PURCHASES.assign(timestamp=["now"] * 3).set_index(pd.Index([5, 6, 7], name="order"))
    with pytest.raises(tercel.RowError) as row:
        tercel.Dataset.build(wrong, progress=False)
    assert "reset_index" not in str(row.value)


def test_errors_of_others_pass_as_they_are() -> None:
    for wrong in (ValueError("x"), tercel.ConfigError("seed: no", field="seed"), tercel.RowError("r", row=3)):
        with pytest.raises(type(wrong)) as error, explained(users=PURCHASES.set_index("user_id")):
            raise wrong
        assert error.value is wrong


@pytest.mark.parametrize("side", ["user", "item"])
def test_features_are_never_joined_on_something_else(side: str) -> None:
    """A frame of features by the ids in its index has no key: the first column is none."""
    key = f"{side}_id"
    features = frame(**{key: ["a", "b", "x", "y"], "age": [1, 2, 3, 4], "colour": ["r", "g", "r", "g"]})
    given: dict[str, Any] = {f"{side}_features": features}
    made = tercel.Dataset.build(PURCHASES, progress=False, **given)
    names = [one["name"] for one in made.manifest[f"{side}s"]["features"]]
    assert names == ["age", "colour"]
    for rows in (features.set_index(key), features.set_index(key).rename_axis(None), features.groupby(key).first()):
        with pytest.raises(tercel.TercelError, match=r"reset_index\(\)") as error:
            tercel.Dataset.build(PURCHASES, progress=False, **(given | {f"{side}_features": rows}))
        assert error.value.path == f"{side}_features"


# ----------------------------------------------------------------------------------------------------- no tables at all


@pytest.mark.parametrize(
    ("table", "kind", "words"),
    [
        (pa.table({}), tercel.DataError, "no columns"),
        (pd.DataFrame(), tercel.DataError, "no columns"),
        (pl.DataFrame(), tercel.DataError, "no columns"),
        ({}, tercel.DataError, "no columns"),
        (pa.table([["a"], ["b"], ["c"]], names=["user_id", "item_id", "item_id"]), tercel.SchemaError, "appears twice"),
        (pd.DataFrame([["a", "b", 1]], columns=["user_id", "x", "x"]), tercel.SchemaError, "`x` appears twice"),
        (pd.Series(["a"], name="user_id"), tercel.KindError, "list of values"),
        (pl.Series("user_id", ["a"]), tercel.KindError, "list of values"),
        (pa.array(["a"]), tercel.KindError, "list of values"),
        (pa.chunked_array([["a"]]), tercel.KindError, "list of values"),
        (np.array([["a", "b"]]), tercel.KindError, "list of values"),
        (7, tercel.KindError, "int is no table"),
        (b"x.csv", tercel.TercelError, "table"),
        (frame(user_id=["a", 1], item_id=["x", "y"]), tercel.DataError, "no table"),
        ({"user_id": ["a", 1], "item_id": ["x", "y"]}, tercel.SchemaError, "column user_id"),
        ({"user_id": "abc", "item_id": ["x"]}, tercel.SchemaError, "column user_id"),
        ({"user_id": [1, 2], "item_id": [1]}, tercel.ShapeError, "no table"),
        ({"user_id": np.eye(2), "item_id": [1, 2]}, tercel.SchemaError, "column user_id"),
    ],
    ids=str,
)
def test_what_is_no_table_is_refused_in_words(table: Any, kind: type[tercel.TercelError], words: str) -> None:
    with pytest.raises(kind, match=words) as error:
        tercel.Dataset.build(table, progress=False)
    assert error.value.path == "interactions"


def test_streams_that_are_none() -> None:
    class Broken:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            raise ValueError("closed")

    class Number:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            return 7

    class Column:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            return pa.chunked_array([["a"]]).__arrow_c_stream__()

    for broken in (Broken(), Number(), Column()):
        with pytest.raises(tercel.TercelError) as built:
            tercel.Dataset.build(broken, progress=False)
        with pytest.raises(tercel.TercelError) as read:
            tercel.read_table(broken)
        assert (built.value.path, read.value.path) == ("interactions", "table")


def test_arrays_by_name_as_bytes_are_texts() -> None:
    made = tercel.Dataset.build({"user_id": np.array([b"a", b"b"]), "item_id": np.array(["x", "y"])}, progress=False)
    assert made.user_table()["id"].to_pylist()[1:] == ["a", "b"]
    records = np.array([("a", 1), ("b", 2)], [("user_id", "U1"), ("item_id", "i8")])
    assert tercel.Dataset.build(records, progress=False).items == 2


# ---------------------------------------------------------------------------------------------------- what is passed on


def test_what_the_command_takes_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    from tercel import _core

    told: dict[str, Any] = {}

    def ingest(_inputs: Any, _out: Any, words: str, *_: Any) -> str:
        told.update(json.loads(words))
        raise tercel.ConfigError("enough")

    monkeypatch.setattr(_core, "ingest", ingest)
    reading = {
        "sep": "|",
        "columns": ["a", "b"],
        "quote": "none",
        "escape": "\\",
        "null": ["-", ""],
        "time_unit": "ms",
        "time_format": "%Y%m%d",
        "user_key": "id",
        "item_key": "sku",
    }
    with pytest.raises(tercel.ConfigError, match="enough"):
        tercel.Dataset.build("x.csv", seed=np.int64(3), progress=False, **reading)  # type: ignore[arg-type]
    assert {name: told.get(name) for name in reading} == reading and told["seed"] == 3
    told.clear()
    with pytest.raises(tercel.ConfigError, match="enough"):
        tercel.Dataset.build("x.csv", progress=False)
    assert not set(reading) & set(told), "what is not said is left to the core"


def built(file: Path, **settings: Any) -> list[tuple[str, str, Any]]:
    """The rows of a dataset in their order, by raw ids."""
    made = tercel.Dataset.build(file, progress=False, **settings)
    users, items = made.user_table()["id"].to_pylist(), made.item_table()["id"].to_pylist()
    rows = made.to_arrow().to_pylist()
    return [(str(users[row["user"]]), str(items[row["item"]]), row.get("timestamp")) for row in rows]


BASE = {"format": "csv", "user": "u", "item": "i"}
JANUARY = 1_704_412_800  # 2024-01-05


@pytest.mark.parametrize(
    ("lines", "settings", "rows"),
    [
        (["0022|7|1704412800"], {"sep": "|", "columns": ["u", "i", "time"]}, [("0022", "7", JANUARY)]),
        (["u;i", "'a;b';x"], {"sep": ";", "quote": "'"}, [("a;b", "x", None)]),
        (["u\ti", '"Weird Al\tx', "b\ty"], {"quote": "none"}, [('"Weird Al', "x", None), ("b", "y", None)]),
        (["u,i", '"say \\"so\\"",x'], {"escape": "\\"}, [('say "so"', "x", None)]),
        (["u,i,time", "a,x,20240105"], {"time_format": "%Y%m%d"}, [("a", "x", JANUARY)]),
        (["u,i,time", "a,x,05/01/2024"], {"time_format": "%d/%m/%Y"}, [("a", "x", JANUARY)]),
        (["u,i,time", "a,x,19727"], {"time_unit": "days"}, [("a", "x", JANUARY)]),
        (["u,i,time", "a,x,45296"], {"time_unit": "excel"}, [("a", "x", JANUARY)]),
        (["u,i,time", "a,x,1704412800000"], {"time_unit": "ms"}, [("a", "x", JANUARY)]),
        (["u,i", "NA,x", "None,y"], {"null": ["-"]}, [("NA", "x", None), ("None", "y", None)]),
    ],
    ids=str,
)
def test_the_settings_of_text_do_what_the_command_does(
    lines: list[str], settings: dict[str, Any], rows: list[Any], tmp_path: Path
) -> None:
    assert built(write(tmp_path / "x.txt", *lines), **(BASE | settings)) == rows


@pytest.mark.parametrize("word", ["-", "NA", "missing"])
def test_missing_words_are_no_ids(word: str, tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "u,i", "a,x", f"{word},y")
    with pytest.raises(tercel.RowError) as error:
        built(file, **BASE, null=[word])
    assert (error.value.path, error.value.row, error.value.column) == (str(file), 3, "u")
    # In memory too.
    rows = pa.table({"u": ["a", word], "i": ["x", "y"]})
    with pytest.raises(tercel.RowError) as other:
        tercel.read_interactions(rows, user="u", item="i", null=[word])
    assert (other.value.row, other.value.column) == (2, "u")


@pytest.mark.parametrize(
    ("unit", "value"), [("s", JANUARY), ("ms", JANUARY * 1_000), ("us", JANUARY * 10**6), ("days", 19_727)]
)
def test_times_in_memory_take_a_unit(unit: str, value: int) -> None:
    rows = pa.table({"user_id": ["a"], "item_id": ["x"], "timestamp": [value]})
    assert tercel.read_interactions(rows, time_unit=unit)["time"].to_pylist() == [JANUARY]
    assert tercel.Dataset.build(rows, time_unit=unit, progress=False).to_arrow()["timestamp"].to_pylist() == [JANUARY]
    dated = pa.table({"user_id": ["a"], "item_id": ["x"], "timestamp": ["05.01.2024"]})
    assert tercel.read_interactions(dated, time_format="%d.%m.%Y")["time"].to_pylist() == [JANUARY]


def test_keys_of_features_are_said(tmp_path: Path) -> None:
    features = {"code": ["x", "y"], "age": [1, 2], "colour": ["r", "g"]}
    for given in (
        pa.table(features),
        frame(**features),
        write(tmp_path / "f.csv", "age,code,colour", "1,x,r", "2,y,g"),
    ):
        with pytest.raises(tercel.TercelError, match="item_key"):
            tercel.Dataset.build(PURCHASES, item_features=given, progress=False)
        made = tercel.Dataset.build(PURCHASES, item_features=given, item_key="code", progress=False)
        assert [one["name"] for one in made.manifest["items"]["features"]] == ["age", "colour"]
        with pytest.raises(tercel.TercelError, match="sku"):
            tercel.Dataset.build(PURCHASES, item_features=given, item_key="sku", progress=False)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"user": 3}, "user"),
        ({"item_key": ["a"]}, "item_key"),
        ({"user_feature_kinds": ["age"]}, "user_feature_kinds"),
        ({"seed": object()}, "seed"),
        ({"format": 7}, "format"),
        ({"threads": "all"}, "threads"),
    ],
)
def test_settings_of_another_kind_are_named(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(tercel.ConfigError) as error:
        tercel.Dataset.build(tercel.demo_purchases(), progress=False, **settings)
    assert error.value.field == field


@pytest.mark.parametrize("path", [3, b"folder", None, ["a"]])
def test_paths_of_another_kind_are_named(path: Any) -> None:
    for call in (lambda: tercel.Dataset(path), lambda: tercel.Index.open(path)):
        with pytest.raises(tercel.KindError):
            call()


def test_evaluation_of_something_else(model: tercel.Model, data: tercel.Dataset) -> None:
    wrong: Any
    for wrong in ("data", data.path, None):
        with pytest.raises(tercel.ConfigError, match=r"dataset: a tercel\.Dataset is needed"):
            tercel.evaluate(model, wrong)
    for wrong in ("model", model.path, None):
        with pytest.raises(tercel.ConfigError, match=r"model: a tercel\.Model is needed"):
            tercel.evaluate(wrong, data)
    for wrong in ("10", 2.5, [5, "10"], None):
        with pytest.raises(tercel.ConfigError, match="k: "):
            tercel.evaluate(model, data, k=wrong, progress=False)
    assert tercel.evaluate(model, data, k=np.int64(5), bootstrap=0, progress=False).metrics  # type: ignore[arg-type]
