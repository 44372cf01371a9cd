"""The item index against NumPy's answer to the same question."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tercel
from tercel import NO_ITEM, Index

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.uint32]
ITEMS, DIM = 500, 16
ONES, FOUR, WIDE, CUBE = (np.ones(shape, dtype=np.float32) for shape in ((2, DIM), (4, DIM), (2, DIM + 1), (2, 2, DIM)))


@pytest.fixture(scope="module")
def vectors() -> Floats:
    return np.random.default_rng(0).standard_normal((ITEMS, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def queries() -> Floats:
    return np.random.default_rng(1).standard_normal((40, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def exact(vectors: Floats) -> Index:
    return Index.build(vectors, recall=None)


def best(
    vectors: Floats, queries: Floats, k: int, allowed: Callable[[int, int], bool] = lambda query, item: True
) -> list[list[int]]:
    """The numbers of the best items, in double precision: the oracle."""
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    return [
        [int(item) for item in np.argsort(-row, kind="stable") if allowed(query, int(item))][:k]
        for query, row in enumerate(scores)
    ]


def asked(index: Index, queries: Floats, k: int, **rules: Any) -> list[list[int]]:
    """What the index answers, places without an item left out."""
    ids, scores = index.search(queries, k, **rules)
    assert ids.shape == scores.shape == (len(queries), k) and ids.dtype == np.uint32 and scores.dtype == np.float32
    assert np.array_equal(ids == NO_ITEM, np.isneginf(scores))
    filled = np.where(np.isneginf(scores), -np.finfo(np.float32).max, scores)
    assert (np.diff(filled, axis=1) <= 0).all(), "descending, and the empty places last"
    return [[int(item) for item in row if item != NO_ITEM] for row in ids]


# --------------------------------------------------------------------------------------------------------------- search


@pytest.mark.parametrize("k", [1, 10, 137, ITEMS])
def test_the_same_items_as_brute_force(k: int, exact: Index, vectors: Floats, queries: Floats) -> None:
    assert asked(exact, queries, k) == best(vectors, queries, k)
    ids, scores = exact.search(queries, k)
    products = np.take_along_axis(queries @ vectors.T, ids.astype(np.int64), axis=1)
    np.testing.assert_allclose(scores, products, rtol=0, atol=1e-5)


def test_places_without_an_item(exact: Index, queries: Floats) -> None:
    ids, scores = exact.search(queries, k=ITEMS + 3)
    assert (ids[:, ITEMS:] == NO_ITEM).all() and np.isneginf(scores[:, ITEMS:]).all()
    assert (ids[:, :ITEMS] != NO_ITEM).all() and np.iinfo(np.uint32).max == NO_ITEM


def test_ties_go_by_number() -> None:
    same = np.ones((6, 4), dtype=np.float32)
    index = Index.build(same, ids=np.array([7, 3, 9, 1, 5, 2], dtype=np.uint32), recall=None)
    assert index.search(same[:1], k=4)[0].tolist() == [[1, 2, 3, 5]]


def test_one_query_and_none(exact: Index, vectors: Floats, queries: Floats) -> None:
    assert exact.search(queries[0], k=3)[0].tolist() == best(vectors, queries[:1], 3)
    ids, scores = exact.search(queries[:0], k=3)
    assert ids.shape == scores.shape == (0, 3)


def test_the_answers_are_the_callers(exact: Index, queries: Floats) -> None:
    ids, scores = exact.search(queries, k=5)
    ids[:], scores[:] = 0, 0
    assert exact.search(queries, k=5)[0].any()


# -------------------------------------------------------------------------------------------------------------- filters


def test_skip_lists(exact: Index, vectors: Floats, queries: Floats) -> None:
    rng = np.random.default_rng(2)
    skip = [rng.choice(ITEMS, size=rng.integers(0, 60), replace=True).tolist() for _ in queries]
    expected = best(vectors, queries, 10, lambda query, item: item not in skip[query])
    assert asked(exact, queries, 10, skip=skip) == expected
    assert asked(exact, queries, 10, skip=[set(one) for one in skip]) == expected
    assert asked(exact, queries, 10, skip=[np.array(one, dtype=np.int64) for one in skip]) == expected
    everything = [range(ITEMS - 2)] * len(queries)
    found = asked(exact, queries, 10, skip=everything)
    assert all(sorted(one) == [ITEMS - 2, ITEMS - 1] for one in found)


def test_tags_and_rules(vectors: Floats, queries: Floats) -> None:
    index = Index.build(vectors, recall=None)
    red, new = set(range(0, ITEMS, 3)), set(range(0, ITEMS, 5))
    index.set_tag("red", red)
    index.set_tag("new", new)
    assert index.tags == {"new": len(new), "red": len(red)}
    rules: list[tuple[tercel.index.Rule, set[int]]] = [
        ("red", red),
        ({"tag": "new"}, new),
        ({"items": [3, 4, 5]}, {3, 4, 5}),
        ({"all": [{"tag": "red"}, {"tag": "new"}]}, red & new),
        ({"any": [{"tag": "red"}, {"tag": "new"}]}, red | new),
        ({"not": {"tag": "red"}}, set(range(ITEMS)) - red),
        ({"all": [{"tag": "red"}, {"not": {"any": [{"tag": "new"}, {"items": [3]}]}}]}, red - new - {3}),
    ]
    for rule, allowed in rules:
        expected = best(vectors, queries, 10, lambda _, item: item in allowed)  # noqa: B023
        assert asked(index, queries, 10, only=rule) == expected, rule
    skip = [range(0, ITEMS, 2)] * len(queries)
    both = best(vectors, queries, 10, lambda query, item: item in red and item % 2 == 1)
    assert asked(index, queries, 10, only="red", skip=skip) == both
    index.set_tag("red", [8, 9])  # these, and no others
    assert index.tags["red"] == 2
    assert all(sorted(one) == [8, 9] for one in asked(index, queries, 10, only="red"))


@pytest.mark.parametrize(
    "rule", [{"colour": 1}, {"items": ["a"]}, {"all": {"tag": "red"}}, {}, {"not": "red"}, "unknown-tag"]
)
def test_rules_that_say_nothing_are_refused(rule: Any, exact: Index, queries: Floats) -> None:
    with pytest.raises(tercel.ConfigError) as error:
        exact.search(queries, only=rule)
    assert error.value.field in ("only", "tag")


# ------------------------------------------------------------------------------------------------------ add and remove


def test_added_replaced_and_removed(vectors: Floats, queries: Floats) -> None:
    index = Index.build(vectors[:300], recall=None)
    index.add(np.arange(300, ITEMS, dtype=np.uint32), vectors[300:])
    assert len(index) == ITEMS and asked(index, queries, 10) == best(vectors, queries, 10)
    index.add(np.array([5, 400]), -vectors[[5, 400]])  # replaced; other integers are numbers too
    changed = vectors.copy()
    changed[[5, 400]] *= -1
    assert len(index) == ITEMS and asked(index, queries, 10) == best(changed, queries, 10)
    gone = list(range(0, ITEMS, 7))
    assert index.remove([*gone, 9_999]) == len(gone) and index.remove(gone) == 0
    assert len(index) == ITEMS - len(gone)
    assert asked(index, queries, 10) == best(changed, queries, 10, lambda query, item: item % 7 != 0)
    index.add(np.array([0]), changed[:1])
    assert asked(index, queries, 10) == best(changed, queries, 10, lambda query, item: item % 7 != 0 or item == 0)


def test_numbers_of_ones_own(vectors: Floats, queries: Floats) -> None:
    numbers = (np.arange(ITEMS, dtype=np.uint32)[::-1] * 1_000_003 % 4_000_000_007).astype(np.uint32)
    assert len(set(numbers.tolist())) == ITEMS
    index = Index.build(vectors, ids=numbers, recall=None)
    assert asked(index, queries, 10) == [[int(numbers[item]) for item in row] for row in best(vectors, queries, 10)]


# --------------------------------------------------------------------------------------------------------------- biases


@pytest.mark.parametrize("recall", [None, 0.9])
def test_biases_are_part_of_every_score(recall: float | None, vectors: Floats, queries: Floats, tmp_path: Path) -> None:
    biases = np.random.default_rng(3).standard_normal(ITEMS).astype(np.float32) * 3
    wide = np.hstack([vectors, biases[:, None]])  # a column more says the same
    ones = np.hstack([queries, np.ones((len(queries), 1), dtype=np.float32)])
    index = Index.build(vectors, biases=biases, recall=recall)
    assert index.has_biases and index.dim == DIM
    assert asked(index, queries, 10) == best(wide, ones, 10)
    ids, scores = index.search(queries, 10)
    np.testing.assert_allclose(scores, np.take_along_axis(ones @ wide.T, ids.astype(np.int64), axis=1), atol=1e-5)
    wide[[5, 400], -1] = 1000, -1000
    index.add(np.array([5, 400]), vectors[[5, 400]], np.array([1000, -1000], dtype=np.float32))
    index.remove([17])
    expected = best(wide, ones, 10, lambda query, item: item != 17)
    assert asked(index, queries, 10) == expected and all(row[0] == 5 for row in expected)
    index.save(tmp_path / "items.index")
    opened = Index.open(tmp_path / "items.index")
    assert opened.has_biases and asked(opened, queries, 10) == expected


def test_biases_that_do_not_fit(vectors: Floats) -> None:
    biases = np.zeros(ITEMS, dtype=np.float32)
    wrong: list[Any] = [biases[:-1], biases[None], ["a"] * ITEMS, np.where(np.arange(ITEMS) == 3, np.nan, biases)]
    for some in [*wrong, np.where(np.arange(ITEMS) == 3, -np.inf, biases)]:
        with pytest.raises(tercel.ShapeError):
            Index.build(vectors, biases=some, recall=None)
    with_biases, without = Index.build(vectors, biases=biases, recall=None), Index.build(vectors, recall=None)
    assert not without.has_biases
    with pytest.raises(tercel.ShapeError, match="a bias for each item"):
        with_biases.add(np.array([1]), vectors[:1])
    with pytest.raises(tercel.ShapeError, match="without biases"):
        without.add(np.array([1]), vectors[:1], np.ones(1, dtype=np.float32))


# -------------------------------------------------------------------------------------------------------- save and open


@pytest.mark.parametrize("recall", [None, 0.9])
def test_saved_and_opened(recall: float | None, vectors: Floats, queries: Floats, tmp_path: Path) -> None:
    index = Index.build(vectors, recall=recall, k=5, catalogue="spring")
    index.set_tag("red", [1, 2, 3])
    index.remove([17])
    index.save(tmp_path / "items.index")
    opened = Index.open(str(tmp_path / "items.index"))
    assert (len(opened), opened.dim, opened.tags) == (ITEMS - 1, DIM, {"red": 3}) and opened.about == index.about
    for rules in ({}, {"only": "red"}, {"skip": [[1]] * len(queries)}):
        for ours, theirs in zip(opened.search(queries, 5, **rules), index.search(queries, 5, **rules), strict=True):
            assert np.array_equal(ours, theirs)
    opened.add(np.array([17]), vectors[17:18])
    opened.save(tmp_path / "items.index")
    assert len(Index.open(tmp_path / "items.index")) == ITEMS
    assert [one.name for one in tmp_path.iterdir()] == ["items.index"]


def test_the_same_index_has_the_same_bytes(vectors: Floats, tmp_path: Path) -> None:
    content = []
    for threads in (1, 2):
        Index.build(vectors, recall=0.9, seed=3, threads=threads).save(tmp_path / "items.index")
        content.append((tmp_path / "items.index").read_bytes())
    assert content[0] == content[1]


# --------------------------------------------------------------------------------------------------------------- recall


def test_recall_is_kept_and_measured() -> None:
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((40, 24)).astype(np.float32)
    items = centres[rng.integers(0, 40, 20_000)] + 0.7 * rng.standard_normal((20_000, 24)).astype(np.float32)
    users = centres[rng.integers(0, 40, 1_500)] + 0.7 * rng.standard_normal((1_500, 24)).astype(np.float32)
    index = Index.build(items, queries=users[:1_000], recall=0.9, k=10)
    measured = index.measure()
    assert measured is not None
    again = users[1_000:]  # that it has never seen
    found, right = index.search(again, 10)[0], best(items, again, 10)
    mean = float(np.mean([len(set(row.tolist()) & set(true)) / 10 for row, true in zip(found, right, strict=True)]))
    assert mean >= 0.87, f"recall@10 {mean:.3f}"
    assert measured["items_read"] < 0.6, "and not by reading everything"
    assert abs(mean - measured["recall"]["value"]) < 0.05
    assert Index.build(items[:50], recall=None).measure() is None


@pytest.mark.parametrize("popularity", [0.0, 0.5])
def test_an_index_of_a_model_ranks_as_the_model(popularity: float, data: tercel.Dataset) -> None:
    model = tercel.Model.train(data, dim=8, epochs=2, popularity=popularity, progress=False, device="cpu")
    index = model.build_index(recall=None)
    ids, scores = index.search(model.index_queries()[:20], k=7)
    users, items = model.user_ids.to_pylist()[:20], model.item_ids.to_pylist()
    top = model.recommend(k=7, users=users, include_seen=True, progress=False)
    assert [items[number - 1] for number in ids.ravel().tolist()] == top["item"].to_pylist()
    assert np.array_equal(model.index_queries(users), model.index_queries()[:20])
    np.testing.assert_allclose(scores.ravel(), top["score"].to_numpy(), rtol=0, atol=1e-6)


# -------------------------------------------------------------------------------------------------------------- threads


def test_many_threads_at_once(vectors: Floats, queries: Floats) -> None:
    index = Index.build(vectors, recall=None)
    expected = best(vectors, queries, 10)
    wrong: list[object] = []

    def look() -> None:
        try:
            wrong.extend(1 for _ in range(20) if asked(index, queries, 10) != expected)
        except BaseException as error:  # a thread's own would be lost
            wrong.append(error)

    def change() -> None:
        # Items that no query likes: whatever the order, the answers are the same.
        for number in range(20):
            index.add(np.array([ITEMS + number]), np.zeros((1, DIM), dtype=np.float32))
            index.set_tag("new", [ITEMS + number])
        index.remove(range(ITEMS, ITEMS + 20))

    threads = [threading.Thread(target=look) for _ in range(4)] + [threading.Thread(target=change)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and len(index) == ITEMS


# ----------------------------------------------------------------------------------------------------- shapes and types


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int64])
def test_other_numbers_are_taken(kind: type, vectors: Floats, queries: Floats) -> None:
    theirs: Any = (vectors * 8).astype(kind)
    index = Index.build(theirs, recall=None)
    assert asked(index, (queries * 8).astype(kind), 5) == best(
        theirs.astype(np.float32), (queries * 8).astype(kind).astype(np.float32), 5
    )


def test_views_and_other_orders_are_taken(exact: Index, vectors: Floats, queries: Floats) -> None:
    expected = best(vectors, queries, 5)
    wide = np.repeat(vectors, 2, axis=1)[:, ::2]
    assert not wide.flags.c_contiguous
    assert asked(Index.build(wide, recall=None), np.asfortranarray(queries), 5) == expected
    assert asked(exact, queries[::-1], 5) == expected[::-1]


@pytest.mark.parametrize(
    "call",
    [
        lambda index: index.search(ONES[:, 1:]),
        lambda index: index.search(CUBE),
        lambda index: index.search(np.array([["a"] * DIM])),
        lambda index: index.search(ONES, skip=[[1]]),
        lambda index: index.search(ONES[:1], skip=[[-1]]),
        lambda index: index.search(ONES[:1], skip=[["a"]]),
        lambda index: index.add(np.arange(3), ONES),
        lambda index: index.add(np.arange(2), WIDE),
        lambda index: index.add(np.array([1, 1]), ONES),
        lambda index: index.add(np.array([-2, 1]), ONES),
        lambda index: index.add(np.array([0.5, 1.5]), ONES),
        lambda index: index.add(np.array([[1, 2]]), ONES),
        lambda index: index.add(np.array([NO_ITEM]), ONES[:1]),
        lambda index: index.remove([-1]),
        lambda index: index.remove(["a"]),
        lambda index: index.set_tag("red", [2**40]),
        lambda index: Index.build(FOUR, ids=np.arange(3, dtype=np.uint32)),
        lambda index: Index.build(FOUR, ids=np.array([1, 1, 2, 3], dtype=np.uint32)),
        lambda index: Index.build(FOUR, queries=WIDE),
        lambda index: Index.build(CUBE),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[Index], Any], vectors: Floats) -> None:
    index = Index.build(vectors, recall=None)
    with pytest.raises(tercel.ShapeError):
        call(index)
    assert len(index) == ITEMS


@pytest.mark.parametrize("settings", [{"recall": 1.5}, {"recall": 0.0}, {"k": 0}, {"device": "gpu"}])
def test_settings_that_cannot_be_kept(settings: dict[str, Any], vectors: Floats) -> None:
    with pytest.raises(tercel.ConfigError) as error:
        Index.build(vectors, **settings)
    assert error.value.field == next(iter(settings))


def test_a_negative_k(exact: Index, queries: Floats) -> None:
    with pytest.raises(tercel.ConfigError):
        exact.search(queries, k=-1)


def test_an_empty_index(queries: Floats) -> None:
    index = Index.build(np.zeros((0, DIM), dtype=np.float32), recall=None)
    assert len(index) == 0 and asked(index, queries, 3) == [[]] * len(queries)
    index.add(np.array([4], dtype=np.uint32), ONES[:1])
    assert asked(index, queries, 3) == [[4]] * len(queries)
