"""Behavioural checks of a night's predictions. A failed check stops the night before anything is published.

    report = run_checks(predictions, purchases, customers, articles)
    report.raise_if_failed()

Every check says what it measured, the threshold in `Settings` that it was held against, what that means in one
sentence, and what to do. An input that is empty, unreadable or full of NaN is a failed check, never a pass.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
from tercel._files import write_text

from pipeline import checks_accuracy as accuracy
from pipeline.checks_data import BadInput, Source, connect, first_row, load, scalar
from pipeline.checks_result import CheckReport, CheckResult, ChecksFailed

__all__ = ["CheckReport", "CheckResult", "ChecksFailed", "Settings", "run_checks"]


@dataclass(frozen=True)
class Settings:
    """The thresholds. Names in `skip` are left out and reported as skipped."""

    k: int = 12
    exclude_seen: bool = True
    seen_splits: tuple[str, ...] = ("train",)
    fallback_for_cold: bool = True
    """New users without a list get the fallback list when the night is published, so that having none is fine."""
    min_gain_over_popularity: float = 0.0
    """The lower end of the interval of the paired difference has to lie above this."""
    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 1
    min_served: float = 1.0
    min_cold_served: float = 1.0
    min_coverage: float = 0.01
    min_distinct_lists: float = 0.5
    max_top_item_share: float = 0.5
    min_jaccard: float = 0.2
    min_slice_users: int = 100
    min_slice_ratio: float = 0.5
    """A slice fails when even the upper end of its recall's interval is below this part of the whole's recall."""
    slice_columns: tuple[str, ...] | None = None
    """Customer features to slice by; all of them where it is None."""
    most_slice_values: int = 20
    activity_edges: tuple[int, ...] = (1, 10, 50, 200)
    skip: tuple[str, ...] = ()
    memory: str = "4GB"
    threads: int = 2


Connection = duckdb.DuckDBPyConnection
Check = Callable[[Connection, Settings], CheckResult]


def run_checks(
    predictions: Source,
    purchases: Source,
    customers: Source,
    articles: Source,
    second_seed: Source | None = None,
    settings: Settings | None = None,
) -> CheckReport:
    """Runs every check. Inputs are Parquet files or pyarrow tables; `second_seed` holds another seed's predictions."""
    settings = settings or Settings()
    with connect(settings.memory, settings.threads) as con:
        try:
            load(con, predictions, purchases, customers, articles, second_seed, settings.seen_splits)
            accuracy.make_popular_lists(con, settings.k, settings.exclude_seen)
            accuracy.score_users(con, "lists", "model_scores", settings.k)
            accuracy.score_users(con, "popular_lists", "base_scores", settings.k)
        except (BadInput, duckdb.Error, MemoryError) as error:
            return CheckReport((unusable(str(error).splitlines()[0]),))
        names = dict(CHECKS)
        if second_seed is None:
            names["stable_under_reseed"] = no_second_seed
        return CheckReport(tuple(guarded(name, check, con, settings) for name, check in names.items()))


def unusable(reason: str) -> CheckResult:
    """What stands alone in the report when the inputs cannot be read."""
    return CheckResult(
        "inputs", False, None, None, f"Nothing could be checked: {reason}.", "Mend the input and run the checks again."
    )


