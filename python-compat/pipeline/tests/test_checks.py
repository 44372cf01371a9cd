"""Each check is broken once, and has to be the one that fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.checks import ChecksFailed, Settings, main, run_checks
from pipeline.checks_accuracy import interval
from pipeline.checks_data import Source

USERS, ITEMS, GROUPS, K = 120, 60, 6, 4
SETTINGS = Settings(k=K, min_slice_users=10, min_distinct_lists=0.1, threads=1, memory="500MB", resamples=200)

Rows = list[tuple[str | None, int, str, float | None]]


def group_item(group: int, place: int) -> str:
    """The items of a group of users: 10 each, of which they buy the first 3 in training and the next 4 in test."""
    return f"i{group * 10 + place:02}"


def good_lists(users: range = range(USERS)) -> Rows:
    """A model that knows every user's group; the order depends on the user."""
    rows: Rows = []
    for user in users:
        places = list(range(3, 3 + K))
        turn = user // GROUPS % K
        for rank, place in enumerate(places[turn:] + places[:turn], start=1):
            rows.append((f"u{user:03}", rank, group_item(user % GROUPS, place), 1.0 - rank / 10))
    return rows


def predictions(rows: Rows) -> pa.Table:
    """Rows as the predictions' table."""
    names = ("user", "rank", "item", "score")
    kinds = (pa.string(), pa.int32(), pa.string(), pa.float32())
    columns = [pa.array([row[at] for row in rows], kind) for at, kind in enumerate(kinds)]
    return pa.table(columns, names=names)


def bought(rows: list[tuple[str, str, str]]) -> pa.Table:
    """(user, item, split) as the purchases' table."""
    return pa.table(
        {
            "user_id": pa.array([row[0] for row in rows], pa.string()),
            "item_id": pa.array([row[1] for row in rows], pa.string()),
            "bought_at": pa.array([date(2024, 5, 1) for _ in rows], pa.date32()),
            "split": pa.array([row[2] for row in rows], pa.string()),
        }
    )


def good_purchases() -> list[tuple[str, str, str]]:
    """Every user buys three items of the group in training and four others, one of them twice, in test."""
    rows = []
    for user in range(USERS):
        name, group = f"u{user:03}", user % GROUPS
        rows += [(name, group_item(group, place), "train") for place in range(3)]
        rows += [(name, group_item(group, place), "test") for place in (3, 4, 5, 6, 6)]
    return rows


def customers(extra: tuple[str, ...] = ()) -> pa.Table:
    """All users with a segment, a third of them without one."""
    names = [f"u{user:03}" for user in range(USERS)] + list(extra)
    segments = [("north", "south", None)[at % 3] for at in range(len(names))]
    return pa.table({"user_id": names, "segment": pa.array(segments, pa.string())})


def articles() -> pa.Table:
    """The catalogue."""
    names = [f"i{item:02}" for item in range(ITEMS)]
    return pa.table({"item_id": names, "name": [f"Article {name}" for name in names]})


def failed_names(rows: Rows | None = None, settings: Settings = SETTINGS, **inputs: Source | None) -> set[str]:
    """The names of the checks that fail on a night that is good but for what is given."""
    given: dict[str, Source | None] = {
        "predictions": predictions(good_lists() if rows is None else rows),
        "purchases": bought(good_purchases()),
        "customers": customers(),
        "articles": articles(),
        **inputs,
    }
    report = run_checks(settings=settings, **given)
    return {result.name for result in report.failed}


def test_a_good_night_passes_and_says_so() -> None:
    """No check fails, and the report is valid JSON."""
    report = run_checks(
        predictions(good_lists()), bought(good_purchases()), customers(), articles(),
        predictions(good_lists()), SETTINGS,
    )  # fmt: skip
    assert report.passed, report.to_text()
    report.raise_if_failed()
    body = json.loads(report.to_json())
    assert body["passed"] is True
    assert report.result("beats_popularity_recall").details["model"] == 1.0
    assert report.result("stable_under_reseed").value == 1.0


