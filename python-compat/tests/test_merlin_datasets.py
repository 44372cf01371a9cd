"""`merlin.io.Dataset`, of files, folders and frames: ids as they are written, numbers where all are numbers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import tercel
import tercel.merlin.models.tf as mm
from tercel.merlin import MerlinDifference
from tercel.merlin.io import Dataset
from tercel.merlin.schema import ColumnSchema, Schema, Tags

from .planted import planted
from .small import IDS, ODD, write
from .two_towers import PLAIN


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


def test_types_of_parquet_stay(tmp_path: Path) -> None:
    rows = pa.table({"user_id": [22, 7], "item_id": ["0022", "1"], "price": ["1", "2"], "size": [1, None]})
    pyarrow.parquet.write_table(rows, tmp_path / "x.parquet")
    schema = IDS + Schema(["price", "size"])
    for source in (tmp_path / "x.parquet", rows):
        made = Dataset(source, schema=schema).to_arrow()
        assert made.to_pydict() == rows.to_pydict() and made["user_id"].type == pa.int64()


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


@pytest.mark.parametrize("form", ["parquet", "csv", "folder", "pattern", "list", "frame"])
def test_datasets_of_files_and_frames(form: str, tmp_path: Path) -> None:
    import pyarrow.csv

    rows = planted(20)
    for part in range(2):
        for folder in (tmp_path, tmp_path / "parts"):
            folder.mkdir(exist_ok=True)
            pyarrow.parquet.write_table(rows.slice(part * 140, 140), folder / f"{part}.parquet")
    pyarrow.csv.write_csv(rows, tmp_path / "all.csv")
    sources: dict[str, Any] = {
        "parquet": str(tmp_path / "0.parquet"),
        "csv": tmp_path / "all.csv",
        "folder": tmp_path / "parts",
        "pattern": str(tmp_path / "*.parquet"),
        "list": [tmp_path / "0.parquet", tmp_path / "1.parquet"],
        "frame": rows.to_pandas(),
    }
    dataset = Dataset(sources[form], schema=PLAIN.excluding_by_tag(Tags.TIME))
    assert dataset.to_arrow().column_names == ["user_id", "item_id"]
    assert len(dataset) == dataset.num_rows == (140 if form == "parquet" else 280)
    assert dataset.head(2).shape == (2, 2) and len(dataset.compute()) == len(dataset)
