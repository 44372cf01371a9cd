"""The same as `spark_job`, with Ray Data: actors keep the model open, and the wheel is the workers' library.

    python -m pipeline.ray_job shards PURCHASES SHARDS --user customer_id --item article_id --time t_dat \\
        --dataset DATASET --split last-per-user:1
    python -m pipeline.ray_job score MODEL SCORES --k 12
    ray job submit -- python -m pipeline.ray_job … --address auto        # on a cluster

PURCHASES is Parquet, or CSV with a header. Every worker needs the package `tercel` and must see MODEL and the folders.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import ray
import ray.data

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from pipeline.distributed import KEY, PURCHASES, Columns, clean_purchases
from pipeline.distributed_job import arguments, build, columns_of, is_csv, new_folder, scoring_of
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
    # Workers of this machine have the driver's path, and start sooner without an environment of their own.
    environment = {"py_modules": [str(Path(__file__).resolve().parent)]} if address else {}
    if address is None:
        # One that scores, one that reads and writes.
        settings.setdefault("num_cpus", max(2, os.cpu_count() or 2))
    ray.init(address=address, runtime_env=environment, ignore_reinit_error=True, **settings)


def shards(purchases: str, out: str, columns: Columns, *, partitions: int, keep_duplicates: bool = False) -> None:
    """Writes purchases cleaned, without duplicates, sorted: Parquet files for `build_dataset`."""
    names = [columns.user, columns.item, columns.time]
    if is_csv(purchases):
        # As they are written: 0108775015 is no number.
        texts = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=names)
        raw = ray.data.read_csv(purchases, convert_options=texts)
    else:
        raw = ray.data.read_parquet(purchases).select_columns(names)
    rows = raw.map_batches(_clean, batch_format="pyarrow", fn_kwargs={"columns": columns})
    if not keep_duplicates:
        rows = rows.groupby(list(KEY), num_partitions=partitions).count().select_columns(list(KEY))
    # Ray Data sorts into as many parts as it gets.
    rows.repartition(partitions).sort(list(KEY)).write_parquet(str(Path(out).resolve()))


def score(scoring: Scoring, out: str, *, partitions: int, users: str | None = None, actors: int = 0) -> None:
    """Writes the top items of every user of the model, or of those in the Parquet files `users`.

    Args:
        scoring: What is asked.
        out: The folder to write.
        partitions: Into how many batches the users are cut.
        users: Parquet files; everybody without them.
        actors: How many processes score, each with the model open; 0 for one on every core but one.
    """
    size = _actors(actors)
    if users is None:
        everybody = ray.data.from_arrow(user_ids(scoring.model))
    else:
        # Once each: a user who stood in two partitions would get two lists.
        named = ray.data.read_parquet(users).select_columns([scoring.column])
        everybody = named.groupby(scoring.column).count().select_columns([scoring.column])
    lists = everybody.repartition(partitions).map_batches(
        Scorer,
        batch_format="pyarrow",
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=size),
        fn_constructor_args=(scoring,),
    )
    lists.write_parquet(str(Path(out).resolve()))


def main(words: list[str]) -> None:
    """The command line."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--address", help="the cluster, such as auto; by default Ray starts on this machine")
    options.add_argument(
        "--actors", type=int, default=0, help="number of scoring workers; by default one fewer than the cores"
    )
    asked = arguments(__doc__ or "", options).parse_args(words)
    session(asked.address)
    run(asked)


def run(asked: argparse.Namespace) -> None:
    """What the command line asks for."""
    with new_folder(asked.out):
        if asked.job == "score":
            score(scoring_of(asked), asked.out, partitions=asked.partitions, users=asked.users, actors=asked.actors)
            return
        columns, keep = columns_of(asked), asked.keep_duplicates
        shards(asked.purchases, asked.out, columns, partitions=asked.partitions, keep_duplicates=keep)
        build(asked)


def _actors(wanted: int) -> int:
    """How many actors score. On every core there would be no place for reading and writing, and Ray Data would wait
    for one for ever (ray-project/ray#44687).

    Raises:
        ValueError: When so many actors leave no core.
    """
    cores = int(ray.cluster_resources().get("CPU", 0))
    actors = wanted or max(1, cores - 1)
    if actors >= cores:
        raise ValueError(f"{actors} actors on {cores} cores: leave one for reading and writing (ray.init(num_cpus=…))")
    return actors


def _clean(purchases: pa.Table, columns: Columns) -> pa.Table:
    return pa.Table.from_batches(clean_purchases(iter(purchases.to_batches()), columns), PURCHASES)


if __name__ == "__main__":
    main(sys.argv[1:])