def test_a_user_with_several_test_purchases_is_one_row() -> None:
    """A user with 4 items in test and one with 1 weigh the same; a pair that stands twice counts once."""
    purchases = [*good_purchases(), ("u001", group_item(1, 9), "test")]
    report = run_checks(predictions(good_lists()), bought(purchases), customers(), articles(), settings=SETTINGS)
    details = report.result("beats_popularity_recall").details
    assert details["users"] == USERS
    assert details["model"] == pytest.approx((USERS - 1 + 4 / 5) / USERS)


def test_ndcg_by_hand() -> None:
    """One of two relevant items, at rank 2."""
    rows: Rows = [("u000", rank, item, -float(rank)) for rank, item in ((1, "i30"), (2, "i03"), (3, "i31"), (4, "i32"))]
    purchases = [("u000", "i00", "train"), ("u000", "i03", "test"), ("u000", "i04", "test")]
    report = run_checks(predictions(rows), bought(purchases), customers(), articles(), settings=SETTINGS)
    ideal = 1 + 1 / np.log2(3)
    assert report.result("beats_popularity_ndcg").details["model"] == pytest.approx((1 / np.log2(3)) / ideal)
    assert report.result("beats_popularity_recall").details["model"] == 0.5


def test_the_baseline_leaves_out_what_a_user_bought_and_still_has_k() -> None:
    """u000 has bought the three most popular items, so that the fourth to seventh are its baseline."""
    train = [("u001", f"i{item:02}", "train") for item in range(7) for _ in range(9 - item)]
    train += [("u000", f"i{item:02}", "train") for item in range(3)]
    purchases = [*train, *(("u000", f"i{item:02}", "test") for item in range(3, 7))]
    rows: Rows = [(user, rank, f"i{30 + rank}", 0.0) for user in ("u000", "u001") for rank in range(1, K + 1)]
    report = run_checks(predictions(rows), bought(purchases), customers(), articles(), settings=SETTINGS)
    assert report.result("beats_popularity_recall").details["popularity"] == 1.0
    assert not report.result("beats_popularity_recall").passed


def swapped(rows: Rows, at: int, **changes: object) -> Rows:
    """The rows with one of them changed."""
    names = ("user", "rank", "item", "score")
    new = tuple(changes.get(name, old) for name, old in zip(names, rows[at], strict=True))
    return [*rows[:at], cast("tuple[str | None, int, str, float | None]", new), *rows[at + 1 :]]


BREAKS: dict[str, Callable[[Rows], Rows]] = {
    "lists_complete": lambda rows: rows[:-1],
    "scores_finite": lambda rows: swapped(rows, 5, score=float("nan")),
    "no_item_twice": lambda rows: swapped(rows, 1, item=rows[0][2]),
    "no_bought_items": lambda rows: swapped(rows, 1, item=group_item(0, 0)),
    "one_catalogue": lambda rows: swapped(rows, 1, item="discontinued"),
    "everybody_served": lambda rows: rows[K:],
}


@pytest.mark.parametrize("name", BREAKS)
def test_one_broken_row_fails_its_check_alone(name: str) -> None:
    """A single bad row among 480 is found."""
    assert failed_names(BREAKS[name](good_lists())) == {name}


@pytest.mark.parametrize("score", [None, float("inf"), 9.0])
def test_scores_that_are_no_numbers_or_rise(score: float | None) -> None:
    """Empty, infinite, and higher than the one before."""
    assert failed_names(swapped(good_lists(), 2, score=score)) == {"scores_finite"}


def test_a_score_that_falls_out_of_sight() -> None:
    """Minus infinity in the last place is no rise, and still no number."""
    assert failed_names(swapped(good_lists(), K - 1, score=float("-inf"))) == {"scores_finite"}


def test_ranks_from_zero_are_refused() -> None:
    """k items whose ranks are 0 to k-1."""
    rows: Rows = [(user, rank - 1, item, score) for user, rank, item, score in good_lists()]
    assert "lists_complete" in failed_names(rows)
    assert "lists_complete" in failed_names(swapped(good_lists(), 0, rank=0))


def popular_for_all() -> Rows:
    """The list that a popularity model would give to everybody."""
    return [(f"u{user:03}", rank, f"i{rank}7", -float(rank)) for user in range(USERS) for rank in range(1, K + 1)]


