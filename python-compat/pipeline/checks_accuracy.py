"""Recall and ndcg per user, the popularity baseline, bootstrap intervals and slices.

A user with several test purchases is ONE row: relevant are all items of that user's test purchases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import duckdb
import numpy as np
import numpy.typing as npt

from pipeline.checks_data import columns_of, first_row, literal, quoted, scalar

Floats = npt.NDArray[np.float64]

MOST_GROUPS = 20_000
"""With more users than this the bootstrap draws random groups of users: as good, and its time stays bounded."""


@dataclass(frozen=True)
class Slice:
    """The figures of a group of users."""

    column: str
    value: str
    users: int
    recall: float
    baseline_recall: float
    ratio: float
    """Of the recall, to that of the whole."""
    high_ratio: float
    """The same of the upper end of the recall's interval: what is left when chance is on the slice's side."""


def make_popular_lists(con: duckdb.DuckDBPyConnection, k: int, exclude_seen: bool) -> None:
    """popular_lists(u, i, r): the k most bought catalogue items of training, without a user's own where they are
    excluded, for the users that are judged. Equal counts go by the item's id."""
    con.execute(
        """CREATE OR REPLACE TABLE judged AS
        SELECT u, count(*) AS relevant FROM test WHERE u IN (SELECT u FROM lists) GROUP BY u"""
    )
    con.execute(
        """CREATE OR REPLACE TABLE popular AS
        SELECT i, row_number() OVER (ORDER BY sum(n) DESC, i) AS place
        FROM train JOIN catalogue USING (i) GROUP BY i"""
    )
    depth = depth_needed(con, k) if exclude_seen else k
    without_own = "ANTI JOIN train USING (u, i)" if exclude_seen else ""
    con.execute(
        f"""CREATE OR REPLACE TABLE popular_lists AS
        SELECT u, i, row_number() OVER (PARTITION BY u ORDER BY place) AS r
        FROM (SELECT u, i, place FROM judged CROSS JOIN popular WHERE place <= {depth}) {without_own}
        QUALIFY r <= {k}"""
    )


def depth_needed(con: duckdb.DuckDBPyConnection, k: int) -> int:
    """How many popular items leave k for the user who has bought most of them."""
    depth = k
    while True:
        owned = scalar(
            con,
            f"""SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM train JOIN judged USING (u)
            JOIN popular USING (i) WHERE place <= {depth} GROUP BY u)""",
        )
        if k + int(owned) <= depth:
            return depth
        depth = k + int(owned)


def score_users(con: duckdb.DuckDBPyConnection, lists: str, out: str, k: int) -> None:
    """The table OUT(u, recall, ndcg) over the judged users; an item that stands twice counts once."""
    ideal = np.cumsum(1 / np.log2(np.arange(2, k + 2))).tolist()
    con.execute(
        f"""CREATE OR REPLACE TABLE {out} AS
        WITH placed AS (SELECT u, i, min(r) AS r FROM {lists} WHERE r BETWEEN 1 AND {k} GROUP BY u, i),
        hits AS (SELECT u, count(*) AS hits, sum(1 / log2(r + 1)) AS gain FROM placed JOIN test USING (u, i) GROUP BY u)
        SELECT u, coalesce(hits, 0) / relevant AS recall,
            coalesce(gain, 0) / ({ideal}::DOUBLE[])[least(relevant, {k})] AS ndcg
        FROM judged LEFT JOIN hits USING (u)"""
    )


def both(con: duckdb.DuckDBPyConnection, metric: str) -> tuple[Floats, Floats]:
    """A metric of the model and of the baseline, user by user, in the same order."""
    found = con.execute(
        f"SELECT m.{metric} AS model, b.{metric} AS base FROM model_scores m JOIN base_scores b USING (u) ORDER BY u"
    ).fetchnumpy()
    return np.asarray(found["model"], dtype=np.float64), np.asarray(found["base"], dtype=np.float64)


def interval(values: Floats, resamples: int, confidence: float, seed: int) -> tuple[float, float]:
    """A percentile bootstrap interval of the mean over users."""
    if len(values) == 0 or not np.isfinite(values).all():
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    sums: Floats = values
    sizes: Floats = np.ones(len(values))
    if len(values) > MOST_GROUPS:
        group = rng.permutation(len(values)) % MOST_GROUPS
        sums = np.asarray(np.bincount(group, weights=values), dtype=np.float64)
        sizes = np.asarray(np.bincount(group), dtype=np.float64)
    means = np.empty(resamples)
    for at in range(resamples):
        drawn = rng.integers(0, len(sums), len(sums))
        means[at] = sums[drawn].sum() / sizes[drawn].sum()
    edge = (1 - confidence) / 2
    low, high = np.quantile(means, [edge, 1 - edge])
    return float(low), float(high)


