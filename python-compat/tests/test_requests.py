"""What `Model.recommend` is asked: what is left out, for whom, through which index; each call by itself."""

from __future__ import annotations

import shutil
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import tercel


def lists(top: pa.Table) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for row in top.to_pylist():
        found[str(row["user"])].append(str(row["item"]))
    return dict(found)


@pytest.fixture(scope="module")
def bought(purchases: pa.Table) -> dict[str, set[str]]:
    """What everybody has, in whichever split."""
    found: dict[str, set[str]] = defaultdict(set)
    user, item = purchases.column_names[:2]
    for row in purchases.to_pylist():
        found[str(row[user])].add(str(row[item]))
    return dict(found)


def repeats(top: pa.Table, bought: dict[str, set[str]]) -> int:
    return sum(item in bought[user] for user, items in lists(top).items() for item in items)


def test_what_is_left_out(model: tercel.Model, data: tercel.Dataset, bought: dict[str, set[str]]) -> None:
    most = len(model.item_ids)
    everything = model.recommend(most, seen=data, progress=False)
    assert repeats(everything, bought) == 0
    assert everything == model.recommend(most, seen=data, exclude="all", progress=False)
    train = model.recommend(most, seen=data, exclude="train", progress=False)
    assert 0 < repeats(train, bought) <= 2 * len(bought), "the validation and the test item of each"
    assert train == model.recommend(most, exclude="train", progress=False)
    none = model.recommend(most, exclude="none", progress=False)
    assert none == model.recommend(most, include_seen=True, progress=False)
    assert none.num_rows == most * len(lists(none))


@pytest.mark.parametrize("exclude", ["all", "train"])
def test_what_contradicts_itself(model: tercel.Model, exclude: str) -> None:
    with pytest.raises(tercel.ConfigError, match="include_seen"):
        model.recommend(3, exclude=exclude, include_seen=True, progress=False)  # type: ignore[arg-type]
    with pytest.raises(tercel.ConfigError, match="all, train, none"):
        model.recommend(3, exclude="test", progress=False)  # type: ignore[arg-type]


def test_what_is_not_known_is_said_once(model: tercel.Model, data: tercel.Dataset) -> None:
    with pytest.warns(UserWarning, match="training rows only") as said:
        model.recommend(3, progress=False)
    assert len(said) == 1 and Path(said[0].filename).name == Path(__file__).name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.recommend(3, seen=data, progress=False)
        model.recommend(3, exclude="train", progress=False)
        model.recommend(3, include_seen=True, progress=False)
    with pytest.warns(UserWarning, match="1 of 2 items are not in the model"):
        model.recommend(3, seen=data, items=[str(model.item_ids[0]), "no such item"], progress=False)


def test_a_call_leaves_nothing_behind(model: tercel.Model) -> None:
    whole = model.recommend(5, include_seen=True, progress=False)
    few = [str(item) for item in model.item_ids.to_pylist()[:3]]
    for recall in (None, 0.9):
        limited = model.recommend(5, items=few, include_seen=True, recall=recall, progress=False)
        assert {item for items in lists(limited).values() for item in items} == set(few)
        assert lists(model.recommend(5, include_seen=True, recall=recall, progress=False)) == lists(whole)