def test_one_list_for_everybody() -> None:
    """It fails the checks on difference and those on accuracy."""
    failed = failed_names(popular_for_all(), replace(SETTINGS, min_coverage=0.2))
    assert {"lists_differ", "no_single_favourite", "catalogue_coverage", "beats_popularity_recall"} <= failed


def test_no_better_than_popularity_fails() -> None:
    """A difference of zero is no gain; its interval does not lie above 0."""
    purchases = [(f"u{user:03}", f"i{item:02}", "train") for user in range(USERS) for item in range(K)]
    purchases += [(f"u{user:03}", f"i{10 + user % 9}", "test") for user in range(USERS)]
    settings = replace(SETTINGS, exclude_seen=False)
    rows: Rows = [(f"u{user:03}", 1 + item, f"i{item:02}", 0.0) for user in range(USERS) for item in range(K)]
    failed = failed_names(rows, settings, purchases=bought(purchases))
    assert {"beats_popularity_recall", "beats_popularity_ndcg"} <= failed


def test_no_test_purchases_is_a_failure_and_no_pass() -> None:
    """Accuracy cannot be measured, so that the night is held back unless the settings leave these checks out."""
    purchases = bought([row for row in good_purchases() if row[2] == "train"])
    accuracy = {"beats_popularity_recall", "beats_popularity_ndcg", "no_weak_slice"}
    assert failed_names(purchases=purchases) == accuracy
    report = run_checks(predictions(good_lists()), purchases, customers(), articles(), settings=SETTINGS)
    assert "No user with a list" in report.result("beats_popularity_recall").meaning
    assert failed_names(settings=replace(SETTINGS, skip=tuple(accuracy)), purchases=purchases) == set()


def test_cold_users() -> None:
    """Without any list they get the fallback; once some have lists, all must."""
    night = customers(("new1", "new2"))
    assert failed_names(customers=night) == set()
    strict = replace(SETTINGS, fallback_for_cold=False)
    assert failed_names(settings=strict, customers=night) == {"cold_users_served"}
    one: Rows = [("new1", rank, f"i{rank}0", -float(rank)) for rank in range(1, K + 1)]
    two: Rows = [("new2", rank, f"i{rank}0", -float(rank)) for rank in range(1, K + 1)]
    assert failed_names([*good_lists(), *one], customers=night) == {"cold_users_served"}
    assert failed_names([*good_lists(), *one, *two], strict, customers=night) == set()


def test_a_reseed_that_changes_everything_fails() -> None:
    """The other seed recommends other items to everybody."""
    other: Rows = [(user, rank, f"i{(int(item[1:]) + 20) % 60:02}", score) for user, rank, item, score in good_lists()]
    assert failed_names(second_seed=predictions(other)) == {"stable_under_reseed"}


def test_a_reseed_without_common_users_fails() -> None:
    """Nothing to compare is no pass."""
    other: Rows = [(f"x{user}", rank, item, score) for user, rank, item, score in good_lists()]
    assert "stable_under_reseed" in failed_names(second_seed=predictions(other))


def test_a_weak_slice_is_named() -> None:
    """Users of the south get the items of another group: everybody else is still served well."""
    rows = [
        (user, rank, f"i{(int(item[1:]) + 20) % 60:02}" if int(str(user)[1:]) % 3 == 1 else item, score)
        for user, rank, item, score in good_lists()
    ]
    report = run_checks(predictions(rows), bought(good_purchases()), customers(), articles(), settings=SETTINGS)
    assert [result.name for result in report.failed] == ["no_weak_slice"]
    assert "segment = south" in report.failed[0].meaning
    assert failed_names(rows, replace(SETTINGS, min_slice_users=41)) == set()


def test_slices_of_numbers_are_fifths_and_long_texts_are_left_out() -> None:
    """A feature with a value per user gives no slices of one user."""
    table = customers().append_column("age", pa.array(range(USERS)))
    table = table.append_column("street", pa.array([f"street {user}" for user in range(USERS)]))
    report = run_checks(predictions(good_lists()), bought(good_purchases()), table, articles(), settings=SETTINGS)
    details = report.result("no_weak_slice").details
    assert details["too_many_values"] == ["street"]
    assert [part["users"] for part in details["slices"] if part["column"] == "age"] == [24] * 5


