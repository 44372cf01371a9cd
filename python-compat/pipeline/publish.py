"""Publishes a night: predictions into the store that the API reads, or into DynamoDB's batch writes.

    python -m pipeline.publish --predictions predictions.parquet --purchases purchases.parquet \
        --articles articles.parquet --store recommendations.sqlite --night 2020-09-22

Run the checks first: this publishes what it is given. Users are streamed, so that their number does not matter.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from tercel import DamagedError
from tercel._files import shown

from pipeline.checks_data import BadInput, Source
from pipeline.publish_dynamodb import write_requests
from pipeline.publish_rows import PublishError, UserList, popular_list, user_lists
from pipeline.publish_sqlite import check_name, nights, serve_night, write_night
from pipeline.sealed import sha256_of
from pipeline.store_format import FALLBACK_USER

__all__ = [
    "FALLBACK_USER",
    "PublishError",
    "Published",
    "UserList",
    "check_name",
    "checksum_of",
    "nights",
    "popular_list",
    "publish_dynamodb",
    "publish_sqlite",
    "serve_night",
]


@dataclass(frozen=True)
class Published:
    """What was published."""

    where: Path
    night: str
    users: int


def publish_sqlite(
    predictions: Source,
    store: str | Path,
    night: str,
    fallback: UserList,
    model_checksum: str = "",
    articles: Source | None = None,
    keep: int = 7,
) -> Published:
    """Writes the night into the store, from where the API serves it at once. The last `keep` nights stay."""
    path = Path(store)
    users = write_night(path, night, user_lists(predictions), fallback, model_checksum, articles, keep)
    return Published(path, night, users)


def publish_dynamodb(predictions: Source, folder: str | Path, table: str, night: str, fallback: UserList) -> Published:
    """Writes the night as `BatchWriteItem` requests into a new folder; `publish_dynamodb.send` sends them."""
    path = Path(folder)
    return Published(path, night, write_requests(path, table, night, user_lists(predictions), fallback))


def checksum_of(path: str | Path) -> str:
    """The SHA-256 of a file, such as the model's weights."""
    return sha256_of(Path(path))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m pipeline.publish", description=(__doc__ or "").splitlines()[0])
    made.add_argument("--store", type=Path, metavar="FILE", help="the SQLite store to publish to")
    made.add_argument("--dynamodb", type=Path, metavar="FOLDER", help="write DynamoDB batch writes here")
    made.add_argument("--table", default="userItemTable", help="DynamoDB's table (default %(default)s)")
    made.add_argument("--predictions", metavar="PARQUET", help="the output of `tercel recommend`")
    made.add_argument("--purchases", metavar="PARQUET", help="purchases from which the fallback list is made")
    made.add_argument(
        "--articles", metavar="PARQUET", help="names for the API; the fallback list only uses these items"
    )
    made.add_argument("--night", required=True, help="the night's id, such as 2020-09-22")
    made.add_argument("--model", metavar="FILE", help="the model's weights, for the checksum in the store")
    made.add_argument("--k", type=int, default=12, help="items in the fallback list (default %(default)s)")
    made.add_argument("--keep", type=int, default=7, help="number of nights to keep in the store (default %(default)s)")
    made.add_argument("--back", action="store_true", help="serve this earlier night again instead of publishing")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m pipeline.publish`."""
    command = parser()
    given = command.parse_args(arguments)
    try:
        if given.back:
            if given.store is None:
                command.error("--back needs --store")
            serve_night(given.store, given.night)
            print(f"{shown(given.store)} serves the night {given.night} again")
            return 0
        if given.predictions is None or given.purchases is None:
            command.error("--predictions and --purchases are needed")
        if given.store is None and given.dynamodb is None:
            command.error("say where to publish: --store or --dynamodb")
        fallback = popular_list(given.purchases, given.k, given.articles)
        checksum = checksum_of(given.model) if given.model else ""
        done = []
        if given.store is not None:
            done.append(
                publish_sqlite(
                    given.predictions, given.store, given.night, fallback, checksum, given.articles, given.keep
                )
            )
        if given.dynamodb is not None:
            done.append(publish_dynamodb(given.predictions, given.dynamodb, given.table, given.night, fallback))
    except (PublishError, BadInput, DamagedError, OSError, sqlite3.Error, pa.ArrowException) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for one in done:
        print(f"{shown(one.where)}: the night {one.night} with the lists of {one.users:,} users")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