def test_a_damaged_index_is_said_and_mended(model: tercel.Model, tmp_path: Path) -> None:
    shutil.copytree(model.path, tmp_path / "model")
    opened = tercel.Model(tmp_path / "model", device="cpu")
    whole = lists(opened.recommend(5, include_seen=True, recall=0.9, progress=False))
    file = tmp_path / "model" / "items.index"
    bytes_ = bytearray(file.read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    file.write_bytes(bytes_)
    again = tercel.Model(tmp_path / "model", device="cpu")
    with pytest.warns(UserWarning, match=r"items\.index.*rebuilding it"):
        assert lists(again.recommend(5, include_seen=True, recall=0.9, progress=False)) == whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tercel.Model(tmp_path / "model", device="cpu").recommend(5, include_seen=True, recall=0.9, progress=False)


def test_users_as_ids_or_as_a_table(model: tercel.Model) -> None:
    some = [str(user) for user in model.user_ids.to_pylist()[:3]]
    by_ids = lists(model.recommend(4, users=some, include_seen=True, progress=False))
    assert list(by_ids) == some
    assert lists(model.recommend(4, users=pa.array(some), include_seen=True, progress=False)) == by_ids
    table = pa.table({"user": some})
    assert lists(model.recommend(4, users=table, include_seen=True, progress=False)) == by_ids
    assert lists(model.recommend(4, users=table.to_batches(), include_seen=True, progress=False)) == by_ids


def test_a_file_of_users_is_read_as_it_is_written(model: tercel.Model, tmp_path: Path) -> None:
    some = [str(user) for user in model.user_ids.to_pylist()[:3]]
    by_ids = lists(model.recommend(4, users=some, include_seen=True, progress=False))
    file = tmp_path / "users.txt"
    file.write_text("".join(f"x~'{user}'\n" for user in some))
    written: dict[str, Any] = {"sep": "~", "columns": ["place", "user_id"], "quote": "'"}
    assert lists(model.recommend(4, users=file, **written, include_seen=True, progress=False)) == by_ids
    assert lists(tercel.recommend(model, 4, users=str(file), **written, include_seen=True, progress=False)) == by_ids
    file.write_text("user_id\n" + "".join(f"{user}\n" for user in [*some, "unset"]))
    with pytest.raises(tercel.RowError, match="user_id") as error:
        model.recommend(4, users=file, null=["unset"], include_seen=True, progress=False)
    assert error.value.row == 5 and error.value.path == str(file)


@pytest.mark.parametrize(
    ("field", "value"),
    [("sep", "123456789"), ("sep", 7), ("columns", "a,b"), ("quote", "''"), ("null", "NA"), ("time_unit", "weeks")],
)
def test_settings_of_reading_are_checked(model: tercel.Model, field: str, value: object) -> None:
    settings: dict[str, Any] = {field: value}
    with pytest.raises(tercel.ConfigError) as error:
        model.recommend(4, **settings, include_seen=True, progress=False)
    assert error.value.field == field
    with pytest.raises(tercel.ConfigError) as error:
        tercel.read_table({"user_id": ["u"]}, **settings)
    assert error.value.field == field


def test_who_is_asked_for_is_a_list_or_a_table(model: tercel.Model, tmp_path: Path) -> None:
    one = str(model.user_ids[0])
    for call in (model.user_embeddings, lambda users: model.recommend(2, users=users, progress=False)):
        with pytest.raises(tercel.FileError, match=r"one user is a list too"):
            call(one)
        with pytest.raises(tercel.KindError):
            call(7)
        with pytest.raises(tercel.DataError, match="no users"):
            call([])
    frame = pd.DataFrame({"place": ["x"]}, index=pd.Index([one], name="user_id"))
    with pytest.raises(tercel.DataError, match=r"reset_index"):
        model.recommend(2, users=frame, include_seen=True, progress=False)


def test_warnings_are_for_the_line_that_asks(model: tercel.Model) -> None:
    for call in (model.recommend, lambda k, **settings: tercel.recommend(model, k, **settings)):
        with pytest.warns(tercel.ResultWarning, match="training rows only") as said:
            call(3, progress=False)
        assert [Path(one.filename).name for one in said] == [Path(__file__).name]


def test_how_a_file_of_users_is_written(model: tercel.Model, tmp_path: Path) -> None:
    users = [str(user) for user in model.user_ids[:3]]
    file = tmp_path / "users.txt"
    file.write_text("".join(f"1;'{user}'\n" for user in users))
    top = model.recommend(
        2, users=file, sep=";", quote="'", columns=["shop", "user_id"], include_seen=True, progress=False
    )
    assert list(lists(top)) == users
    with pytest.raises(tercel.ConfigError, match="quote"):
        model.recommend(2, users=file, sep=";", quote=";", progress=False)
    with pytest.raises(tercel.ConfigError, match="time_unit"):
        model.recommend(2, users=file, time_unit="hours", progress=False)