@pytest.mark.parametrize("name", ["predictions", "purchases", "customers", "articles"])
def test_an_empty_input_fails_with_its_name(name: str) -> None:
    """No rows at all."""
    tables = {"predictions": predictions([]), "purchases": bought([]), "customers": customers()[:0],
              "articles": articles()[:0]}  # fmt: skip
    assert failed_names(**{name: tables[name]}) == {"inputs"}


def test_missing_files_and_columns_and_ids_fail_with_the_reason(tmp_path: Path) -> None:
    """None of them is a crash."""
    assert failed_names(predictions=tmp_path / "none.parquet") == {"inputs"}
    (tmp_path / "half.parquet").write_bytes(b"PAR1half")
    assert failed_names(predictions=tmp_path / "half.parquet") == {"inputs"}
    assert failed_names(predictions=predictions(good_lists()).drop_columns("rank")) == {"inputs"}
    nameless = predictions([*good_lists(), (None, 1, "i00", 0.0)])
    report = run_checks(nameless, bought(good_purchases()), customers(), articles(), settings=SETTINGS)
    assert "empty user" in report.to_text()
    with pytest.raises(ChecksFailed, match="empty user"):
        report.raise_if_failed()


def test_integer_ids_are_the_same_as_texts() -> None:
    """`tercel recommend` writes integer ids where the input had them."""
    rows = predictions(good_lists())
    numbers = pa.array([int(str(user)[1:]) for user in rows["user"].to_pylist()], pa.int64())
    purchases = bought(good_purchases())
    plain = pa.array([str(int(user[1:])) for user in purchases["user_id"].to_pylist()])
    people = customers()
    names = pa.array([str(user) for user in range(USERS)])
    assert not failed_names(
        predictions=rows.set_column(0, "user", numbers),
        purchases=purchases.set_column(0, "user_id", plain),
        customers=people.set_column(0, "user_id", names),
    )


def test_the_command_writes_json_and_its_exit_code_says_it(tmp_path: Path) -> None:
    """0 when all passed, 1 when something failed."""
    tables = {"predictions": predictions(good_lists()), "purchases": bought(good_purchases()),
              "customers": customers(), "articles": articles()}  # fmt: skip
    arguments = [
        "--k",
        str(K),
        "--skip",
        "no_weak_slice",
        "--skip",
        "lists_differ",
        "--json",
        str(tmp_path / "checks.json"),
    ]
    for name, table in tables.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
        arguments += [f"--{name}", str(tmp_path / f"{name}.parquet")]
    assert main(arguments) == 0
    assert json.loads((tmp_path / "checks.json").read_text())["passed"] is True
    pq.write_table(predictions(popular_for_all()), tmp_path / "predictions.parquet")
    assert main(arguments) == 1


def test_the_interval_covers_and_groups_are_as_good() -> None:
    """The mean of many users, drawn user by user or in groups, has the interval that theory gives."""
    for count in (2_000, 60_000):
        values = np.random.default_rng(3).normal(0.1, 1.0, count)
        low, high = interval(values, 500, 0.95, 1)
        assert low < values.mean() < high
        assert high - low == pytest.approx(2 * 1.96 / np.sqrt(count), rel=0.15)
    assert all(np.isnan(interval(np.array([0.1, np.nan]), 10, 0.95, 1)))


def test_a_small_slice_that_was_unlucky_is_not_weak() -> None:
    """Its recall is low, and its interval reaches the whole's: chance is no reason to stop a night."""
    settings = replace(SETTINGS, confidence=0.999999, min_slice_users=2)
    rows = [
        (user, rank, f"i{(int(item[1:]) + 20) % 60:02}" if int(str(user)[1:]) in (1, 4) else item, score)
        for user, rank, item, score in good_lists()
    ]
    table = customers().append_column("pair", pa.array([f"{user in (1, 4, 7)}" for user in range(USERS)]))
    report = run_checks(predictions(rows), bought(good_purchases()), table, articles(), settings=settings)
    unlucky = [part for part in report.result("no_weak_slice").details["slices"] if part["column"] == "pair"]
    assert min(part["ratio"] for part in unlucky) < settings.min_slice_ratio
    assert report.result("no_weak_slice").passed, report.result("no_weak_slice").meaning
