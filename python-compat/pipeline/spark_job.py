"""A Spark job: purchases to sorted shards and a dataset, and the top items of every user.

    spark-submit pipeline/spark_job.py shards PURCHASES SHARDS --user customer_id --item article_id --time t_dat \\
        --dataset DATASET --split last-per-user:1
    spark-submit pipeline/spark_job.py score MODEL SCORES --k 12
    python -m pipeline.spark_job …                         # the same in local mode

PURCHASES is Parquet, or CSV with a header. Spark spreads the work and tries again what fails; this hands it functions.
Every worker needs the package `tercel` and must see MODEL; the driver must see SHARDS where it builds the dataset.
"""

from __future__ import annotations

import argparse
import atexit
import functools
import os
import shutil
import sys
import tempfile
import zipfile
from functools import partial
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from pyspark.sql import DataFrame, SparkSession

from pipeline.distributed import KEY, Columns, clean_purchases
from pipeline.distributed_job import arguments, build, columns_of, is_csv, new_folder, scoring_of
from pipeline.distributed_scores import Scoring, score_users, user_ids

PURCHASES_TYPES = "time bigint, user string, item string"
SCORES_TYPES = "user string, rank int, item string, score float"


def session(master: str | None = None) -> SparkSession:
    """The session that there is, or one of `spark-submit`'s settings; its workers get the functions of this package."""
    # Workers of this machine run the same Python, unless a cluster says otherwise.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("tercel")
    spark = (builder.master(master) if master else builder).getOrCreate()
    spark.sparkContext.addPyFile(str(_zipped()))
    return spark


def shards(
    spark: SparkSession, purchases: str, out: str, columns: Columns, *, partitions: int, keep_duplicates: bool = False
) -> None:
    """Writes purchases cleaned, without duplicates, sorted: `partitions` Parquet files for `build_dataset`."""
    raw = spark.read.csv(purchases, header=True) if is_csv(purchases) else spark.read.parquet(purchases)
    # Only what is needed leaves the JVM.
    needed = raw.select(columns.user, columns.item, columns.time)
    clean = needed.mapInArrow(partial(clean_purchases, columns=columns), PURCHASES_TYPES)
    rows = clean if keep_duplicates else clean.distinct()
    rows.repartitionByRange(partitions, *KEY).sortWithinPartitions(*KEY).write.parquet(out)


def score(spark: SparkSession, scoring: Scoring, out: str, *, partitions: int, users: str | None = None) -> None:
    """Writes the top items of every user of the model, or of those in the Parquet files `users`."""
    everybody: DataFrame
    if users is None:
        everybody = spark.createDataFrame(user_ids(scoring.model))
    else:
        # Once each: a user who stood in two partitions would get two lists.
        everybody = spark.read.parquet(users).select(scoring.column).distinct()
    spread = everybody.repartition(partitions)
    spread.mapInArrow(partial(score_users, scoring=scoring), SCORES_TYPES).write.parquet(out)


def main(words: list[str]) -> None:
    """The command line."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--master", help="where Spark runs, such as local[2]; by default as set by spark-submit")
    asked = arguments(__doc__ or "", options).parse_args(words)
    run(session(asked.master), asked)


def run(spark: SparkSession, asked: argparse.Namespace) -> None:
    """What the command line asks for."""
    with new_folder(asked.out):
        if asked.job == "score":
            score(spark, scoring_of(asked), asked.out, partitions=asked.partitions, users=asked.users)
            return
        columns, keep = columns_of(asked), asked.keep_duplicates
        shards(spark, asked.purchases, asked.out, columns, partitions=asked.partitions, keep_duplicates=keep)
        build(asked)


@functools.cache
def _zipped() -> Path:
    """The functions of the workers as a zip file, from which Python imports them. It goes when the driver ends: a task
    may ask for it until then.
    """
    folder = Path(tempfile.mkdtemp(prefix="tercel-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    here = Path(__file__).resolve().parent
    with zipfile.ZipFile(folder / "pipeline.zip", "w") as archive:
        for module in (here / "__init__.py", *sorted(here.glob("distributed*.py"))):
            archive.write(module, f"pipeline/{module.name}")
    return folder / "pipeline.zip"


if __name__ == "__main__":
    main(sys.argv[1:])
