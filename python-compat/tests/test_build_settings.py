"""What `Dataset.build` is told of its tables: passed on, done as the command does it, or named where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tercel

from .small import PURCHASES, frame, write


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
