"""Data frames whose ids are in their index: they are asked for by name, and never joined on something else."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import tercel
from tercel._tables import explained

from .small import PURCHASES, frame


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