def guarded(name: str, check: Check, con: Connection, settings: Settings) -> CheckResult:
    """A check that cannot be computed is a failed check."""
    if name in settings.skip:
        return CheckResult(name, True, None, None, "Left out by the settings.", skipped=True)
    try:
        result = check(con, settings)
    except (duckdb.Error, ArithmeticError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return CheckResult(name, False, None, None, f"It could not be computed: {reason}.", "Look at the inputs.")
    if not result.skipped and (result.value is None or not math.isfinite(result.value)):
        reason = result.meaning if not result.passed else "The value is not a number."
        return CheckResult(name, False, None, result.threshold, reason, result.action, details=result.details)
    return result


def at_least(name: str, value: float, threshold: float, meaning: str, action: str, **details: object) -> CheckResult:
    """A result that passes from the threshold on. NaN fails."""
    return CheckResult(name, value >= threshold, value, threshold, meaning, action, details=details)


def at_most(name: str, value: float, threshold: float, meaning: str, action: str, **details: object) -> CheckResult:
    """A result that passes up to the threshold. NaN fails."""
    return CheckResult(name, value <= threshold, value, threshold, meaning, action, details=details)


def lists_complete(con: Connection, settings: Settings) -> CheckResult:
    """Every list has exactly k places, numbered 1 to k."""
    bad = scalar(
        con,
        f"""SELECT count(*) FROM (SELECT u FROM lists GROUP BY u HAVING count(*) <> {settings.k}
        OR count(DISTINCT r) <> {settings.k} OR min(r) <> 1 OR max(r) <> {settings.k})""",
    )
    meaning = f"{bad:,.0f} lists do not have exactly {settings.k} items at the ranks 1 to {settings.k}."
    return at_most("lists_complete", bad, 0, meaning, "Compare k with the one that the predictions were made with.")


def scores_finite(con: Connection, settings: Settings) -> CheckResult:
    """No score is NaN, infinite or empty, and none is above the one before it."""
    bad = scalar(con, "SELECT count(*) FROM lists WHERE s IS NULL OR NOT isfinite(s)")
    rising = scalar(
        con,
        "SELECT count(*) FROM (SELECT s - lag(s) OVER (PARTITION BY u ORDER BY r) AS step FROM lists) WHERE step > 0",
    )
    meaning = f"{bad:,.0f} scores are not numbers and {rising:,.0f} are higher than the score one rank before."
    return at_most("scores_finite", bad + rising, 0, meaning, "The training diverged: lower the learning rate.")


def no_item_twice(con: Connection, settings: Settings) -> CheckResult:
    """No list holds an item twice."""
    bad = scalar(con, "SELECT count(*) FROM (SELECT u, i FROM lists GROUP BY u, i HAVING count(*) > 1)")
    meaning = f"{bad:,.0f} duplicate items within lists."
    return at_most("no_item_twice", bad, 0, meaning, "Look for the same item under two ids in the catalogue.")


def no_bought_items(con: Connection, settings: Settings) -> CheckResult:
    """Where bought items are excluded, none is recommended."""
    if not settings.exclude_seen:
        return CheckResult(
            "no_bought_items", True, None, None, "Bought items are allowed by the settings.", skipped=True
        )
    bad = scalar(con, "SELECT count(*) FROM lists SEMI JOIN train USING (u, i)")
    meaning = f"{bad:,.0f} recommended items were bought by that user before."
    return at_most("no_bought_items", bad, 0, meaning, "Run recommend with the dataset that holds these purchases.")


def one_catalogue(con: Connection, settings: Settings) -> CheckResult:
    """Every recommended item is in the one catalogue that is sold from."""
    bad = scalar(con, "SELECT count(DISTINCT i) FROM lists ANTI JOIN catalogue USING (i)")
    some = con.execute(
        "SELECT DISTINCT item FROM lists ANTI JOIN catalogue USING (i) JOIN items USING (i) ORDER BY item LIMIT 5"
    ).fetchall()
    meaning = f"{bad:,.0f} recommended items are not among the articles."
    action = "Train and recommend from the same articles file, or give recommend the list of allowed items."
    return at_most("one_catalogue", bad, 0, meaning, action, examples=[row[0] for row in some])


def everybody_served(con: Connection, settings: Settings) -> CheckResult:
    """Users with training purchases have a list."""
    share = scalar(
        con,
        """SELECT avg(CAST(l.u IS NOT NULL AS INTEGER)) FROM (SELECT DISTINCT u FROM train) t
        LEFT JOIN (SELECT DISTINCT u FROM lists) l USING (u)""",
    )
    if math.isnan(share):
        return CheckResult("everybody_served", False, None, settings.min_served, "There are no training purchases.")
    meaning = f"{share:.2%} of the users with training purchases have a list."
    return at_least(
        "everybody_served", share, settings.min_served, meaning, "Look for users that the predictions lost."
    )


def cold_users_served(con: Connection, settings: Settings) -> CheckResult:
    """Users without training purchases get a list, from the model or from the fallback."""
    name, threshold = "cold_users_served", settings.min_cold_served
    con.execute(
        """CREATE OR REPLACE TABLE cold AS SELECT u FROM (SELECT u FROM test UNION SELECT u FROM users
        JOIN raw_customers c ON CAST(c.user_id AS VARCHAR) = users."user") ANTI JOIN train USING (u)""",
    )
    cold = scalar(con, "SELECT count(*) FROM cold")
    served = scalar(con, "SELECT count(*) FROM cold SEMI JOIN lists USING (u)")
    if cold == 0:
        return at_least(name, 1.0, threshold, "Tonight there are no users without training purchases.", "")
    if served == 0 and settings.fallback_for_cold:
        meaning = f"The {cold:,.0f} users without training purchases get the fallback list."
        return at_least(name, 1.0, threshold, meaning, "", cold=cold, served=served)
    meaning = f"{served:,.0f} of {cold:,.0f} users without training purchases have a list of their own."
    action = "Name these users to recommend (--users), or publish with a fallback list."
    return at_least(name, served / cold, threshold, meaning, action, cold=cold, served=served)


def beats_popularity(metric: str) -> Check:
    """The check that a metric is better than the popularity baseline's, user by user."""

    def check(con: Connection, settings: Settings) -> CheckResult:
        model, base = accuracy.both(con, metric)
        name, threshold = f"beats_popularity_{metric}", settings.min_gain_over_popularity
        if len(model) == 0:
            return CheckResult(name, False, None, threshold, "No user with a list has purchases in the test split.")
        low, high = accuracy.interval(model - base, settings.resamples, settings.confidence, settings.seed)
        ours, theirs = float(model.mean()), float(base.mean())
        meaning = (
            f"{metric}@{settings.k} is {ours:.4f}, of the popularity baseline {theirs:.4f}; the difference lies "
            f"between {low:+.4f} and {high:+.4f} ({settings.confidence:.0%}, {len(model):,} users)."
        )
        action = "Train longer or with other settings; until then the popularity list is the better one to serve."
        details = {
            "model": ours,
            "model_interval": accuracy.interval(model, settings.resamples, settings.confidence, settings.seed),
            "popularity": theirs,
            "users": len(model),
            "interval": (low, high),
        }
        return CheckResult(name, low > threshold, low, threshold, meaning, action, details=details)

    return check


def catalogue_coverage(con: Connection, settings: Settings) -> CheckResult:
    """Enough of the catalogue is recommended to somebody."""
    shown = scalar(con, "SELECT count(DISTINCT i) FROM lists SEMI JOIN catalogue USING (i)")
    total = scalar(con, "SELECT count(*) FROM catalogue")
    meaning = f"{shown:,.0f} of {total:,.0f} articles ({shown / total:.1%}) are recommended to at least one user."
    action = "The model leans on a few items: raise the temperature or lower the weight of popularity."
    return at_least("catalogue_coverage", shown / total, settings.min_coverage, meaning, action)


def lists_differ(con: Connection, settings: Settings) -> CheckResult:
    """Not everybody gets one list."""
    share = scalar(
        con,
        "SELECT count(DISTINCT found) / count(*) FROM (SELECT hash(list(i ORDER BY r)) AS found FROM lists GROUP BY u)",
    )
    meaning = f"{share:.1%} of the lists are different from one another."
    action = "Look whether the users' features and ids reach the model."
    return at_least("lists_differ", share, settings.min_distinct_lists, meaning, action)


def no_single_favourite(con: Connection, settings: Settings) -> CheckResult:
    """The first place is not one item for everybody."""
    row = first_row(
        con,
        """SELECT item, n, sum(n) OVER () AS total FROM (SELECT i, count(*) AS n FROM lists WHERE r = 1 GROUP BY i)
        JOIN items USING (i) ORDER BY n DESC, i LIMIT 1""",
    )
    threshold = settings.max_top_item_share
    if row is None:
        return CheckResult("no_single_favourite", False, None, threshold, "No list has an item at rank 1.")
    share = row[1] / float(row[2])
    meaning = f"The item {row[0]} is first in {share:.1%} of the lists."
    action = "Lower the weight of popularity in the score, or use the logQ correction."
    return at_most("no_single_favourite", share, threshold, meaning, action, item=row[0])


def stable_under_reseed(con: Connection, settings: Settings) -> CheckResult:
    """Two seeds recommend about the same."""
    row = first_row(
        con,
        """WITH a AS (SELECT DISTINCT u, i FROM lists), b AS (SELECT DISTINCT u, i FROM other_lists),
        sizes AS (SELECT u, x.n AS n, y.n AS m FROM (SELECT u, count(*) AS n FROM a GROUP BY u) x
            JOIN (SELECT u, count(*) AS n FROM b GROUP BY u) y USING (u)),
        same AS (SELECT u, count(*) AS c FROM a JOIN b USING (u, i) GROUP BY u)
        SELECT avg(coalesce(c, 0) / (n + m - coalesce(c, 0))), avg(coalesce(c, 0) / greatest(n, m)), count(*)
        FROM sizes LEFT JOIN same USING (u)""",
    )
    name, threshold = "stable_under_reseed", settings.min_jaccard
    if row is None or not row[2]:
        return CheckResult(name, False, None, threshold, "The two seeds' predictions have no user in common.")
    meaning = f"Two seeds share {row[1]:.1%} of a user's list (mean Jaccard {row[0]:.3f}, {row[2]:,} users)."
    action = "Train for more epochs or on more data; lists that a seed decides are mostly noise."
    return at_least(name, row[0], threshold, meaning, action, overlap=row[1], users=row[2])


def no_second_seed(con: Connection, settings: Settings) -> CheckResult:
    """Stands in for the check above where there is nothing to compare."""
    meaning = "No predictions of a second seed were given."
    return CheckResult("stable_under_reseed", True, None, settings.min_jaccard, meaning, skipped=True)


def no_weak_slice(con: Connection, settings: Settings) -> CheckResult:
    """No group of users is served much worse than the whole."""
    found, left_out = accuracy.slices(
        con, settings.slice_columns, settings.most_slice_values, settings.activity_edges, settings.confidence
    )
    large = [part for part in found if part.users >= settings.min_slice_users]
    name, threshold = "no_weak_slice", settings.min_slice_ratio
    details = {"slices": [asdict(part) for part in found], "too_many_values": left_out}
    if not large:
        meaning = f"No slice has {settings.min_slice_users} users with test purchases and a list."
        return CheckResult(name, False, None, threshold, meaning, "Lower min_slice_users.", details=details)
    worst = min(large, key=lambda part: part.high_ratio if math.isfinite(part.high_ratio) else -math.inf)
    meaning = (
        f"The weakest of {len(large)} slices is {worst.column} = {worst.value}: recall {worst.recall:.4f}, "
        f"{worst.ratio:.0%} of the whole, {worst.high_ratio:.0%} at the upper end of its interval "
        f"({worst.users:,} users)."
    )
    action = "Look at this group's lists in the report; it may need features or history of its own."
    return CheckResult(
        name, worst.high_ratio >= threshold, worst.high_ratio, threshold, meaning, action, details=details
    )


CHECKS: dict[str, Check] = {
    "lists_complete": lists_complete,
    "scores_finite": scores_finite,
    "no_item_twice": no_item_twice,
    "no_bought_items": no_bought_items,
    "one_catalogue": one_catalogue,
    "everybody_served": everybody_served,
    "cold_users_served": cold_users_served,
    "beats_popularity_recall": beats_popularity("recall"),
    "beats_popularity_ndcg": beats_popularity("ndcg"),
    "catalogue_coverage": catalogue_coverage,
    "lists_differ": lists_differ,
    "no_single_favourite": no_single_favourite,
    "stable_under_reseed": stable_under_reseed,
    "no_weak_slice": no_weak_slice,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m pipeline.checks`: prints a line per check; exit code 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.checks", description=(__doc__ or "").splitlines()[0])
    for name in ("predictions", "purchases", "customers", "articles"):
        parser.add_argument(f"--{name}", required=True, metavar="PARQUET")
    parser.add_argument("--second-seed", metavar="PARQUET", help="another seed's predictions")
    parser.add_argument("--k", type=int, default=Settings.k)
    parser.add_argument("--skip", action="append", default=[], choices=list(CHECKS), help="skip this check")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report here")
    given = parser.parse_args(arguments)
    report = run_checks(
        given.predictions,
        given.purchases,
        given.customers,
        given.articles,
        given.second_seed,
        Settings(k=given.k, skip=tuple(given.skip)),
    )
    if given.json:
        try:
            write_text(given.json, report.to_json() + "\n")
        except OSError as error:
            print(f"error: {error}", file=sys.stderr)
            return 3
    print(report.to_text())
    return 0 if report.passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