def activity(edges: tuple[int, ...]) -> str:
    """SQL for the bucket of a user's number of training purchases, `n`."""
    cases = [f"WHEN n < {edges[0]} THEN '0 to {edges[0] - 1}'" if edges[0] > 1 else "WHEN n < 1 THEN '0'"]
    for low, high in pairwise(edges):
        cases.append(f"WHEN n < {high} THEN '{low} to {high - 1}'")
    return f"CASE {' '.join(cases)} ELSE '{edges[-1]} or more' END"


def slices(
    con: duckdb.DuckDBPyConnection,
    columns: tuple[str, ...] | None,
    most_values: int,
    edges: tuple[int, ...],
    confidence: float,
) -> tuple[list[Slice], list[str]]:
    """Recall per activity bucket and per value of every customer feature, and the features with too many values."""
    whole = scalar(con, "SELECT avg(recall) FROM model_scores")
    con.execute(
        f"""CREATE OR REPLACE TABLE slice_values AS
        SELECT u, {activity(edges)} AS value FROM (SELECT u, coalesce(sum(n), 0) AS n
        FROM judged LEFT JOIN train USING (u) GROUP BY u)"""
    )
    found = slices_of(con, "training purchases", whole, confidence)
    left_out = []
    kinds = columns_of(con, "raw_customers")
    for column in columns if columns is not None else tuple(name for name in kinds if name != "user_id"):
        value = value_sql(con, column, most_values)
        if value is None:
            left_out.append(column)
            continue
        con.execute(
            f"""CREATE OR REPLACE TABLE slice_values AS
            SELECT u, coalesce(any_value({value}), '(missing)') AS value FROM judged JOIN users USING (u)
            LEFT JOIN raw_customers c ON CAST(c.user_id AS VARCHAR) = users."user" GROUP BY u"""
        )
        found += slices_of(con, column, whole, confidence)
    return found, left_out


def value_sql(con: duckdb.DuckDBPyConnection, column: str, most_values: int) -> str | None:
    """SQL for a feature's value: itself, its fifth for a number with many values, None for a text with many."""
    name = f"c.{quoted(column)}"
    kind = scalar(con, f"SELECT count(DISTINCT {name}) FROM raw_customers c")
    if kind <= most_values:
        return f"CAST({name} AS VARCHAR)"
    numeric = columns_of(con, "raw_customers")[column].split("(")[0] in NUMBERS
    if not numeric:
        return None
    fifths = first_row(con, f"SELECT quantile_cont(CAST({name} AS DOUBLE), [0.2, 0.4, 0.6, 0.8]) FROM raw_customers c")
    edges = sorted(set(fifths[0])) if fifths else []
    cases = [f"WHEN {name} IS NULL THEN NULL", f"WHEN {name} < {edges[0]} THEN 'below {edges[0]:g}'"]
    for low, high in pairwise(edges):
        cases.append(f"WHEN {name} < {high} THEN {literal(f'{low:g} to below {high:g}')}")
    return f"CASE {' '.join(cases)} ELSE {literal(f'{edges[-1]:g} and above')} END"


NUMBERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"} | {
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
}


def slices_of(con: duckdb.DuckDBPyConnection, column: str, whole: float, confidence: float) -> list[Slice]:
    """The figures of every value in slice_values."""
    rows = con.execute(
        """SELECT value, count(*), avg(m.recall), avg(b.recall), coalesce(stddev_samp(m.recall), 0) FROM slice_values
        JOIN model_scores m USING (u) JOIN base_scores b USING (u) GROUP BY value
        ORDER BY value = '(missing)', try_cast(regexp_extract(value, '[0-9]+') AS INTEGER) NULLS LAST, value"""
    ).fetchall()
    # The normal interval of a mean over users.
    reach = NormalDist().inv_cdf((1 + confidence) / 2)

    def of_whole(value: float) -> float:
        return value / whole if whole > 0 else float("nan")

    return [
        Slice(
            column=column,
            value=str(value),
            users=int(users),
            recall=recall,
            baseline_recall=base,
            ratio=of_whole(recall),
            high_ratio=of_whole(recall + reach * spread / math.sqrt(users)),
        )
        for value, users, recall, base, spread in rows
    ]
