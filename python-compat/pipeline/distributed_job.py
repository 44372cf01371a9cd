"""What the command lines of the jobs for Spark and Ray Data have in common."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tercel import FileError
from tercel._files import followed, locked, shown

from .distributed import Columns, build_dataset
from .distributed_scores import Scoring


def is_csv(path: str) -> bool:
    """Whether a file's name says that it is CSV, packed or not."""
    return ".csv" in Path(path).suffixes


def arguments(about: str, engine: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The parser of `shards …` and `score …`; both take the engine's own options too."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    jobs = parser.add_subparsers(dest="job", required=True)
    shards = jobs.add_parser(
        "shards", parents=[engine], help="write purchases to sorted Parquet files and build a dataset"
    )
    shards.add_argument("purchases", help="Parquet files, or CSV with a header")
    shards.add_argument("out", help="a new folder for the sorted files")
    usual = Columns()
    for name in ("user", "item", "time"):
        shards.add_argument(f"--{name}", default=getattr(usual, name), help=f"the column of the {name}")
    shards.add_argument("--keep-duplicates", action="store_true", help="keep duplicate rows")
    shards.add_argument("--dataset", help="also build a dataset in this folder")
    shards.add_argument("--split", default="none", help="its split, as in `tercel ingest`")
    shards.add_argument("--user-features", help="a file with one row per user: the id, then features")
    shards.add_argument("--item-features", help="the same for items")
    score = jobs.add_parser("score", parents=[engine], help="compute the top items of every user")
    score.add_argument("model", help="a model folder that every worker can read")
    score.add_argument("out", help="a new folder for the lists")
    score.add_argument("--k", type=int, default=Scoring.k, help="items per user")
    score.add_argument("--include-seen", action="store_true", help="keep items that the user already has")
    score.add_argument("--users", help="Parquet files with the users to score; by default all users of the model")
    score.add_argument("--column", default=Scoring.column, help="their column")
    for job in (shards, score):
        job.add_argument("--partitions", type=int, default=8, help="number of partitions")
    return parser


def scoring_of(asked: argparse.Namespace) -> Scoring:
    """What `score …` asks of the workers. Scoring of everybody has a column of its own."""
    column = asked.column if asked.users else Scoring.column
    return Scoring(asked.model, asked.k, asked.include_seen, column)


def columns_of(asked: argparse.Namespace) -> Columns:
    """What the columns of the purchases are called."""
    return Columns(asked.user, asked.item, asked.time)


@contextmanager
def new_folder(out: str) -> Iterator[None]:
    """Keeps an engine's files among themselves: a folder that holds anything is refused, and so is a second job that
    writes it. Where a URL leads is the engine's matter.

    Raises:
        SystemExit: With what is wrong.
    """
    if "://" in out:
        yield
        return
    try:
        folder = followed(out)
        with locked(folder, "job"):
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise FileError(f"{shown(folder)}: already exists and is not empty; name a new folder", path=out)
            yield
    except FileError as error:
        raise SystemExit(f"error: {error}") from error


def build(asked: argparse.Namespace) -> None:
    """Builds the dataset of the files that the engine has written, where one is wanted."""
    if asked.dataset is None:
        return
    features = {name: getattr(asked, name) for name in ("user_features", "item_features")}
    print(build_dataset(Path(asked.out), Path(asked.dataset), split=asked.split, **features))
