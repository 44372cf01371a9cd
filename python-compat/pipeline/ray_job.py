"""The same as `spark_job`, with Ray Data: actors keep the model open, and the wheel is the workers' library.

    python -m pipeline.ray_job shards PURCHASES SHARDS --user customer_id --item article_id --time t_dat \\
        --dataset DATASET --split last-per-user:1
    python -m pipeline.ray_job score MODEL SCORES --k 12
    ray job submit -- python -m pipeline.ray_job … --address auto        # on a cluster

PURCHASES is Parquet, or CSV with a header. Every worker needs the package `tercel` and must see MODEL and the folders.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.data

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from pipeline.distributed import KEY, PURCHASES, Columns, build_dataset, clean_purchases
from pipeline.distributed_job import arguments, is_csv, scoring_of
from pipeline.distributed_scores import SCORES, Scoring, score_users, user_ids


class Scorer:
    """An actor's part: the model stays open between batches."""

    def __init__(self, scoring: Scoring) -> None:
        """Opens nothing yet."""
        self.scoring = scoring

    def __call__(self, users: pa.Table) -> pa.Table:
        """The lists of a batch of users."""
        return pa.Table.from_batches(score_users(iter(users.to_batches()), self.scoring), SCORES)


def session(address: str | None = None, **settings: Any) -> None:
    """Connects to a cluster, or starts Ray on this machine; its workers get the functions of this package."""
    package = str(Path(__file__).resolve().parent)
    ray.init(address=address, runtime_env={"py_modules": [package]}, ignore_reinit_error=True, **settings)


def shards(purchases: str, out: str, columns: Columns, *, partitions: int, keep_duplicates: bool = False) -> None:
    """Writes purchases cleaned, without duplicates, sorted: Parquet files for `build_dataset`."""
    names = [columns.user, columns.item, columns.time]
    if is_csv(purchases):
        raw = ray.data.read_csv(purchases).select_columns(names)
    else:
        raw = ray.data.read_parquet(purchases, columns=names)
    rows = raw.map_batches(_clean, batch_format="pyarrow", fn_kwargs={"columns": columns})
    if not keep_duplicates:
        rows = rows.groupby(list(KEY), num_partitions=partitions).count().select_columns(list(KEY))
    rows.repartition(partitions).sort(list(KEY)).write_parquet(str(Path(out).resolve()))


def score(scoring: Scoring, out: str, *, partitions: int, users: str | None = None, actors: int = 2) -> None:
    """Writes the top items of every user of the model, or of those in the Parquet files `users`."""
    if users is None:
        everybody = ray.data.from_arrow(user_ids(scoring.model))
    else:
        # Once each: a user who stood in two partitions would get two lists.
        named = ray.data.read_parquet(users, columns=[scoring.column])
        everybody = named.groupby(scoring.column).count().select_columns([scoring.column])
    lists = everybody.repartition(partitions).map_batches(
        Scorer,
        batch_format="pyarrow",
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=actors),
        fn_constructor_args=(scoring,),
    )
    lists.write_parquet(str(Path(out).resolve()))


def main(words: list[str]) -> None:
    """The command line."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--address", help="the cluster, such as auto; without it Ray starts on this machine")
    parser.add_argument("--actors", type=int, default=2, help="workers that score, each with the model open")
    asked = parser.parse_args(words)
    session(asked.address)
    run(asked)


def run(asked: argparse.Namespace) -> None:
    """What the command line asks for."""
    if asked.job == "score":
        score(scoring_of(asked), asked.out, partitions=asked.partitions, users=asked.users, actors=asked.actors)
        return
    columns = Columns(asked.user, asked.item, asked.time)
    shards(asked.purchases, asked.out, columns, partitions=asked.partitions, keep_duplicates=asked.keep_duplicates)
    if asked.dataset:
        print(build_dataset(Path(asked.out), Path(asked.dataset), split=asked.split))


def _clean(purchases: pa.Table, columns: Columns) -> pa.Table:
    return pa.Table.from_batches(clean_purchases(iter(purchases.to_batches()), columns), PURCHASES)


if __name__ == "__main__":
    main(sys.argv[1:])
