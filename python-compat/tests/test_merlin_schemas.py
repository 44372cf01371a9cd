"""Schemas: what they select, what they ask of a dataset, and what is guessed, or asked for, where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tercel
import tercel.merlin.models.tf as mm
from tercel.merlin import MerlinDifference
from tercel.merlin.io import Dataset
from tercel.merlin.schema import ColumnSchema, Schema, Tags

from .small import IDS, write
from .two_towers import towers


def test_schemas() -> None:
    schema = Schema([ColumnSchema("a", tags="user_id"), ColumnSchema("b", tags=[Tags.ITEM, "continuous"]), "c"])
    assert schema.select_by_tag([Tags.USER, "item"]).column_names == ["a", "b"]
    assert schema.excluding_by_tag(Tags.ITEM).column_names == ["a", "c"] == schema.remove_by_tag("item").column_names
    assert schema.select(["c", "a"]).column_names == ["c", "a"] and schema.without(["c"]).column_names == ["a", "b"]
    assert (schema.select("a") + schema.select("c")).column_names == ["a", "c"] and schema.first.name == "a"
    assert "b" in schema and len(schema) == 3 and schema["b"].with_name("d").name == "d"
    assert schema == Schema(list(schema)) and schema != Schema(["a"])


def test_a_schema_without_ids_is_refused(bought: tuple[pa.Table, pa.Table]) -> None:
    untagged = Schema(["user_id", "item_id"])
    model = mm.TwoTowerModelV2(*towers())
    with pytest.raises(tercel.ConfigError, match="0 columns have the tag user_id"):
        model.fit(Dataset(bought[0], schema=untagged), verbose=0)


def test_a_schema_that_comes_later_is_kept_to(tmp_path: Path) -> None:
    """Scripts set `dataset.schema` behind reading: an id that was taken for a number comes back as it is written."""
    file = write(tmp_path / "x.csv", "who,what", "1.0,007", "2.50,8")
    with pytest.warns(MerlinDifference, match="no column"):
        dataset = Dataset(file)
    assert dataset.to_arrow()["who"].to_pylist() == [1.0, 2.5]
    dataset.schema = Schema([ColumnSchema("who", tags=[Tags.USER_ID]), ColumnSchema("what", tags=[Tags.ITEM_ID])])
    assert dataset.to_arrow().to_pydict() == {"who": ["1.0", "2.50"], "what": ["007", "8"]}


def test_a_schema_can_ask_for_numbers(tmp_path: Path) -> None:
    schema = Schema([ColumnSchema("user_id", ["user_id"], dtype=np.int64), ColumnSchema("item_id", ["item_id"])])
    file = write(tmp_path / "x.csv", "user_id,item_id", "22,0022", "7,1")
    assert Dataset(file, schema=schema).to_arrow().to_pydict() == {"user_id": [22, 7], "item_id": ["0022", "1"]}
    for wrong in ("0022", "1.0", "99999999999999999999", "ann"):
        with pytest.raises(tercel.SchemaError) as error:
            Dataset(write(tmp_path / "y.csv", "user_id,item_id", "7,1", f"{wrong},1"), schema=schema)
        assert error.value.column == "user_id"


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
